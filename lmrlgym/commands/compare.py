"""`lmrlgym compare`: is one agent better than another, by training seeds."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tyro

from lmrlgym.analysis.compare import Comparison, Row, Verdict, compare
from lmrlgym.analysis.runs import find_runs, keep_runs
from lmrlgym.analysis.statistics import Interval
from lmrlgym.commands.options import checked_file, parse
from lmrlgym.commands.terminal import show, table


@dataclass(frozen=True)
class CompareOptions:
    """Compare runs: means, intervals over training seeds, tests, and what the runs cost."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, folders with runs below, or files that --keep wrote"""
    json: Path | None = None
    """write everything there as JSON too"""
    keep: Path | None = None
    """a .parquet file to keep these runs in, besides those it holds: curves and returns, no weights"""


def main(argv: Sequence[str]) -> int:
    """Print the tables."""
    options = parse(CompareOptions, "compare", argv)
    if find_spec("scipy") is None:
        raise ImportError("compare needs scipy: pip install 'lmrlgym[compare]'")
    checked_file(options.json)
    checked_file(options.keep)
    if options.keep is not None and options.keep.suffix != ".parquet":
        raise ValueError(f"--keep wants a .parquet file, got {options.keep}")
    found = find_runs(options.runs)
    for note in found.notes:
        print(f"lmrlgym: {note}", file=sys.stderr)
    if options.keep is not None:
        keep_runs(options.runs, options.keep)
    result = compare(found.runs)
    if options.json is not None:
        options.json.write_text(json.dumps(result.to_record(), indent=1, allow_nan=False) + "\n", "utf-8")
    show(_text(result))
    return 0


def _text(result: Comparison) -> str:
    rows = [["ENVIRONMENT", "AGENT", "SEEDS", "GAMES", "MEAN RETURN", "IQM", "OPTIMAL", "LMRL2023"]]
    rows += [_row(row) for row in result.rows]
    names = list(result.rows[0].costs)
    costs = [["ENVIRONMENT", "AGENT", *(name.upper() for name in names), "TOKENS TO 90"]]
    costs += [_costs(row, names) for row in result.rows]
    parts = [table(rows), table(costs)]
    if result.verdicts:
        verdicts = [["ENVIRONMENT", "A - B", "DIFFERENCE", "P(A > B)", "p", "HOLM", "DETECTABLE", "VERDICT"]]
        parts.append(table([*verdicts, *(_verdict(one) for one in result.verdicts)]))
    if result.overall:
        parts.append(
            table(
                [["ALL ENVIRONMENTS", "IQM OF OPTIMAL"], *([k, _spelt(v)] for k, v in result.overall.items())]
            )
        )
    return "\n\n".join(parts)


def _row(row: Row) -> list[str]:
    seeds = "single run" if row.single_run else str(len(row.seeds))
    optimal = "-" if row.score is None or math.isnan(row.score) else f"{row.score:.1f} ({row.kind})"
    paper = "-" if row.paper_score is None else f"{row.paper_score:.1f}"
    return [
        row.environment,
        row.setup,
        seeds,
        str(row.games),
        _spelt(row.mean),
        _spelt(row.iqm),
        optimal,
        paper,
    ]


def _costs(row: Row, names: Sequence[str]) -> list[str]:
    used = [row.costs[name] for name in names]
    to_90 = "-" if row.tokens_to_90 is None else f"{row.tokens_to_90:,.0f}"
    return [row.environment, row.setup, *("-" if x is None else f"{x:,.0f}" for x in used), to_90]


def _verdict(one: Verdict) -> list[str]:
    return [
        one.environment, f"{one.a} - {one.b}", _spelt(one.difference), _spelt(one.improvement),
        f"{one.p_value:.4f}", f"{one.adjusted:.4f}",
        f"{one.detectable:.2f}" if math.isfinite(one.detectable) else "none", one.reason,
    ]  # fmt: skip


def _spelt(found: Interval) -> str:
    ends = "" if math.isnan(found.low) else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}{ends}"
