"""A walk through a maze told in words, with the position shown (Maze) or only the walls (MazePartial).

Rules and texts: arXiv 2311.18232 (Maze). The rules of the walk are pure functions over a `World`,
the precomputed tables of one layout and goal; the environments only take turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple

from lmrlgym.env import Response, TextEnv
from lmrlgym.types import History
from lmrlgym.vector import vectorise

Cell = tuple[int, int]
"""(row, column); rows grow downwards."""

MOVES: dict[str, Cell] = {"move left": (0, -1), "move right": (0, 1), "move up": (-1, 0), "move down": (1, 0)}
ACTIONS = tuple(f"{move}\n" for move in MOVES)
"""The four legal actions as they are said, in the order of `World.neighbours`."""

GOAL_REWARD, STEP_REWARD, ILLEGAL_REWARD = 0.0, -1.0, -4.0
SUCCESS, FAILURE = "Success\n", "Failure\n"

LAYOUTS: dict[str, tuple[str, ...]] = {
    "double_t": (
        "1111111111111",
        "1000001000001",
        "1110111110111",
        "1110111110111",
        "1110111110111",
        "1110000000111",
        "1111110111111",
        "1111110111111",
        "1111110111111",
        "1111111111111",
    ),
    "umaze": ("11111", "10001", "10101", "10101", "11111"),
    "medium": (
        "11111111",
        "10010001",
        "10010101",
        "11000011",
        "11101001",
        "10000101",
        "10010001",
        "11111111",
    ),
    "large": (
        "111111111",
        "100000101",
        "101010101",
        "100010001",
        "101110111",
        "100000001",
        "111011101",
        "100010001",
        "101011111",
        "101010001",
        "100000101",
        "111111111",
    ),
}
"""1 is a wall, 0 is free."""

GOALS: dict[str, Cell] = {"double_t": (8, 6), "umaze": (3, 3), "medium": (6, 6), "large": (10, 7)}


class World(NamedTuple):
    """One layout and one goal, worked out. Cells are indices into `cells` (free cells in row-major order)."""

    cells: tuple[Cell, ...]
    goal: int
    starts: tuple[int, ...]
    """Every free cell but the goal."""
    neighbours: tuple[tuple[int, ...], ...]
    """[cell][move] -> cell; a wall leaves it unchanged."""
    positions: tuple[str, ...]
    """[cell] -> the fully observed text."""
    walls: tuple[str, ...]
    """[cell] -> the partially observed text."""


@cache
def answers(texts: tuple[str, ...], goal: int) -> tuple[Response, ...]:
    """[cell] -> what a move that ends there is answered, if it is not the last one of the game."""
    won = Response(SUCCESS, GOAL_REWARD, True, False, True, True, "won")
    return tuple(won if i == goal else Response(text, STEP_REWARD) for i, text in enumerate(texts))


@cache
def world(layout: str, goal: Cell) -> World:
    """The tables of `layout` with its goal at `goal`. Raises `ValueError` for an unknown layout or a wall."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    grid = LAYOUTS[layout]
    cells = tuple((r, c) for r, row in enumerate(grid) for c, mark in enumerate(row) if mark == "0")
    index = {cell: i for i, cell in enumerate(cells)}
    if goal not in index:
        raise ValueError(f"goal must be a free cell [row, column] of the maze, got {list(goal)}")
    return World(
        cells=cells,
        goal=index[goal],
        starts=tuple(i for i in range(len(cells)) if i != index[goal]),
        neighbours=tuple(
            tuple(index.get((r + dr, c + dc), i) for dr, dc in MOVES.values())
            for i, (r, c) in enumerate(cells)
        ),
        positions=tuple(describe_position(grid, cell, goal) for cell in cells),
        walls=tuple(describe_walls(grid, cell) + "\n" for cell in cells),
    )


_SIDES = {"to your right": (0, 1), "to your left": (0, -1), "above you": (-1, 0), "below you": (1, 0)}


def describe_walls(grid: tuple[str, ...], cell: Cell) -> str:
    """Which of the four neighbours are walls, in a sentence."""
    row, column = cell
    names = [name for name, (dr, dc) in _SIDES.items() if grid[row + dr][column + dc] == "1"]
    if not names:
        return "There are no walls near you."
    noun = "There is a wall" if len(names) == 1 else "There are walls"
    return f"{noun} {', '.join(names)}."


def describe_goal(grid: tuple[str, ...], cell: Cell, goal: Cell) -> str:
    """The goal and the walls, without the position."""
    return f"The goal is at position {_spelt(goal)}. {describe_walls(grid, cell)}\n"


