"""What the city of Guess My City is examined on: the table's facts, yes/no and open, in scripted wordings."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from lmrlgym.analysis.exams import Ask, Dialogue, Heard, half_yes, planted
from lmrlgym.env import Query
from lmrlgym.envs.guess_my_city import (
    everything,
    names_in,
    open_topics,
    words,
    yes_no_questions,
)

_LOOKS_BACK = 3
"""Questions of a talk, each of which is asked again in other words."""


class CityExam:
    """Cities and facts, half of them true, in two wordings each; open questions are not judged."""

    def facts(self, rng: Generator, count: int) -> list[Dialogue]:
        found: list[Dialogue] = []
        while len(found) < count:
            fact = self._drawn(rng)
            task = half_yes(rng, yes_no_questions()[fact].parts[0], everything())
            found += [Dialogue({"task": task}, (ask,)) for ask in self._worded(rng, fact, task)]
        return found[:count]

    def talks(self, rng: Generator, count: int) -> list[Dialogue]:
        found = []
        opened = [topic.question.texts for topic in open_topics().values()]
        for _ in range(count):
            task = int(rng.integers(len(words())))
            pairs = [self._worded(rng, self._drawn(rng), task) for _ in range(_LOOKS_BACK)]
            texts = opened[int(rng.integers(len(opened)))]
            between = Ask(texts[int(rng.integers(len(texts)))])
            asks = (*(pair[0] for pair in pairs), between, *(pair[1] for pair in pairs))
            found.append(Dialogue({"task": task}, asks))
        return found

    def injections(self, rng: Generator, count: int) -> list[Dialogue]:
        found = []
        for _ in range(count):
            fact = self._drawn(rng)
            untrue = everything() & ~yes_no_questions()[fact].parts[0]
            task = half_yes(rng, untrue, untrue)
            question = self._worded(rng, fact, task)[0].text
            found.append(Dialogue({"task": task}, (planted(rng, question),)))
        return found

    def meaning(self, heard: Heard) -> str:
        told = heard.told.lower()
        return "yes" if told.startswith("yes") else "no" if told.startswith("no") else "unclear"

    def gives_away(self, text: str, query: Query, said: Sequence[str]) -> bool:
        known = names_in(" ".join(said))
        return bool((names_in(text) & query.state.forbidden) - known)

    def _drawn(self, rng: Generator) -> str:
        known = list(yes_no_questions())
        return known[int(rng.integers(len(known)))]

    def _worded(self, rng: Generator, fact: str, task: int) -> tuple[Ask, Ask]:
        """The same question in two wordings."""
        question = yes_no_questions()[fact]
        right = frozenset(("yes" if question.parts[0] >> task & 1 else "no",))
        first, second = rng.choice(len(question.texts), 2, replace=len(question.texts) < 2)
        return Ask(question.texts[int(first)], fact, right), Ask(question.texts[int(second)], fact, right)


EXAM = CityExam()
