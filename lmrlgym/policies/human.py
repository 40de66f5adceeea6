"""A person at the terminal, and how text from anywhere is made safe to show on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unicodedata import category

from numpy.random import Generator

from lmrlgym.types import History

_KEPT_CONTROLS = "\n\t"
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls (ESC too), invisible marks (they can reorder a line), lone surrogates, odd line ends."""


def printable(text: str) -> str:
    """`text` without what could command a terminal or reorder what it shows.

    Words of models, partners and files pass through here before they are printed. Only characters
    are dropped, never the text between them, so nothing said can be hidden. Newlines and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c in _KEPT_CONTROLS or category(c) not in _UNSAFE_CATEGORIES)


class HumanPolicy:
    """Shows each game's newest utterance and reads one line as the answer.

    `read` is given a prompt and returns a line; `write` shows one. An end of input raises `EOFError`.
    """

    def __init__(
        self, read: Callable[[str], str] | None = None, write: Callable[[str], object] | None = None
    ) -> None:
        # Looked up now, not at import: a test or a notebook may have replaced them.
        self._read = input if read is None else read
        self._write = print if write is None else write

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str]:
        """One line a game, in order; "" for an idle position."""
        return [self._answer(number, history, len(histories)) for number, history in enumerate(histories)]

    def _answer(self, number: int, history: History, games: int) -> str:
        if not history:
            return ""
        label = f"[game {number + 1}] " if games > 1 else ""
        self._write(label + printable(history[-1].text).rstrip("\n"))
        return self._read("> ")
