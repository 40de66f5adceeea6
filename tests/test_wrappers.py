"""The conversation as observation."""

from __future__ import annotations

from copy import deepcopy

import gymnasium
import pytest

from lmrlgym import Transcript
from tests.conftest import GUESS
from tests.toys import GuessNumber


def test_the_observation_is_the_conversation_so_far():
    env = Transcript(gymnasium.make(GUESS))
    observation, _ = env.reset(options={"number": 2})
    assert observation == "Guess.\n"
    assert env.step("0")[0] == "Guess.\n0\nHigher.\n"
    assert env.step("2\n")[0] == "Guess.\n0\nHigher.\n2\nYes!\n"


def test_the_observation_stops_at_the_context_of_the_game():
    env = Transcript(gymnasium.make("lmrlgym/Maze-v0"))
    env.reset(seed=0)
    alone = gymnasium.make("lmrlgym/Maze-v0")
    alone.reset(seed=0)
    assert env.step("move up\n")[0] == alone.step("move up\n")[0]


def test_every_observation_belongs_to_the_observation_space():
    env = Transcript(GuessNumber())
    env.reset(seed=0)
    for action in ("0\n", "a" * 16_383, "4\n"):
        observation, _, terminated, _, _ = env.step(action)
        assert observation in env.observation_space
        if terminated:
            env.reset()


def test_long_conversations_still_belong_to_the_observation_space():
    env = Transcript(GuessNumber(limit=9))
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step("a" * 16_000)[0]
    assert len(observation) > 48_000
    assert observation in env.observation_space


def test_a_copy_reads_its_own_game():
    env = Transcript(GuessNumber())
    env.reset(options={"number": 2})
    copy = deepcopy(env)
    copy.step("0\n")
    assert env.step("4\n")[0] == "Guess.\n4\nLower.\n"
    assert copy.step("1\n")[0] == "Guess.\n0\nHigher.\n1\nHigher.\n"


def test_it_can_be_made_again_from_its_spec():
    env = gymnasium.make(Transcript(gymnasium.make(GUESS)).spec)
    assert isinstance(env, Transcript)
    env.reset(options={"number": 2})
    assert env.step("0\n")[0] == "Guess.\n0\nHigher.\n"


def test_other_games_are_refused():
    with pytest.raises(ValueError, match="TextEnv"):
        Transcript(gymnasium.make("CartPole-v1"))
