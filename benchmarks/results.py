"""Rows of docs/results.md from run folders.

    python -m benchmarks.results runs/* [--write results/tiny-v1.jsonl]
    python -m benchmarks.results results/table.parquet --summary

Every row is the `result` line of a run's log: the environment's protocol, played once after training. With
`--summary` it is all seeds of an agent, beside the paper's score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from lmrlgym.analysis.compare import compare
from lmrlgym.analysis.published import AGENTS, TASKS
from lmrlgym.analysis.runs import find_runs


@dataclass(frozen=True)
class Options:
    """What the command is told."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or .jsonl files written before; with --summary also folders and files of runs"""
    summary: bool = False
    """a row an agent, over its seeds"""
    write: Path | None = None
    """keep the records here, one JSON object a line"""


def result_of(run: Path) -> dict[str, Any] | None:
    """The `result` line of the run in `run`; None while it has none."""
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if not lines or lines[-1]["kind"] != "result":
        return None
    result: dict[str, Any] = lines[-1]
    return result


def records(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The results of run folders and of files written before, in order of task, algorithm and seed."""
    found: list[dict[str, Any]] = []
    for path in paths:
        if path.suffix == ".jsonl":
            found += [json.loads(line) for line in path.read_text().splitlines()]
        elif (result := result_of(path)) is not None:
            found.append(result)
    return sorted(found, key=lambda r: (r["task"], str(r["env_kwargs"]), r["algorithm"], r["seed"]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| environment | algorithm | seed | games | return [95 %] | success | optimal | lmrl2023 | seconds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        name = row["task"].removeprefix("lmrlgym/")
        kwargs = ", ".join(f"{key}={value}" for key, value in row["env_kwargs"].items())
        low, high = row["evaluation_return_low"], row["evaluation_return_high"]
        scores = [row["score_optimal"], row["score_lmrl2023"]]
        optimal, paper = ("-" if score is None else f"{score:.1f}" for score in scores)
        lines.append(
            f"| {name}{f' ({kwargs})' if kwargs else ''} | {row['algorithm']} | {row['seed']} "
            f"| {row['evaluation_episodes']} | {row['evaluation_return_mean']:.2f} [{low:.2f}, {high:.2f}] "
            f"| {row['evaluation_success']:.2f} | {optimal} | {paper} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


COLUMNS = {
    "bc": "BC",
    "filtered_bc": "%BC",
    "mc_returns": "MC",
    "ilql": "ILQL",
    "ppo": "PPO",
    "online_filtered_bc": "%BC online",
}
"""Setup -> the paper's column."""


def summary(paths: Sequence[Path]) -> str:
    """One row of a Markdown table an agent, with the paper's score where the game is the paper's."""
    found = find_runs(paths)
    own = {(run.environment, run.label): run.result for run in found.runs}
    printed = {
        (f"lmrlgym/{task.name}-v0", agent): score
        for task in TASKS
        for agent, score in zip(AGENTS, task.printed, strict=True)
    }
    lines = [
        "| environment | agent | seeds | games | mean return [95 %] | optimal | lmrl2023 | paper |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in compare(found.runs).rows:
        low, high = row.mean.low, row.mean.high
        if row.single_run:  # the interval is over its games
            result = own[row.environment, row.setup]
            low, high = (result.get(f"evaluation_return_{end}", math.nan) for end in ("low", "high"))
        optimal, paper = (
            "-" if one is None or math.isnan(one) else f"{one:.1f}" for one in (row.score, row.paper_score)
        )
        lines.append(
            f"| {row.environment.removeprefix('lmrlgym/')} | {row.setup} "
            f"| {'single run' if row.single_run else len(row.seeds)} | {row.games} "
            f"| {row.mean.value:.2f} [{low:.2f}, {high:.2f}] | {optimal} | {paper} "
            f"| {printed.get((row.environment, COLUMNS.get(row.setup, '')), '-')} |"
        )
    return "\n".join(lines)


def main(options: Options) -> None:
    """Print the table; keep the records if asked."""
    if options.summary:
        print(summary(options.runs))
        return
    rows = records(options.runs)
    if options.write is not None:
        beside = options.write.with_name(options.write.name + ".partial")
        beside.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
        beside.replace(options.write)
    print(table(rows))
    for row in rows:
        print(f"    {row['command']}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
