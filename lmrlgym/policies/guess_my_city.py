"""Players of Guess My City: `random`, `mixed` (near the paper's data) and `expert`.

All say sentences of `questions.csv` and `open_questions.csv` and keep in mind which cities fit the
answers. The paper's data (arXiv 2311.18232, Guess My City) come from two language models; what it tells of
them is a success of .53 and a mean length of 18.8. `mixed` is a rule whose games come near that: with
probability `MIXED_SKILL` it asks something that divides the cities that are left, else anything; it
guesses when one city is left, and in the last turns anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache

from numpy.random import Generator

from lmrlgym.env import Partner
from lmrlgym.envs.guess_my_city import (
    TURNS,
    Question,
    cities_in,
    guess_questions,
    open_topics,
    possible,
    scripted_texts,
    yes_no_questions,
)
from lmrlgym.policies import FrequencyPolicy, uniform_policy
from lmrlgym.types import Action, History

MIXED_SKILL = 0.24
MIXED_LAST_GUESSES = 2
FEW = 2
"""The expert guesses as soon as so few cities are left: a question would cost as much."""


@cache
def fact_questions() -> tuple[Question, ...]:
    """All questions but the guesses."""
    return (*yes_no_questions().values(), *(topic.question for topic in open_topics().values()))


@lru_cache(4096)
def dividing_questions(left: int) -> tuple[Question, ...]:
    """The questions whose answer rules out some of the cities that are left."""
    return tuple(
        question
        for question, part in _with_first_part()
        if part & left != left
        and (part & left if len(question.parts) == 2 else all(p & left != left for p in question.parts))
    )


@cache
def _with_first_part() -> tuple[tuple[Question, int], ...]:
    return tuple((question, question.parts[0]) for question in fact_questions())


@lru_cache(4096)
def sharpest_questions(left: int) -> tuple[Question, ...]:
    """The questions with the largest expected log-reduction of the number of cities left."""
    remaining = {}
    for question in dividing_questions(left):
        sizes = [(part & left).bit_count() for part in question.parts]
        # Rounded, since equal splits add the same terms in another order.
        remaining[question.texts] = round(sum(size * math.log(size) for size in sizes if size), 9)
    least = min(remaining.values(), default=0.0)
    return tuple(q for q in dividing_questions(left) if remaining[q.texts] == least)


class CityPlayer:
    """Asks one of `choose(cities left)` with probability `skill`, else anything, and guesses in the end.

    It guesses one of the cities that are left when at most `few` are, and in the `last_guesses` last turns.
    """

    def __init__(
        self,
        skill: float,
        *,
        few: int = 1,
        last_guesses: int = 1,
        choose: Callable[[int], Sequence[Question]] = dividing_questions,
        compat: bool = False,
    ) -> None:
        if not 0 <= skill <= 1:
            raise ValueError(f"skill must be in [0, 1], got {skill}")
        self.skill = skill
        self.few = few
        self.last_guesses = last_guesses
        self.choose = choose
        self.compat = compat

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._say(history, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]

    def distribution(self, history: History) -> dict[str, float]:
        left, chosen = self._choice(history)
        if not chosen:
            cities, guesses = cities_in(left), guess_questions(self.compat)
            return _spread((guesses[city], 1 / len(cities)) for city in cities)
        asked = {id(question) for question in chosen}
        share, skill = (1 - self.skill) / len(fact_questions()), self.skill / len(chosen)
        return _spread((each, share + skill * (id(each) in asked)) for each in fact_questions())

    def _choice(self, history: History) -> tuple[int, Sequence[Question]]:
        """The cities that are left and what is asked of them; nothing where it is time to guess."""
        left = possible(history, self.compat) or possible((), self.compat)
        is_late = len(history) // 2 >= TURNS - self.last_guesses
        return left, () if is_late or left.bit_count() <= self.few else self.choose(left)

    def _say(self, history: History, rng: Generator) -> Action:
        left, chosen = self._choice(history)
        if not chosen:
            cities = cities_in(left)
            city = cities[int(rng.integers(len(cities)))]
            return _worded(guess_questions(self.compat)[city], 1 / len(cities), rng)
        everything = fact_questions()
        pool = chosen if rng.random() < self.skill else everything
        question = pool[int(rng.integers(len(pool)))]
        is_chosen = any(question is one for one in chosen)
        probability = (1 - self.skill) / len(everything) + self.skill * is_chosen / len(chosen)
        return _worded(question, probability, rng)


def _spread(chances: Iterable[tuple[Question, float]]) -> dict[str, float]:
    """Each question's chance, over its wordings."""
    return {text: p / len(question.texts) for question, p in chances if p > 0 for text in question.texts}


def _worded(question: Question, probability: float, rng: Generator) -> Action:
    texts = question.texts
    return Action(texts[int(rng.integers(len(texts)))], log_prob=math.log(probability / len(texts)))


def _random(
    *, partner: str | Partner = "scripted", compat: bool = False, privileged: bool = False
) -> FrequencyPolicy:
    return uniform_policy(tuple(scripted_texts(compat)))


def _mixed(
    *, partner: str | Partner = "scripted", compat: bool = False, privileged: bool = False
) -> CityPlayer:
    return CityPlayer(MIXED_SKILL, last_guesses=MIXED_LAST_GUESSES, compat=compat)


def _expert(
    *, partner: str | Partner = "scripted", compat: bool = False, privileged: bool = False
) -> CityPlayer:
    return CityPlayer(1.0, few=FEW, choose=sharpest_questions, compat=compat)


LEVELS: dict[str, Callable[..., CityPlayer | FrequencyPolicy]] = {
    "random": _random,
    "mixed": _mixed,
    "expert": _expert,
}
"""Name -> the environment's keywords -> player."""
