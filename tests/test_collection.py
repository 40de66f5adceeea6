"""Collecting data, players by name and the evaluation protocol."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from itertools import pairwise

import gymnasium
import numpy as np
import pytest

from lmrlgym import Dataset, History, Seeds, Trajectory, collect, evaluate, policy_named, replay, summarise
from lmrlgym.dataset import content_sha256, shipped_names
from lmrlgym.envs.maze import ACTIONS, GOALS, world
from lmrlgym.policies.maze import best_moves
from lmrlgym.resources import data_folder

FULL, PARTIAL, WORDLE = "lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0", "lmrlgym/Wordle-v0"
HERE = world("double_t", GOALS["double_t"])
CELL = dict(zip(HERE.positions, HERE.cells, strict=True))


@cache
def shipped(name: str) -> Dataset:
    return Dataset.load(name)


def part(text: str) -> str:
    """The third of the maze that an observation is in."""
    column = CELL[text][1]
    return "left" if column < 6 else "right" if column > 6 else "stem"


def observations(game: Trajectory) -> list[str]:
    return [turn.text for turn in game.turns if turn.text in CELL]


def test_equal_arguments_give_equal_games() -> None:
    first = collect(FULL, "mixed", 30, seed=7)
    assert content_sha256(collect(FULL, "mixed", 30, seed=7)) == content_sha256(first)
    assert content_sha256(collect(FULL, "mixed", 30, seed=8)) != content_sha256(first)


def test_a_game_depends_on_its_own_seed_only() -> None:
    assert (
        collect(FULL, "mixed", 5, seed=12).trajectories
        == collect(FULL, "mixed", 9, seed=10)[2:7].trajectories
    )


def test_the_card_says_what_made_the_games() -> None:
    card = collect(WORDLE, "expert", 3, seed=40, vocabulary="common-40").card
    assert (card["env_id"], card["level"], card["env_kwargs"]) == (
        WORDLE,
        "expert",
        {"vocabulary": "common-40"},
    )
    assert card["seeds"] == [40, 42]
    assert card["command"] == (
        "lmrlgym collect lmrlgym/Wordle-v0 --level expert --episodes 3 --seed 40 "
        """--env-kwargs '{"vocabulary": "common-40"}'"""
    )
    assert card["licence"] == "CC0-1.0"
    assert card["secrets"].startswith("none")


def test_collecting_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="got 0"):
        collect(FULL, "mixed", 0)
    with pytest.raises(ValueError, match="no player 'clever'; there are: behaviour, expert, mixed, random"):
        collect(FULL, "clever", 1)
    with pytest.raises(ValueError, match="privileged"):
        collect(FULL, "mixed", 1, privileged=True)


# ---- the recipe of the maze's data ----


def test_the_maze_data_have_the_statistics_of_the_paper() -> None:
    # Table 1: success .11, mean length 19.7 (24.5), mean return -19.7 (24.5)
    summary = summarise(shipped("maze/mixed-v0").trajectories)
    assert abs(summary.success - 0.11) <= 0.02
    assert abs(summary.length - 20) <= 5
    assert summary.episodes == 1240


def test_fresh_maze_data_have_them_too() -> None:
    # standard errors over 1240 games: .009 of success, .75 of length
    summary = summarise(collect(FULL, "mixed", 1240, seed=50_000).trajectories)
    assert abs(summary.success - 0.11) <= 0.03
    assert abs(summary.length - 22.0) <= 2.5


def test_a_maze_game_stays_in_its_third_until_the_move_that_ends_it() -> None:
    for game in shipped("maze/mixed-v0"):
        parts = [part(text) for text in observations(game)]
        if game.truncated:
            assert set(parts[:-1]) == {parts[0]} != {parts[-1]}
        else:
            assert set(parts) == {parts[0]}


def test_games_of_different_thirds_meet_at_the_crossings() -> None:
    crossings: Counter[tuple[tuple[int, int], tuple[int, int]]] = Counter()
    for game in shipped("maze/mixed-v0"):
        if game.truncated:
            before, after = observations(game)[-2:]
            crossings[CELL[before], CELL[after]] += 1
    beside = {((5, 5), (5, 6)), ((5, 6), (5, 5)), ((5, 7), (5, 6)), ((5, 6), (5, 7))}
    assert set(crossings) == beside
    assert min(crossings.values()) > 50


def test_every_move_is_tried_in_every_cell() -> None:
    tried: Counter[tuple[str, str]] = Counter()
    for game in shipped("maze/mixed-v0"):
        tried.update((a.text, b.text) for a, b in pairwise(game.turns) if b.is_action)
    assert len(tried) == 25 * 4
    assert min(tried.values()) >= 50


def test_fifteen_percent_of_the_moves_are_the_solvers() -> None:
    best = {HERE.positions[cell]: ACTIONS[move] for cell, move in enumerate(best_moves(HERE))}
    games = shipped("maze/mixed-v0")
    pairs = [(a.text, b) for game in games for a, b in pairwise(game.turns) if b.is_action]
    share = sum(best[seen] == said.text for seen, said in pairs) / len(pairs)
    # the best move is made by the solver, or by chance: .15 + .85 / 4; 26,000 moves, deviation .003
    assert share == pytest.approx(0.3625, abs=0.012)
    for seen, said in pairs[:500]:
        probability = 0.3625 if best[seen] == said.text else 0.2125
        assert said.log_prob == pytest.approx(math.log(probability))


def test_the_partial_set_tells_the_same_games() -> None:
    for game, retold in zip(shipped("maze/mixed-v0"), shipped("maze/partial-mixed-v0"), strict=True):
        assert (retold.seed, retold.options, retold.rewards) == (game.seed, game.options, game.rewards)
        assert [t for t in retold.turns if t.is_action] == [t for t in game.turns if t.is_action]
        told = [HERE.walls[HERE.positions.index(text)] for text in observations(game)]
        assert [t.text for t in retold.turns if not t.is_action][: len(told)] == told


@pytest.mark.parametrize("layout", ["umaze", "medium", "large"])
def test_other_layouts_are_played_whole(layout: str) -> None:
    games = collect(FULL, "mixed", 5, layout=layout)
    assert not any(game.truncated for game in games)
    assert all(replay(game) is None for game in games)


# ---- Wordle's data ----


def test_the_wordle_data_have_the_statistics_of_the_paper() -> None:
    # Table 1: success .70, mean length 4.82 (1.27), mean return -4.12 (1.59)
    card = shipped("wordle/common431-mixed-v0").card
    assert abs(card["success"] - 0.70) <= 0.02
    assert abs(card["return_mean"] + 4.12) <= 0.1
    assert abs(card["length_mean"] - 4.82) <= 0.1
    assert abs(card["return_std"] - 1.59) <= 0.05


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.startswith("wordle/")])
def test_no_wordle_text_gives_the_word_away(name: str) -> None:
    for game in shipped(name):
        said_by_env = [turn.text for turn in game.turns if not turn.is_action]
        assert said_by_env[0] == "Wordle:\n"
        assert all(set(text) <= set("gyb \n") for text in said_by_env[1:])
        assert not {"secret", "task", "word"} & {*game.info, *game.options}


# ---- all data ----


def test_shipped_seeds_stay_in_the_range_of_data() -> None:
    starts = sorted(Seeds)
    assert starts[0] == Seeds.DATA
    for name in shipped_names():
        data = shipped(name)
        seeds = [game.seed for game in data]
        first, last = data.card["seeds"]
        assert (first, last < starts[1]) == (0, True)
        if name == "maze/stitching-v0":  # some of its games are left out
            assert seeds == sorted(set(seeds) & set(range(last + 1)))
        else:
            assert seeds == list(range(last + 1))


def test_seed_ranges_are_apart() -> None:
    # the widest use of each range: 10^8 games, far more than any protocol or training run plays
    starts = [int(start) for start in sorted(Seeds)]
    assert all(later - earlier >= 10**8 for earlier, later in pairwise(starts))
    assert max(Seeds) == Seeds.EVALUATION


def test_shipped_sets_are_small() -> None:
    assert shipped_names()
    for path in data_folder().glob("*/*.parquet"):
        assert path.stat().st_size <= 2_000_000, path


# ---- players and the protocol ----


def test_every_maze_start_is_evaluated_equally_often() -> None:
    games = evaluate(FULL, policy_named("expert", FULL), repeats=2)
    assert [game.options["task"] for game in games] == [i // 2 for i in range(50)]
    assert [game.seed for game in games] == [Seeds.EVALUATION + i for i in range(50)]


def test_wordle_games_draw_their_words() -> None:
    games = evaluate(
        WORDLE, policy_named("random", WORDLE, vocabulary="common-40"), repeats=3,
        env_kwargs={"vocabulary": "common-40"},
    )  # fmt: skip
    assert [game.options for game in games] == [{}, {}, {}]


def test_evaluating_names_a_wrong_number() -> None:
    with pytest.raises(ValueError, match="repeats must be a positive whole number, got 0"):
        evaluate(FULL, policy_named("random", FULL), repeats=0)


@pytest.mark.parametrize("env_id", [FULL, PARTIAL])
@pytest.mark.parametrize("name", ["random", "mixed", "scripted", "expert", "behaviour", "best"])
def test_every_named_player_plays_legally(env_id: str, name: str) -> None:
    for game in evaluate(env_id, policy_named(name, env_id), repeats=1):
        assert {turn.text for turn in game.turns if turn.is_action} <= set(ACTIONS)
        assert all(turn.log_prob is not None for turn in game.turns if turn.is_action)


def test_the_expert_and_the_best_win_both_mazes() -> None:
    for env_id in (FULL, PARTIAL):
        for name in ("expert", "best"):
            assert summarise(evaluate(env_id, policy_named(name, env_id), repeats=1)).success == 1


def test_an_idle_slot_gets_nothing_said() -> None:
    game: History = evaluate(FULL, policy_named("best", FULL), repeats=1)[0].turns[:1]
    for name in ("random", "mixed", "best"):
        said = policy_named(name, FULL).act([(), game], [np.random.default_rng(0)] * 2)
        assert said[0] == ""
        assert said[1] != ""


def test_a_users_game_with_candidates_has_a_random_player() -> None:
    gymnasium.register("users/Maze-v0", entry_point="tests.test_collection:make_users_maze")
    try:
        games = evaluate("users/Maze-v0", policy_named("random", "users/Maze-v0"), repeats=2)
        assert len(games) == 2
        with pytest.raises(ValueError, match="there are: random"):
            policy_named("mixed", "users/Maze-v0")
    finally:
        del gymnasium.registry["users/Maze-v0"]


def make_users_maze() -> gymnasium.Env[str, str]:
    return gymnasium.make(FULL, disable_env_checker=True).unwrapped
