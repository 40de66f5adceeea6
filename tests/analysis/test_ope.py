"""Off-policy estimates: equations by hand, exact values of small games, players that know their chances."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import gymnasium
import numpy as np
import pytest

from lmrlgym import Dataset, Trajectory, Turn, collect, policy_named
from lmrlgym.analysis.ope import (
    Logged,
    Tables,
    Values,
    behaviour_log_probs,
    coverage,
    effective_size,
    estimates,
    logged,
    player_log_probs,
)
from lmrlgym.cli import main
from lmrlgym.collection import _module
from lmrlgym.envs.maze import ACTIONS, GOALS, world
from lmrlgym.envs.wordle import SOLVED, vocabulary_of
from lmrlgym.policies import KnowsDistribution
from lmrlgym.policies.maze import best_moves
from lmrlgym.references import key_of

MAZE, WORDLE = "lmrlgym/Maze-v0", "lmrlgym/Wordle-v0"
PLAYERS = [
    (env_id, level)
    for env_id in sorted(gymnasium.registry)
    if env_id.startswith("lmrlgym/")
    for level in _module(f"lmrlgym.policies.{key_of(env_id)}").LEVELS
]
UNKNOWN = {"lmrlgym/Chess-v0": {"builtin", "mixed", "expert"}}
"""Engines, which do not tell how likely their moves are."""
SLOW = {("lmrlgym/ChessEndgames-v0", "mixed"), ("lmrlgym/ChessEndgames-v0", "expert")}
"""The tables of the endings take a minute to make."""


def found(games: list[Logged], **kwargs: float) -> dict[str, float]:
    return {one.name: one.value for one in estimates(games, resamples=10, **kwargs)}


def two_games(values: bool = False) -> list[Logged]:
    """Ratios 2, 1/2 with rewards 1, 4; and ratio 1/2 with reward 6."""
    log = np.log
    return [
        Logged(
            log([2.0, 0.5]),
            np.array([1.0, 4.0]),
            Values(np.array([1.0, 3.0]), np.array([2.0, 5.0]), 0.0) if values else None,
        ),
        Logged(
            log([0.5]), np.array([6.0]), Values(np.array([4.0]), np.array([1.0]), 0.0) if values else None
        ),
    ]


def test_sampling_estimates_by_hand():
    # whole weights 2 x 1/2 = 1 and 1/2; returns 1 + 4 / 2 = 3 and 6
    by_name = found(two_games(), gamma=0.5)
    assert by_name["importance sampling"] == pytest.approx((1 * 3 + 0.5 * 6) / 2)
    assert by_name["weighted"] == pytest.approx((1 * 3 + 0.5 * 6) / 1.5)
    # first utterances: weights 2 and 1/2; second: 1 and, since the other game is over, still 1/2
    assert by_name["per-decision"] == pytest.approx((2 * 1 + 0.5 * 6 + 0.5 * 1 * 4) / 2)
    assert by_name["weighted per-decision"] == pytest.approx((2 * 1 + 0.5 * 6) / 2.5 + 0.5 * (1 * 4) / 1.5)
    assert set(by_name) == {"importance sampling", "weighted", "per-decision", "weighted per-decision"}


def test_doubly_robust_estimates_by_hand():
    by_name = found(two_games(values=True))
    second = 5 + 0.5 * (4 - 3)
    first = 2 + 2 * (1 + second - 1)
    other = 1 + 0.5 * (6 - 4)
    assert by_name["doubly robust"] == pytest.approx((first + other) / 2)
    # w_0 = (2, .5) / 2.5, w_1 = (1, .5) / 1.5; V(h_0) by 1/2, V(h_1) = 5 by w_0
    assert by_name["weighted doubly robust"] == pytest.approx(
        (2 * (1 - 1) + 0.5 * (6 - 4)) / 2.5 + 1 * (4 - 3) / 1.5 + (2 + 1) / 2 + 2 / 2.5 * 5
    )
    assert by_name["fitted Q evaluation"] == pytest.approx((2 + 1) / 2)


def test_the_effective_sample_size_counts_the_weight_that_is_shared():
    assert effective_size(np.array([1.0, 1.0, 0.0])) == pytest.approx(2)  # 2^2 / 2
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_size(np.zeros(3)) == 0
    assert coverage(two_games(), 0.0).effective == pytest.approx(1.5**2 / 1.25)


def test_what_a_player_never_says_weighs_nothing():
    games = [Logged(np.array([-math.inf]), np.array([5.0])), Logged(np.zeros(1), np.array([1.0]))]
    assert found(games)["weighted"] == 1
    assert found(games)["importance sampling"] == 0.5
    nothing = [games[0], games[0]]
    assert math.isnan(found(nothing)["weighted"])


def test_a_player_on_its_own_games_is_their_mean():
    data = collect(WORDLE, "mixed", 40, vocabulary="common-40")
    player = policy_named("mixed", WORDLE, vocabulary="common-40")
    games = logged(data, player_log_probs(data, player.distribution, None))
    mean = np.mean([game.total_reward for game in data])
    for one in estimates(games, resamples=50):
        assert one.value == pytest.approx(mean)
        assert one.effective == pytest.approx(40)


@pytest.mark.parametrize(
    ("env_id", "level"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case in SLOW else ())
        for case in PLAYERS
        if case[1] not in UNKNOWN.get(case[0], set())
    ],
)
def test_behaviour_is_stored_and_is_what_the_player_says_it_is(env_id: str, level: str):
    keywords = {"vocabulary": "common-40"} if env_id == WORDLE else {}
    keywords |= {"max_moves": 8} if env_id == "lmrlgym/Chess-v0" else {}
    data = collect(env_id, level, 2, **keywords)
    stored = np.concatenate(behaviour_log_probs(data))
    player = policy_named(level, env_id, **keywords)
    if env_id == "lmrlgym/CarDealer-v0":
        assert not isinstance(player, KnowsDistribution)  # its sentences are composed
        return
    assert isinstance(player, KnowsDistribution)
    # the partial maze's data are played where positions are told, and told again
    if env_id == "lmrlgym/MazePartial-v0" and level in ("mixed", "stitching"):
        return
    context = gymnasium.make(env_id, disable_env_checker=True, **keywords).unwrapped.context
    told = np.concatenate(player_log_probs(data, player.distribution, context))
    assert told == pytest.approx(stored)
    assert sum(player.distribution(data[0].turns[:1]).values()) == pytest.approx(1)


def test_games_without_behaviour_log_probabilities_are_refused_by_the_turn(tmp_path, capsys):
    turns = (Turn("?\n", False), Turn("move up\n", True, -1.0), Turn("!\n", False))
    data = Dataset((Trajectory(MAZE, {}, turns, True, False, 0),) * 2)
    path = str(data.save(tmp_path / "bare.jsonl"))
    assert main(["ope", "random", "--data", path]) == 2
    assert "turn 1 of game 0 ('move up\\n') has no behaviour log-probability" in capsys.readouterr().err


def test_games_that_a_partner_broke_are_left_out(tmp_path, capsys):
    whole = collect(MAZE, "random", 30)
    broken = replace(
        whole[0],
        turns=tuple(turn._replace(log_prob=None) for turn in whole[0].turns),
        info={**whole[0].info, "stop_reason": "partner_error"},
    )
    path = str(Dataset((broken, *whole)).save(tmp_path / "some.jsonl"))
    assert main(["ope", "random", "--data", path]) == 0
    assert "30 games" in capsys.readouterr().out


def test_token_log_probabilities_add_up_to_those_of_the_utterance():
    turns = (Turn("?\n", False), Turn("a\n", True, 1.0, (1, 2), (-0.5, -0.25)))
    (stored,) = behaviour_log_probs([Trajectory(MAZE, {}, turns, True, False)])
    assert stored == pytest.approx([-0.75])


# ---- exact values ----


def maze_value(skill: float, moves: int = 100) -> float:
    """The mean over the starts of a player that takes the best move with `skill`, else any: by its matrix."""
    here = world("double_t", GOALS["double_t"])
    best = best_moves(here)
    value = np.zeros(len(here.cells))
    for _ in range(moves):
        after = np.array([[value[near] for near in here.neighbours[cell]] for cell in range(len(value))])
        paid = np.array(
            [[-(near != here.goal) for near in here.neighbours[cell]] for cell in range(len(value))]
        )
        q = paid + after
        value = (1 - skill) * q.mean(axis=1) + skill * q[np.arange(len(value)), list(best)]
        value[here.goal] = 0.0
    return float(value[list(here.starts)].mean())


def wordle_value(skill: float, names: str = "common-40") -> float:
    """Of a player that says a word that fits with `skill`, else any: over the sets of words that are left."""
    words = vocabulary_of(names)
    table = words.table(True)
    known: dict[tuple[bytes, int], float] = {}

    def value(left: np.ndarray, tries: int) -> float:
        """Misses to come, summed over the words of `left`."""
        key = left.tobytes(), tries
        if tries and key not in known:
            chances = np.full(len(words), (1 - skill) / len(words))
            chances[left] += skill / len(left)
            total = 0.0
            for guess, chance in enumerate(chances):
                answers = table[guess, left]
                for answer in np.unique(answers):
                    part = left[answers == answer]
                    total += 0.0 if answer == SOLVED else chance * (len(part) + value(part, tries - 1))
            known[key] = total
        return known[key] if tries else 0.0

    return -value(np.arange(len(words)), 6) / len(words)


def all_estimates(env_id: str, behaviour: str, player_name: str, games: int, **keywords: str):
    data = collect(env_id, behaviour, games, seed=7, **keywords)
    player = policy_named(player_name, env_id, **keywords)
    context = gymnasium.make(env_id, disable_env_checker=True, **keywords).unwrapped.context
    log_probs = player_log_probs(data, player.distribution, context)
    tables = Tables(data, log_probs, context)
    rows = estimates(logged(data, log_probs, tables.values()))
    return {row.name: row for row in rows}, tables


def test_uniform_wordle_from_the_datas_player_is_the_exact_value():
    # 39/40 of the guesses miss, whatever was said before
    exact = -sum((39 / 40) ** t for t in range(1, 7))
    assert wordle_value(0.0) == pytest.approx(exact)
    rows, tables = all_estimates(WORDLE, "mixed", "random", 1200, vocabulary="common-40")
    for name in ("per-decision", "weighted per-decision", "doubly robust", "weighted doubly robust"):
        row = rows[name]
        slack = 0.5 * (row.high - row.low)  # twice the interval: one sample in many thousands lies outside
        assert row.low - slack < exact < row.high + slack, name
    # Most histories are met once. What the tables lack is weighted towards the player: an eighth of the way
    # from the exact value to the data's mean is left, where all of it was when the data's own mean stood in.
    gap = rows["fitted Q evaluation"].value - exact
    assert 0 < gap < 0.125 * (wordle_value(0.33) - exact)
    assert tables.known() < 0.5


def one_step(observations: str) -> Tables:
    """Two games that say a, paid 1, and two that say b, paid 5, each as likely; the player always says a."""
    games = [
        Trajectory(
            MAZE,
            {},
            (Turn(observation, False), Turn(said, True, paid, log_prob=math.log(0.5)), Turn("!", False)),
            True,
            False,
        )
        for observation, said, paid in zip(observations, "aabb", (1.0, 1.0, 5.0, 5.0), strict=True)
    ]
    return Tables(games, [np.array([log]) for log in (0.0, 0.0, -math.inf, -math.inf)], None)


def test_what_the_tables_lack_has_the_mean_of_what_the_player_would_have_said():
    # Every game begins otherwise, so that nothing is known: the mean of all is 3, the player's is 1.
    tables = one_step("wxyz")
    assert [values.v[0] for values in tables.values()] == pytest.approx([1.0] * 4)
    assert tables.known() == 0


def test_tables_that_hold_all_that_the_player_says_are_exact():
    tables = one_step("wwww")
    assert [values.v[0] for values in tables.values()] == pytest.approx([1.0] * 4)
    assert tables.known() == 1


def test_where_the_player_says_nothing_of_the_data_their_mean_stands_in():
    turns = (Turn("?\n", False), Turn("a\n", True, 2.0, log_prob=0.0))
    games = [Trajectory(MAZE, {}, turns, True, False)] * 2
    tables = Tables(games, [np.array([-math.inf])] * 2, None)
    assert [values.v[0] for values in tables.values()] == [2.0, 2.0]
    assert tables.known() == 0


def test_fitted_q_of_a_maze_is_the_exact_value_where_every_cell_was_seen():
    skill = 0.4
    data = collect(MAZE, "random", 150, seed=3)

    def some(history):
        here = world("double_t", GOALS["double_t"])
        cell = here.positions.index(history[-1].text)
        best = best_moves(here)[cell]
        return {text: 0.15 + skill * (move == best) for move, text in enumerate(ACTIONS)}

    tables = Tables(data, player_log_probs(data, some, 1), 1, sweeps=100)
    begins = [values.v[0] for values in tables.values()]
    starts = {game.turns[0].text: v for game, v in zip(data, begins, strict=True)}
    assert len(starts) == 25
    # every move of the maze is certain, so a pair that was seen once is known: the fit has no noise
    assert np.mean(list(starts.values())) == pytest.approx(maze_value(skill), abs=0.05)


def test_doubly_robust_is_exact_with_an_exact_q_whatever_the_weights():
    # one cell, two utterances that pay 1 and 3; the player says the second with .75: its value is 2.5
    rng = np.random.default_rng(0)
    games = []
    for _ in range(50):
        is_second = rng.random() < 0.1
        ratio = math.log(0.75 / 0.1) if is_second else math.log(0.25 / 0.9)
        pays = 3.0 if is_second else 1.0
        values = Values(np.array([pays]), np.array([2.5]), 0.0)
        games.append(Logged(np.array([ratio]), np.array([pays]), values))
    row = {one.name: one for one in estimates(games)}["doubly robust"]
    assert (row.value, row.low, row.high) == pytest.approx((2.5, 2.5, 2.5))


def test_a_cut_game_goes_on_with_the_value_of_where_it_was_cut():
    values = Values(np.array([0.0]), np.array([0.0]), 7.0)
    games = [Logged(np.zeros(1), np.ones(1), values)] * 2
    assert found(games)["doubly robust"] == 1 + 7
    assert found(games)["weighted doubly robust"] == 1 + 7
    assert found(games)["per-decision"] == 1


@pytest.mark.slow
def test_intervals_hold_the_exact_value_as_often_as_they_say():
    """Wordle, the data's player judged from uniform games: 60 data sets of 600 games."""
    exact = wordle_value(0.33)
    player = policy_named("mixed", WORDLE, vocabulary="common-40")
    data = collect(WORDLE, "random", 36_000, seed=11, vocabulary="common-40")
    games = logged(data, player_log_probs(data, player.distribution, None))
    borders = range(0, len(games) + 1, 600)
    held: dict[str, int] = {}
    for begin, end in pairwise(borders):
        for row in estimates(games[begin:end], resamples=400, seed=begin):
            held[row.name] = held.get(row.name, 0) + (row.low <= exact <= row.high)
    # of 60, a true 95 % holds 53 or more in 98 samples of 100; plain sampling has too long a tail for that
    assert held["per-decision"] >= 51
    assert held["weighted per-decision"] >= 51


