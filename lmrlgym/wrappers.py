"""Gymnasium wrappers for text games."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from lmrlgym.env import TextEnv, visible
from lmrlgym.spaces import TextSpace


class Transcript(gymnasium.ObservationWrapper[str, str, str], RecordConstructorArgs):
    """Observations are the conversation as the agent sees it, not only the newest utterance.

    The texts of `visible(history, context)`, joined, with the game's own `context`: the prompt of a
    language model that plays it. Raises `ValueError` if the game is not a `TextEnv`.
    """

    def __init__(self, env: gymnasium.Env[str, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        if not isinstance(env.unwrapped, TextEnv):
            raise ValueError(f"Transcript wraps games that are a lmrlgym.TextEnv, got {env.unwrapped}")
        self._game = env.unwrapped
        self.observation_space = TextSpace(sys.maxsize)

    def observation(self, observation: str) -> str:
        return "".join(turn.text for turn in visible(self._game.history, self._game.context))
