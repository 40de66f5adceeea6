"""The dataset for stitching: no game of it is optimal, and its moves together are."""

from __future__ import annotations

from functools import cache

import pytest

from lmrlgym import Dataset, collect
from lmrlgym.envs.maze import ACTIONS, GOALS, world
from lmrlgym.policies.maze import StitchingPlayer, best_moves
from lmrlgym.solvers.maze import solver
from lmrlgym.types import Turn

NAME = "maze/stitching-v0"
HERE = world("double_t", GOALS["double_t"])
STARTS = [HERE.positions[cell] for cell in HERE.starts]


@cache
def data() -> Dataset:
    return Dataset.load(NAME)


def best_from(text: str) -> float:
    return solver().value((Turn(text, False),))


def test_no_game_is_as_good_as_the_best_from_where_it_began():
    assert {game.turns[0].text for game in data()} == set(STARTS)
    assert [game.seed for game in data() if game.total_reward >= best_from(game.turns[0].text)] == []


def test_no_game_that_begins_in_a_t_is_ever_in_the_stem():
    below = {HERE.positions[i] for i, (row, _) in enumerate(HERE.cells) if row > 5}
    of_ts = [game for game in data() if game.truncated]
    assert len(of_ts) > 200
    assert not any(turn.text in below for game in of_ts for turn in game.turns)
    assert all(game.info["success"] for game in data() if not game.truncated)


def test_the_moves_of_all_games_together_are_optimal_from_every_start():
    # What the data show: state and action -> what was earned and seen. Best play in just this graph, by
    # value iteration, is worth what the solver says of the whole maze.
    seen: dict[str, dict[str, tuple[float, str]]] = {}
    for game in data():
        turns = game.turns
        for before, action, after in zip(turns[::2], turns[1::2], turns[2::2], strict=False):
            seen.setdefault(before.text, {})[action.text] = (action.reward, after.text)
    values = dict.fromkeys((*seen, "Success\n"), 0.0)
    for _ in range(100):
        values |= {s: max(r + values[after] for r, after in moves.values()) for s, moves in seen.items()}
    assert {text: values[text] for text in STARTS} == pytest.approx(
        {text: best_from(text) for text in STARTS}
    )


def test_neither_kind_of_game_shows_every_move_that_is_needed():
    def made(games: list) -> set[tuple[str, str]]:
        return {
            (before.text, action.text)
            for game in games
            for before, action in zip(game.turns[::2], game.turns[1::2], strict=False)
        }

    needed = {(HERE.positions[c], ACTIONS[best_moves(HERE)[c]]) for c in HERE.starts}
    assert needed <= made(list(data()))
    assert not needed <= made([game for game in data() if game.truncated])


def test_it_is_what_the_player_makes_without_the_games_that_are_left_out():
    made = collect("lmrlgym/Maze-v0", "stitching", 40).filter(StitchingPlayer().is_stitched)
    assert 5 < len(made) < 40
    assert list(made) == list(data())[: len(made)]
