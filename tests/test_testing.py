"""`check_env` finds the mistakes that a new game is likely to hold, and names their cause."""

from __future__ import annotations

import random  # noqa: TID251 - the mistake to be found
import threading
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest

from lmrlgym import Response, check_env
from lmrlgym.testing import hostile_texts
from tests.conftest import ASK, GUESS
from tests.toys import GuessNumber


class NoInstructions(GuessNumber):
    instructions = " "


class TalksWithoutNewline(GuessNumber):
    def _respond(self, action: str) -> Response:
        response = super()._respond(action)
        return response._replace(text=response.text.strip())


class EndsWithoutReason(GuessNumber):
    def _respond(self, action: str) -> Response:
        return super()._respond(action)._replace(stop_reason="")


class EndsForItsOwnReason(GuessNumber):
    def _respond(self, action: str) -> Response:
        response = super()._respond(action)
        return response._replace(stop_reason="tired" if response.terminated else "")


class TellsMore(GuessNumber):
    def _info(self, *args: Any) -> dict[str, Any]:
        return super()._info(*args) | {"number": 3}


class TellsNumpy(GuessNumber):
    def _respond(self, action: str) -> Response:
        return super()._respond(action)._replace(success=np.bool_(False))  # type: ignore[arg-type]


class RecordsAnything(GuessNumber):
    def _recorded(self, action: str) -> str:
        return action


class TakesAnyTask(GuessNumber):
    def _start(self, options: Mapping[str, Any]) -> str:
        self.task = options.get("task", 0)
        self.np_random.integers(5)
        return "Guess.\n"


class IgnoresTheTask(GuessNumber):
    def _start(self, options: Mapping[str, Any]) -> str:
        self._drawn_task(options)
        self.task = int(self.np_random.integers(5))
        return "Guess.\n"


class OffersTooMuch(GuessNumber):
    def candidates(self) -> tuple[str, ...]:
        return (*super().candidates(), "5\n")


class OffersItOtherwise(GuessNumber):
    def candidates(self) -> tuple[str, ...]:
        return ("0", "1")


class DrawsFromPython(GuessNumber):
    def _start(self, options: Mapping[str, Any]) -> str:
        random.random()
        return super()._start(options)


class DrawsFromNumpy(GuessNumber):
    def _respond(self, action: str) -> Response:
        np.random.rand()  # noqa: NPY002
        return super()._respond(action)


class Remembers(GuessNumber):
    games = 0

    def _start(self, options: Mapping[str, Any]) -> str:
        super()._start(options)
        self.games += 1
        return f"Game {self.games}.\n"


class SharesWhatChanges(GuessNumber):
    _shared_by_copies = ("said",)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.said: list[str] = []

    def _start(self, options: Mapping[str, Any]) -> str:
        self.said.clear()
        return super()._start(options)

    def _respond(self, action: str) -> Response:
        self.said.append(action)
        return super()._respond(action)._replace(text=f"That was {len(self.said)}.\n")


class HoldsALock(GuessNumber):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lock = threading.Lock()


class TrustsTheAgent(GuessNumber):
    def _respond(self, action: str) -> Response:
        if not action.isascii():
            int(action)
        return super()._respond(action)


class Echoes(GuessNumber):
    def _respond(self, action: str) -> Response:
        return super()._respond(action)._replace(text=f"You said: {action.rstrip()}\n")


class Gossips(GuessNumber):
    heard: list[str] = []

    def _start(self, options: Mapping[str, Any]) -> str:
        self.heard.clear()
        return super()._start(options)

    def _respond(self, action: str) -> Response:
        self.heard.append(action)
        return super()._respond(action)._replace(text=f"I heard {len(self.heard)} guesses.\n")


class NeverEnds(GuessNumber):
    def _respond(self, action: str) -> Response:
        response = super()._respond(action)
        return response._replace(terminated=False, success=False, stop_reason="")


class StepsOnAfterTheEnd(GuessNumber):
    def _heard_text(self, action: Any) -> str:
        self._running = True
        return super()._heard_text(action)


@pytest.mark.parametrize(
    ("game", "cause"),
    [
        (NoInstructions, "instructions is empty"),
        (TalksWithoutNewline, "exactly one newline, got '[A-Z]\\w+\\.'"),
        (EndsWithoutReason, "stop_reason '' with terminated=True"),
        (EndsForItsOwnReason, "got 'tired'"),
        (TellsMore, "belongs in _secret"),
        (TellsNumpy, r"wrap numpy's in bool\(\)"),
        (RecordsAnything, "_recorded"),
        (TakesAnyTask, "draw the task by self._drawn_task"),
        (IgnoresTheTask, "see _start"),
        (OffersTooMuch, r"offers '5\\n', which the rules call invalid"),
        (OffersItOtherwise, r"history writes as '0\\n'"),
        (DrawsFromPython, "self.np_random only"),
        (DrawsFromNumpy, "self.np_random only"),
        (Remembers, "reset must forget everything"),
        (SharesWhatChanges, "_shared_by_copies"),
        (Gossips, "keep all state in attributes"),
        (HoldsALock, "hold no open files, threads"),
        (TrustsTheAgent, "legal input: _respond must answer it"),
        (Echoes, "do not echo actions"),
        (NeverEnds, "give it a turn limit"),
        (StepsOnAfterTheEnd, "must raise gymnasium.error.ResetNeeded"),
    ],
)
def test_a_mistake_is_found_and_its_cause_named(game: type[GuessNumber], cause: str):
    with pytest.raises(AssertionError, match=cause):
        check_env(game())


def test_a_vector_entry_point_of_another_game_is_found():
    gymnasium.register(
        "toys/Mistaken-v0",
        entry_point="tests.toys:GuessNumber",
        vector_entry_point="tests.toys:ask_number_vector",
    )
    with pytest.raises(AssertionError, match="vector_entry_point must make the same game"):
        check_env("toys/Mistaken-v0")


def test_what_gymnasium_warns_of_is_found():
    class SeedsByMethod(GuessNumber):
        def seed(self, seed: int) -> None: ...

    with pytest.raises(AssertionError, match="gymnasium's check_env warns"):
        check_env(SeedsByMethod())


def test_an_environment_of_another_kind_is_refused():
    with pytest.raises(AssertionError, match=r"CartPoleEnv is not a lmrlgym\.TextEnv"):
        check_env("CartPole-v1")


@pytest.mark.parametrize("env_id", [GUESS, ASK])
def test_good_games_pass_by_id_made_and_bare(env_id: str):
    check_env(env_id)
    check_env(gymnasium.make(env_id))
    check_env(gymnasium.make(env_id, privileged=True, limit=7))
    check_env(gymnasium.make(env_id).unwrapped)


def test_a_bare_game_passes_without_an_id():
    check_env(GuessNumber())


def test_hostile_texts_are_of_all_kinds_and_follow_the_generator():
    texts = hostile_texts(("move left\n",), np.random.default_rng(0), 5_000)
    assert texts == hostile_texts(("move left\n",), np.random.default_rng(0), 5_000)
    assert "" in texts
    assert "move left\n" in texts
    assert max(map(len, texts)) > 16_384
    assert any(0xD800 <= ord(c) < 0xE000 for text in texts for c in text)
    assert any(ord(c) > 0xFFFF for text in texts for c in text)
    assert any(ord(c) < 32 and c != "\n" for text in texts for c in text)
    assert any(text.strip().lstrip("-").isdecimal() for text in texts)
