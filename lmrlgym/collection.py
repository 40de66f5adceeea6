"""Environment + scripted player + seed -> dataset and its card; players by name; the id's protocol.

A game's key is the name of its file in `envs`; `policies/<key>.py` and `solvers/<key>.py` are found by it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from numpy.random import Generator

from lmrlgym.dataset import Dataset, content_sha256, statistics
from lmrlgym.env import Partner, Query, Reply, TextEnv, replies
from lmrlgym.partners import Role
from lmrlgym.policies import DataPlayer, uniform_policy
from lmrlgym.references import key_of, protocol
from lmrlgym.rollouts import Play, Policy, json_values, make_games, rollout
from lmrlgym.types import Action, History, Seeds, Trajectory, Turn

_TASK_STREAM = 2
"""Second word of the seed from which a game's task is drawn; 1 is the policy's."""
_PARALLEL = 64


def collect(
    env_id: str,
    level: str,
    episodes: int,
    seed: int = Seeds.DATA,
    *,
    progress: bool = False,
    play: Play = rollout,
    **env_kwargs: Any,
) -> Dataset:
    """`episodes` games of the player `level` (random, mixed, expert, ...), seeded `seed`, `seed` + 1, ...

    The same arguments give the same games, whatever plays them. Utterance log-probabilities are stored where
    the player knows them. Raises `ValueError` for an unknown level or a count below 1.
    """
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 1:
        raise ValueError(f"episodes must be a positive whole number, got {episodes!r}")
    if env_kwargs.get("privileged"):
        raise ValueError("data are collected without privileged=True, which writes the secret into info")
    seed = int(seed)
    player = policy_named(level, env_id, **env_kwargs)
    recipe = player if isinstance(player, DataPlayer) else DataPlayer()
    played_as = recipe.played_as(env_id)
    tasks = [recipe.task(_task_rng(seed + i)) for i in range(episodes)]
    games = play(
        played_as, player, episodes, seed=seed, parallel=_PARALLEL, env_kwargs=env_kwargs, progress=progress,
        tasks=None if None in tasks else [int(task) for task in tasks if task is not None],
    )  # fmt: skip
    games = [_cut(game, recipe.end(game.turns)) for game in games]
    if played_as != env_id:
        games = _retold(games, env_id)
    return _with_card(games, env_id, level, seed, env_kwargs)


def collect_replies(
    env_id: str,
    level: str,
    episodes: int,
    seed: int = Seeds.DATA,
    *,
    progress: bool = False,
    **env_kwargs: Any,
) -> Dataset:
    """What the partner says in `episodes` games of the player `level`, one game of one turn a reply.

    The observation is what a model that plays the partner reads (the prompt of its role), the action the
    reply: whoever learns from it learns to be the partner. Raises `ValueError` for a game without a role.
    """
    key = key_of(env_id)
    if not _exists("partners.roles", key):
        raise ValueError(f"{env_id} has no partner that a model can play")
    partner = make_games(env_id, 1, env_kwargs).envs[0].partner  # type: ignore[attr-defined]
    listener = _Listener(partner, _module(f"lmrlgym.partners.roles.{key}").ROLE)
    player = policy_named(level, env_id, **env_kwargs)
    rollout(
        env_id, player, episodes, seed=int(seed), parallel=_PARALLEL, progress=progress,
        env_kwargs={**env_kwargs, "partner": listener},
    )  # fmt: skip
    games = [
        Trajectory(env_id, json_values(env_kwargs), (Turn(prompt, False), Turn(reply, True)), True, False)
        for prompt, reply in listener.heard
    ]
    return Dataset(tuple(games), {"env_id": env_id, "level": level, "games": episodes, "seed": int(seed)})


class _Listener:
    """A partner that keeps what another one is asked and says."""

    def __init__(self, partner: Partner, role: Role) -> None:
        self.partner, self.role = partner, role
        self.heard: list[tuple[str, str]] = []

    def reply(self, queries: Sequence[Query]) -> list[Reply]:
        said = replies(self.partner, queries)
        self.heard += [
            (self.role.prompt(query), f"{reply.text.strip()}\n")
            for query, reply in zip(queries, said, strict=True)
            if not reply.error
        ]
        return said


def policy_named(name: str, env_id: str, **env_kwargs: Any) -> Policy:
    """A player of `env_id` by name: a level of its game (random, mixed, expert), or one of

    - "random": uniform over the game's sensible actions, in any game that can list them;
    - "scripted": the data's recipe, "mixed";
    - "behaviour": the data's player in whole games, "mixed" unless the game says otherwise;
    - "best": the solver's best action.

    Raises `ValueError`, listing the names there are, for any other.
    """
    env = gymnasium.make(env_id, disable_env_checker=True, **env_kwargs).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{env_id} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    key = key_of(env_id)
    levels: Mapping[str, Any] = _module(f"lmrlgym.policies.{key}").LEVELS if _exists("policies", key) else {}
    if name == "best" and _exists("solvers", key):
        return SolverPolicy(solver_of(env_id, **env_kwargs))
    if name in levels:
        made: Policy = levels[name](**env_kwargs)
        return made
    if name in ("scripted", "behaviour") and "mixed" in levels:
        return policy_named("mixed", env_id, **env_kwargs)
    if name == "random":
        return _uniform(env)
    known = sorted({*levels, "random"} | ({"scripted", "behaviour"} if "mixed" in levels else set()))
    known += ["best"] if _exists("solvers", key) else []
    raise ValueError(f"{env_id} has no player {name!r}; there are: {', '.join(known)}")


def solver_of(env_id: str, **env_kwargs: Any) -> Any | None:
    """The solver of `env_id` made with `env_kwargs`; None for a game that has none."""
    key = key_of(env_id)
    return _module(f"lmrlgym.solvers.{key}").solver(env_id, **env_kwargs) if _exists("solvers", key) else None


class SolverPolicy:
    """Plays a solver's best action, which is a sure thing: its log-probability is 0."""

    def __init__(self, solver: Any) -> None:
        self.solver = solver

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [Action(self.solver.best(history), log_prob=0.0) if history else "" for history in histories]

    def distribution(self, history: History) -> dict[str, float]:
        return {self.solver.best(history): 1.0}


