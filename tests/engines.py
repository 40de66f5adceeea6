"""Chess engines in tests: whether Stockfish is there, and scripted stand-ins that speak UCI."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from lmrlgym import Query
from lmrlgym.partners.chess import stockfish_program

VERSION = "Stockfish 15.1"
"""The paper's and Debian 12's. Others choose other moves, so that shipped games cannot be played again."""


@cache
def has_stockfish() -> bool:
    """Whether Stockfish of that version is installed."""
    try:
        said = subprocess.run([stockfish_program()], input="quit\n", capture_output=True, text=True).stdout
    except FileNotFoundError:
        return False
    return said.startswith(f"{VERSION} ")


def needs_stockfish() -> pytest.MarkDecorator:
    """The one reason why a test with Stockfish is skipped."""
    return pytest.mark.skipif(
        not has_stockfish(), reason=f"{VERSION} is not installed (apt-get install stockfish)"
    )


class Scripted:
    """A partner that says the given answers in order, then fails; it keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.queries: list[Query] = []

    def reply(self, queries: Sequence[Query]) -> list[str]:
        self.queries += queries
        return [self.answers.pop(0) for _ in queries]


# A shell starts at once; what `exec` starts in its place is the same process.
_ENGINE = """#!/bin/sh
while read -r line; do
  case "$line" in
    uci) echo "id name fake"; echo uciok ;;
    isready) echo readyok ;;
    position*) position=$line ;;
    go*) {on_go} ;;
  esac
done
{at_end}
"""
DIES = "exit 3"
HANGS = ":"
ANSWERS = 'echo "info string hello"; echo "bestmove e7e5"'
STAYS = "exec sleep 1000"
"""At the end of its input it does not end."""


def fake_engine(folder: Path, on_go: str, at_end: str = "") -> str:
    """The path of an engine that does `on_go` when it is to search, and `at_end` when its input ends."""
    path = folder / "engine"
    path.write_text(_ENGINE.format(on_go=on_go, at_end=at_end), encoding="utf-8")
    path.chmod(0o755)
    return str(path)
