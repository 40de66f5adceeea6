"""What the critic of a trained agent says of games: Q and V at every token that the agent said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from baselines.core.algorithm import Algorithm
from baselines.core.tokens import stack
from lmrlgym import Trajectory

_BATCH = 16


class TokenValue(NamedTuple):
    """One token of an utterance; None where the agent has no such head."""

    text: str
    q: float | None
    """Of saying it"""
    v: float | None
    """Of what was said before it"""


Utterance = tuple[TokenValue, ...]


@torch.no_grad()
def token_values(algorithm: Algorithm, games: Sequence[Trajectory]) -> list[list[Utterance]]:
    """For each game, the tokens of each of the agent's turns; no utterances at all without a critic."""
    found: list[list[Utterance]] = []
    for start in range(0, len(games), _BATCH):
        found += _batch(algorithm, games[start : start + _BATCH])
    return found


def _batch(algorithm: Algorithm, games: Sequence[Trajectory]) -> list[list[Utterance]]:
    said = [[algorithm.encoder.turn(turn) for turn in game.turns if turn.is_action] for game in games]
    spoken = [i for i, turns in enumerate(said) if any(turns)]
    if not spoken:
        return [[() for _ in turns] for turns in said]
    batch = stack([algorithm.encoder.trajectory(games[i]) for i in spoken]).to(algorithm.lm.device)
    values = algorithm.values(batch)
    if values.q is None and values.v is None:
        return [[] for _ in games]
    count = int(batch.is_action.sum())
    columns = zip(_numbers(values.q, count), _numbers(values.v, count), strict=True)
    decode = algorithm.lm.tokenizer.decode
    return [
        [
            tuple(
                TokenValue(str(decode([token])), q, v)
                for token, (q, v) in zip(turn, islice(columns, len(turn)), strict=True)
            )
            for turn in turns
        ]
        for turns in said
    ]


def _numbers(column: Tensor | None, count: int) -> Iterator[float | None]:
    """The entries of a column (N,), or as many times nothing."""
    return iter([None] * count if column is None else column.float().tolist())
