"""Best play of Wordle: exact, or for very large vocabularies the best strategy found quickly.

The agent knows the vocabulary and sees the whole conversation, so its belief about the hidden word is
uniform over S, the words that fit all answers, and with the number of tries left it says all that
matters. Let C(S, t) be the least total number of misses over the words of S, each hidden once:

    C(S, t) = min_g sum_{answers p other than all green} |S_p| + C(S_p, t - 1),    C(S, 0) = 0,

where S_p are the words of S that answer p to the guess g. The value of the game is -C(S, 6) / |S|.
Only words of the vocabulary are considered: an invalid guess costs as much as a miss and tells
nothing, and a player who knows more can always play as if she did not, so it is never better.

Why the search is exact: it goes through all guesses in the order of a bound that none can beat, and
leaves out only what cannot be better than a strategy already found. At most one word of S is hit by
the first guess, so each of the others costs at least 1: C(S, t) >= |S| - 1 if t > 0. A guess that
splits S into K answers other than all green therefore costs at least 2n - K, n being the words of S
that it is not. A part of S is solved only as far as it can matter (its cost or a proof that it is
too large); both are remembered.

With `breadth` k only the k guesses of lowest bound are searched at every belief. What comes out is the
exact value of a strategy that exists, so it is a lower bound of the best (`kind` best_known).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lmrlgym.envs.wordle import FEEDBACKS, SOLVED, TRIES, Vocabulary, vocabulary_of
from lmrlgym.types import History

EXACT_UP_TO = 1000
"""`solver` searches all guesses for at most so many words (a second or two); 2315 would take minutes."""
BREADTH = 8


class _Solution(NamedTuple):
    """Total misses and the first guess; without a guess (-1), `cost` is only known to be a lower bound."""

    cost: int
    guess: int


class WordleSolver:
    """Value and best guess at every history. `breadth` None searches every guess (`kind` exact)."""

    def __init__(self, words: Vocabulary, *, counted: bool = True, breadth: int | None = None) -> None:
        if breadth is not None and breadth < 1:
            raise ValueError(f"breadth must be at least 1 or None, got {breadth}")
        self.words = words
        self.counted = counted
        self.breadth = breadth
        self._table = words.table(counted)
        self._solved: dict[tuple[bytes, int], _Solution] = {}

    @property
    def kind(self) -> str:
        """What the values are: "exact" or "best_known"."""
        return "exact" if self.breadth is None else "best_known"

    def value(self, history: History) -> float:
        """The expected return of best play from here on; 0 where the game is over."""
        left, tries = self._belief(history)
        return -self._solve(left, tries).cost / len(left) if tries else 0.0

    def q(self, history: History) -> dict[str, float]:
        """Guess, as it is said -> the expected return of saying it and playing best afterwards."""
        left, tries = self._belief(history)
        if not tries:
            return dict.fromkeys(self.words.spoken, 0.0)
        return {
            text: -self._cost(guess, left, tries) / len(left) for guess, text in enumerate(self.words.spoken)
        }

    def best(self, history: History) -> str:
        """A guess with the best value, as it is said."""
        left, tries = self._belief(history)
        return self.words.spoken[self._solve(left, tries).guess if tries else 0]

    def _belief(self, history: History) -> tuple[np.ndarray, int]:
        """The words that fit, and how many tries are left (0 where the game is over)."""
        seen = self.words.seen_in(history)
        left = self.words.consistent(seen, self.counted)
        if not len(left):
            raise ValueError(f"no word of the vocabulary fits the answers of {history!r}")
        tries = TRIES - sum(turn.is_action for turn in history)
        return left, 0 if any(pattern == SOLVED for _, pattern in seen) else tries

    def _solve(self, left: np.ndarray, tries: int, limit: float = float("inf")) -> _Solution:
        """C(left, tries) and its guess, or a lower bound of it that is not below `limit`."""
        key = left.tobytes(), tries
        known = self._solved.get(key)
        if known is None or (known.guess < 0 and known.cost < limit):
            self._solved[key] = known = self._searched(left, tries, limit)
        return known

    def _searched(self, left: np.ndarray, tries: int, limit: float) -> _Solution:
        perfect = self._splitting_all(left)
        if perfect is not None or tries == 1:
            return _Solution(len(left) - 1, int(left[0]) if perfect is None else perfect)
        best = _Solution(-1, -1)
        for guess, bound in self._by_bound(left):
            if bound >= limit:
                return best if best.guess >= 0 else _Solution(bound, -1)
            cost = self._cost(guess, left, tries, bound, limit)
            if cost < limit:
                best, limit = _Solution(cost, guess), cost
        return best if best.guess >= 0 else _Solution(int(limit), -1)

    def _splitting_all(self, left: np.ndarray) -> int | None:
        """A word of `left` that every other answers differently: no guess is better."""
        if len(left) <= 2:
            return int(left[0])
        splits = _distinct(self._table[np.ix_(left, left)]) == len(left)
        return int(left[splits.argmax()]) if splits.any() else None

    def _by_bound(self, left: np.ndarray) -> list[tuple[int, int]]:
        """(guess, the least it can cost), cheapest first."""
        bounds = 2 * len(left) - _distinct(self._table.take(left, axis=1))
        # Its own answer is all green: one word and one part fewer.
        bounds[left] -= 1
        order = np.argsort(bounds, kind="stable")[: self.breadth]
        return list(zip(order.tolist(), bounds[order].tolist(), strict=True))

    def _cost(
        self, guess: int, left: np.ndarray, tries: int, bound: int | None = None, limit: float = float("inf")
    ) -> int:
        """The misses over `left` if `guess` comes first, or a lower bound of them not below `limit`."""
        parts = sorted(self._parts(guess, left), key=len, reverse=True)
        if tries == 1:
            return sum(len(part) for part in parts)
        least = [len(part) - 1 for part in parts]
        cost = sum(len(part) for part in parts) + sum(least) if bound is None else bound
        for is_deep in (False, True):
            for i, part in enumerate(parts):
                # A look at the bounds of every part comes first: it often is enough.
                enough = limit - cost + least[i] if is_deep else len(part)
                found = self._solve(part, tries - 1, enough).cost
                cost += found - least[i]
                least[i] = found
                if cost >= limit:
                    return cost
        return cost

    def _parts(self, guess: int, left: np.ndarray) -> list[np.ndarray]:
        """The words that are left after each answer to `guess` other than all green."""
        answers = self._table[guess, left]
        order = np.argsort(answers, kind="stable")
        edges = np.flatnonzero(np.diff(answers[order])) + 1
        parts = np.split(left[order], edges)
        return [part for part in parts if self._table[guess, part[0]] != SOLVED]


def _distinct(answers: np.ndarray) -> np.ndarray:
    """How many different patterns each row of `answers` holds."""
    given = np.zeros(len(answers) * len(FEEDBACKS), np.bool_)
    rows = np.arange(len(answers))[:, None] * len(FEEDBACKS)
    given[(rows + answers).ravel()] = True
    counts: np.ndarray = np.count_nonzero(given.reshape(len(answers), -1), axis=1)
    return counts


def solver(
    env_id: str = "lmrlgym/Wordle-v0",
    *,
    vocabulary: str | os.PathLike[str] | Sequence[str] = "common-431",
    compat: bool = False,
    privileged: bool = False,
) -> WordleSolver:
    """Best play of `env_id` with these keywords: exact up to 1000 words, else the best found."""
    words = vocabulary_of(vocabulary)
    breadth = None if len(words) <= EXACT_UP_TO else BREADTH
    return WordleSolver(words, counted=not compat, breadth=breadth)
