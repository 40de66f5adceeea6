"""What every registered environment promises. Games are found in Gymnasium's registry, not listed."""

from __future__ import annotations

import hashlib
import inspect
import os
import pickle
import random  # noqa: TID251 - only to see that nobody touches its stream
import subprocess
import sys
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode, VectorEnv

from lmrlgym import TextEnv, check_env, rollout
from lmrlgym.testing import INFO_KEYS, Sayer, check_hostile_steps, likely_actions, plays

IDS = sorted(env_id for env_id in gymnasium.registry if env_id.startswith("lmrlgym/"))
every_id = pytest.mark.parametrize("env_id", IDS)
every_mode = pytest.mark.parametrize("compat", [False, True], ids=["clean", "compat"])


def made(env_id: str, **kwargs: Any) -> TextEnv:
    env = gymnasium.make(env_id, **kwargs).unwrapped
    assert isinstance(env, TextEnv)
    return env


def short_games(env_id: str) -> dict[str, int]:
    """Keywords that keep the games short enough to end in a test."""
    return {"max_moves": 60} if "max_moves" in inspect.signature(type(made(env_id))).parameters else {}


def test_there_are_environments_to_check():
    assert {"lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0", "lmrlgym/Wordle-v0"} <= set(IDS)


@every_id
def test_gymnasiums_checker_is_satisfied_without_a_warning(env_id: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(made(env_id))


@every_id
@every_mode
def test_our_checker_is_satisfied_without_a_warning(env_id: str, compat: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id, compat=compat))
        check_env(gymnasium.make(env_id, compat=compat, privileged=True))


@every_id
@pytest.mark.parametrize("privileged", [False, True])
def test_info_has_the_same_keys_at_reset_and_every_step(env_id: str, privileged: bool):
    env = made(env_id, privileged=privileged)
    wanted = [*INFO_KEYS, "task", "secret"] if privileged else [*INFO_KEYS]
    for *_, info in plays(env, likely_actions(env, 300), 1):
        assert list(info) == wanted
        assert list(info["partner_usage"]) == ["calls", "prompt_tokens", "completion_tokens"]


# ---- the same game everywhere ----


@every_id
@every_mode
def test_the_same_seed_and_actions_give_the_same_game(env_id: str, compat: bool):
    env, twin = made(env_id, compat=compat), made(env_id, compat=compat)
    actions = likely_actions(env, 300)
    assert list(plays(env, actions, 3)) == list(plays(twin, actions, 3))


