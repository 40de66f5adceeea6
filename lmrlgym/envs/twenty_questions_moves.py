"""What scripted players of Twenty Questions say, in many wordings, and what it tells them.

A move asks for an attribute of the table or for an object. A question in the wordings of `asked.csv` and
the frames below is true of just the objects for which the table says yes or either; tests hold the scripted
oracle to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lmrlgym.envs.twenty_questions_table import asked, facts, things
from lmrlgym.types import Turn

FRAMES = {
    "Is it ": ("Is it ", "Is the object ", "Is this thing ", "Would you say it is ", "So, is it ", "is it "),
    "Does it ": ("Does it ", "Does the object ", "Does this thing ", "Okay, does it ", "does it "),
    "Can it ": ("Can it ", "Can the object ", "Could it ", "can it "),
    "Do you ": ("Do you ", "Do people ", "Would you ", "do you "),
    "Can you ": ("Can you ", "Could you ", "Can people ", "can you "),
}
"""The beginning of a wording, and what may stand in its place."""
GUESSES = (
    "Is it {}?",
    "Is the object {}?",
    "Could it be {}?",
    "Would it be {}?",
    "I think it is {}.",
    "Is it maybe {}?",
    "is it {}",
)
_WITHOUT_ARTICLE = frozenset(
    (
        *("Pants", "Shoes", "Boots", "Socks", "Scissors", "Gloves", "Pliers", "Peas", "Headphones", "Drums"),
        *("Earrings", "Chopsticks", "Paper", "Glue", "Broccoli", "Corn", "Spinach", "Celery", "Toothpaste"),
    )
)


class Move(NamedTuple):
    """Something to ask: the wordings, each with its newline, and the objects it is true of.

    `guess` is the number of the object that is asked for; -1 if an attribute is.
    """

    texts: tuple[str, ...]
    mask: int
    guess: int


@cache
def moves() -> tuple[Move, ...]:
    """All moves: first the attributes of `asked.csv`, then the objects."""
    found = []
    for attribute, questions in asked().items():
        fact = facts()[attribute]
        found.append(Move(_framed(questions), fact.yes | fact.either, -1))
    for number, thing in enumerate(things()):
        names = [_with_article(variant) for variant in thing.variants]
        texts = tuple(f"{frame.format(name)}\n" for name in names for frame in GUESSES)
        found.append(Move(texts, 1 << number, number))
    return tuple(found)


def _framed(questions: Sequence[str]) -> tuple[str, ...]:
    texts: dict[str, None] = {}
    for question in questions:
        start = next((start for start in FRAMES if question.startswith(start)), "")
        for frame in FRAMES.get(start, ("",)):
            said = frame + question[len(start) :]
            texts[(said if said[0].isupper() else said.removesuffix("?")) + "\n"] = None
    return tuple(texts)


def _with_article(variant: str) -> str:
    name = variant if variant in ("TV", "Lego", "Lego set", "Sharpie") else variant.lower()
    if variant in _WITHOUT_ARTICLE:
        return name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


@cache
def numbers() -> dict[str, int]:
    """Text -> the number of the move that says it."""
    return {text: number for number, move in enumerate(moves()) for text in move.texts}


@cache
def truth_table() -> np.ndarray:
    """(moves, objects) bool: which move is true of which object."""
    table = np.array([[move.mask >> i & 1 for i in range(len(things()))] for move in moves()], np.bool_)
    table.flags.writeable = False
    return table


def moves_in(history: Sequence[Turn]) -> tuple[tuple[int, bool], ...]:
    """The (move, whether it is true) of every question of a game that is a move; others tell nothing."""
    return tuple(
        (number, answer.text.startswith("Yes"))
        for question, answer in pairwise(history)
        if question.is_action and (number := numbers().get(question.text)) is not None
    )


def possible(told: Sequence[tuple[int, bool]]) -> np.ndarray:
    """(objects,) bool: which objects fit; all if none does, as when another oracle has answered."""
    table = truth_table()
    left = np.ones(table.shape[1], np.bool_)
    for number, is_true in told:
        left &= table[number] == is_true
    return left if left.any() else np.ones(table.shape[1], np.bool_)
