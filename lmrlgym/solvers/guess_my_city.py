"""The best tree of questions known for Guess My City, over all that scripted players ask.

A player who knows the table and reads the answers believes that the hidden city is one of S, the cities
that fit, each as likely. Let C(S, t) be the least total number of misses over the cities of S, each
hidden once, with t questions left:

    C(S, t) = min( |S| - 1 + C(S - {c}, t - 1)  for a guess c of S,
                   |S| + sum_{answers p} C(S_p, t - 1)  for any other question ),    C(S, 0) = 0.

The value of the game is -C(S, 20) / |S|. At every belief only the `breadth` questions are searched whose
parts promise least, a part of n cities being priced at n (1 + log2 n / 3); so what comes out is the exact
value of a tree that exists, a lower bound of the best (`kind` best_known).

What yes/no questions alone could reach is bounded: the best conceivable ones halve the cities, and then
C(n) = min(n - 1 + C(n - 1), n + C(n // 2) + C(n - n // 2)), which is -6.08 for 100 cities and -6.06 for
the 99 of 2023 (`halving_value`). Open questions have more than two answers, so this does not bound them;
no play is better than -(1 - 1/|S|), as only one city can be guessed at once.
"""

from __future__ import annotations

import math
from functools import cache

from lmrlgym.env import Partner
from lmrlgym.envs.guess_my_city import (
    RIGHT,
    TURNS,
    Question,
    cities_in,
    guess_questions,
    open_topics,
    possible,
    scripted_questions,
    yes_no_questions,
)
from lmrlgym.types import History

BREADTH = 4
_ENOUGH_TURNS = 8
"""No best tree is deeper, so that more turns change nothing."""


@cache
def halving_value(cities: int) -> float:
    """The value of yes/no questions that halve the cities every time: no yes/no tree is better."""
    return -_halving_cost(cities) / cities


@cache
def _halving_cost(cities: int) -> int:
    if cities <= 1:
        return 0
    half = cities // 2
    return min(
        cities - 1 + _halving_cost(cities - 1), cities + _halving_cost(half) + _halving_cost(cities - half)
    )


class CitySolver:
    """Value and best question at every history; with `only_yes_no` the open questions are left out."""

    kind = "best_known"

    def __init__(self, *, compat: bool = False, breadth: int = BREADTH, only_yes_no: bool = False) -> None:
        if breadth < 1:
            raise ValueError(f"breadth must be at least 1, got {breadth}")
        self.compat = compat
        self.breadth = breadth
        asked = list(yes_no_questions().values())
        asked += [] if only_yes_no else [topic.question for topic in open_topics().values()]
        # Questions with the same parts are one to the solver.
        self._questions = list({frozenset(question.parts): question for question in reversed(asked)}.values())
        self._guesses = guess_questions(compat)
        self._solved: dict[tuple[int, int], tuple[int, Question]] = {}

    def value(self, history: History) -> float:
        """The expected return of the best known play from here on; 0 where the game is over."""
        left, turns = self._belief(history)
        return -self._solve(left, turns)[0] / left.bit_count() if turns else 0.0

    def q(self, history: History) -> dict[str, float]:
        """What players say -> the expected return of saying it and going on in the best known way."""
        left, turns = self._belief(history)
        found: dict[str, float] = {}
        for question in scripted_questions(self.compat):
            value = -self._cost(question, left, turns) / left.bit_count() if turns else 0.0
            found |= dict.fromkeys(question.texts, value)
        return found

    def best(self, history: History) -> str:
        """A question with the best known value."""
        left, turns = self._belief(history)
        return self._solve(left, max(turns, 1))[1].texts[0]

    def _belief(self, history: History) -> tuple[int, int]:
        """The cities that fit, and how many questions are left (0 where the game is over)."""
        left = possible(history, self.compat)
        if not left:
            raise ValueError(f"no city fits the answers of {history!r}")
        is_won = len(history) > 2 and history[-1].text == RIGHT and left.bit_count() == 1
        is_won = is_won and any(history[-2].text in question.texts for question in self._guesses)
        return left, 0 if is_won else TURNS - sum(turn.is_action for turn in history)

    def _solve(self, left: int, turns: int) -> tuple[int, Question]:
        """C(left, turns) as far as it is searched, and the first question."""
        key = left, min(turns, _ENOUGH_TURNS)
        if key not in self._solved:
            self._solved[key] = self._searched(left, key[1])
        return self._solved[key]

    def _searched(self, left: int, turns: int) -> tuple[int, Question]:
        count, guess = left.bit_count(), self._guesses[cities_in(left)[0]]
        if count == 1 or turns == 1:
            return count - 1, guess
        best = count - 1 + self._solve(left & ~guess.parts[0], turns - 1)[0], guess
        if count == 2:
            return best
        for question in self._promising(left):
            # No answer is better than a first guess that hits once: the search stops where that loses.
            sizes = [(part & left).bit_count() for part in question.parts]
            if count + sum(max(size - 1, 0) for size in sizes) < best[0]:
                best = min(best, (self._cost(question, left, turns), question), key=lambda found: found[0])
        return best

    def _cost(self, question: Question, left: int, turns: int) -> int:
        """The misses over `left` if `question` comes first."""
        count = left.bit_count()
        if question.is_guess:
            return count - (left & question.parts[0] != 0) + self._rest(left & ~question.parts[0], turns)
        return count + sum(self._rest(part & left, turns) for part in question.parts)

    def _rest(self, left: int, turns: int) -> int:
        return self._solve(left, turns - 1)[0] if left and turns > 1 else 0

    def _promising(self, left: int) -> list[Question]:
        """The questions that divide `left`, those first that promise least, at most `breadth`."""
        priced = []
        for number, question in enumerate(self._questions):
            sizes = [size for part in question.parts if (size := (part & left).bit_count())]
            if len(sizes) > 1:
                priced.append((sum(size * (1 + math.log2(size) / 3) for size in sizes), number))
        return [self._questions[number] for _, number in sorted(priced)[: self.breadth]]


def solver(
    env_id: str = "lmrlgym/GuessMyCity-v0",
    *,
    partner: str | Partner = "scripted",
    compat: bool = False,
    privileged: bool = False,
) -> CitySolver:
    """The best known play of `env_id` with these keywords."""
    return CitySolver(compat=compat)