def evaluate(
    env_id: str,
    policy: Policy,
    *,
    repeats: int | None = None,
    episodes: int | None = None,
    parallel: int = _PARALLEL,
    seed: int = Seeds.EVALUATION,
    env_kwargs: Mapping[str, Any] = {},
    progress: bool = False,
    play: Play = rollout,
) -> list[Trajectory]:
    """The games of the id's protocol: every task `repeats` times, or `repeats` games with drawn tasks.

    `repeats` None is the protocol's own number (Maze: 32 of each of the 25 starts; Wordle: 4,096).
    `episodes` is the most games to play; fewer than the protocol's are spread evenly over its tasks.
    Game i of n has seed `seed` + i and, where tasks are played one by one, task i * tasks // n.
    """
    plan = protocol(env_id, **env_kwargs)
    count = plan.repeats if repeats is None else repeats
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"repeats must be a positive whole number, got {repeats!r}")
    if episodes is not None and episodes < 1:
        raise ValueError(f"episodes must be a positive whole number, got {episodes!r}")
    number = make_games(env_id, 1, env_kwargs).envs[0].tasks if plan.plays_every_task else 1
    games = min(count * number, episodes or count * number)
    tasks = [i * number // games for i in range(games)] if plan.plays_every_task else None
    return play(
        env_id, policy, games, seed=int(seed), tasks=tasks, parallel=parallel, env_kwargs=env_kwargs,
        progress=progress,
    )  # fmt: skip


def _uniform(env: TextEnv) -> Policy:
    env.reset(seed=0)
    candidates = env.candidates()
    if candidates is None:
        raise ValueError(f"{type(env).__name__} is an open-language game: it has no random player")
    return uniform_policy(candidates)


def _cut(game: Trajectory, end: int) -> Trajectory:
    """The first `end` turns of a finished game, as if its player had stopped there."""
    if end >= len(game.turns):
        return game
    turns = game.turns[:end]
    info = {**game.info, "success": False, "action_is_valid": True, "stop_reason": "", "turn": end // 2}
    return Trajectory(game.env_id, game.env_kwargs, turns, False, True, game.seed, game.options, info)


def _retold(games: Sequence[Trajectory], env_id: str) -> list[Trajectory]:
    """The same games as `env_id` tells them: the same actions from the same seeds and tasks."""
    return [_told_by(make_games(env_id, 1, game.env_kwargs).envs[0], game, env_id) for game in games]


def _told_by(env: TextEnv, game: Trajectory, env_id: str) -> Trajectory:
    env.reset(seed=game.seed, options=game.options)
    for turn in game.turns:
        if turn.is_action:
            env.step(Action(turn.text, log_prob=turn.log_prob))
    told = env.history
    if [turn.reward for turn in told] != list(game.rewards):
        raise ValueError(f"{env_id} pays otherwise than {game.env_id} for the actions of seed {game.seed}")
    return Trajectory(
        env_id, game.env_kwargs, told, game.terminated, game.truncated, game.seed, game.options, game.info
    )  # fmt: skip


def _with_card(
    games: Sequence[Trajectory], env_id: str, level: str, seed: int, env_kwargs: Mapping[str, Any]
) -> Dataset:
    keywords = json_values(env_kwargs)
    spelt = f" --env-kwargs {shlex.quote(json.dumps(keywords))}" if keywords else ""
    card = {
        "env_id": env_id,
        "env_kwargs": keywords,
        "level": level,
        "seeds": [seed, seed + len(games) - 1],
        "command": f"lmrlgym collect {env_id} --level {level} --episodes {len(games)} --seed {seed}{spelt}",
        "licence": "CC0-1.0",
        "personal_data": "none: every text was made by the rules of the game or by a scripted player",
        "secrets": "none: no text tells the hidden instance before it is found, and info never does",
        **statistics(games),
        "sha256": content_sha256(games),
    }
    return Dataset(tuple(games), card)


def _task_rng(seed: int) -> Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, _TASK_STREAM]))


def _exists(room: str, key: str) -> bool:
    return bool(key) and find_spec(f"lmrlgym.{room}.{key}") is not None


def _module(name: str) -> Any:
    return import_module(name)