PLAYED_HASHES = """
import hashlib, sys, gymnasium, lmrlgym
from lmrlgym.testing import Sayer, likely_actions
for env_id in sys.argv[1:]:
    said = likely_actions(gymnasium.make(env_id).unwrapped, 100)
    games = lmrlgym.rollout(env_id, Sayer(said), 20, seed=5, parallel=3)
    print(hashlib.sha256("\\n".join(game.to_json() for game in games).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def hashes_in_other_processes() -> list[list[str]]:
    """The hashes of 20 games of every id, by two processes whose sets and dicts hash differently."""

    def hashes(seed: str) -> list[str]:
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", PLAYED_HASHES, *IDS]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    return [hashes("1"), hashes("2")]


@every_id
def test_other_processes_play_the_same_games(env_id: str, hashes_in_other_processes: list[list[str]]):
    games = rollout(env_id, Sayer(likely_actions(made(env_id), 100)), 20, seed=5)
    here = hashlib.sha256("\n".join(game.to_json() for game in games).encode()).hexdigest()
    assert [hashes[IDS.index(env_id)] for hashes in hashes_in_other_processes] == [here, here]


@every_id
@pytest.mark.parametrize("parallel", [2, 5, 16, 40])
def test_rollout_plays_the_same_games_however_many_at_once(env_id: str, parallel: int):
    policy = Sayer(likely_actions(made(env_id), 100))
    assert rollout(env_id, policy, 16, seed=8, parallel=parallel) == rollout(env_id, policy, 16, seed=8)


def info_of(infos: dict[str, Any], game: int) -> dict[str, Any]:
    """The info of one game out of those of a vector environment."""
    own = {key: value for key, value in infos.items() if not key.startswith("_")}
    return {
        key: info_of(value, game) if isinstance(value, dict) else value[game] for key, value in own.items()
    }


def told_by(vector: VectorEnv[Any, Any, Any], actions: list[list[str]]) -> list[list[tuple[Any, ...]]]:
    """What each game of `vector` tells, step by step, autoresets included."""
    observations, infos = vector.reset(seed=70)
    count = vector.num_envs
    told: list[list[tuple[Any, ...]]] = [
        [(observations[i], 0.0, False, False, info_of(infos, i))] for i in range(count)
    ]
    for said in actions:
        observations, rewards, terminated, truncated, infos = vector.step(tuple(said))
        for i in range(count):
            info = info_of(infos, i)
            told[i].append((observations[i], rewards[i], terminated[i], truncated[i], info))
    vector.close()
    return told


def told_alone(env: gymnasium.Env[str, str], seed: int, actions: list[str]) -> list[tuple[Any, ...]]:
    """What one game tells when the step after its end resets it, as `NEXT_STEP` does."""
    observation, info = env.reset(seed=seed)
    told: list[tuple[Any, ...]] = [(observation, 0.0, False, False, info)]
    for action in actions:
        if told[-1][2] or told[-1][3]:
            observation, info = env.reset()
            told.append((observation, 0.0, False, False, info))
        else:
            told.append(env.step(action))
    return told


@every_id
def test_all_ways_to_make_it_play_alike(env_id: str):
    texts = likely_actions(made(env_id), 900)
    actions = [texts[k : k + 3] for k in range(0, 900, 3)]
    short = short_games(env_id)
    alone = [
        told_alone(gymnasium.make(env_id, **short), 70 + i, [said[i] for said in actions]) for i in range(3)
    ]
    assert sum(told[2] or told[3] for game in alone for told in game) >= 3, "no game ended: play longer"
    ways: tuple[tuple[str, dict[str, Any]], ...] = (
        ("sync", {}),
        ("async", {"vector_kwargs": {"shared_memory": False}}),
        ("vector_entry_point", {}),
    )
    for mode, kwargs in ways:
        vector = gymnasium.make_vec(env_id, 3, vectorization_mode=mode, **kwargs, **short)
        assert told_by(vector, actions) == alone, mode


@every_id
def test_shared_memory_is_refused_loudly(env_id: str):
    with pytest.raises(ValueError, match="shared_memory"):
        gymnasium.make_vec(env_id, 2, vectorization_mode="async")


@every_id
def test_a_finished_game_waits_for_its_reset_where_autoreset_is_disabled(env_id: str):
    vector = gymnasium.make_vec(
        env_id, 2, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.DISABLED
    )
    vector.reset(seed=0)
    for action in likely_actions(made(env_id), 5_000):
        over = np.logical_or(*vector.step((action, action))[2:4])
        if over.any():
            break
    with pytest.raises(ResetNeeded):
        vector.step((action, action))
    vector.reset(seed=1, options={"reset_mask": over})
    vector.step((action, action))


# ---- copies ----


@every_id
@every_mode
@pytest.mark.parametrize("copy_of", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_in_mid_game_goes_on_identically(env_id: str, compat: bool, copy_of: Any):
    env = made(env_id, compat=compat)
    actions = likely_actions(env, 200)
    env.reset(seed=6)
    env.step(actions[0])
    copy = copy_of(env)
    ahead = list(plays(copy, actions, None))
    assert len(env.history) == 3
    assert list(plays(env, actions, None)) == ahead
    assert env.history == copy.history


@every_id
def test_the_wrapped_environment_can_be_copied_too(env_id: str):
    env = gymnasium.make(env_id)
    env.reset(seed=6)
    actions = likely_actions(made(env_id), 3)
    copy = deepcopy(env)
    assert copy.step(actions[0]) == env.step(actions[0])
    assert copy.unwrapped is not env.unwrapped


# ---- anything may be said ----


@every_id
@every_mode
def test_100_000_hostile_actions_are_answered_by_the_rules(env_id: str, compat: bool):
    check_hostile_steps(made(env_id, compat=compat), 50_000 if compat else 100_000)


@every_id
def test_stepping_before_the_reset_and_after_the_end_is_refused(env_id: str):
    env = made(env_id)
    with pytest.raises(ResetNeeded):
        env.step("anything\n")
    env.reset(seed=0)
    for action in likely_actions(env, 5_000):
        if any(env.step(action)[2:4]):
            break
    with pytest.raises(ResetNeeded):
        env.step("anything\n")


@every_id
@pytest.mark.parametrize("options", [{"no such option": 1}, {"task": -1}, {"task": "0"}, {"task": 0.5}])
def test_unknown_options_and_wrong_tasks_are_value_errors(env_id: str, options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"option|task"):
        made(env_id).reset(options=options)


@every_id
def test_there_is_no_task_beyond_the_last(env_id: str):
    env = made(env_id)
    env.reset(options={"task": env.tasks - 1})
    assert env.task == env.tasks - 1
    with pytest.raises(ValueError, match=f"from 0 to {env.tasks - 1}, got {env.tasks}"):
        env.reset(options={"task": env.tasks})


@every_id
def test_the_global_random_streams_are_left_alone(env_id: str):
    def streams() -> tuple[Any, str]:
        return random.getstate(), repr(np.random.get_state())  # noqa: NPY002

    before = streams()
    env = made(env_id)
    list(plays(env, likely_actions(env, 200), None))
    list(plays(env, likely_actions(env, 200), 4))
    assert streams() == before
