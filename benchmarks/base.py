"""What a base costs: `python -m benchmarks.base ALGORITHM ENV [--help]` prints one row.

Seconds to load the model and to build the agent, seconds of a gradient step, tokens a second of the
agent's first utterances, and the process's highest memory (the GPU's, on a GPU). The first step,
which prepares the data, does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import tyro

from baselines.core.algorithm import Algorithm, Metrics
from baselines.core.fit import fit
from baselines.core.registry import find_algorithm
from baselines.core.run import Training, build, default_dataset, peak_memory_bytes
from lmrlgym import Dataset, Trajectory, Turn
from lmrlgym.commands.options import Keywords, keywords


@dataclass(frozen=True)
class Options:
    """What the command is told."""

    algorithm: tyro.conf.Positional[str]
    """bc, ilql, ... or the dotted path of your own"""
    env: tyro.conf.Positional[str]
    """id of the environment, such as lmrlgym/Maze-v0"""
    env_kwargs: Keywords = ()
    """keywords of the environment, such as vocabulary=common-40"""
    base: str = "smollm2-135m"
    """the frozen model: tiny-v1, smollm2-135m, a folder or a Hugging Face name"""
    device: str = "auto"
    """cpu, cuda, ... ; auto: the GPU if there is one"""
    batch_size: int = 8
    """games a gradient step"""
    steps: int = 4
    """gradient steps, the first of which does not count"""
    utterances: int = 16
    """utterances to sample side by side, of at most 32 tokens"""


class Cost(NamedTuple):
    """One row."""

    load_seconds: float
    step_seconds: float
    tokens_a_second: float
    peak_gib: float

    def __str__(self) -> str:
        seconds = f"load {self.load_seconds:.1f} s   step {self.step_seconds:.2f} s"
        return f"{seconds}   {self.tokens_a_second:.0f} tokens/s   peak {self.peak_gib:.1f} GiB"


def measure(options: Options) -> Cost:
    """Load, train a few steps, say a few utterances. Raises `ValueError` for fewer than two steps."""
    if options.steps < 2:
        raise ValueError(f"steps must be at least 2, got {options.steps}")
    env_kwargs = keywords(options.env_kwargs)
    games = list(Dataset.load(default_dataset(options.env, env_kwargs)))
    training = Training(options.env, env_kwargs=env_kwargs, base=options.base, device=options.device)
    config = find_algorithm(options.algorithm).Config(
        rounds=1, steps=options.steps, batch_size=options.batch_size
    )
    begin = time.perf_counter()
    agent = build(options.algorithm, training, config)
    loaded = time.perf_counter() - begin
    step = statistics.median(step_seconds(agent, games[: options.steps * options.batch_size])[1:])
    rate = tokens_a_second(agent, games[: options.utterances])
    return Cost(loaded, step, rate, peak_memory_bytes(agent.lm.device) / 2**30)


def step_seconds(agent: Algorithm, games: Sequence[Trajectory]) -> list[float]:
    """Seconds of every gradient step on `games`."""
    ends = [time.perf_counter()]

    def log(number: int, metrics: Metrics) -> None:
        ends.append(time.perf_counter())

    agent.started()
    fit(agent, lambda number: games, agent.config, log)
    return np.diff(ends).tolist()


def tokens_a_second(agent: Algorithm, games: Sequence[Trajectory]) -> float:
    """Tokens a second of an utterance after the first observation of every game, said side by side."""
    rngs = [np.random.default_rng(number) for number in range(len(games))]
    begin = time.perf_counter()
    with torch.no_grad():
        said = agent.policy().act([game.turns[:1] for game in games], rngs)
    tokens = sum(len(agent.encoder.turn(Turn(a.text, True, tokens=a.tokens))) for a in said)
    return tokens / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(measure(tyro.cli(Options, description=__doc__)))
