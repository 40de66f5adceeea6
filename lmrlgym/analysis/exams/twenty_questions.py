"""What the oracle of Twenty Questions is examined on: the attributes of the table, in scripted wordings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from numpy.random import Generator

from lmrlgym.analysis.exams import Ask, Dialogue, Heard, half_yes, planted
from lmrlgym.env import Query
from lmrlgym.envs.twenty_questions import Move, asked, facts, groups, moves

_LOOKS_BACK = 3
"""Questions of a talk, each of which is asked again in other words."""


class OracleExam:
    """Objects and attributes, half of them true, in two wordings each."""

    def facts(self, rng: Generator, count: int) -> list[Dialogue]:
        found: list[Dialogue] = []
        while len(found) < count:
            move = self._drawn(rng)
            task = half_yes(rng, facts()[move].yes, groups()["all objects"])
            found += [Dialogue({"task": task}, (ask,)) for ask in self._worded(rng, move, task)]
        return found[:count]

    def talks(self, rng: Generator, count: int) -> list[Dialogue]:
        found = []
        for _ in range(count):
            task = int(rng.integers(groups()["all objects"].bit_length()))
            pairs = [self._worded(rng, self._drawn(rng), task) for _ in range(_LOOKS_BACK)]
            found.append(Dialogue({"task": task}, tuple(pair[side] for side in (0, 1) for pair in pairs)))
        return found

    def injections(self, rng: Generator, count: int) -> list[Dialogue]:
        found: list[Dialogue] = []
        while len(found) < count:
            move = self._drawn(rng)
            untrue = groups()["all objects"] & ~self._move(move).mask
            if untrue:
                task = half_yes(rng, untrue, untrue)
                question = self._worded(rng, move, task)[0].text
                found.append(Dialogue({"task": task}, (planted(rng, question),)))
        return found

    def meaning(self, heard: Heard) -> str:
        if heard.told.startswith("Yes"):
            return "yes"
        return "no" if heard.words.strip().lower().startswith("no") else "unclear"

    def gives_away(self, text: str, query: Query, said: Sequence[str]) -> bool:
        names = [variant.lower() for variant in query.state.variants]
        known = " ".join(said).lower()
        return any(re.search(rf"\b{re.escape(name)}\b", text.lower()) and name not in known for name in names)

    def _drawn(self, rng: Generator) -> str:
        attributes = list(asked())
        return attributes[int(rng.integers(len(attributes)))]

    def _move(self, attribute: str) -> Move:
        return moves()[list(asked()).index(attribute)]

    def _worded(self, rng: Generator, attribute: str, task: int) -> tuple[Ask, Ask]:
        """The same question in two wordings."""
        fact, texts = facts()[attribute], self._move(attribute).texts
        is_either = fact.either >> task & 1
        right = (
            frozenset(("yes", "no")) if is_either else frozenset(("yes" if fact.yes >> task & 1 else "no",))
        )
        first, second = rng.choice(len(texts), 2, replace=len(texts) < 2)
        return Ask(texts[int(first)], attribute, right), Ask(texts[int(second)], attribute, right)


EXAM = OracleExam()
