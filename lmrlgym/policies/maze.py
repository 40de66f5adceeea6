"""Players of the maze: `random`, `mixed` (the paper's recipe), `expert`, `behaviour`, `stitching`.

The paper's data (arXiv 2311.18232, Maze) were not released with their generator. What it tells: the
maze is cut into three parts (left T, right T, stem), each trajectory stays in one of them, 15 % of
its actions come from a suboptimal solver and 85 % are random, none has more than 100 moves; mean
length 19.7 (deviation 24.5), success .11. `ThirdsPlayer` fills the gaps so that these statistics
come out: success .110, length 22.0 (deviation 26.1), computed exactly from the rules below.

- The stem is column 6 (the junction, two cells, the goal); what lies left and right of it are the Ts.
- A game starts in the stem with probability .36, at the junction; else in either T with equal
  probability, on any of its cells, those of the trunk (from the middle of the arms to the cell beside
  the junction) twice as often as those of the arms.
- A move that leaves the part is the last of its game: it is kept, with the observation that follows,
  and the game is truncated. So every part's way in and out is in the data and games can be stitched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.random import Generator

from lmrlgym.envs.maze import ACTIONS, GOALS, World, possible_cells, world
from lmrlgym.policies import DataPlayer, FrequencyPolicy, uniform_policy
from lmrlgym.resources import read_json
from lmrlgym.types import Action, History, Trajectory, Turn

MIXED_SKILL = 0.15
STEM_SHARE = 0.36
STITCHED_SKILL = 0.6
STITCHED_AT_JUNCTION = (0.4, 0.4, 0.05, 0.15)
"""How likely it goes left, right, up (a wall) and down at the junction."""
STITCHED_MOVES = 20
"""More than the 12 moves of the longest shortest way, which earns -11."""
_STEM_COLUMN = 6
_JUNCTION = (5, 6)
_LEFT_ARMS = ((1, 1), (1, 2), (1, 4), (1, 5))
_LEFT_TRUNK = ((1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (5, 4), (5, 5))
_LEFT_STARTS = (*_LEFT_ARMS, *_LEFT_TRUNK, *_LEFT_TRUNK)
_WIDTH = 13


@cache
def best_moves(here: World) -> tuple[int, ...]:
    """[cell] -> the number of the first move on a shortest way to the goal (0 at the goal)."""
    distance = {here.goal: 0}
    frontier = [here.goal]
    while frontier:
        reached = {
            cell: distance[near] + 1
            for near in frontier
            for cell in here.neighbours[near]
            if cell not in distance
        }
        distance |= reached
        frontier = list(reached)
    return tuple(
        min(range(len(ACTIONS)), key=lambda move: distance[here.neighbours[cell][move]])
        for cell in range(len(here.cells))
    )


class MazePlayer:
    """Takes the best move with probability `skill`, else one of the four uniformly.

    Where only walls are told it heads for the goal from the first cell where it may be, which is
    not optimal but always arrives: each move brings that cell closer or rules it out.
    """

    def __init__(self, skill: float, layout: str = "double_t") -> None:
        if not 0 <= skill <= 1:
            raise ValueError(f"skill must be in [0, 1], got {skill}")
        self.skill = skill
        self.layout = layout

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._move(history, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]

    def distribution(self, history: History) -> dict[str, float]:
        here, cells = possible_cells(self.layout, history)
        best, share = best_moves(here)[cells[0]], (1 - self.skill) / len(ACTIONS)
        chances = {text: share + self.skill * (move == best) for move, text in enumerate(ACTIONS)}
        return {text: chance for text, chance in chances.items() if chance > 0}

    def _move(self, history: History, rng: Generator) -> Action:
        here, cells = possible_cells(self.layout, history)
        best = best_moves(here)[cells[0]]
        move = best if rng.random() < self.skill else int(rng.integers(len(ACTIONS)))
        probability = (1 - self.skill) / len(ACTIONS) + self.skill * (move == best)
        return Action(ACTIONS[move], log_prob=math.log(probability))


class ThirdsPlayer(MazePlayer, DataPlayer):
    """The paper's data: a weak solver whose games stay in one part of the double-T maze."""

    def __init__(self) -> None:
        super().__init__(MIXED_SKILL)
        here = world(self.layout, GOALS[self.layout])
        self._task = {here.cells[cell]: task for task, cell in enumerate(here.starts)}
        self._part = dict(zip(here.positions, (_part(column) for _, column in here.cells), strict=True))

    def task(self, rng: Generator) -> int:
        if rng.random() < STEM_SHARE:
            return self._task[_JUNCTION]
        row, column = _LEFT_STARTS[int(rng.integers(len(_LEFT_STARTS)))]
        return self._task[(row, column if rng.integers(2) else _WIDTH - 1 - column)]

    def end(self, turns: History) -> int:
        part = self._part[turns[0].text]
        for i in range(2, len(turns) - 1, 2):
            if self._part[turns[i].text] != part:
                return i + 1
        return len(turns)

    def played_as(self, env_id: str) -> str:
        # The recipe goes by positions, which the partial maze does not tell.
        return "lmrlgym/Maze-v0"


