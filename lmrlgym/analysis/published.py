"""The paper's scores, and which of them do not follow from the paper's own raw returns.

arXiv 2311.18232: table 2 prints scores, table 4 the mean returns they were made from; the lowest return, the
data's average and the highest of each task are those of `lmrlgym.references` (`lmrl2023`). A printed
score follows if some return that rounds to the printed one gives a score that rounds to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmrlgym.references import PaperScale

AGENTS = ("BC", "%BC", "MC", "ILQL", "PPO", "%BC online", "GPT-4")
"""The columns of the paper's tables."""


@dataclass(frozen=True)
class Task:
    """One row of the paper's tables 2 and 4."""

    name: str
    scale: PaperScale
    raw: tuple[str, ...]
    """As printed: the number of decimals says how exact it is."""
    printed: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One agent in one task."""

    task: str
    agent: str
    raw: str
    printed: str
    recomputed: float
    low: float
    """The scores that a return which rounds to `raw` may have."""
    high: float

    @property
    def follows(self) -> bool:
        """Whether the printed score may have been made from the printed return."""
        half = _half_a_digit(self.printed)
        return self.low - half - 1e-9 <= float(self.printed) <= self.high + half + 1e-9


TASKS = (
    Task(
        "Maze",
        PaperScale(-101, -83, -6.84),
        ("-72.1", "-56.4", "-48.1", "-6.97", "-37.7", "-71.7", "-39.7"),
        ("58.2", "68.9", "75.0", "99.9", "79.7", "57.4", "78.2"),
    ),
    Task(
        "MazePartial",
        PaperScale(-101, -83, -25.75),
        ("-79.5", "-82.9", "-80.3", "-52.9", "-91.7", "-79.5", "-88.0"),
        ("53.1", "50.1", "52.4", "76.3", "42.4", "53.1", "60.4"),
    ),
    Task(
        "TextNav",
        PaperScale(0, 0.26, 1),
        ("0.39", "0.54", "0.63", "0.88", "0.81", "0.62", "0.52"),
        ("53.7", "65.1", "71.9", "91.8", "87.1", "74.5", "67.5"),
    ),
    Task(
        "TextNavPartial",
        PaperScale(0, 0.26, 1),
        ("0.25", "0.49", "0.58", "0.76", "0.80", "0.53", "0.21"),
        ("49.7", "60.5", "71.6", "83.7", "85.5", "68.4", "40.2"),
    ),
    Task(
        "Wordle",
        PaperScale(-6, -4.121715, -1.935),
        ("-2.81", "-2.85", "-2.16", "-2.04", "-2.63", "-2.15", "-5.42"),
        ("79.9", "79.1", "94.9", "97.7", "84.2", "95.2", "15.4"),
    ),
    Task(
        "Chess",
        PaperScale(-401, 0.21, 1),
        ("-22.3", "-56.5", "-28.2", "-21.4", "-16.0", "-22.3", "-81.3"),
        ("47.2", "42.9", "46.5", "47.3", "48.0", "47.2", "0"),
    ),
    Task(
        "ChessEndgames",
        PaperScale(-1, 0.586, 1),
        ("0.112", "-0.439", "0.588", "0.452", "0.814", "0.112", "-22.87"),
        ("35.1", "17.7", "50.2", "45.8", "77.5", "36.2", "0"),
    ),
    Task(
        "TwentyQuestions",
        PaperScale(-20, -17.3, -12.6),
        ("-16.0", "-14.6", "-13.9", "-14.2", "-14.9", "-16.8", "-13.0"),
        ("57.1", "77.1", "87.1", "82.9", "72.9", "55.2", "95.7"),
    ),
    Task(
        "GuessMyCity",
        PaperScale(-20, -18.8, -8.56),
        ("-17.0", "-15.2", "-11.2", "-12.5", "-15.1", "-19.2", "-10.13"),
        ("30.0", "48.0", "88.0", "75.0", "49.9", "31.6", "92.3"),
    ),
)
"""Car Dealer is left out: the paper prints neither its constants nor raw returns."""


def cells() -> list[Cell]:
    """Every published score beside the one that follows from the published return."""
    found = []
    for task in TASKS:
        for agent, raw, printed in zip(AGENTS, task.raw, task.printed, strict=True):
            value, half = float(raw), _half_a_digit(raw)
            low, here, high = (task.scale.score(value + shift) for shift in (-half, 0.0, half))
            found.append(Cell(task.name, agent, raw, printed, here, low, high))
    return found


def _half_a_digit(number: str) -> float:
    """Half of the last digit that is printed."""
    return 0.5 * 10.0 ** -len(number.partition(".")[2])
