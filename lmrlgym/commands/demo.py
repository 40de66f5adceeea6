"""`lmrlgym demo`: hands its command line to `baselines.core.demo`."""

from __future__ import annotations

from collections.abc import Sequence

from lmrlgym.commands.agents import agents


def main(argv: Sequence[str]) -> int:
    """Train and compare the five agents."""
    agents("demo").main(list(argv))
    return 0