class StitchingPlayer(MazePlayer, DataPlayer):
    """Walks from the Ts to the junction, where it mostly strays into a T again, and down the stem.

    Half of its games begin in the stem, half in a T; those are cut after `STITCHED_MOVES` moves, which are
    more than any shortest way. Without the games that `is_stitched` leaves out, no game is as good as it
    could be from where it began, and what games do together is.
    """

    def __init__(self) -> None:
        super().__init__(STITCHED_SKILL)
        here = world(self.layout, GOALS[self.layout])
        self._cell = dict(zip(here.positions, here.cells, strict=True))
        starts = {here.cells[cell]: task for task, cell in enumerate(here.starts)}
        self._of_stem = [task for (_, column), task in starts.items() if column == _STEM_COLUMN]
        self._of_ts = [task for (_, column), task in starts.items() if column != _STEM_COLUMN]

    def task(self, rng: Generator) -> int:
        tasks = self._of_stem if rng.random() < 0.5 else self._of_ts
        return tasks[int(rng.integers(len(tasks)))]

    def end(self, turns: History) -> int:
        return len(turns) if self._is_in_stem(turns[0]) else min(len(turns), 2 * STITCHED_MOVES + 1)

    def is_stitched(self, game: Trajectory) -> bool:
        """Whether a game belongs to the data: from a T never below the junction, or won with a detour."""
        cells = [self._cell[turn.text] for turn in game.turns[::2] if turn.text in self._cell]
        if not self._is_in_stem(game.turns[0]):
            return game.truncated and max(row for row, _ in cells) <= _JUNCTION[0]
        return bool(game.info["success"]) and any(column != _STEM_COLUMN for _, column in cells)

    def _is_in_stem(self, told: Turn) -> bool:
        return self._cell[told.text][1] == _STEM_COLUMN

    def distribution(self, history: History) -> dict[str, float]:
        if history[-1].text not in self._cell:  # the partial maze tells no position
            return super().distribution(history)
        row, column = self._cell[history[-1].text]
        if (row, column) == _JUNCTION:
            return dict(zip(ACTIONS, STITCHED_AT_JUNCTION, strict=True))
        if column == _STEM_COLUMN:
            return {ACTIONS[2]: 0.5, ACTIONS[3]: 0.5}  # up and down
        return super().distribution(history)

    def _move(self, history: History, rng: Generator) -> Action:
        chances = self.distribution(history)
        drawn = int(np.searchsorted(np.cumsum(list(chances.values())), rng.random(), side="right"))
        text = list(chances)[min(drawn, len(chances) - 1)]
        return Action(text, log_prob=math.log(chances[text]))

    def played_as(self, env_id: str) -> str:
        return "lmrlgym/Maze-v0"


def _part(column: int) -> int:
    """-1 left T, 0 stem, 1 right T."""
    return (column > _STEM_COLUMN) - (column < _STEM_COLUMN)


def _random(
    *, layout: str = "double_t", max_moves: int = 100, compat: bool = False, privileged: bool = False
) -> FrequencyPolicy:
    return uniform_policy(ACTIONS)


def _mixed(
    *, layout: str = "double_t", max_moves: int = 100, compat: bool = False, privileged: bool = False
) -> MazePlayer:
    return ThirdsPlayer() if layout == "double_t" else MazePlayer(MIXED_SKILL, layout)


def _expert(
    *, layout: str = "double_t", max_moves: int = 100, compat: bool = False, privileged: bool = False
) -> MazePlayer:
    return MazePlayer(1.0, layout)


def _behaviour(
    *, layout: str = "double_t", max_moves: int = 100, compat: bool = False, privileged: bool = False
) -> FrequencyPolicy:
    """Each move as often as in `maze/mixed-v0`, wherever it is made (how the paper found its -83)."""
    if layout != "double_t":
        raise ValueError(f'behaviour data is shipped for layout "double_t" only, got {layout!r}')
    return FrequencyPolicy(read_json("maze", "mixed-v0.card.json")["action_counts"])


def _stitching(
    *, layout: str = "double_t", max_moves: int = 100, compat: bool = False, privileged: bool = False
) -> StitchingPlayer:
    if layout != "double_t":
        raise ValueError(f'layout must be "double_t" for games to be stitched, got {layout!r}')
    return StitchingPlayer()


LEVELS: dict[str, Callable[..., MazePlayer | FrequencyPolicy]] = {
    "random": _random,
    "mixed": _mixed,
    "expert": _expert,
    "behaviour": _behaviour,
    "stitching": _stitching,
}
"""Name -> the environment's keywords -> player. Layouts other than double_t are not cut into parts."""
