"""A person at the terminal as a player."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.random import Generator

from lmrlgym.person import Person
from lmrlgym.types import History


class HumanPolicy:
    """Shows each game's newest utterance and reads one line as the answer.

    `read` is given a prompt and returns a line; `write` shows one. An end of input raises `EOFError`.
    """

    def __init__(
        self, read: Callable[[str], str] | None = None, write: Callable[[str], object] | None = None
    ) -> None:
        self._person = Person(read, write)

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str]:
        """One line a game, in order; "" for an idle position."""
        return [
            self._person.asked(history[-1].text, number, len(histories)) if history else ""
            for number, history in enumerate(histories)
        ]
