"""`check_env`: the contract of every environment here, as a function for users' own games.

Each failed check is an `AssertionError` that names the likely cause. The parts that our own tests
use at greater length (`check_hostile_steps`, `plays`, `likely_actions`, `Sayer`) are public too.
"""

from __future__ import annotations

import json
import pickle
import random  # noqa: TID251 - only to see that no game touches its stream
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from numpy.random import Generator

from lmrlgym.env import TextEnv
from lmrlgym.rollouts import rollout
from lmrlgym.spaces import MAX_LENGTH
from lmrlgym.types import Action, History
from lmrlgym.vector import TextVectorEnv

INFO_KEYS = ("success", "action_is_valid", "stop_reason", "turn", "not_understood", "partner_usage")
"""The keys of `info` at reset and every step; a privileged environment adds `task` and `secret`."""
STOP_REASONS = ("won", "lost", "draw", "turn_limit", "partner_error")
_LONGEST_GAME = 5_000
_SEED = 12_345


def check_env(env: gymnasium.Env[Any, Any] | str) -> None:
    """Raise `AssertionError` with the likely cause unless `env`, a game or an id, keeps the contract.

    Gymnasium's own `check_env` is part of it, its warnings included. A game made by
    `gymnasium.make` is also played by `rollout`, several side by side. Use a scripted partner: what
    a language model answers need not be the same twice. The game is reset and stepped many times.
    """
    made = gymnasium.make(env, disable_env_checker=True) if isinstance(env, str) else env
    game = made.unwrapped
    if not isinstance(game, TextEnv):
        raise AssertionError(f"{type(game).__name__} is not a lmrlgym.TextEnv: derive the game from it")
    _check_gymnasium(game)
    check_hostile_steps(game, 300)
    _check_what_is_told(game)
    _check_reset_options(game)
    _check_random_streams(game)
    _check_determinism(game)
    for turns in range(3):
        _check_snapshot(game, turns)
    _check_candidates(game)
    _check_end(game)
    _check_side_by_side(game)
    if made is not env:
        made.close()


def require(fact: bool, message: str) -> None:
    """Raise `AssertionError` with `message` unless `fact`."""
    if not fact:
        raise AssertionError(message)


def _check_gymnasium(env: TextEnv) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            # Without a spec Gymnasium cannot make a second one, and warns.
            gymnasium_check_env(env, skip_render_check=env.spec is None)
        except UserWarning as warning:
            raise AssertionError(f"gymnasium's check_env warns: {warning}") from warning


def _check_what_is_told(env: TextEnv) -> None:
    """Texts, info and history of a game, turn by turn."""
    require(bool(env.instructions.strip()), "instructions is empty: a language model must be told the rules")
    for answer in plays(env, likely_actions(env, 200), _SEED):
        observation, reward, terminated, truncated, info = answer
        _check_info(env, info)
        require(
            _is_line(observation),
            f"an observation ends with exactly one newline, got {observation[-40:]!r}: see _start, _respond",
        )
        require(not (terminated and truncated), "a step is terminated or truncated, not both: see _respond")
        require(
            bool(info["stop_reason"]) == (terminated or truncated),
            f"stop_reason {info['stop_reason']!r} with terminated={terminated}, truncated={truncated}: a "
            "Response has a stop_reason exactly where it ends the game",
        )
        _check_history(env.history, observation, reward)


def _check_info(env: TextEnv, info: dict[str, Any]) -> None:
    wanted = (*INFO_KEYS, "task", "secret") if env.privileged else INFO_KEYS
    require(
        info.keys() == set(wanted),
        f"info has the keys {list(wanted)} at reset and at every step, got {list(info)}: an environment adds "
        "no others (a hidden fact belongs in _secret)",
    )
    require(
        info["stop_reason"] in ("", *STOP_REASONS),
        f"stop_reason is empty or one of {', '.join(STOP_REASONS)}, got {info['stop_reason']!r}",
    )
    for key in ("success", "action_is_valid"):
        require(type(info[key]) is bool, f"{key} is a bool, got {info[key]!r}: wrap numpy's in bool()")
    try:
        json.dumps(info)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"info must hold JSON values only ({error}): see _secret") from error


def _check_history(history: History, observation: str, reward: float) -> None:
    require(
        [turn.is_action for turn in history] == [i % 2 == 1 for i in range(len(history))],
        "history must alternate, the environment first: keep no turns besides those of TextEnv",
    )
    require(history[-1].text == observation, "the last turn of history must be the newest observation")
    require(
        len(history) == 1 or history[-2].reward == reward,
        "the reward of a step must stand on its action's turn: do not override _settle",
    )
    for turn in history[1::2]:
        require(_is_line(turn.text), f"_recorded: exactly one newline at the end, got {turn.text[-40:]!r}")


