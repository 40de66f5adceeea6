"""`lmrlgym play`: a person plays an environment at the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmrlgym.commands.options import EnvId, Keywords, keywords, made, parse, registered
from lmrlgym.commands.terminal import show
from lmrlgym.env import TextEnv
from lmrlgym.policies.human import HumanPolicy


@dataclass(frozen=True)
class PlayOptions:
    """Play an environment yourself. Ctrl-D or ctrl-C leaves."""

    env: EnvId
    """the environment's id"""
    seed: int | None = None
    """seed of the game; None draws one"""
    options: Keywords = ()
    """reset options such as task=3, key=value or one JSON object (default: none)"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none)"""


def main(argv: Sequence[str]) -> int:
    """Play one game."""
    options = parse(PlayOptions, "play", argv)
    env = made(registered(options.env), keywords(options.env_kwargs))
    env.reset(seed=options.seed, options=keywords(options.options, "--options"))
    show(f"{env.instructions}\n")
    try:
        _play(env)
    except (EOFError, KeyboardInterrupt):
        show("\ngoodbye")
    finally:
        env.close()
    return 0


def _play(env: TextEnv) -> None:
    player = HumanPolicy()
    rng = np.random.default_rng(0)
    total, is_over = 0.0, False
    while not is_over:
        said = player.act([env.history[-1:]], [rng])[0]
        observation, reward, terminated, truncated, info = env.step(said)
        total += reward
        is_over = terminated or truncated
        note = "" if info["action_is_valid"] else ", not understood"
        show(f"  reward {reward:g}{note}")
    show(f"{observation}{info['stop_reason']} after {info['turn']} turns, return {total:g}")
