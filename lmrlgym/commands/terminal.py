"""What the verbs write: every line passes through `show`, which takes control characters out."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lmrlgym.person import printable
from lmrlgym.types import Trajectory


def show(text: str = "") -> None:
    """Print `text` and a newline, safe for a terminal whoever wrote it."""
    print(printable(text))


def watched() -> bool:
    """Whether somebody sees a progress bar: it would only clutter a file."""
    return sys.stderr.isatty()


def table(rows: Sequence[Sequence[str]]) -> str:
    """`rows` of equal length as columns; the last column is not padded."""
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def transcript(game: Trajectory) -> str:
    """A whole game, one line a turn, with the rewards that are not 0 and how it ended."""
    lines = []
    for turn in game.turns:
        said = turn.text.rstrip("\n").replace("\n", "\n  ")
        reward = f"  [{turn.reward:+g}]" if turn.reward else ""
        lines.append(f"{'> ' if turn.is_action else '  '}{said}{reward}")
    end = game.info.get("stop_reason") or ("terminated" if game.terminated else "truncated")
    return "\n".join([*lines, f"return {game.total_reward:g} ({end})"])
