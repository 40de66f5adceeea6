"""Many games side by side."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from lmrlgym import Action, TextVectorEnv, Turn, vectorise
from lmrlgym.envs.maze import MazeEnv
from tests.conftest import GUESS
from tests.toys import AskNumber, Dice, FailsOn, GuessNumber


def games(
    *numbers: int, mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, limit: int = 3
) -> TextVectorEnv:
    """One `GuessNumber` for every hidden number, started."""
    vector = vectorise(GuessNumber)(len(numbers), autoreset_mode=mode, limit=limit)
    for i, number in enumerate(numbers):
        vector.reset_game(i, seed=i, options={"number": number})
    return vector


def test_every_game_gets_its_own_action():
    observations, rewards, terminated, truncated, infos = games(1, 2, 3).step(["2\n", "2\n", "2"])
    assert observations == ("Lower.\n", "Yes!\n", "Higher.\n")
    assert rewards.tolist() == [-1.0, 1.0, -1.0]
    assert terminated.tolist() == [False, True, False]
    assert truncated.tolist() == [False, False, False]
    assert infos["success"].tolist() == [False, True, False]


def test_observations_and_actions_belong_to_their_spaces():
    vector = games(1, 2)
    assert vector.step(vector.action_space.sample())[0] in vector.observation_space


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_actions_is_the_number_of_games(count: int):
    with pytest.raises(ValueError, match=f"expected 2 actions, one a game, got {count}"):
        games(1, 2).step(["1\n"] * count)


def test_actions_with_token_ids_are_kept():
    vector = games(1, 2)
    vector.step([Action("1\n", (5,), (-1.0,)), "1\n"])
    assert vector.envs[0].history[1] == Turn("1\n", True, 1.0, (5,), (-1.0,))


def test_no_games_and_games_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        TextVectorEnv([])
    with pytest.raises(ValueError, match="of one kind, got GuessNumber and AskNumber"):
        TextVectorEnv([GuessNumber(), AskNumber()])


# ---- seeds and options ----


def tasks_after(vector: TextVectorEnv, **kwargs: Any) -> list[int]:
    vector.reset(**kwargs)
    return [env.task for env in vector.envs]


def task_of(seed: int) -> int:
    """The number that `GuessNumber` draws from `seed`."""
    return int(np.random.default_rng(seed).integers(5))


@pytest.mark.parametrize("seed", [40, np.int64(40), [40, 41, 42], np.array([40, 41, 42]), (40, 41, 42)])
def test_game_i_is_seeded_with_seed_plus_i_or_the_ith_seed(seed: Any):
    assert tasks_after(games(0, 0, 0), seed=seed) == [task_of(40), task_of(41), task_of(42)]


def test_a_seed_of_none_goes_on_with_the_games_own_stream():
    vector = games(0, 0)
    vector.reset(seed=40)
    rngs = [np.random.default_rng(40), np.random.default_rng(7)]
    rngs[0].integers(5)
    assert tasks_after(vector, seed=[None, 7]) == [int(rng.integers(5)) for rng in rngs]


def test_too_few_seeds_are_refused():
    with pytest.raises(ValueError, match="expected 3 seeds, one a game, got 2"):
        games(0, 0, 0).reset(seed=[1, 2])


def test_options_go_to_every_game():
    assert tasks_after(games(0, 0, 0), options={"task": 3}) == [3, 3, 3]


def test_a_mask_resets_its_games_only_and_leaves_the_callers_options_alone():
    vector = games(1, 1, 1)
    vector.step(["0\n", "0\n", "0\n"])
    options = {"reset_mask": np.array([False, True, False]), "task": 4}
    observations, infos = vector.reset(seed=5, options=options)
    assert observations == ("Higher.\n", "Guess.\n", "Higher.\n")
    assert [env.task for env in vector.envs] == [1, 4, 1]
    assert infos["_turn"].tolist() == [False, True, False]
    assert options.keys() == {"reset_mask", "task"}


@pytest.mark.parametrize("mask", [[True, False, True], np.ones(2, bool), np.ones(3, int), True])
def test_a_mask_of_another_kind_is_refused(mask: Any):
    with pytest.raises(ValueError, match=r"reset_mask must be a bool array of shape \(3,\)"):
        games(1, 1, 1).reset(options={"reset_mask": mask})


# ---- after the end ----


def test_next_step_resets_a_finished_game_in_the_following_step():
    vector = games(1, 2)
    vector.step(["1\n", "1\n"])
    observations, rewards, terminated, _, infos = vector.step(["1\n", "1\n"])
    assert observations == ("Guess.\n", "Higher.\n")
    assert rewards.tolist() == [0.0, -1.0]
    assert terminated.tolist() == [False, False]
    assert infos["turn"].tolist() == [0, 2]


def test_same_step_resets_at_once_and_tells_the_last_observation():
    vector = games(1, 2, mode="SameStep")
    observations, rewards, terminated, _, infos = vector.step(["1\n", "1\n"])
    assert observations == ("Guess.\n", "Higher.\n")
    assert rewards.tolist() == [1.0, -1.0]
    assert terminated.tolist() == [True, False]
    assert infos["final_obs"].tolist() == ["Yes!\n", None]
    assert infos["final_info"]["success"].tolist() == [True, False]
    assert infos["turn"].tolist() == [0, 1]


def test_disabled_refuses_to_step_a_finished_game_until_it_is_reset():
    vector = games(1, 2, mode=AutoresetMode.DISABLED)
    vector.step(["1\n", "1\n"])
    with pytest.raises(ResetNeeded):
        vector.step(["1\n", "1\n"])
    # The refused step said nothing in the game that still runs.
    assert vector.envs[1].history[-1].text == "Higher.\n"
    assert len(vector.envs[1].history) == 3
    vector.reset(options={"reset_mask": np.array([True, False])})
    assert vector.step(["9\n", "2\n"])[0] == ("What?\n", "Yes!\n")


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
def test_it_behaves_as_gymnasiums_sync_vector_env(mode: AutoresetMode):
    ours = vectorise(GuessNumber)(3, autoreset_mode=mode)
    theirs = SyncVectorEnv([GuessNumber] * 3, autoreset_mode=mode)
    mask = np.array([True, False, True])
    calls = [lambda v: v.reset(seed=1)]
    calls += [lambda v, k=k: v.step([f"{(i + k) % 5}\n" for i in range(3)]) for k in range(12)]
    calls += [lambda v: v.reset(seed=9, options={"reset_mask": mask.copy()}), lambda v: v.step(["1\n"] * 3)]
    for call in calls:
        np.testing.assert_equal(call(ours), call(theirs))


def test_play_leaves_the_games_ready_for_step():
    vector = games(1, 2)
    vector.play(["1\n", None])
    assert vector.step(["1\n", "1\n"])[0] == ("Guess.\n", "Higher.\n")


def test_play_steps_only_the_games_that_say_something():
    vector = games(1, 2, 3)
    steps = vector.play([None, "2\n", None])
    assert steps[0] is None
    assert steps[2] is None
    assert steps[1] is not None
    assert steps[1].observation == "Yes!\n"
    assert [len(env.history) for env in vector.envs] == [1, 3, 1]


# ---- rendering, closing, making ----


def test_rendering_gives_every_game_or_nothing():
    vector = vectorise(GuessNumber)(2, render_mode="ansi")
    vector.reset(seed=0)
    assert vector.render() == ("Guess.\n", "Guess.\n")
    assert games(1).render() is None


def test_closing_closes_every_game_and_may_be_repeated():
    closed = []

    class Closes(GuessNumber):
        def close(self) -> None:
            closed.append(self)

    vector = TextVectorEnv([Closes(), Closes()])
    vector.close()
    vector.close()
    assert closed == vector.envs


def test_an_unknown_autoreset_mode_is_refused():
    with pytest.raises(ValueError, match="sometimes"):
        vectorise(GuessNumber)(2, autoreset_mode="sometimes")


def test_keywords_reach_every_game_and_unknown_ones_are_refused():
    vector = vectorise(MazeEnv)(2, max_moves=7)
    assert [env.max_moves for env in vector.envs] == [7, 7]  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="max_steps"):
        vectorise(MazeEnv)(2, max_steps=7)


def test_processes_with_shared_memory_are_refused_loudly():
    with pytest.raises(ValueError, match="shared_memory") as caught:
        AsyncVectorEnv([GuessNumber, GuessNumber], shared_memory=True)
    assert "shared_memory=False" in str(caught.value.__cause__)


def test_processes_without_shared_memory_tell_what_the_games_say():
    vector = gymnasium.make_vec(GUESS, 2, vectorization_mode="async", vector_kwargs={"shared_memory": False})
    try:
        vector.reset(options={"number": 2})
        assert vector.step(("1\n", "3\n"))[0] == ("Higher.\n", "Lower.\n")
    finally:
        vector.close()


# ---- partners ----


def asking(partner: Any, count: int = 3) -> TextVectorEnv:
    vector = TextVectorEnv([AskNumber(partner=partner) for _ in range(count)], AutoresetMode.DISABLED)
    for i in range(count):
        vector.reset_game(i, seed=i, options={"task": i})
    return vector


def test_all_games_ask_the_partner_in_one_call():
    dice = Dice()
    asking(dice).step(["a\n", "a\n", "a\n"])
    assert dice.calls == [3]


def test_only_games_that_need_the_partner_ask_it():
    dice = Dice()
    observations = asking(dice).step(["a\n", "\n", "a\n"])[0]
    assert dice.calls == [2]
    assert observations[1] == "Say something.\n"
    assert [text.split()[0] for text in (observations[0], observations[2])] == ["0", "2"]


def test_a_partner_nobody_asks_is_not_called():
    dice = Dice()
    asking(dice).step(["\n", "\n", "\n"])
    assert dice.calls == []


def test_games_side_by_side_share_the_first_games_partner():
    vector = TextVectorEnv([AskNumber(partner=Dice()) for _ in range(3)])
    assert len({id(env.partner) for env in vector.envs}) == 1  # type: ignore[attr-defined]


def test_side_by_side_the_partner_says_what_it_says_alone():
    def alone(task: int) -> str:
        env = AskNumber()
        env.reset(seed=task, options={"task": task})
        return env.step("a\n")[0]

    assert asking(Dice()).step(["a\n"] * 3)[0] == (alone(0), alone(1), alone(2))


@pytest.mark.parametrize("how", ["raises", "says too little", "says nothing", "gives up"])
def test_a_failing_partner_ends_only_the_game_that_made_it_fail(how: str):
    healthy = asking(Dice()).step(["a\n"] * 3)[0]
    observations, _, terminated, truncated, infos = asking(FailsOn(1, how)).step(["a\n"] * 3)
    assert observations == (healthy[0], "\n", healthy[2])
    assert truncated.tolist() == [False, True, False]
    assert not terminated.any()
    assert infos["stop_reason"].tolist() == ["", "partner_error", ""]
