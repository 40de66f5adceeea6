"""Agents over a real model, on a GPU: `python -m benchmarks.gpu [--help]`.

Behaviour cloning, then ILQL and PPO that start from it, on Maze and on Wordle with 40 words. Each is
scored by its environment's protocol; the rows are printed, and kept in results/ with the command
of each. Runs that are finished in the folder stay as they are, interrupted ones go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from baselines.core.algorithm import AlgorithmConfig
from baselines.core.registry import find_algorithm
from baselines.core.run import Training, train
from baselines.core.store import checkpoint_folder
from benchmarks import results

AGENTS = ("bc", "ilql", "ppo")


class Task(NamedTuple):
    """An environment and the size of its evaluation."""

    folder: str
    env: str
    env_kwargs: Mapping[str, Any]
    repeats: int


TASKS = (
    Task("maze", "lmrlgym/Maze-v0", {}, 32),
    Task("wordle", "lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, 4096),
)


@dataclass(frozen=True)
class Options:
    """What the command is told."""

    base: str = "smollm2-135m"
    """the frozen model: smollm2-135m, a folder or a Hugging Face name"""
    out: Path = Path("runs/smollm2-135m")
    """folder of the runs"""
    write: Path = Path("results/smollm2-135m.jsonl")
    """file of the rows"""
    device: str = "cuda"
    """cuda, cuda:1, cpu"""
    seed: int = 0
    """training seed"""
    learning_rate: float = 5e-4
    """AdamW's; a wide model wants smaller steps than the tiny base, whose rates are the defaults"""
    share: float = 1.0
    """share of the rounds to train and of the games to score; a small one tries everything out"""


class Planned(NamedTuple):
    """A run that is to be."""

    algorithm: str
    training: Training
    config: AlgorithmConfig


def plan(options: Options) -> list[Planned]:
    """The runs in order; ILQL and PPO start from the cloned policy of their environment."""
    if not 0 < options.share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {options.share}")
    return [_planned(name, task, options) for task in TASKS for name in AGENTS]


def _planned(name: str, task: Task, options: Options) -> Planned:
    folder = options.out / task.folder
    config = find_algorithm(name).Config(seed=options.seed, learning_rate=options.learning_rate)
    training = Training(
        env=task.env,
        env_kwargs=dict(task.env_kwargs),
        out=folder / name,
        base=options.base,
        start=None if name == "bc" else folder / "bc",
        device=options.device,
        repeats=max(1, round(options.share * task.repeats)),
    )
    return Planned(name, training, replace(config, rounds=max(1, round(options.share * config.rounds))))


def main(options: Options) -> None:
    """Train what is not trained yet; print and keep the rows."""
    planned = plan(options)
    folders = [training.out for _, training, _ in planned if training.out is not None]
    for (name, training, config), folder in zip(planned, folders, strict=True):
        if results.result_of(folder) is None:
            train(name, replace(training, resume=checkpoint_folder(folder) is not None), config)
    options.write.parent.mkdir(parents=True, exist_ok=True)
    results.main(results.Options(runs=tuple(folders), write=options.write))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
