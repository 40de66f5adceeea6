"""`lmrlgym demo`: five agents on Maze beside random, behaviour and optimal play."""

from __future__ import annotations

from collections.abc import Sequence

from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import parse
from lmrlgym.commands.terminal import show


def main(argv: Sequence[str]) -> int:
    """Train and compare the agents."""
    demo = agents("demo")
    options = parse(demo.Demo, "demo", argv)
    rows = demo.run(options)
    show(f"\n{demo.table(rows)}")
    show(f"written: {options.out / 'table.csv'}, table.png beside it, and one run folder an agent")
    return 0
