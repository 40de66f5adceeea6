"""How fast a real model talks and learns on a GPU: `python -m benchmarks.gpu_speed [--json FILE]`.

Row `gpu/rollout`: agent tokens a second of many games at once, as in `benchmarks.rollout`, against the
100,000 that are promised on an H200. Row `gpu/train_mfu`: floating-point operations a second of BC steps
against those of a large matrix product on the same device, in the same type; promised are 35 %. Frozen
weights have no gradients, so that a step counts 4 operations a parameter and token; attention does not count.
Time is the clock's, after the GPU has finished. Any device will do: `--device cpu --base tiny-v1`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from baselines.core.algorithm import Algorithm
from benchmarks import rollout, train
from benchmarks.table import HEADER, Row, row_of, title, write
from lmrlgym import Trajectory

PROMISED_TOKENS = 100_000
"""Agent tokens a second."""
_PRODUCTS = 10


class Clock:
    """Seconds on the clock, read when the device has nothing left to do."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self) -> float:
        """Now."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def rollout_row(made: Algorithm, games: int, turns: int, repeats: int) -> Row:
    """Tokens a second of whole games, against what is promised. A row of caches is as wide as all games."""
    clock = Clock(made.lm.device)
    rollout.talk(made.policy(width=games), games, 2, clock=clock)  # warm-up
    played = [rollout.talk(made.policy(width=games), games, turns, clock=clock) for _ in range(repeats)]
    return row_of("gpu/rollout", "tokens/s", [(rollout.rate(costs), PROMISED_TOKENS) for costs in played])


def learning_row(made: Algorithm, games: Sequence[Trajectory], side: int, repeats: int) -> Row:
    """GFLOP/s of gradient steps on `games`, against products of matrices of `side` rows and columns."""
    clock = Clock(made.lm.device)
    steps = train.Steps(made, games, clock)
    one, other = (torch.randn(side, side, device=made.lm.device, dtype=made.lm.model.dtype) for _ in range(2))

    def product() -> float:
        begin = clock()
        for _ in range(_PRODUCTS):
            one @ other
        return _PRODUCTS * 2 * side**3 / (clock() - begin) / 1e9

    steps(), product()  # warm-up
    pairs = [(train.operations_a_token(made) * steps() / 1e9, product()) for _ in range(repeats)]
    return row_of("gpu/train_mfu", "GFLOP/s", pairs)


def main(
    base: str = "smollm2-135m",
    device: str = "cuda",
    games: int = 512,
    turns: int = 20,
    batch: int = 64,
    side: int = 8192,
    repeats: int = 5,
    json: Path | None = None,
) -> None:
    """Print the two rows.

    Args:
        base: The model: smollm2-135m, tiny-v1, a folder or a Hugging Face name.
        device: cuda, cuda:1, cpu
        games: Games that are played at once.
        turns: Turns of a game.
        batch: Games a gradient step.
        side: Rows and columns of the matrices whose product is the peak.
        repeats: How often each is measured.
        json: Also write the table to this file.
    """
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    print(f"{title(repeats)}\n{device_name(device)}, {dtype}\n\n{HEADER}", flush=True)
    made = rollout.agent(base, device, dtype)
    rows = [
        rollout_row(made, games, turns, repeats),
        learning_row(made, train.question_games(batch), side, repeats),
    ]
    for one in rows:
        print(one)
    if json is not None:
        write(json, rows)


def device_name(device: str) -> str:
    """What the maker calls it."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
