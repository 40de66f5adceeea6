"""The truth that critics are held against: by hand in small games, by tokens, as the command prints it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lmrlgym import Trajectory, Turn, collect, rollout
from lmrlgym.analysis.critic import Chance, Ids, Level, _Prefixes, audit_critic, calibration, measure
from lmrlgym.cli import main
from lmrlgym.collection import SolverPolicy, policy_named, solver_of
from lmrlgym.policies import FrequencyPolicy
from lmrlgym.types import History

MAZE, WORDLE = "lmrlgym/Maze-v0", "lmrlgym/Wordle-v0"
NAN = (math.nan, math.nan)


class SaysZero:
    """A critic that knows nothing. Every utterance is two tokens, the first of which all have in common."""

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def ids(self, turn: Turn) -> Ids:
        return (0, 1 + sum(turn.text.encode())) if turn.text else ()

    def read(self, asked: Sequence[tuple[History, Turn]]) -> list[list[tuple[float, float]]]:
        return [[(0.0, 0.0)] * 2 for _ in asked]


def start(env_id: str, options: dict[str, Any], said: str, **env_kwargs: Any) -> list[Trajectory]:
    """A game of which only the first action is looked at."""
    task = options["task"]
    (game,) = rollout(env_id, FrequencyPolicy({said: 1.0}), 1, tasks=[task], env_kwargs=env_kwargs)
    return [Trajectory(env_id, env_kwargs, game.turns[:2], False, True, game.seed, options, {})]


def best(env_id: str, **env_kwargs: Any) -> SolverPolicy:
    return SolverPolicy(solver_of(env_id, **env_kwargs))


# ---- best play ----


def test_best_play_is_discounted_by_the_tokens_of_what_is_still_to_be_said():
    # The stem of the maze: the goal is row 8, column 6. Its last free cells are tasks 23 (6, 6), 24 (7, 6).
    # Two moves away, two tokens each, gamma 1/2: moving down earns -1 and then 0, so Q = -1.
    # A wall costs -1 and leaves V = gamma * -1 = -0.5 a token later: Q = -1 + 0.5 * -0.5 = -1.25, twice.
    # Up leads three moves away: V = gamma * (-1 + gamma * -0.5) = -0.625, so Q = -1 - 0.3125 = -1.3125.
    games = start(MAZE, {"task": 23}, "move down\n")
    found = audit_critic(SaysZero(0.5), best(MAZE), "best", games)
    assert found.places == 1
    assert found.how.startswith("exact")
    assert found.levels["turn Q"].cases == 4
    assert found.levels["turn Q"].bias.value == pytest.approx((1 + 1.25 + 1.25 + 1.3125) / 4)
    # Down was said in the game, the others are what its data need not hold.
    assert found.levels["turn Q of what was said"].cases == 1
    assert found.levels["turn Q of what was said"].bias.value == pytest.approx(1)
    # Before the first token the best action, Q -1, is two tokens long: V = gamma * -1.
    assert found.levels["turn V"].bias.value == pytest.approx(0.5)
    assert found.levels["turn Q"].noise == 0


def test_what_is_hidden_is_played_on_in_every_task_that_fits():
    # Two words: either guess hits in half the tasks, else it misses once and the other word is said.
    words = {"vocabulary": ("crane", "slate")}
    games = start(WORDLE, {"task": 0}, "c r a n e\n", **words)
    found = audit_critic(SaysZero(0.5), best(WORDLE, **words), "best", games)
    assert found.levels["turn Q"].cases == 2
    assert found.levels["turn Q"].bias.value == pytest.approx(0.5)


# ---- players that draw ----


def test_a_player_that_draws_is_evaluated_by_equations_where_the_newest_observation_tells_all():
    # One move from the goal; half of the time it is made, else a wall is met, all of two tokens.
    # Q(down) = 0 and Q(wall) = -1 + gamma V with V = gamma (Q(down) + Q(wall)) / 2 and gamma = 1/2:
    # V = (-1 + V / 2) / 4, so V = -2/7 up to the share that was drawn (400 draws: 1/2 within 0.1).
    games = start(MAZE, {"task": 24}, "move down\n")
    player = FrequencyPolicy({"move down\n": 0.5, "move left\n": 0.5})
    found = audit_critic(SaysZero(0.5), player, "data", games)
    # The other state is the one above, which moving up leads to.
    assert found.how == "linear equations over 2 states, 400 actions drawn in each"
    assert found.levels["turn V"].bias.value == pytest.approx(2 / 7, abs=0.06)


def test_a_player_that_is_told_more_than_the_agent_is_evaluated_in_every_place_that_fits():
    # The player sees positions, the agent walls. Eight starts have walls on both sides: both cells of the
    # stem and three of either trunk. Always down, two tokens each, gamma 1/2: Q is 0 from (7, 6), -1 from
    # (6, 6), and in a trunk walls for ever, -1 - 1/4 - 1/16 - ... = -4/3.
    games = start("lmrlgym/MazePartial-v0", {"task": 24}, "move down\n")
    player = FrequencyPolicy({"move down\n": 1.0})
    found = audit_critic(SaysZero(0.5), player, "data", games, played_as=MAZE)
    assert found.how.startswith("linear equations")
    assert found.levels["turn V"].bias.value == pytest.approx(0.5 * (0 + 1 + 6 * 4 / 3) / 8)
    assert found.levels["turn V"].noise == 0


def test_elsewhere_games_are_played_on_and_the_noise_is_told():
    # In the partial maze a player may look back. The first observation of the stem, walls on both sides, is
    # that of (6, 6) and (7, 6) and of the cells of both trunks, so that games that only move down differ.
    games = start("lmrlgym/MazePartial-v0", {"task": 24}, "move down\n")
    player = FrequencyPolicy({"move down\n": 1.0})
    found = audit_critic(SaysZero(0.5), player, "agent", games, repeats=8)
    assert found.how == "8 games played on from each"
    assert found.levels["turn V"].noise > 0
    # No game is worth less than walls for ever: 0.5 * (-1 - 1/4 - 1/16 - ...) = -2/3; none more than 0.
    assert 0 < found.levels["turn V"].bias.value < 2 / 3


# ---- tokens ----


def test_a_token_is_worth_what_it_leaves_open():
    chances = [Chance((1, 2), -1.0, 3.0), Chance((1, 3), -3.0, 1.0), Chance((4,), -2.0, 4.0)]
    at_best = _Prefixes(chances, 0.5, is_best=True, is_sampled=False)
    assert at_best.q((1, 3)) == (-3.0, 0.0)
    assert at_best.q((1,)) == (-0.5, 0.0)  # the better of -1 and -3, a token later
    assert at_best.v((1,)) == (-1.0, 0.0)  # before the last token: its Q
    assert at_best.v(()) == (-0.5, 0.0)  # the best of 0.5 * -1, 0.5 * -3 and -2
    assert str(at_best.q((9,))) == str(NAN)
    mean = _Prefixes(chances, 0.5, is_best=False, is_sampled=False)
    assert mean.q((1,))[0] == pytest.approx(0.5 * (3 * -1 + 1 * -3) / 4)
    assert mean.v(())[0] == pytest.approx((3 * 0.5 * -1 + 1 * 0.5 * -3 + 4 * -2) / 8)


# ---- measures ----


def test_error_rank_and_calibration_of_pairs():
    level = Level()
    for said, exact in ((1.0, 2.0), (2.0, 3.0), (4.0, 5.0), (3.0, 3.5)):
        level.add(said, (exact, 0.25))
    level.add(math.nan, (1.0, 0.0))
    found = measure(level)
    assert found.cases == 4
    assert found.bias.value == pytest.approx(-(1 + 1 + 1 + 0.5) / 4)
    assert found.rmse == pytest.approx(math.sqrt((1 + 1 + 1 + 0.25) / 4))
    assert found.noise == 0.5
    assert found.spearman == 1.0
    parts = calibration(np.array(level.said), np.array(level.exact), bins=2)
    assert parts == ((2, 1.5, 2.5), (2, 3.5, 4.25))


def test_partners_that_hide_something_are_refused():
    games = collect("lmrlgym/TwentyQuestions-v0", "random", 1)
    player = policy_named("random", "lmrlgym/TwentyQuestions-v0")
    with pytest.raises(ValueError, match="hides something in its partner"):
        audit_critic(SaysZero(0.9), player, "data", games)


@pytest.mark.slow
def test_endgames_are_played_on_against_the_partner():
    pytest.importorskip("chess")
    env_id = "lmrlgym/ChessEndgames-v0"
    games = rollout(env_id, best(env_id), 1, seed=3)
    found = audit_critic(SaysZero(0.9), best(env_id), "best", games, states=2, repeats=2)
    # Best play always mates, so V is 0.9 to the power of the tokens that are left: between 0 and 1.
    assert -1 < found.levels["turn V"].bias.value < 0
    assert found.how == "2 games played on from each"


# ---- the command ----


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("ilql", "best"), ("mc_returns", "data"), ("ppo", "agent")])
def test_a_run_is_audited_against_what_its_algorithm_estimates(name, target, tmp_path, capsys):
    start = ["--rounds", "1", "--steps", "1", "--repeats", "0"]
    assert main(["train", name, MAZE, "--out", str(tmp_path / "run"), *start, "--batch-size", "4"]) == 0
    wanted = ["--json", str(tmp_path / "audit.json"), "--states", "3", "--games", "maze/expert-v0"]
    assert main(["audit-critic", str(tmp_path / "run"), *wanted]) == 0
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["target"] == target
    assert record["decisions"] == 3
    has_q = name != "ppo"
    assert ("turn Q" in record["levels"]) == has_q
    assert ("turn V" in record["levels"]) == (name != "mc_returns")
    assert "LEVEL" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["audit-critic", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
