"""What can be asked about a city, in several wordings, and what the answers tell.

The sentences are those of `questions.csv` and `open_questions.csv`; scripted players say them and read the
answers by them. A question is known by its parts, the masks of the cities that answer it alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from lmrlgym.envs.city_facts import (
    NO_GUESS,
    NUMBERS,
    Row,
    above,
    display,
    everything,
    facts,
    flags,
    holding,
    listed,
    named_city,
    rows,
)
from lmrlgym.types import History

GUESSES = (
    "Is it {}?\n",
    "Is the city {}?\n",
    "Are you from {}?\n",
    "Is your city {}?\n",
    "My guess is {}.\n",
)
DROPPED_IN_2023 = 1
"""How many cities at the beginning of its own list the 2023 loader skips."""


class Question(NamedTuple):
    """Something to ask: its wordings, and mask -> cities that give the same answer.

    `reads` finds the mask by the whole answer; a yes/no question is read by its first word.
    """

    texts: tuple[str, ...]
    parts: tuple[int, ...]
    reads: Mapping[str, int] = {}
    is_guess: bool = False

    def left_after(self, answer: str) -> int:
        """The cities that may answer so; all of them if the answer tells nothing."""
        if self.reads:
            return self.reads.get(answer, everything())
        yes = self.parts[0]
        return yes if answer.startswith("Yes") else everything() & ~yes if answer.startswith("No") else -1


def told_class(topic: str, column: str, city: Row) -> str:
    """Under which value `told.csv` files the city."""
    known = told()[topic]
    if column == "neighbours":
        number: float | None = len(listed(city[column]))
    elif column in ("latitude", "longitude", "population", "nation_population", "founded", "elevation"):
        number = float(city[column])
    else:
        number = None
    if number is not None:
        bounds = sorted(known, key=float)
        return bounds[bisect_right([float(bound) for bound in bounds], number) - 1]
    first = (listed(city[column]) or [""])[0]
    return "yes" if first and first not in known else first


@cache
def told() -> dict[str, dict[str, tuple[str, ...]]]:
    """Open topic -> value -> how it is told."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in rows("told"):
        found.setdefault(row["topic"], {})[row["value"]] = tuple(listed(row["tell"], "|"))
    return found


class OpenTopic(NamedTuple):
    """A question without yes or no, and the answers that each city may give to it."""

    name: str
    cue: str
    question: Question
    answers: tuple[tuple[str, ...], ...]
    """[city] -> its possible answers."""


@cache
def open_topics() -> dict[str, OpenTopic]:
    """The open questions by name, the most special ones first."""
    return {row["topic"]: _open_topic(row) for row in rows("open_questions")}


def _open_topic(row: Row) -> OpenTopic:
    frames, tells = listed(row["frames"], "|"), told()[row["topic"]]
    answers = tuple(
        tuple(
            _sentence(frame.format(tell))
            for frame in frames
            for tell in tells[told_class(row["topic"], row["column"], city)]
        )
        for city in facts()
    )
    reads: dict[str, int] = {}
    for i, texts in enumerate(answers):
        for text in texts:
            reads[text] = reads.get(text, 0) | 1 << i
    texts = tuple(f"{text}\n" for text in listed(row["ask"], "|"))
    parts = tuple(dict.fromkeys(reads[texts[0]] for texts in answers))
    return OpenTopic(row["topic"], row["cue"], Question(texts, parts, reads), answers)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}\n"


@cache
def yes_no_questions() -> dict[str, Question]:
    """Fact, e.g. "capital", "continent=Asia" or "population>5" -> the question whether it is so."""
    found: dict[str, Question] = {}
    for row in rows("questions"):
        topic, asks = row["topic"], listed(row["ask"], "|")
        if topic in flags():
            found[topic] = _yes_no(asks, "", flags()[topic])
        elif topic in NUMBERS:
            for threshold in NUMBERS[topic][2]:
                found[f"{topic}>{threshold}"] = _yes_no(asks, str(threshold), above(topic, threshold))
        else:
            for value, mask in holding(topic).items():
                word = display().get((topic, value), (value,))[0]
                found[f"{topic}={value}"] = _yes_no(asks, word, mask)
    return {fact: q for fact, q in found.items() if q.texts and q.parts[0] not in (0, everything())}


def _yes_no(asks: Sequence[str], value: str, mask: int) -> Question:
    # A sentence that names a city of the list would be a guess.
    texts = (f"{ask.format(value)}\n" for ask in asks)
    kept = tuple(text for text in texts if named_city(text) == NO_GUESS)
    return Question(kept, (mask, everything() & ~mask))


@cache
def guess_questions(compat: bool = False) -> tuple[Question, ...]:
    """[city] -> the question whether it is this city, by its usual name, or by that of the 2023 list."""
    names = (city["word"].split(",")[0].title() if compat else city["name"] for city in facts())
    named = (tuple(text.format(name) for text in GUESSES) for name in names)
    return tuple(
        Question(texts, (1 << i, everything() & ~(1 << i)), is_guess=True) for i, texts in enumerate(named)
    )


@cache
def scripted_questions(compat: bool = False) -> tuple[Question, ...]:
    """Everything that scripted players ask: facts, open questions, guesses."""
    opened = (topic.question for topic in open_topics().values())
    return (*yes_no_questions().values(), *opened, *guess_questions(compat)[DROPPED_IN_2023 * compat :])


@cache
def scripted_texts(compat: bool = False) -> dict[str, Question]:
    """Text -> the question that it asks."""
    found: dict[str, Question] = {}
    for question in scripted_questions(compat):
        for text in question.texts:
            found.setdefault(text, question)
    return found


def possible(history: History, compat: bool = False) -> int:
    """The cities that fit the answers to the scripted questions of a game, as its agent sees it."""
    left = everything() & ~((1 << DROPPED_IN_2023) - 1 if compat else 0)
    for asked, answer in zip(history[1::2], history[2::2], strict=False):
        question = scripted_texts(compat).get(asked.text)
        if question is not None:
            left &= question.left_after(answer.text)
    return left
