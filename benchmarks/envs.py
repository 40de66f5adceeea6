"""How fast the environments are: `python -m benchmarks.envs [--quick] [--json FILE]`.

Rates are steps a second of processor time, resets included, and shares of the rate of a trivial
environment (an int to see, nothing to do, an empty info) that takes turns with it in the same run:
shares travel from machine to machine, rates do not. Maze, Wordle and the dialogue games hear 1,000
texts over and over. Text-Nav and chess, whose sensible commands change from step to step, play recorded
games again. Text-Nav remembers what it has told: "first" are games that begin with nothing
remembered, "again" the same ones once more. The full run also plays the Wordles of other suites where
they are installed (`pip install textarena gem-llm`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import lmrlgym
from benchmarks.others import Game, installed, nltk_words
from benchmarks.table import HEADER, Row, Timed, cpu_seconds, row, title, write
from lmrlgym import data_path
from lmrlgym.envs import text_nav_rules

TRIVIAL = "benchmarks/Trivial-v0"
SIDE_BY_SIDE = 16
OTHERS_STEPS = 1_000


class Trivial(gymnasium.Env[int, int]):
    """The least an environment can do."""

    observation_space = spaces.Discrete(2)  # type: ignore[assignment]
    action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {}


gymnasium.register(TRIVIAL, entry_point=lambda **kwargs: Trivial())


def single_rate(env: gymnasium.Env[Any, Any], actions: Sequence[Any], steps: int) -> Timed:
    """Steps a second of one environment that says `actions` over and over and is reset at every end."""
    reset, step = env.reset, env.step
    rounds = max(1, steps // len(actions))

    def measure() -> float:
        reset(seed=0)
        start = cpu_seconds()
        for _ in range(rounds):
            for action in actions:
                _, _, terminated, truncated, _ = step(action)
                if terminated or truncated:
                    reset()
        return rounds * len(actions) / (cpu_seconds() - start)

    return measure


def vector_rate(vector: Any, actions: Sequence[Any], steps: int) -> Timed:
    """Game steps a second of `SIDE_BY_SIDE` games; all say the same."""
    said = [[action] * SIDE_BY_SIDE for action in actions]
    rounds = max(1, steps // (len(actions) * SIDE_BY_SIDE))

    def measure() -> float:
        vector.reset(seed=0)
        start = cpu_seconds()
        for _ in range(rounds):
            for batch in said:
                vector.step(batch)
        return rounds * len(said) * SIDE_BY_SIDE / (cpu_seconds() - start)

    return measure


def game_rate(make: Callable[[], Game], words: Sequence[str]) -> Timed:
    """Steps a second of another suite's game, made anew for every measurement of `OTHERS_STEPS` steps."""

    def measure() -> float:
        game = make()
        actions = [game.say(word) for word in words[:OTHERS_STEPS]]
        game.reset()
        start = cpu_seconds()
        for action in actions:
            if game.step(action):
                game.reset()
        return len(actions) / (cpu_seconds() - start)

    return measure


def import_seconds(module: str, compiled: str) -> Timed:
    """Seconds that a fresh process takes to import `module`, the interpreter's own start apart.

    `compiled` is a folder for bytecode: both modules are compiled there by the warm-up.
    """
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    return lambda: float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