def describe_position(grid: tuple[str, ...], cell: Cell, goal: Cell) -> str:
    """The fully observed text: goal, position and walls."""
    return (
        f"The goal is at position {_spelt(goal)}. "
        f"Your current position is at position {_spelt(cell)}. {describe_walls(grid, cell)}\n"
    )


def _spelt(cell: Cell) -> str:
    """Coordinates digit by digit: column 10 is "1 0"."""
    return ", ".join(" ".join(str(number)) for number in cell)


def possible_cells(layout: str, history: History) -> tuple[World, tuple[int, ...]]:
    """The world, and where each start that agrees with `history` (or its end) has led, in order of cells."""
    told = re.match(r"The goal is at position ([\d ]+), ([\d ]+)\.", history[-1].text)
    goal = (int(told[1].replace(" ", "")), int(told[2].replace(" ", ""))) if told else GOALS[layout]
    here = world(layout, goal)
    cells: Iterable[int] = here.starts
    for turn in history:
        if not turn.is_action:
            seen = {i for i in here.starts if turn.text in (here.walls[i], here.positions[i])}
            cells = [i for i in cells if i in seen]
        elif (move := _MOVE_NUMBER.get(turn.text.strip().lower())) is not None:
            cells = [here.neighbours[i][move] for i in cells]
    return here, tuple(sorted(cells)) or here.starts


