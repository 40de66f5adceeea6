"""Playing games with a policy, and saying how they went."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from numpy.random import Generator

from lmrlgym.env import TextEnv, visible
from lmrlgym.types import Action, History, Trajectory
from lmrlgym.vector import Step, TextVectorEnv

_Z95 = 1.959964
_POLICY_STREAM = 1
"""Second word of a policy's seed, so that its draws are not those of the game with the same seed."""


class Policy(Protocol):
    """A player of many games at once.

    Position i is the same game from call to call while it lasts. An idle position has the history
    () and gets "". A policy draws game i's randomness from `rngs[i]` only.
    """

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> Sequence[str | Action]:
        """What to say in each game, given the turns its agent sees."""
        ...


class Play(Protocol):
    """How games are played: `rollout`, or what plays the same games elsewhere."""

    def __call__(
        self,
        env: str,
        policy: Policy,
        episodes: int,
        *,
        seed: int,
        tasks: Sequence[int] | None,
        parallel: int,
        env_kwargs: Mapping[str, Any],
        progress: bool,
    ) -> list[Trajectory]:
        """As `rollout`."""
        ...


class _Game(NamedTuple):
    number: int
    seed: int
    options: dict[str, Any]
    is_second_try: bool = False


def rollout(
    env: str | TextVectorEnv,
    policy: Policy,
    episodes: int | None = None,
    *,
    seed: int | Sequence[int] = 0,
    tasks: Sequence[int] | None = None,
    parallel: int = 1,
    env_kwargs: Mapping[str, Any] = {},
    progress: bool = False,
) -> list[Trajectory]:
    """Play `episodes` games and return them in order, whatever `parallel` is.

    Game i is reset with `seed` + i (or `seed[i]`) and task `tasks[i]` (None: drawn from its seed);
    its policy draws from `SeedSequence([its seed, 1])`. `parallel` games are played at once. `env`
    is an id, made with `env_kwargs`, or a `TextVectorEnv`, whose `num_envs` then is `parallel`.
    A game that its partner broke is played once more. Raises `ValueError` if the counts disagree.
    """
    games = _games(episodes, seed, tasks)
    vector, env_id, kwargs = _vector_env(env, min(parallel, max(len(games), 1)), env_kwargs)
    done: dict[int, Trajectory] = {}
    bar = progress_bar(len(games), env_id, is_shown=progress)
    try:
        for game, history, step in _finished(vector, policy, games):
            done[game.number] = Trajectory(
                env_id, kwargs, history, step.terminated, step.truncated, game.seed, game.options, step.info
            )
            bar.update()
    finally:
        bar.close()
        if not isinstance(env, TextVectorEnv):
            vector.close()
    return [done[game.number] for game in games]


def _finished(
    vector: TextVectorEnv, policy: Policy, games: Sequence[_Game]
) -> Iterator[tuple[_Game, History, Step]]:
    """Play `games`, giving each as it ends with all that was said and its last step."""
    pending = iter(games)
    slots: list[_Game | None] = [None] * vector.num_envs
    rngs = [np.random.default_rng(0) for _ in slots]

    def begin(slot: int, game: _Game | None) -> None:
        slots[slot] = game
        if game is not None:
            vector.reset_game(slot, seed=game.seed, options=game.options)
            rngs[slot] = np.random.default_rng(np.random.SeedSequence([game.seed, _POLICY_STREAM]))

    for slot in range(len(slots)):
        begin(slot, next(pending, None))
    while any(game is not None for game in slots):
        for slot, step in enumerate(vector.play(_said(policy, vector, slots, rngs))):
            game = slots[slot]
            if step is None or game is None or not (step.terminated or step.truncated):
                continue
            if step.info["stop_reason"] == "partner_error" and not game.is_second_try:
                begin(slot, game._replace(is_second_try=True))
            else:
                yield game, vector.envs[slot].history, step
                begin(slot, next(pending, None))


def _said(
    policy: Policy, vector: TextVectorEnv, slots: Sequence[_Game | None], rngs: Sequence[Generator]
) -> list[str | Action | None]:
    """What the policy says in every slot; None where no game is played."""
    seen = [
        () if game is None else visible(env.history, env.context)
        for game, env in zip(slots, vector.envs, strict=True)
    ]
    said = policy.act(seen, rngs)
    if len(said) != len(slots):
        raise ValueError(f"the policy gave {len(said)} actions for {len(slots)} games")
    return [None if game is None else action for game, action in zip(slots, said, strict=True)]


class Summary(NamedTuple):
    """How a set of games went. Games that their partner broke are counted but leave all means.

    The interval is the 95 % normal interval of the mean return over games. Where several games
    were played on each of several fixed tasks, it is stratified by task.
    """

    episodes: int
    return_mean: float
    return_low: float
    return_high: float
    success: float
    length: float
    """Mean number of agent turns."""
    partner_errors: int
    agent_tokens: int
    partner_tokens: int


def summarise(trajectories: Sequence[Trajectory]) -> Summary:
    """Means over `trajectories`. Raises `ValueError` if there are none."""
    if not trajectories:
        raise ValueError("there are no games to summarise")
    whole = [t for t in trajectories if t.info.get("stop_reason") != "partner_error"]
    returns = np.array([t.total_reward for t in whole])
    mean = float(returns.mean()) if len(whole) else math.nan
    margin = _Z95 * _standard_error(returns, [t.options.get("task") for t in whole])
    lengths = [sum(turn.is_action for turn in t.turns) for t in whole]
    usage = [t.info.get("partner_usage", {}) for t in trajectories]
    return Summary(
        episodes=len(trajectories),
        return_mean=mean,
        return_low=mean - margin,
        return_high=mean + margin,
        success=float(np.mean([bool(t.info.get("success")) for t in whole])) if whole else math.nan,
        length=float(np.mean(lengths)) if whole else math.nan,
        partner_errors=len(trajectories) - len(whole),
        agent_tokens=sum(len(turn.tokens) for t in trajectories for turn in t.turns),
        partner_tokens=sum(u.get("prompt_tokens", 0) + u.get("completion_tokens", 0) for u in usage),
    )