def import_row(repeats: int) -> Row:
    """Importing the suite against importing Gymnasium."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = import_seconds("lmrlgym", folder), import_seconds("gymnasium", folder)
        return row("import lmrlgym / import gymnasium", "s", ours, theirs, repeats)


def random_actions(env_id: str, count: int = 1_000, **env_kwargs: Any) -> list[str]:
    """What a uniformly random player says; the same in every run, and no echo of what the game draws.

    In open language these are texts of the scripted player `random`.
    """
    env = gymnasium.make(env_id, **env_kwargs).unwrapped
    assert isinstance(env, lmrlgym.TextEnv)
    env.reset(seed=0)
    candidates = env.candidates()
    if candidates is None:
        candidates = tuple(text for game in recorded(env_id, **env_kwargs) for text in spoken(game))
    return [candidates[i] for i in np.random.default_rng([0, 1]).integers(len(candidates), size=count)]


def recorded(
    env_id: str, level: str = "random", episodes: int = SIDE_BY_SIDE, **env_kwargs: Any
) -> list[lmrlgym.Trajectory]:
    """Games of a scripted player, for games whose sensible actions change from move to move."""
    policy = lmrlgym.policy_named(level, env_id, **env_kwargs)
    return lmrlgym.rollout(env_id, policy, episodes, seed=0, parallel=SIDE_BY_SIDE, env_kwargs=env_kwargs)


def spoken(game: lmrlgym.Trajectory) -> list[str]:
    """What the agent said."""
    return [turn.text for turn in game.turns if turn.is_action]


def replay_rate(env: gymnasium.Env[Any, Any], games: Sequence[lmrlgym.Trajectory]) -> Timed:
    """Steps a second of one environment that plays `games` again, one after the other."""
    said = [spoken(game) for game in games]

    def measure() -> float:
        start = cpu_seconds()
        for game, actions in zip(games, said, strict=True):
            env.reset(seed=game.seed)
            for action in actions:
                env.step(action)
        return sum(map(len, said)) / (cpu_seconds() - start)

    return measure


def vector_replay_rate(vector: Any, games: Sequence[lmrlgym.Trajectory]) -> Timed:
    """Game steps a second of `games` played again, as many side by side as `vector` has places.

    One that is over waits for the others. The number of games must be a multiple of the places.
    """
    said = [spoken(game) for game in games]
    width = vector.num_envs

    def measure() -> float:
        start = cpu_seconds()
        for first in range(0, len(games), width):
            for slot, game in enumerate(games[first : first + width]):
                vector.reset_game(slot, seed=game.seed, options={})
            for batch in zip_longest(*said[first : first + width]):
                vector.play(batch)
        return sum(map(len, said)) / (cpu_seconds() - start)

    return measure


def forgetful(measure: Timed) -> Timed:
    """`measure` with all that Text-Nav remembers forgotten before."""
    functions = vars(text_nav_rules).values()
    forgets: list[Callable[[], None]] = [f.cache_clear for f in functions if hasattr(f, "cache_clear")]

    def forget_and_measure() -> float:
        for forget in forgets:
            forget()
        return measure()

    return forget_and_measure


def text_nav_rows(env_id: str, steps: int, repeats: int, alone: Timed, side_by_side: Timed) -> list[Row]:
    """About `steps` steps of the mixed player's games, none of them met before, and the same once more."""
    games = recorded(env_id, "mixed", SIDE_BY_SIDE * max(1, steps // (15 * SIDE_BY_SIDE)))
    vector = gymnasium.make_vec(env_id, SIDE_BY_SIDE, vectorization_mode="vector_entry_point").unwrapped
    ways = {
        "gym.make": (replay_rate(gymnasium.make(env_id), games), alone),
        f"vector of {SIDE_BY_SIDE}": (vector_replay_rate(vector, games), side_by_side),
    }
    return [
        row(f"{env_id} {which} {how}", "steps/s", measured, baseline, repeats)
        for how, (measure, baseline) in ways.items()
        for which, measured in {"first": forgetful(measure), "again": measure}.items()
    ]


def chess_rows(env_id: str, steps: int, repeats: int, alone: Timed, side_by_side: Timed) -> list[Row]:
    """Legal moves against the partners that need no engine; `builtin` is slow and plays shorter games."""
    rows = []
    for partner, longest in {"random": min(400, steps // 200), "builtin": min(60, steps // 1_000)}.items():
        settings: dict[str, Any] = {"partner": partner, "max_moves": max(1, longest)}
        games = recorded(env_id, **settings)
        one = replay_rate(gymnasium.make(env_id, **settings), games)
        rows.append(row(f"{env_id} {partner} gym.make", "steps/s", one, alone, repeats))
        vector = gymnasium.make_vec(
            env_id, SIDE_BY_SIDE, vectorization_mode="vector_entry_point", **settings
        ).unwrapped
        many = vector_replay_rate(vector, games)
        rows.append(
            row(f"{env_id} {partner} vector of {SIDE_BY_SIDE}", "steps/s", many, side_by_side, repeats)
        )
    return rows


def env_rows(steps: int, repeats: int) -> list[Row]:
    """Every registered game, one alone and many side by side."""
    alone = single_rate(gymnasium.make(TRIVIAL), [0] * 1_000, 4 * steps)
    many = gymnasium.make_vec(TRIVIAL, SIDE_BY_SIDE, vectorization_mode="sync")
    side_by_side = vector_rate(many, [0] * 100, steps)
    rows = []
    for env_id in sorted(env_id for env_id in gymnasium.registry if env_id.startswith("lmrlgym/")):
        if "Chess" in env_id:
            rows += chess_rows(env_id, steps, repeats, alone, side_by_side)
            continue
        if "TextNav" in env_id:
            rows += text_nav_rows(env_id, steps, repeats, alone, side_by_side)
            continue
        actions = random_actions(env_id)
        one = single_rate(gymnasium.make(env_id), actions, steps)
        rows.append(row(f"{env_id} gym.make", "steps/s", one, alone, repeats))
        vector = gymnasium.make_vec(env_id, SIDE_BY_SIDE, vectorization_mode="vector_entry_point")
        games = vector_rate(vector, actions[:100], steps)
        rows.append(row(f"{env_id} vector of {SIDE_BY_SIDE}", "steps/s", games, side_by_side, repeats))
    return rows


def other_rows(steps: int, repeats: int) -> list[Row]:
    """Our Wordle against those of other suites: the same hidden words, the same guesses, six tries."""
    suites = installed()
    rows: list[Row] = []
    if not suites:
        return rows
    with nltk_words() as fill:
        for vocabulary in ("common-431", "common-2315"):
            env = gymnasium.make("lmrlgym/Wordle-v0", vocabulary=vocabulary)
            guesses = random_actions("lmrlgym/Wordle-v0", vocabulary=vocabulary)
            fill(data_path("wordle", f"{vocabulary}.txt").read_text().split())
            words = [guess.replace(" ", "").strip() for guess in guesses]
            ours = single_rate(env, guesses, steps)
            for name, make in suites.items():
                title = f"Wordle {vocabulary} / {name}"
                rows.append(row(title, "steps/s", ours, game_rate(make, words), repeats))
    return rows


def main(quick: bool = False, json: Path | None = None) -> None:
    """Print the speed table of the environments.

    Args:
        quick: Fewer steps, and no other suites.
        json: Also write the table to this file.
    """
    steps, repeats = (12_000, 5) if quick else (200_000, 9)
    print(f"{title(repeats)}\n\n{HEADER}", flush=True)
    rows = [import_row(repeats), *env_rows(steps, repeats), *([] if quick else other_rows(steps, repeats))]
    for one in rows:
        print(one)
    if json is not None:
        write(json, rows)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
