"""Exact values of the maze: by search where the position is told, else by dynamic programming over beliefs.

What a player can know of a maze it has the map of is its belief: where each of the equally likely starts
that agree with all it was told has led by now. A told position makes this a single cell, walls leave
several (44 beliefs can be met in the partial double-T). Values are undiscounted sums of rewards with
the moves that are left, so they hold up to the turn limit.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

from lmrlgym.envs.maze import ACTIONS, GOAL_REWARD, STEP_REWARD, World, possible_cells
from lmrlgym.types import History

Belief = tuple[int, ...]
"""Cells in order, repeated by how likely each is, in lowest terms: (3, 7, 7) is 1/3 and 2/3."""
Outcome = tuple[float, float, Belief]
"""(probability, reward, belief afterwards; () once the game is won)."""


class MazeSolver:
    """The best play in one variant of the maze, from what its observations tell.

    A history may be the visible part only: the moves it shows are those taken to be spent, and what it
    does not show is taken to be unknown. Histories of a finished game have no meaning here.
    """

    def __init__(self, tells_position: bool, layout: str, max_moves: int, compat: bool) -> None:
        self._tells_position = tells_position
        self._layout = layout
        self._max_moves = max_moves
        self._compat = compat

    def value(self, history: History) -> float:
        """The expected sum of rewards from here on under the best play."""
        return max(self.q(history).values())

    def q(self, history: History) -> dict[str, float]:
        """Each action's expected sum of rewards, if the best play follows."""
        here, cells = possible_cells(self._layout, history)
        left = self._max_moves - sum(turn.is_action for turn in history)
        # The 2023 rules answer one action more than they carry out, with Failure.
        after = STEP_REWARD if self._compat else 0.0
        if left <= 0:
            return dict.fromkeys(ACTIONS, after)
        return dict(zip(ACTIONS, self._values(here, _normal(cells), left, after), strict=True))

    def best(self, history: History) -> str:
        """An action with the largest `q`; the first of them in the order of `candidates()`."""
        values = self.q(history)
        most = max(values.values())
        return next(action for action, value in values.items() if value >= most - _EQUAL)

    def start_value(self, here: World) -> float:
        """The mean value of all starts, each told its first observation only."""
        texts = here.positions if self._tells_position else here.walls
        beliefs = _seen(texts, here.starts)
        after = STEP_REWARD if self._compat else 0.0
        return sum(p * max(self._values(here, belief, self._max_moves, after)) for p, belief in beliefs)

    def _values(self, here: World, belief: Belief, left: int, after: float) -> tuple[float, ...]:
        table = _table(here, self._tells_position, belief)
        return _action_values(
            table, belief, _belief_values(here, self._tells_position, belief, left - 1, after)
        )


_EQUAL = 1e-9


@cache
def _table(
    here: World, tells_position: bool, belief: Belief
) -> dict[Belief, tuple[tuple[Outcome, ...], ...]]:
    """[belief][move] -> outcomes, for every belief that can follow from `belief`."""
    texts = here.positions if tells_position else here.walls
    table: dict[Belief, tuple[tuple[Outcome, ...], ...]] = {}
    waiting = [belief]
    while waiting:
        current = waiting.pop()
        if current in table:
            continue
        table[current] = tuple(_outcomes(here, texts, current, move) for move in range(len(ACTIONS)))
        waiting += [after for outcomes in table[current] for _, _, after in outcomes if after]
    return table


def _outcomes(here: World, texts: tuple[str, ...], belief: Belief, move: int) -> tuple[Outcome, ...]:
    reached = [here.neighbours[cell][move] for cell in belief]
    won = reached.count(here.goal) / len(reached)
    going = [cell for cell in reached if cell != here.goal]
    outcomes = [((1 - won) * p, STEP_REWARD, after) for p, after in _seen(texts, going)]
    return (*outcomes, (won, GOAL_REWARD, ())) if won else tuple(outcomes)


def _seen(texts: tuple[str, ...], cells: Belief | list[int]) -> list[tuple[float, Belief]]:
    """(probability, belief) of every observation that may be made in one of `cells`."""
    told: dict[str, list[int]] = {}
    for cell in cells:
        told.setdefault(texts[cell], []).append(cell)
    return [(len(group) / len(cells), _normal(tuple(sorted(group)))) for group in told.values()]


def _normal(cells: Belief) -> Belief:
    counts = Counter(cells)
    divisor = math.gcd(*counts.values())
    return tuple(cell for cell in sorted(counts) for _ in range(counts[cell] // divisor))


@cache
def _belief_values(
    here: World, tells_position: bool, belief: Belief, left: int, after: float
) -> dict[Belief, float]:
    """[belief] -> value with `left` moves left, for every belief that can follow from `belief`."""
    table = _table(here, tells_position, belief)
    values = dict.fromkeys(table, after)
    for _ in range(left):
        better = {current: max(_action_values(table, current, values)) for current in table}
        if better == values:
            break
        values = better
    return values


def _action_values(
    table: dict[Belief, tuple[tuple[Outcome, ...], ...]], belief: Belief, values: dict[Belief, float]
) -> tuple[float, ...]:
    return tuple(
        sum(p * (reward + (values[after] if after else 0.0)) for p, reward, after in outcomes)
        for outcomes in table[belief]
    )


def solver(
    env_id: str = "lmrlgym/Maze-v0",
    *,
    layout: str = "double_t",
    max_moves: int = 100,
    compat: bool = False,
    privileged: bool = False,
) -> MazeSolver:
    """The best play of `env_id` made with these keywords. Raises `ValueError` if it is no maze."""
    if env_id not in _TELLS_POSITION:
        raise ValueError(f"env_id must be one of {', '.join(_TELLS_POSITION)}, got {env_id!r}")
    return MazeSolver(_TELLS_POSITION[env_id], layout, max_moves, compat)


_TELLS_POSITION = {"lmrlgym/Maze-v0": True, "lmrlgym/MazePartial-v0": False}