def _standard_error(returns: np.ndarray, tasks: Sequence[Any]) -> float:
    """Of the mean; the strata are the tasks if each was played at least twice, else there is one stratum."""
    if len(returns) < 2:
        return math.nan
    strata = np.unique(np.array([repr(task) for task in tasks]), return_inverse=True)[1]
    counts = np.bincount(strata)
    if counts.min() < 2:
        return float(returns.std(ddof=1) / math.sqrt(len(returns)))
    variance = sum(count * returns[strata == stratum].var(ddof=1) for stratum, count in enumerate(counts))
    return math.sqrt(variance) / len(returns)


def _games(episodes: int | None, seed: int | Sequence[int], tasks: Sequence[int] | None) -> list[_Game]:
    seeds, task_list = _listed(seed), _listed(tasks)
    counts = {len(x) for x in (seeds, task_list) if x is not None} | ({episodes} - {None})
    if len(counts) != 1:
        raise ValueError(
            f"say how many games: episodes={episodes}, {'one' if seeds is None else len(seeds)} seed(s), "
            f"{'no' if task_list is None else len(task_list)} tasks"
        )
    count = counts.pop()
    if not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"episodes must be a whole number from 0, got {count!r}")
    if seeds is None:
        if not isinstance(seed, int | np.integer):
            raise ValueError(f"seed must be a whole number or a sequence of them, got {seed!r}")
        seeds = [int(seed) + i for i in range(count)]
    return [_Game(i, seeds[i], {} if task_list is None else {"task": task_list[i]}) for i in range(count)]


def _listed(numbers: int | Sequence[int] | None) -> list[int] | None:
    """Many numbers as a list, numpy's included; None if there is one number or none."""
    return [int(number) for number in numbers] if isinstance(numbers, Sequence | np.ndarray) else None


def _vector_env(
    env: str | TextVectorEnv, parallel: int, env_kwargs: Mapping[str, Any]
) -> tuple[TextVectorEnv, str, dict[str, Any]]:
    """The games to play in, their id and the keywords that make them, as JSON values."""
    if isinstance(env, TextVectorEnv):
        if env_kwargs:
            raise ValueError("env_kwargs go with an id; the vector env given is already made")
        if env.spec is None:
            raise ValueError("a vector env must come from gymnasium.make_vec, so that it knows its id")
        own = {k: v for k, v in env.spec.kwargs.items() if k not in _VECTOR_KEYWORDS}
        return env, env.spec.id, json_values(own)
    if not isinstance(env, str):
        raise ValueError(f"env must be an id or a TextVectorEnv, got {env!r}")
    if parallel < 1:
        raise ValueError(f"parallel must be at least 1, got {parallel}")
    vector = make_games(env, parallel, env_kwargs)
    assert vector.spec is not None
    return vector, vector.spec.id, json_values(env_kwargs)


_VECTOR_KEYWORDS = {"num_envs", "vectorization_mode", "vector_kwargs", "autoreset_mode", "wrappers"}


def make_games(env_id: str, count: int, env_kwargs: Mapping[str, Any]) -> TextVectorEnv:
    """`count` games of `env_id` side by side, reset one by one.

    An id without a vector entry point of ours (a user's game) is made game by game. Raises
    `ValueError` for other environments and for a step limit outside the rules of the game.
    """
    spec = gymnasium.spec(env_id)
    vector = _made_together(spec, count, env_kwargs) or _made_one_by_one(spec, count, env_kwargs)
    if spec.max_episode_steps is not None:
        raise ValueError(
            f"{env_id} was registered with max_episode_steps={spec.max_episode_steps}, which only "
            "gymnasium.make keeps: make the limit a rule of the game"
        )
    return vector


def _made_together(spec: EnvSpec, count: int, env_kwargs: Mapping[str, Any]) -> TextVectorEnv | None:
    """By the vector entry point, if it is one of `vectorise`."""
    if spec.vector_entry_point is None:
        return None
    try:
        vector = gymnasium.make_vec(
            spec.id, count, vectorization_mode="vector_entry_point",
            autoreset_mode=AutoresetMode.DISABLED, **env_kwargs,
        ).unwrapped  # fmt: skip
    except TypeError:  # another's entry point takes other keywords; if ours were wrong, a game will say so
        return None
    return vector if isinstance(vector, TextVectorEnv) else None


def _made_one_by_one(spec: EnvSpec, count: int, env_kwargs: Mapping[str, Any]) -> TextVectorEnv:
    envs = [gymnasium.make(spec.id, disable_env_checker=True, **env_kwargs).unwrapped for _ in range(count)]
    if not all(isinstance(env, TextEnv) for env in envs):
        raise ValueError(f"{spec.id} is not a lmrlgym.TextEnv, got {type(envs[0]).__name__}")
    vector = TextVectorEnv([env for env in envs if isinstance(env, TextEnv)], AutoresetMode.DISABLED)
    vector.spec = spec
    return vector


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON would give them back; an object is replaced by its name, a path by its text."""

    def named(value: Any) -> str:
        return os.fspath(value) if isinstance(value, os.PathLike) else type(value).__qualname__

    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=named))
    return plain


def progress_bar(total: int, name: str, *, is_shown: bool) -> Any:
    """A bar over `total` games."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=name, unit="game", smoothing=0.0, disable=not is_shown)
