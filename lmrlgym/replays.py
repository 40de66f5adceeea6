"""Playing a stored game again, to see that it is what the environment would do."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium

from lmrlgym.env import TextEnv
from lmrlgym.types import Action, Trajectory


class Divergence(NamedTuple):
    """The first place where a game played again differs from what was stored.

    `turn` counts turns of both sides from 0; `what` is text, reward, terminated, truncated, success
    or length.
    """

    turn: int
    what: str
    stored: Any
    played: Any


def replay(trajectory: Trajectory) -> Divergence | None:
    """Say the stored actions again from the stored seed and options; None if all turns out the same.

    A game that was cut (`truncated` while the environment would go on) is played up to its cut.
    Raises `ValueError` if the game has no seed.
    """
    if trajectory.seed is None:
        raise ValueError("the trajectory has no seed, so it cannot be played again")
    made = gymnasium.make(trajectory.env_id, disable_env_checker=True, **trajectory.env_kwargs)
    env = made.unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{trajectory.env_id} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    try:
        return _played_again(env, trajectory)
    finally:
        made.close()


def _played_again(env: TextEnv, trajectory: Trajectory) -> Divergence | None:
    env.reset(seed=trajectory.seed, options=trajectory.options)
    terminated = truncated = False
    info: dict[str, Any] = {"success": False}
    for turn in trajectory.turns:
        if turn.is_action:
            if terminated or truncated:
                return Divergence(len(env.history), "length", len(trajectory.turns), len(env.history))
            action = Action(turn.text, turn.tokens, turn.log_probs, turn.log_prob)
            _, _, terminated, truncated, info = env.step(action)
    return _turn_divergence(env, trajectory) or _end_divergence(
        trajectory, len(env.history) - 1, terminated, truncated, bool(info["success"])
    )


def _turn_divergence(env: TextEnv, trajectory: Trajectory) -> Divergence | None:
    played = env.history
    for i, (stored, again) in enumerate(zip(trajectory.turns, played, strict=False)):
        if stored.text != again.text:
            return Divergence(i, "text", stored.text, again.text)
        if stored.reward != again.reward:
            return Divergence(i, "reward", stored.reward, again.reward)
    if len(played) != len(trajectory.turns):
        return Divergence(
            min(len(played), len(trajectory.turns)), "length", len(trajectory.turns), len(played)
        )
    return None


def _end_divergence(
    trajectory: Trajectory, last: int, terminated: bool, truncated: bool, success: bool
) -> Divergence | None:
    if trajectory.terminated != terminated:
        return Divergence(last, "terminated", trajectory.terminated, terminated)
    if truncated and not trajectory.truncated:
        return Divergence(last, "truncated", trajectory.truncated, truncated)
    if not terminated and not truncated and not trajectory.truncated:
        return Divergence(last, "truncated", False, "still running")
    stored_success = bool(trajectory.info.get("success", success))
    return None if stored_success == success else Divergence(last, "success", stored_success, success)
