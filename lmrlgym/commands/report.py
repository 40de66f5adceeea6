"""`lmrlgym report`: runs as one HTML page: scores, comparisons, curves, costs and transcripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tyro

from lmrlgym.analysis.report import report
from lmrlgym.analysis.runs import find_runs
from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import Flag, parse
from lmrlgym.commands.terminal import show
from lmrlgym.types import Trajectory


@dataclass(frozen=True)
class ReportOptions:
    """Write a page on runs that needs nothing else, and its pictures beside it."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, folders with runs below, or files that `compare --keep` wrote"""
    out: Path
    """the page, an .html file"""
    games: int = 12
    """transcripts a run, spread over its evaluation"""
    values: Flag = False
    """colour the tokens of transcripts by what the run's critic says of them; loads every agent"""


def main(argv: Sequence[str]) -> int:
    """Write the page."""
    options = parse(ReportOptions, "report", argv)
    if options.out.suffix != ".html":
        raise ValueError(f"--out wants an .html file, got {options.out}")
    for name in ("scipy", "matplotlib"):
        if find_spec(name) is None:
            raise ImportError(f"report needs {name}: pip install 'lmrlgym[compare]'")
    if options.values:
        agents("values")
    found = find_runs(options.runs)
    for note in found.notes:
        print(f"lmrlgym: {note}", file=sys.stderr)
    made = report(found, games=options.games, values=_values if options.values else None)
    for path in made.save(options.out):
        show(f"written: {path}")
    return 0


def _values(folder: Path, games: Sequence[Trajectory]) -> Any:
    return agents("values").token_values(agents("run").load_algorithm(folder), games)
