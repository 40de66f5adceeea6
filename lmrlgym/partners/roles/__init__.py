"""How a person or a model plays the partner of a game: one file a game, its `ROLE`.

A role says what is told and what is read. What may be said, and what follows from it, are rules of the game
and stand in its environment.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from lmrlgym.env import Query

LONGEST_QUESTION = 1_000
"""Characters of a question that a model reads: the frame around it has to fit as well."""


class Role(Hashable, Protocol):
    """One partner's part in a game. It keeps no game state, so that all games share it."""

    max_tokens: int
    """How long a model's answer may be."""

    def instructions(self, query: Query) -> str:
        """What a chat model is told as its system message."""
        ...

    def prompt(self, query: Query) -> str:
        """What a model that continues texts goes on from, and what a chat model is told by its user."""
        ...

    def briefing(self, query: Query) -> str:
        """What a person is shown, one or a few lines."""
        ...


def in_one_line(text: str) -> str:
    """`text` as prompts hold it: a player must not write lines that look like another's."""
    return " ".join(text.splitlines()).strip()


def question_in(text: str) -> str:
    """A question as prompts hold it: one line, of at most `LONGEST_QUESTION` characters."""
    return in_one_line(text[:LONGEST_QUESTION])