# ---- the command ----


def test_the_command_prints_and_writes_every_estimator(tmp_path, capsys):
    path = tmp_path / "ope.json"
    arguments = ["ope", "expert", "--data", "wordle/common40-mixed-v0", "--games", "300", "--resamples", "50"]
    assert main([*arguments, "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    record = json.loads(path.read_text())
    assert len(record["estimates"]) == 7
    assert all(one["name"] in shown for one in record["estimates"])
    assert record["env_kwargs"] == {"vocabulary": "common-40"}
    assert record["held"] < 0.5
    assert record["estimates"][-1]["low"] is None
    assert "fitted Q evaluation has no interval" in shown


def test_fitted_q_has_an_interval_where_the_tables_hold_what_is_said(tmp_path, capsys):
    path = tmp_path / "ope.json"
    arguments = ["ope", "mixed", "--data", "maze/random-v0", "--games", "200", "--resamples", "50"]
    assert main([*arguments, "--json", str(path)]) == 0
    assert "has no interval" not in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record["held"] > 0.9
    assert record["estimates"][-1]["low"] < record["estimates"][-1]["high"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "--data", "maze/random-v0"], "has no player 'nobody'"),
        (["random", "--data", "maze/random-v0", "--gamma", "1.5"], "gamma must be in"),
        (["random", "--data", "maze/random-v0", "--games", "1"], "--games must be at least 2"),
        (["random", "--data", "maze/random-v0", "--resamples", "0"], "--resamples must be at least 1"),
        (["random", "--data", "maze/random-v0", "--temperature", "-1"], "--temperature must be 0 or more"),
        (["random", "--data", "maze/random-v0", "--temperature", "0.5"], "'random' is no run"),
        (["nowhere", "--data", "maze/random-v0", "--games", "5"], "or the folder of a training run"),
        (["random", "--data", "car_dealer/random-v0", "--games", "5"], "cannot tell how likely"),
        (["random", "--data", "chess/mixed-v0", "--games", "5"], "has no behaviour log-probability"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(arguments, message, capsys):
    if "chess/mixed-v0" in arguments:
        pytest.importorskip("chess")
    assert main(["ope", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_games_of_two_environments_are_refused(tmp_path, capsys):
    data = collect(MAZE, "random", 2)
    other = replace(data[0], env_id="lmrlgym/MazePartial-v0")
    path = str(Dataset((data[0], other)).save(tmp_path / "both.jsonl"))
    assert main(["ope", "random", "--data", path]) == 2
    assert "games of one environment" in capsys.readouterr().err
