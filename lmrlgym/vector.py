"""Many games side by side, with one partner call for all of them.

`TextVectorEnv` is a `gymnasium.vector.VectorEnv` over games of one kind; `vectorise` makes the
`vector_entry_point` of a game's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from lmrlgym.env import PartnerEnv, Query, Response, TextEnv, replies
from lmrlgym.types import Action


class Step(NamedTuple):
    """What one game answers to one action: the five values of `step`."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class TextVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], Any]):
    """`num_envs` games of one kind. Observations are a tuple of str; actions a sequence of str.

    Games that talk to a partner share the first game's partner and ask it in one call. With
    `AutoresetMode.DISABLED`, reset single games by `reset(options={"reset_mask": mask})`, where
    `mask` is a bool array (num_envs,), or by `reset_game`.
    """

    def __init__(
        self, envs: Sequence[TextEnv], autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    ) -> None:
        if not envs:
            raise ValueError("num_envs must be at least 1, got 0")
        self.envs = list(envs)
        first = self.envs[0]
        if kinds := {type(env).__name__ for env in self.envs if type(env) is not type(first)}:
            raise ValueError(
                f"all games must be of one kind, got {type(first).__name__} and {', '.join(kinds)}"
            )
        if isinstance(first, PartnerEnv):
            for env in self.envs:
                env.partner = first.partner  # type: ignore[attr-defined]
        self.num_envs = len(self.envs)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        self._observations = [""] * self.num_envs
        self._over = np.zeros(self.num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Reset all games, or those in `options["reset_mask"]`; game i gets `seed` + i (or `seed[i]`)."""
        options = dict(options) if options else {}
        mask = _checked_mask(options.pop("reset_mask", np.ones(self.num_envs, np.bool_)), self.num_envs)
        infos: dict[str, Any] = {}
        for i, game_seed in enumerate(self._seeds(seed)):
            if mask[i]:
                info = self.reset_game(i, seed=game_seed, options=options)
                infos = self._add_info(infos, info, i)
        return tuple(self._observations), infos

    def reset_game(
        self, index: int, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Reset game `index` alone and return its info; its observation is the last turn of its history."""
        self._observations[index], info = self.envs[index].reset(seed=seed, options=options)
        self._over[index] = False
        return info

    def step(
        self, actions: Sequence[str | Action]
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action a game; games that ended before are reset first or refused, as `autoreset_mode` says."""
        if len(actions) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, one a game, got {len(actions)}")
        resting = self._over if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros_like(self._over)
        waiting = [None if resting[i] else action for i, action in enumerate(actions)]
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        infos: dict[str, Any] = {}
        for i, step in enumerate(self.play(waiting)):
            if step is None:
                info = self.reset_game(i)
            else:
                _, rewards[i], terminated[i], truncated[i], info = step
            if step is not None and self._over[i] and self.autoreset_mode is AutoresetMode.SAME_STEP:
                infos = self._add_info(infos, {"final_obs": step.observation, "final_info": info}, i)
                info = self.reset_game(i)
            infos = self._add_info(infos, info, i)
        return tuple(self._observations), rewards, terminated, truncated, infos

    def play(self, actions: Sequence[str | Action | None]) -> list[Step | None]:
        """Step the games whose action is not None, asking the partner once for all of them."""
        texts = [
            None if action is None else env._heard_text(action)
            for env, action in zip(self.envs, actions, strict=True)
        ]
        steps: list[Step | None] = [None] * self.num_envs
        for i, (text, response) in enumerate(zip(texts, self._responses(texts), strict=True)):
            action = actions[i]
            if action is not None and text is not None and response is not None:
                steps[i] = step = Step(*self.envs[i]._settle(action, text, response))
                self._observations[i] = step.observation
                self._over[i] = step.terminated or step.truncated
        return steps

    def _responses(self, texts: Sequence[str | None]) -> list[Response | None]:
        if not isinstance(self.envs[0], PartnerEnv):
            return [
                None if text is None else env._respond(text)
                for env, text in zip(self.envs, texts, strict=True)
            ]
        asked: list[Query | Response | None] = [
            None if text is None else env._ask(text)  # type: ignore[attr-defined]
            for env, text in zip(self.envs, texts, strict=True)
        ]
        queries = [query for query in asked if isinstance(query, Query)]
        heard = iter(replies(self.envs[0].partner, queries) if queries else ())
        return [
            env._answered(next(heard)) if isinstance(query, Query) else query  # type: ignore[attr-defined]
            for env, query in zip(self.envs, asked, strict=True)
        ]

    def render(self) -> tuple[Any, ...] | None:
        """What every game renders."""
        return tuple(env.render() for env in self.envs) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close every game."""
        for env in self.envs:
            env.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one a game, got {len(seed)}")
        return list(seed)


def vectorise(env_class: type[TextEnv]) -> Callable[..., TextVectorEnv]:
    """The `vector_entry_point` of `env_class`: (num_envs, autoreset_mode, **keywords of the game)."""

    def make(
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> TextVectorEnv:
        return TextVectorEnv([env_class(**kwargs) for _ in range(num_envs)], autoreset_mode)

    return make


def _checked_mask(mask: Any, num_envs: int) -> np.ndarray:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        raise ValueError(f"reset_mask must be a bool array of shape ({num_envs},), got {mask!r}")
    return mask
