"""A person at the terminal, as a player or as a partner, and how text from anywhere is made safe to show."""

from __future__ import annotations

from collections.abc import Callable
from unicodedata import category

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


class Person:
    """Shows a person a text and reads one line.

    `read` is given a prompt and returns a line; `write` shows a text. An end of input raises `EOFError`.
    """

    def __init__(
        self, read: Callable[[str], str] | None = None, write: Callable[[str], object] | None = None
    ) -> None:
        # Looked up now, not at import: a test or a notebook may have replaced them.
        self._read = input if read is None else read
        self._write = print if write is None else write

    def asked(self, text: str, number: int, games: int) -> str:
        """What the person answers to `text` in game `number` (from 0) of `games`."""
        label = f"[game {number + 1}] " if games > 1 else ""
        self._write(label + printable(text).rstrip("\n"))
        return self._read("> ")
