"""`lmrlgym train`: hands its command line to the agents' own, `baselines.core.run`."""

from __future__ import annotations

from collections.abc import Sequence

from lmrlgym.commands.agents import agents
from lmrlgym.commands.terminal import show

_USAGE = """usage: lmrlgym train ALGORITHM ENV [options]

ALGORITHM: {algorithms}, or the dotted path of your own.
lmrlgym train ALGORITHM --help shows every option and default."""


def main(argv: Sequence[str]) -> int:
    """Train one agent. Without an algorithm, say which there are."""
    run = agents("run")
    if list(argv) in ([], ["-h"], ["--help"]):
        show(_USAGE.format(algorithms=", ".join(run.algorithm_names())))
    else:
        run.main(list(argv))
    return 0
