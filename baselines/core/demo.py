"""The demo: five agents trained on Maze and scored beside random, behaviour and optimal play.

runs/demo/table.csv, table.png, and one run folder an agent
"""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from baselines.core.registry import find_algorithm
from baselines.core.run import Training, train
from baselines.core.store import replacing_text
from lmrlgym import Summary, evaluate, normalise, policy_named, summarise

ENV = "lmrlgym/Maze-v0"
AGENTS = ("bc", "filtered_bc", "mc_returns", "ilql", "ppo")
FULL = 3
"""How many times longer `--full` trains."""


@dataclass(frozen=True)
class Demo:
    """What `lmrlgym demo` is told."""

    out: Path = Path("runs/demo")
    """folder to write; runs that are finished there are not trained again"""
    full: bool = False
    """train three times longer and play 25 x 32 games instead of 25 x 8"""
    seed: int = 0
    """training seed"""
    agents: tuple[str, ...] = field(default=AGENTS)
    """which agents to train"""


class Row(NamedTuple):
    """One line of the table."""

    env: str
    agent: str
    return_mean: float
    return_low: float
    return_high: float
    score_optimal: float
    score_lmrl2023: float
    seconds: float
    agent_tokens: int


def run(demo: Demo) -> list[Row]:
    """Train, evaluate, and write the table after every row, so that nothing is lost."""
    repeats = 32 if demo.full else 8
    rows: list[Row] = []
    for agent in ("random", "behaviour", *demo.agents, "optimal"):
        rows.append(_trained(agent, demo, repeats) if agent in demo.agents else _scripted(agent, repeats))
        _write(rows, demo.out)
    plot(rows, demo.out)
    return rows


def _scripted(agent: str, repeats: int) -> Row:
    begin = time.perf_counter()
    player = policy_named("best" if agent == "optimal" else agent, ENV)
    summary = summarise(evaluate(ENV, player, repeats=repeats))
    return _row(agent, summary, time.perf_counter() - begin, 0)


def _trained(agent: str, demo: Demo, repeats: int) -> Row:
    folder = demo.out / agent
    if not (result := _result(folder)):
        kind = find_algorithm(agent)
        config = kind.Config(seed=demo.seed)
        if demo.full:
            config = dataclasses.replace(config, rounds=FULL * config.rounds)
        train(
            agent,
            Training(
                env=ENV,
                out=folder,
                start=demo.out / "bc" if kind.needs_policy else None,
                validate_every=max(1, config.rounds // 6),
                validation_games=50,
                repeats=repeats,
                resume=(folder / "run.json").is_file(),
            ),
            config,
        )
        result = _result(folder)
    summary = Summary(*(result[f"evaluation_{name}"] for name in Summary._fields))
    return _row(agent, summary, result["seconds"], result["agent_tokens"] + summary.agent_tokens)


def _result(folder: Path) -> dict[str, Any]:
    """The run's last word, or {} while it has none."""
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    last: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return last if last.get("kind") == "result" else {}


def _row(agent: str, summary: Summary, seconds: float, agent_tokens: int) -> Row:
    mean = summary.return_mean
    return Row(
        ENV, agent, mean, summary.return_low, summary.return_high,
        normalise(ENV, mean), normalise(ENV, mean, "lmrl2023"), seconds, agent_tokens,
    )  # fmt: skip


def _write(rows: Sequence[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_text(folder / "table.csv") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        for row in rows:
            writer.writerow([round(cell, 4) if isinstance(cell, float) else cell for cell in row])


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [
        f"{ENV}: mean return with a 95 % interval over games, one training seed; scores 0-100",
        f"{'agent':<12}{'return':>9}{'95 % interval':>20}{'optimal':>9}"
        f"{'lmrl2023':>10}{'seconds':>9}{'tokens':>9}",
    ]
    for row in rows:
        interval = f"[{row.return_low:.2f}, {row.return_high:.2f}]"
        lines.append(
            f"{row.agent:<12}{row.return_mean:>9.2f}{interval:>20}{row.score_optimal:>9.1f}"
            f"{row.score_lmrl2023:>10.1f}{row.seconds:>9.0f}{row.agent_tokens:>9,}"
        )
    lines.append("optimal: 0 = random, 100 = exact optimum; lmrl2023: the paper's two slopes")
    return "\n".join(lines)


def plot(rows: Sequence[Row], folder: Path) -> None:
    """table.png: final returns with intervals, and the learning curves on validation games."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    names = [row.agent for row in rows]
    means = [row.return_mean for row in rows]
    errors = [
        [row.return_mean - row.return_low for row in rows],
        [row.return_high - row.return_mean for row in rows],
    ]
    left.barh(names, means, xerr=errors, color="#7aa6c2", ecolor="#333333")
    left.invert_yaxis()
    left.set(xlabel="mean return (95 % interval over games)", title=ENV)
    for name in names:
        points = _curve(folder / name)
        if points:
            right.plot([step for step, _ in points], [mean for _, mean in points], marker="o", label=name)
    right.axhline(means[-1], color="grey", linestyle=":", label=names[-1])
    right.set(xlabel="gradient steps", ylabel="mean return", title="learning curves (validation games)")
    right.legend()
    beside = folder / "table.partial.png"
    figure.savefig(beside, dpi=130)
    beside.replace(folder / "table.png")
    pyplot.close(figure)


def _curve(folder: Path) -> list[tuple[int, float]]:
    log = folder / "log.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    return [(r["gradient_steps"], r["return_mean"]) for r in records if r["kind"] == "validation"]