def _is_line(text: str) -> bool:
    return text.endswith("\n") and not text.endswith("\n\n")


def _check_reset_options(env: TextEnv) -> None:
    env.reset(seed=_SEED, options={})
    wrong: list[dict[str, Any]] = [{"no such option": 1}]
    wrong += [{"task": task} for task in (-1, env.tasks, 0.5, "0", True, [0])]
    for options in wrong:
        try:
            env.reset(seed=_SEED, options=options)
        except ValueError:
            continue
        raise AssertionError(
            f"reset(options={options}) must raise ValueError: draw the task by self._drawn_task(options) and "
            "name further options in own_options"
        )
    for task in sorted({0, env.tasks // 2, env.tasks - 1}):
        env.reset(seed=_SEED, options={"task": task})
        require(env.task == task, f"reset(options={{'task': {task}}}) set task to {env.task}: see _start")


def _check_candidates(env: TextEnv) -> None:
    env.reset(seed=_SEED)
    candidates = env.candidates()
    if candidates is None:
        return
    require(
        isinstance(candidates, tuple) and len(candidates) > 0 and all(isinstance(c, str) for c in candidates),
        f"candidates() gives a tuple of texts or None, got {candidates!r:.80}",
    )
    for action in candidates[:: max(1, len(candidates) // 20)]:
        copy = deepcopy(env)
        info = copy.step(action)[-1]
        require(info["action_is_valid"], f"candidates() offers {action!r}, which the rules call invalid")
        require(
            copy.history[1].text == action,
            f"candidates() offers {action!r}, which history writes as {copy.history[1].text!r}: offer that",
        )


def _check_random_streams(env: TextEnv) -> None:
    python, numpy = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    list(plays(env, likely_actions(env, 100), _SEED))
    is_untouched = random.getstate() == python and repr(np.random.get_state()) == numpy  # noqa: NPY002
    require(
        is_untouched, "the game drew from Python's or numpy's global stream: draw from self.np_random only"
    )


def _check_determinism(env: TextEnv) -> None:
    actions = likely_actions(env, 100)
    require(
        list(plays(env, actions, _SEED)) == list(plays(env, actions, _SEED)),
        "the same seed and actions gave another game: reset must forget everything (_start sets all "
        "attributes) and draws come from self.np_random, never from a set's order or the clock",
    )


def _check_snapshot(env: TextEnv, turns: int) -> None:
    """Copies made after `turns` actions go on as the game itself does."""
    actions = likely_actions(env, 60)
    list(plays(env, actions[:turns], _SEED + turns))
    try:
        copy, twin = deepcopy(env), pickle.loads(pickle.dumps(env))
    except Exception as error:
        raise AssertionError(
            f"copy.deepcopy or pickle failed ({type(error).__name__}: {error}): hold no open files, threads, "
            "lambdas or local classes; what copies may share is named in _shared_by_copies"
        ) from error
    ahead = list(plays(copy, actions[turns:], None))
    for name, other in (("the original", env), ("a pickled twin", twin)):
        require(
            list(plays(other, actions[turns:], None)) == ahead and other.history == copy.history,
            f"a copy.deepcopy and {name} went on differently: keep all state in attributes, and list none "
            "that a game changes in _shared_by_copies",
        )


def check_hostile_steps(env: TextEnv, steps: int, seed: int = _SEED) -> None:
    """Raise `AssertionError` unless `env` answers `steps` hostile texts by its rules."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    for start in range(0, steps, 1_000):
        for text in hostile_texts(env.candidates() or (), rng, min(1_000, steps - start)):
            action = Action(text, (1, 2), (-0.5, -0.5)) if rng.random() < 0.1 else text
            if _is_over_after(env, action):
                _check_texts_fit(env)
                env.reset()


def _is_over_after(env: TextEnv, action: str | Action) -> bool:
    try:
        observation, _, terminated, truncated, _ = env.step(action)
    except Exception as error:
        raise AssertionError(
            f"step({action!r:.120}) raised {type(error).__name__}: {error}. Anything an agent says is legal "
            "input: _respond must answer it"
        ) from error
    require(
        observation in env.observation_space,
        f"step({action!r:.120}) gave an observation outside {env.observation_space}: do not echo actions",
    )
    return terminated or truncated


def _check_texts_fit(env: TextEnv) -> None:
    for turn in env.history:
        require(len(turn.text) <= MAX_LENGTH, f"history holds {len(turn.text)} characters in one turn")
        is_encodable = turn.text == turn.text.encode("utf-8", "replace").decode("utf-8")
        require(is_encodable, f"history holds text that cannot be encoded: {turn.text!r:.80}")


def _check_end(env: TextEnv) -> None:
    env.reset(seed=_SEED)
    for action in likely_actions(env, _LONGEST_GAME):
        if _is_over_after(env, action):
            break
    else:
        raise AssertionError(f"the game had not ended after {_LONGEST_GAME} actions: give it a turn limit")
    try:
        env.step("one more\n")
    except ResetNeeded:
        return
    raise AssertionError("step() after the end must raise gymnasium.error.ResetNeeded: do not override step")


def _check_side_by_side(env: TextEnv) -> None:
    """Only for games with an id: nothing but `gymnasium.make` makes a second one."""
    if env.spec is None:
        return
    policy = Sayer(likely_actions(env, 30))
    kwargs = {key: value for key, value in env.spec.kwargs.items() if key != "render_mode"}
    vector = TextVectorEnv([env])
    vector.spec = env.spec
    alone = rollout(vector, policy, 6, seed=_SEED)
    together = rollout(env.spec.id, policy, 6, seed=_SEED, parallel=4, env_kwargs=kwargs)
    require(
        [(game.turns, game.info) for game in alone] == [(game.turns, game.info) for game in together],
        "four games side by side went on differently from one alone: vector_entry_point must make the same "
        "game, and games share no state that changes (class attributes, module globals, a partner's memory)",
    )


class Sayer:
    """A policy that says the given texts, drawn at random."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str]:
        return [
            _drawn(self._texts, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]


def plays(env: TextEnv, actions: Sequence[str], seed: int | None) -> Iterator[tuple[Any, ...]]:
    """The five values of every step, from reset with `seed` (None: from here) on, through several games."""
    if seed is not None:
        observation, info = env.reset(seed=seed)
        yield observation, 0.0, False, False, info
    for action in actions:
        if not env._running:
            observation, info = env.reset()
            yield observation, 0.0, False, False, info
        yield env.step(action)


def likely_actions(env: TextEnv, count: int) -> list[str]:
    """What an agent that mostly knows the game might say: two of three are candidates."""
    env.reset(seed=_SEED)
    rng = np.random.default_rng(_SEED)
    candidates = env.candidates() or ("Is it alive?\n", "yes\n", "I offer 9000 dollars.\n")
    nonsense = hostile_texts(candidates, rng, 50)
    pools = (candidates, candidates, nonsense)
    return [_drawn(pools[i % 3], rng) for i in range(count)]


def _drawn(texts: Sequence[str], rng: Generator) -> str:
    return texts[int(rng.integers(len(texts)))]


def hostile_texts(candidates: Sequence[str], rng: Generator, count: int) -> list[str]:
    """`count` things no player should say: any characters, nothing, too much, numbers, near-misses."""
    known = candidates or ("yes\n",)
    return [_KINDS[rng.integers(len(_KINDS))](_drawn(known, rng), rng) for _ in range(count)]


def _any_characters(known: str, rng: Generator) -> str:
    """Of all planes, unassigned ones and lone surrogates included."""
    top = (0x80, 0x100, 0x3000, 0x110000)[rng.integers(4)]
    return "".join(map(chr, rng.integers(top, size=rng.integers(1, 20))))


def _surrogate(known: str, rng: Generator) -> str:
    return _replaced(known, rng, chr(0xD800 + int(rng.integers(0x800))))


def _too_much(known: str, rng: Generator) -> str:
    tail = _drawn((" ", "\n", "a", "é", known), rng)
    return known + tail * (int(rng.integers(MAX_LENGTH - 50, MAX_LENGTH + 50)) // len(tail))


def _near_miss(known: str, rng: Generator) -> str:
    return _replaced(known, rng, _drawn(("", "  ", "\n", "\t", "\x00", "x", "İ", "ſ", "\u200b", "\r"), rng))


def _restyled(known: str, rng: Generator) -> str:
    return _drawn((known.upper(), known.swapcase(), f"  {known} ", known.strip(), known[::-1]), rng)


def _replaced(known: str, rng: Generator, piece: str) -> str:
    at = int(rng.integers(len(known)))
    return known[:at] + piece + known[at + int(rng.integers(2)) :]


_FIXED = (
    "", "\n", "\n\n", " ", "\t\n", "\x00", "\x1b[2J\n", "\ufeff", "0", "-1", "1e999", "nan", "٣", "%s{}{0}\\",
    "None\n", "Success\n", "\u202eevom", "👩‍👩‍👧", "<|endoftext|>",
)  # fmt: skip
_KINDS: tuple[Callable[[str, Generator], str], ...] = (
    _any_characters, _surrogate, _near_miss, _near_miss, _restyled,
    lambda known, rng: _drawn(_FIXED, rng),
    lambda known, rng: str(int(rng.integers(-(10**12), 10**12))),
    lambda known, rng: known * int(rng.integers(2, 5)),
    lambda known, rng: _too_much(known, rng) if rng.random() < 0.02 else known,
)  # fmt: skip
