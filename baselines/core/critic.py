"""A trained agent's critic, token by token: what `lmrlgym audit-critic` holds against the truth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.core.algorithm import Algorithm, Whose
from baselines.core.tokens import Tokens, stack
from lmrlgym import History, Turn

_BATCH = 256


class Critic:
    """Q and V of `algorithm`. Raises `ValueError` for one that has neither."""

    def __init__(self, algorithm: Algorithm) -> None:
        if algorithm.values_of == "none":
            raise ValueError(f"{type(algorithm).__name__} has no critic: it learns neither Q nor V")
        self._algorithm = algorithm
        self.gamma = float(dataclasses.asdict(algorithm.config)["gamma"])
        """discount per token"""

    @property
    def values_of(self) -> Whose:
        """Whose return it estimates."""
        return self._algorithm.values_of

    def ids(self, turn: Turn) -> tuple[int, ...]:
        """The tokens of an utterance: those sampled, if any."""
        return self._algorithm.encoder.turn(turn)

    def read(self, asked: Sequence[tuple[History, Turn]]) -> list[list[tuple[float, float]]]:
        """(Q, V) at each token of each utterance after its history; NaN where there is no such head."""
        found: list[list[tuple[float, float]]] = []
        for begin in range(0, len(asked), _BATCH):
            found += self._read(asked[begin : begin + _BATCH])
        return found

    @torch.no_grad()
    def _read(self, asked: Sequence[tuple[History, Turn]]) -> list[list[tuple[float, float]]]:
        games = [self._game(history, turn) for history, turn in asked]
        values = self._algorithm.values(stack(games).to(self._algorithm.lm.device))
        lengths = [int(game.is_action.sum()) for game in games]
        q, v = (_split(each, lengths) for each in values)
        return [list(zip(*pair, strict=True)) for pair in zip(q, v, strict=True)]

    def _game(self, history: History, turn: Turn) -> Tokens:
        """What the agent sees and then says, of which only the last utterance is looked at."""
        prompt, said = self._algorithm.encoder.prompt(history), self.ids(turn)
        ids = torch.tensor([*prompt, *said], dtype=torch.int64)
        is_action = torch.arange(len(ids)) >= len(prompt)
        return Tokens(ids, torch.ones_like(ids), is_action, torch.zeros(len(ids)), torch.tensor(True))


def _split(values: Tensor | None, lengths: Sequence[int]) -> list[list[float]]:
    if values is None:
        return [[math.nan] * length for length in lengths]
    return [part.tolist() for part in values.float().cpu().split(list(lengths))]
