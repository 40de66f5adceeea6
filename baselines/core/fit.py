"""The one training loop: rounds of games, gradient steps on each, resumable between rounds.

A gradient step is computed in parts, one after the other and in as many processes as there are. A loss is a
mean over action tokens, so that parts weigh as many as they hold, and the step is that of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from baselines.core.algorithm import Algorithm, AlgorithmConfig, Metrics
from baselines.core.processes import Processes, processes
from baselines.core.tokens import Tokens, pieces, stack
from lmrlgym import Trajectory

_PIECES_STREAM = 1_000_000_007
"""Second word of the seed that chooses pieces; round numbers are the second word of the others."""
Rounds = Callable[[int], Sequence[Trajectory]]
Log = Callable[[int, Metrics], None]


@dataclass
class Progress:
    """How far training is: the next round and the optimiser. Everything else is in the algorithm."""

    optimizer: torch.optim.AdamW
    round: int = 0
    gradient_steps: int = 0
    trained_tokens: int = 0
    """Tokens of the games of all gradient steps, what they were answered included; padding is none."""


def new_progress(algorithm: Algorithm) -> Progress:
    """The beginning of a training."""
    config = algorithm.config
    optimizer = torch.optim.AdamW(
        list(algorithm.learned().values()),
        fused=True,  # copies nothing, which the other ways do
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
    )
    return Progress(optimizer)


def fit(
    algorithm: Algorithm,
    rounds: Rounds,
    config: AlgorithmConfig,
    log: Log,
    progress: Progress | None = None,
    after_round: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train `algorithm` on `rounds(k)` for k = progress.round .. config.rounds - 1.

    Offline, `rounds` returns the same dataset every time (it is prepared once, unless the algorithm
    looks at its weights for that); online, it plays round k with the policy of that moment. What is
    drawn in round k depends on (seed, k) alone, so a training that goes on from a stored `Progress`
    ends as if it had never stopped. `log` gets the number of gradient steps and the metrics after
    each. Raises `ValueError` if a round holds no action of the agent.
    """
    progress = progress or new_progress(algorithm)
    games: Sequence[Tokens] = []
    source: Sequence[Trajectory] | None = None
    for number in range(progress.round, config.rounds):
        played = rounds(number)
        if played is not source or algorithm.looks_at_weights:
            source = played
            games = _pieces(algorithm.prepare(played), config)
        if not games:
            raise ValueError(f"round {number} holds no action to learn from ({len(played)} games)")
        for batch in _minibatches(games, config, number):
            metrics = _step(algorithm, batch, config, progress)
            progress.trained_tokens += sum(int((game.mask > 0).sum()) for game in batch)
            log(progress.gradient_steps, metrics)
        progress.round = number + 1
        after_round(progress)
    return progress


def _step(
    algorithm: Algorithm, batch: Sequence[Tokens], config: AlgorithmConfig, progress: Progress
) -> Metrics:
    learned = list(algorithm.learned().values())
    rate = _learning_rate(config, progress.gradient_steps)
    for group in progress.optimizer.param_groups:
        group["lr"] = rate
    progress.optimizer.zero_grad(set_to_none=True)  # before the loss, which needs the room
    metrics = _gradients(algorithm, batch, config.accumulate, processes())
    algorithm.before_step(metrics)
    norm = nn.utils.clip_grad_norm_(learned, config.clip_norm or math.inf)
    progress.optimizer.step()
    algorithm.after_step()
    progress.gradient_steps += 1
    return {**metrics, "gradient_norm": norm.item(), "learning_rate": rate}


def _gradients(algorithm: Algorithm, batch: Sequence[Tokens], accumulate: int, all_of: Processes) -> Metrics:
    """Give the learned parameters the gradients of `batch`; the loss and the metrics of the whole."""
    metrics: Metrics = {}
    count = accumulate * all_of.count
    for number in range(all_of.number, count, all_of.count):
        games = batch[number::count]
        share = _actions(games) / _actions(batch)
        # A process without games computes some, which count nothing, to have what the others have.
        loss, found = algorithm.loss(stack(games or batch[:1]).to(algorithm.lm.device))
        (loss * share).backward()
        for key, value in {"loss": loss.item(), **found}.items():
            metrics[key] = metrics.get(key, 0.0) + share * value
    all_of.add_up([p.grad for p in algorithm.learned().values() if p.grad is not None])
    sums = torch.tensor(list(metrics.values()), dtype=torch.float64)
    all_of.add_up([sums])
    return dict(zip(metrics, sums.tolist(), strict=True))


def _actions(games: Sequence[Tokens]) -> int:
    """Action tokens."""
    return sum(int(game.is_action.sum()) for game in games)


def _learning_rate(config: AlgorithmConfig, step: int) -> float:
    done = step / max(config.rounds * config.steps, 1)
    end = config.learning_rate_end
    return config.learning_rate * (end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _pieces(games: Sequence[Tokens], config: AlgorithmConfig) -> list[Tokens]:
    """What is learned from as a whole: the first piece of every game and a share of the later ones."""
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, _PIECES_STREAM]))
    cut = [pieces(game, config.piece) for game in games]
    return [
        piece
        for game in cut
        for i, piece in enumerate(game)
        if i == 0 or config.later_pieces >= 1 or rng.random() < config.later_pieces
    ]


def _minibatches(games: Sequence[Tokens], config: AlgorithmConfig, number: int) -> Iterator[list[Tokens]]:
    """`config.steps` batches: the games in a new order each time all have been seen."""
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, number]))
    waiting: list[int] = []
    for _ in range(config.steps):
        while len(waiting) < min(config.batch_size, len(games)):
            waiting += rng.permutation(len(games)).tolist()
        chosen, waiting = waiting[: config.batch_size], waiting[config.batch_size :]
        yield [games[i] for i in chosen]


def optimizer_state(progress: Progress, learned: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The optimiser's moments by parameter name, for safetensors."""
    state = progress.optimizer.state
    return {
        f"{name}/{key}": value.detach().clone()
        for name, parameter in learned.items()
        for key, value in state.get(parameter, {}).items()
    }


def restore_optimizer(
    progress: Progress, learned: dict[str, nn.Parameter], stored: dict[str, torch.Tensor]
) -> None:
    """Give the optimiser the moments that `optimizer_state` kept."""
    for name, parameter in learned.items():
        own: dict[str, Any] = {
            key.rsplit("/", 1)[1]: value for key, value in stored.items() if key.rsplit("/", 1)[0] == name
        }
        if own:
            progress.optimizer.state[parameter] = own
