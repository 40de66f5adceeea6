"""Players of Wordle: `random`, `mixed` (the policy of the paper's data) and `expert`.

arXiv 2311.18232 (Wordle): its data were played by a policy that says a uniformly random word that fits
all answers so far with probability .33, else a uniformly random word of the vocabulary (`mixed`); its
best scripted player says, among the words that fit, the one whose answer is expected to shrink the
logarithm of their number most (`expert`). All read the visible conversation only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from lmrlgym.envs.wordle import FEEDBACKS, Vocabulary, vocabulary_of
from lmrlgym.policies import FrequencyPolicy, uniform_policy
from lmrlgym.types import Action, History

MIXED_SKILL = 0.33

Seen = tuple[tuple[int, int], ...]
"""The (guess, pattern) pairs of a game."""


@lru_cache(maxsize=4096)
def possible_words(words: Vocabulary, seen: Seen, counted: bool) -> np.ndarray:
    """The numbers of the words that fit all answers; every word if none does (a foreign vocabulary)."""
    left = words.consistent(seen, counted)
    return left if len(left) else np.arange(len(words))


@lru_cache(maxsize=4096)
def sharpest_words(words: Vocabulary, seen: Seen, counted: bool) -> np.ndarray:
    """Among the words that fit, those with the largest expected log-reduction of their number.

    With n words left, n_p of which would answer p, it is log n - sum_p (n_p / n) log n_p.
    """
    left = possible_words(words, seen, counted)
    answers = words.table(counted)[np.ix_(left, left)]  # (guess, hidden word)
    cells = np.arange(len(left))[:, None] * len(FEEDBACKS) + answers
    counts = np.bincount(cells.ravel(), minlength=len(left) * len(FEEDBACKS)).reshape(len(left), -1)
    sizes = np.arange(len(left) + 1)
    remaining = (sizes * np.log(np.maximum(sizes, 1)))[counts].sum(axis=1)
    # Equal splits add the same terms in another order.
    sharpest: np.ndarray = left[remaining <= remaining.min() + 1e-9]
    return sharpest


class WordlePlayer:
    """Says a word that fits with probability `skill`, else any word. `choose` narrows what fits."""

    def __init__(
        self,
        words: Vocabulary,
        skill: float,
        *,
        counted: bool = True,
        choose: Callable[[Vocabulary, Seen, bool], np.ndarray] = possible_words,
    ) -> None:
        if not 0 <= skill <= 1:
            raise ValueError(f"skill must be in [0, 1], got {skill}")
        self.words = words
        self.skill = skill
        self.counted = counted
        self.choose = choose

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._guess(history, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]

    def probabilities(self, seen: Seen) -> np.ndarray:
        """(words,) how likely each word is said after `seen`."""
        chosen = self.choose(self.words, seen, self.counted)
        probabilities = np.full(len(self.words), (1 - self.skill) / len(self.words))
        probabilities[chosen] += self.skill / len(chosen)
        return probabilities

    def distribution(self, history: History) -> dict[str, float]:
        probabilities = self.probabilities(self.words.seen_in(history))
        return {self.words.spoken[i]: float(probabilities[i]) for i in np.flatnonzero(probabilities)}

    def _guess(self, history: History, rng: Generator) -> Action:
        probabilities = self.probabilities(self.words.seen_in(history))
        sayable = np.flatnonzero(probabilities)
        drawn = np.searchsorted(np.cumsum(probabilities[sayable]), rng.random(), side="right")
        word = int(sayable[min(int(drawn), len(sayable) - 1)])
        return Action(self.words.spoken[word], log_prob=math.log(probabilities[word]))


def _random(
    *,
    vocabulary: str | os.PathLike[str] | Sequence[str] = "common-431",
    compat: bool = False,
    privileged: bool = False,
) -> FrequencyPolicy:
    return uniform_policy(vocabulary_of(vocabulary).spoken)


def _mixed(
    *,
    vocabulary: str | os.PathLike[str] | Sequence[str] = "common-431",
    compat: bool = False,
    privileged: bool = False,
) -> WordlePlayer:
    return WordlePlayer(vocabulary_of(vocabulary), MIXED_SKILL, counted=not compat)


def _expert(
    *,
    vocabulary: str | os.PathLike[str] | Sequence[str] = "common-431",
    compat: bool = False,
    privileged: bool = False,
) -> WordlePlayer:
    return WordlePlayer(vocabulary_of(vocabulary), 1.0, counted=not compat, choose=sharpest_words)


LEVELS: dict[str, Callable[..., WordlePlayer | FrequencyPolicy]] = {
    "random": _random,
    "mixed": _mixed,
    "expert": _expert,
}
"""Name -> the environment's keywords -> player."""
