"""Playing games with a policy, and saying how they went."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from lmrlgym import Action, TextVectorEnv, Trajectory, Turn, rollout, summarise
from lmrlgym.rollouts import json_values
from lmrlgym.testing import Sayer
from tests.conftest import ASK, GUESS
from tests.toys import AskNumber, Dice, FailsOn, Says

GUESSES = Sayer([f"{number}\n" for number in range(5)])


# ---- rollout ----


@pytest.mark.parametrize("parallel", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("env_id", [GUESS, ASK])
def test_games_are_the_same_and_in_order_whatever_is_played_at_once(env_id: str, parallel: int):
    one_by_one = rollout(env_id, GUESSES, 10, seed=3)
    assert [game.seed for game in one_by_one] == list(range(3, 13))
    assert rollout(env_id, GUESSES, 10, seed=3, parallel=parallel) == one_by_one


def test_a_game_depends_on_its_own_seed_only():
    many = rollout(GUESS, GUESSES, 6, seed=100)
    assert rollout(GUESS, GUESSES, seed=[105, 102]) == [many[5], many[2]]


@pytest.mark.parametrize("seed", [[7, 8, 9], (7, 8, 9), range(7, 10), np.arange(7, 10), 7, np.int64(7)])
def test_seeds_are_one_number_or_one_a_game(seed: Any):
    games = rollout(GUESS, Says("1\n"), 3, seed=seed)
    assert [game.seed for game in games] == [7, 8, 9]
    assert all(type(game.seed) is int for game in games)


@pytest.mark.parametrize("tasks", [[4, 2, 0], range(4, -1, -2), np.array([4, 2, 0])])
def test_tasks_say_how_many_games_and_which(tasks: Any):
    games = rollout(GUESS, Says("4\n"), tasks=tasks)
    assert [game.options for game in games] == [{"task": 4}, {"task": 2}, {"task": 0}]
    assert [game.info["success"] for game in games] == [True, False, False]


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"episodes": 2, "tasks": [1]},
        {"episodes": 2, "seed": [1, 2, 3]},
        {"seed": [1, 2], "tasks": [1]},
        {"episodes": -1},
        {"episodes": 1.5},
        {"episodes": 1, "seed": 0.5},
    ],
)
def test_counts_that_disagree_or_say_nothing_are_refused(counts: dict[str, Any]):
    with pytest.raises(ValueError, match=r"how many games|whole number"):
        rollout(GUESS, GUESSES, **counts)


@pytest.mark.parametrize("counts", [{"episodes": 0}, {"tasks": []}, {"seed": []}])
def test_no_games_are_an_empty_list(counts: dict[str, Any]):
    assert rollout(GUESS, GUESSES, parallel=4, **counts) == []


def test_parallel_is_at_least_one():
    with pytest.raises(ValueError, match="parallel must be at least 1, got 0"):
        rollout(GUESS, GUESSES, 1, parallel=0)


def test_an_idle_slot_sees_nothing_and_no_more_slots_are_made_than_games():
    policy = Says("0\n")
    rollout(GUESS, policy, tasks=[0, 1, 1], parallel=2)
    # Both play; the first is replaced by the third game, which outlives the second by one step.
    assert policy.widths == [2, 2, 2, 1]


def test_the_policy_sees_what_the_context_of_the_game_shows():
    class Listens(Says):
        def act(self, histories: Any, rngs: Any) -> Any:
            assert all(len(history) == 1 for history in histories)
            return ["move up\n" for _ in histories]

    game = rollout("lmrlgym/Maze-v0", Listens(), 1, env_kwargs={"max_moves": 3})[0]
    assert len(game.turns) == 7


def test_the_policys_draws_are_those_of_its_own_stream_of_the_games_seed():
    class Draws:
        def act(self, histories: Any, rngs: Any) -> list[str]:
            return [f"{rng.integers(1_000_000)}\n" for rng in rngs]

    games = rollout(GUESS, Draws(), 2, seed=50, parallel=2)
    for game in games:
        rng = np.random.default_rng(np.random.SeedSequence([game.seed, 1]))
        said = [turn.text for turn in game.turns if turn.is_action]
        assert said == [f"{rng.integers(1_000_000)}\n" for _ in range(3)]


def test_sampled_ids_reach_the_trajectory():
    game = rollout(GUESS, Says(Action("4\n", (9,), (-0.1,))), tasks=[4])[0]
    assert game.turns[1] == Turn("4\n", True, 1.0, (9,), (-0.1,))


def test_a_policy_that_says_too_little_is_refused():
    class Short:
        def act(self, histories: Any, rngs: Any) -> list[str]:
            return ["0\n"]

    with pytest.raises(ValueError, match="the policy gave 1 actions for 2 games"):
        rollout(GUESS, Short(), 2, parallel=2)


def test_games_are_closed_when_the_policy_fails(monkeypatch: pytest.MonkeyPatch):
    closed = []
    monkeypatch.setattr(TextVectorEnv, "close_extras", lambda self, **kwargs: closed.append(self))

    class Fails:
        def act(self, histories: Any, rngs: Any) -> list[str]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        rollout(GUESS, Fails(), 2)
    assert len(closed) == 1


def test_a_vector_env_is_played_in_and_stays_open():
    vector = gymnasium.make_vec(GUESS, 3, vectorization_mode="vector_entry_point", limit=2)
    games = rollout(vector, GUESSES, 8, seed=1)  # type: ignore[arg-type]
    assert games == rollout(GUESS, GUESSES, 8, seed=1, env_kwargs={"limit": 2})
    assert games[0].env_kwargs == {"limit": 2}
    assert not vector.closed
    assert len(vector.step(["0\n"] * 3)[0]) == 3


def test_keywords_go_with_an_id_only():
    vector = gymnasium.make_vec(GUESS, 1, vectorization_mode="vector_entry_point")
    with pytest.raises(ValueError, match="env_kwargs"):
        rollout(vector, GUESSES, 1, env_kwargs={"limit": 2})  # type: ignore[arg-type]


def test_a_vector_env_without_an_id_and_other_things_are_refused():
    with pytest.raises(ValueError, match="make_vec"):
        rollout(TextVectorEnv([AskNumber()], AutoresetMode.DISABLED), GUESSES, 1)
    with pytest.raises(ValueError, match="id or a TextVectorEnv"):
        rollout(gymnasium.make(GUESS), GUESSES, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"CartPole-v1 is not a lmrlgym\.TextEnv"):
        rollout("CartPole-v1", GUESSES, 1)


def test_a_step_limit_that_only_gymnasium_keeps_is_refused():
    gymnasium.register("toys/Limited-v0", entry_point="tests.toys:GuessNumber", max_episode_steps=2)
    with pytest.raises(ValueError, match="make the limit a rule of the game"):
        rollout("toys/Limited-v0", GUESSES, 1)


def test_an_unknown_keyword_of_the_game_is_named():
    with pytest.raises(TypeError, match="limits"):
        rollout(GUESS, GUESSES, 1, env_kwargs={"limits": 3})


def test_a_game_that_its_partner_broke_is_played_once_more():
    class Hiccup(Dice):
        def reply(self, queries: Any) -> Any:
            said = super().reply(queries)
            if len(self.calls) == 2:
                raise RuntimeError("no connection")
            return said

    hiccup = Hiccup()
    games = rollout(ASK, GUESSES, 2, seed=5, env_kwargs={"partner": hiccup})
    healthy = rollout(ASK, GUESSES, 2, seed=5, env_kwargs={"partner": Dice()})
    # Three asks a game: the first try ends at its second, then 3 + 3 follow.
    assert len(hiccup.calls) == 2 + 3 + 3
    assert [game.turns for game in games] == [game.turns for game in healthy]


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_game_broken_twice_ends_as_truncated_and_the_others_go_on(parallel: int):
    broken = FailsOn(1, "raises")
    games = rollout(ASK, GUESSES, tasks=[0, 1, 2], parallel=parallel, env_kwargs={"partner": broken})
    healthy = rollout(ASK, GUESSES, tasks=[0, 1, 2])
    assert [game.truncated for game in games] == [False, True, False]
    assert games[1].info["stop_reason"] == "partner_error"
    assert [games[0].turns, games[2].turns] == [healthy[0].turns, healthy[2].turns]


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]):
    rollout(GUESS, GUESSES, 3, progress=True)
    assert "3/3" in capsys.readouterr().err
    rollout(GUESS, GUESSES, 3)
    assert capsys.readouterr().err == ""


def test_keywords_are_written_as_json_values():
    written = json_values({"path": Path("words.txt"), "partner": Dice(), "words": ("a", "b"), "limit": 3})
    assert written == {"path": "words.txt", "partner": "Dice", "words": ["a", "b"], "limit": 3}


# ---- summarise ----


def game(reward: float, task: int | None = None, **info: Any) -> Trajectory:
    turns = (Turn("Guess.\n", False), Turn("4\n", True, reward, (1, 2, 3)), Turn("No.\n", False))
    return Trajectory(
        GUESS, {}, turns, True, False, options={} if task is None else {"task": task}, info=info
    )


def test_means_and_counts():
    usage = {"calls": 1, "prompt_tokens": 10, "completion_tokens": 4}
    summary = summarise([game(-1.0, success=False, partner_usage=usage), game(0.0, success=True)])
    assert (summary.episodes, summary.return_mean, summary.success, summary.length) == (2, -0.5, 0.5, 1.0)
    assert (summary.agent_tokens, summary.partner_tokens, summary.partner_errors) == (6, 14, 0)


def test_the_interval_is_the_normal_one_of_the_mean():
    # returns 0, 2, 4: mean 2, sample variance 4, standard error sqrt(4/3)
    summary = summarise([game(0.0), game(2.0), game(4.0)])
    margin = 1.959964 * math.sqrt(4 / 3)
    assert summary.return_low == pytest.approx(2 - margin)
    assert summary.return_high == pytest.approx(2 + margin)


def test_tasks_played_twice_or_more_are_strata():
    # Task 0 always earns 0, task 1 always 10: all variance is between the tasks, which were not drawn.
    summary = summarise([game(0.0, 0), game(10.0, 1), game(0.0, 0), game(10.0, 1)])
    assert (summary.return_low, summary.return_mean, summary.return_high) == (5.0, 5.0, 5.0)


def test_strata_of_unequal_size_weigh_by_their_games():
    # Task 0: 0, 2 (variance 2); task 1: 1, 1, 4 (variance 3). Mean 8/5; its variance (2*2 + 3*3) / 5**2.
    summary = summarise([game(r, t) for r, t in ((0.0, 0), (2.0, 0), (1.0, 1), (1.0, 1), (4.0, 1))])
    assert summary.return_mean == pytest.approx(8 / 5)
    assert summary.return_high - summary.return_mean == pytest.approx(1.959964 * math.sqrt(13) / 5)


def test_a_task_played_once_makes_one_stratum_of_all():
    pair = summarise([game(0.0, 0), game(2.0, 1)])
    assert pair.return_high - pair.return_mean == pytest.approx(1.959964 * 1.0)
    assert summarise([game(0.0, 0), game(0.0, 0), game(3.0, 1)]).return_high > 1.0


def test_one_game_has_no_interval():
    summary = summarise([game(-3.0)])
    assert summary.return_mean == -3.0
    assert math.isnan(summary.return_low)
    assert math.isnan(summary.return_high)


def test_games_their_partner_broke_are_counted_but_leave_the_means():
    summary = summarise([game(-4.0, success=True), game(0.0, stop_reason="partner_error")])
    assert (summary.episodes, summary.partner_errors, summary.return_mean) == (2, 1, -4.0)
    assert (summary.success, summary.agent_tokens) == (1.0, 6)


def test_if_all_games_broke_there_is_no_mean():
    summary = summarise([game(0.0, stop_reason="partner_error")])
    assert math.isnan(summary.return_mean)
    assert math.isnan(summary.length)
    assert summary.partner_errors == 1


def test_no_games_have_no_summary():
    with pytest.raises(ValueError, match="no games"):
        summarise([])