class MazeEnv(TextEnv):
    """Find the goal of a maze; every observation tells the goal, the position and the walls around.

    ## Description
    The agent stands in a maze and walks one cell at a time until it reaches the goal. In the
    default layout, `double_t`, the goal is at row 8, column 6, and the start is one of the other
    25 free cells. The newest observation says all that matters, so `context` is 1.

    ## Actions
    `move left`, `move right`, `move up`, `move down`. Outer blanks, case and the final newline do
    not matter. Walking into a wall is legal and leaves the position unchanged. Any other text is
    an unknown action and also leaves it unchanged.

    ## Observations
    `The goal is at position 8, 6. Your current position is at position 1, 1 0. There are walls
    above you, below you.` with a newline at the end. Rows come first and grow downwards; numbers
    are written digit by digit (10 is `1 0`). The last observation is `Success` or `Failure`.

    ## Rewards
    0 for the action that reaches the goal, -1 for any other move, -4 for an unknown action.

    ## Episode end
    The game ends (`terminated`) at the goal (`won`), or with action number `max_moves`, which is
    still carried out (`turn_limit`).

    ## Info
    The common keys. With `privileged=True`, `task` is the number of the start among the free cells
    in row-major order and `secret` the position as [row, column].

    ## Arguments
    - `layout`: `double_t` (the benchmark's), `umaze`, `medium` or `large`.
    - `max_moves`: how many actions a game has; 100.
    - `compat`: play by the 2023 release (see Differences).
    - reset options: `start` and `goal` as [row, column], or `task`.

    ## Differences from the paper
    The 2023 release compares actions to the letter, executes no action after `max_moves` but
    answers one more with `Failure` and -1 (so the lowest legal return is -101, here -100), and
    forgets the conversation at an unknown action. `compat=True` restores all three.

    ## Versions
    - v0: first version.
    """

    own_options = ("start", "goal")
    _shared_by_copies = ("_world", "_texts", "_answers")
    context: int | None = 1
    instructions = (
        "You are in a maze. Each observation tells you where the goal is and where you are, as row "
        "and column (rows grow downwards, columns to the right; numbers are written digit by digit), "
        "and on which sides there are walls. Reach the goal in as few moves as you can. Answer with "
        "exactly one of: move left, move right, move up, move down."
    )
    _partial: ClassVar[bool] = False

    def __init__(
        self,
        *,
        layout: str = "double_t",
        max_moves: int = 100,
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(compat=compat, privileged=privileged, render_mode=render_mode)
        if isinstance(max_moves, bool) or not isinstance(max_moves, int) or max_moves < 1:
            raise ValueError(f"max_moves must be a positive whole number, got {max_moves!r}")
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        self.layout = layout
        self.max_moves = max_moves
        self._window = self.context
        self._enter(world(layout, GOALS[layout]), 0)
        self.tasks = len(self._world.starts)

    def _enter(self, here: World, task: int) -> None:
        """Put the agent on start number `task` of `here`."""
        self.task = task
        self._world = here
        self._texts = here.walls if self._partial else here.positions
        self._answers = answers(self._texts, here.goal)
        self._cell = here.starts[task]

    def _start(self, options: Mapping[str, Any]) -> str:
        goal = _cell_option("goal", options["goal"]) if "goal" in options else GOALS[self.layout]
        here = world(self.layout, goal)
        if "start" in options:
            start = _cell_option("start", options["start"])
            if start not in here.cells or here.cells.index(start) == here.goal:
                raise ValueError(f"start must be a free cell other than the goal, got {list(start)}")
            if "task" in options:
                raise ValueError("give `start` or `task`, not both")
            self._enter(here, here.starts.index(here.cells.index(start)))
        else:
            self._enter(here, self._drawn_task(options))
        self.context = 1 if self.compat and self._window is not None else self._window
        return self._texts[self._cell]

    def _respond(self, action: str) -> Response:
        if self.compat:
            return self._respond_2023(action)
        move = _MOVE_NUMBER.get(action)
        if move is None and (move := _MOVE_NUMBER.get(action.strip().lower())) is None:
            return self._answer_to_nonsense()
        self._cell = cell = self._world.neighbours[self._cell][move]
        if self._turn + 1 >= self.max_moves and cell != self._world.goal:
            return Response(FAILURE, STEP_REWARD, True, False, False, True, "turn_limit")
        return self._answers[cell]

    def _answer_to_nonsense(self) -> Response:
        if self._turn + 1 >= self.max_moves:
            return Response(FAILURE, ILLEGAL_REWARD, True, False, False, False, "turn_limit")
        return Response(self._texts[self._cell], ILLEGAL_REWARD, action_is_valid=False)

    def _respond_2023(self, action: str) -> Response:
        """The released rules: exact strings, one more step after the limit, a lost history."""
        if self._turn >= self.max_moves:
            return Response(FAILURE, STEP_REWARD, True, False, False, action in ACTIONS, "turn_limit")
        is_known = action in ACTIONS
        if is_known:
            self._cell = self._world.neighbours[self._cell][ACTIONS.index(action)]
        if self._cell == self._world.goal:
            return Response(SUCCESS, GOAL_REWARD, True, False, True, True, "won")
        if self._window is not None and self.context is not None:
            # The visible turns grow again from the one that follows an unknown action.
            self.context = min(self._window, self.context + 2) if is_known else 1
        reward = STEP_REWARD if is_known else ILLEGAL_REWARD
        return Response(self._texts[self._cell], reward, action_is_valid=is_known)

    def _secret(self) -> list[int]:
        return list(self._world.cells[self._cell])

    def candidates(self) -> tuple[str, ...]:
        """The four moves."""
        return ACTIONS


class MazePartialEnv(MazeEnv):
    """Find the goal of a maze when only the walls around the agent are told.

    ## Description
    `lmrlgym/Maze-v0` without coordinates: the agent must find out where it is from the walls it
    has met. It sees the last 40 turns (20 observations and its answers to them); `context` is 40.

    ## Actions
    As in `lmrlgym/Maze-v0`: `move left`, `move right`, `move up`, `move down`.

    ## Observations
    `There are walls to your right, above you, below you.`, `There is a wall above you.` or `There
    are no walls near you.`, with a newline at the end. The last observation is `Success` or `Failure`.

    ## Rewards
    0 for the action that reaches the goal, -1 for any other move, -4 for an unknown action.

    ## Episode end
    At the goal (`won`), or with action number `max_moves` (`turn_limit`); both are `terminated`.

    ## Info
    The common keys. With `privileged=True`, `task` and `secret` are those of `lmrlgym/Maze-v0`.

    ## Arguments
    Those of `lmrlgym/Maze-v0`.

    ## Differences from the paper
    Those of `lmrlgym/Maze-v0`. The paper's "maximum" of -25.75 is no optimum: with a known maze and
    a start drawn uniformly, the best history-dependent play earns -7.24.

    ## Versions
    - v0: first version.
    """

    context: int | None = 40
    instructions = (
        "You are in a maze and cannot see where. Each observation tells you on which sides there are "
        "walls. Find the goal in as few moves as you can; remember what you have met. Answer with "
        "exactly one of: move left, move right, move up, move down."
    )
    _partial = True


_MOVE_NUMBER = {said: i for i, move in enumerate(MOVES) for said in (move, f"{move}\n")}
"""The number of a move by its name, without and (to spare the usual action a strip) with its newline."""


def _cell_option(name: str, value: Any) -> Cell:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if not is_pair or not all(isinstance(x, int) and not isinstance(x, bool) for x in value):
        raise ValueError(f"{name} must be [row, column], got {value!r}")
    return value[0], value[1]


maze_vector = vectorise(MazeEnv)
maze_partial_vector = vectorise(MazePartialEnv)
