"""Scripted players: they make the data and anchor the scores.

`lmrlgym.policies.<key>` exposes `LEVELS`: name -> (keywords of the environment) -> player. Players
of any game, and how a player's games become data, stand here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator

from lmrlgym.types import Action, History


@runtime_checkable
class KnowsDistribution(Protocol):
    """A player that can tell how likely it is to say what it might."""

    def distribution(self, history: History) -> Mapping[str, float]:
        """How likely each utterance is after the turns it sees; those left out are never said."""
        ...


class DataPlayer:
    """A player that also says how its games become data; by default they do whole and as they are.

    Players that have nothing to say about that need not inherit from it.
    """

    def task(self, rng: Generator) -> int | None:
        """The task of a new game; None: drawn by the environment from the game's seed."""
        return None

    def end(self, turns: History) -> int:
        """After how many of its turns a finished game is cut; what is cut is `truncated`."""
        return len(turns)

    def played_as(self, env_id: str) -> str:
        """The environment in which a game for `env_id` is played before `env_id` retells it."""
        return env_id


class FrequencyPolicy:
    """Says each text with a fixed probability, whatever was said before."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise ValueError(f"weights must be non-negative and not all zero, got {dict(weights)}")
        total = sum(weights.values())
        spoken = [text for text, weight in weights.items() if weight > 0]
        self._actions = [Action(text, log_prob=math.log(weights[text] / total)) for text in spoken]
        self._chances = {text: weights[text] / total for text in spoken}
        self._bounds = np.cumsum([weights[text] / total for text in spoken])

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [self._drawn(rng) if history else "" for history, rng in zip(histories, rngs, strict=True)]

    def distribution(self, history: History) -> Mapping[str, float]:
        return self._chances

    def _drawn(self, rng: Generator) -> Action:
        i = int(np.searchsorted(self._bounds, rng.random(), side="right"))
        return self._actions[min(i, len(self._actions) - 1)]


def uniform_policy(texts: Sequence[str]) -> FrequencyPolicy:
    """Says each of `texts` equally often."""
    return FrequencyPolicy(dict.fromkeys(texts, 1.0))
