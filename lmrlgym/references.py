"""Reference scores and the two ways of normalising a mean return by them.

`envs_data/<key>/references.json` maps an id to a list of configurations, each with its numbers.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import gymnasium
from gymnasium.envs.registration import load_env_creator

from lmrlgym.env import TextEnv
from lmrlgym.resources import data_folder, read_json

Scoring = Literal["optimal", "lmrl2023"]
SCORINGS: tuple[Scoring, ...] = ("optimal", "lmrl2023")
KINDS = ("exact", "bound", "best_known")
_NEUTRAL_KEYWORDS = ("privileged", "render_mode")
"""Keywords that do not change the game."""


class Protocol(NamedTuple):
    """How an id is evaluated: `repeats` games of each of its tasks, or `repeats` games in all."""

    plays_every_task: bool
    repeats: int


class PaperScale(NamedTuple):
    """The three returns that the paper maps to 0, 50 and 100."""

    low: float
    average: float
    high: float

    def score(self, mean_return: float) -> float:
        """50 at the data's average, linear on either side, not clipped."""
        if mean_return >= self.average:
            return 50 + 50 * (mean_return - self.average) / (self.high - self.average)
        return 50 * (mean_return - self.low) / (self.average - self.low)


@dataclass(frozen=True)
class Reference:
    """What is known about one configuration of an environment; returns are means under its protocol."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    random: float
    """Uniform over `candidates()`, or over the game's scripted sentences."""
    behaviour_played: float | None
    """The data's player in whole games; None if no data is shipped for this configuration."""
    data_mean: float | None
    """The mean return of the shipped data; None if there is none."""
    levels: Mapping[str, float]
    """Scripted players by name."""
    best: float
    kind: str
    """What `best` is: exact, bound (nobody can do better) or best_known."""
    protocol: Protocol
    lmrl2023: PaperScale | None
    """The paper's constants; None if this is not the paper's configuration."""
    lmrl2023_reason: str
    """Why there is no `lmrl2023`."""


def normalise(env_id: str, mean_return: float, scoring: Scoring = "optimal", **env_kwargs: Any) -> float:
    """`mean_return` as a score. "optimal": 0 is random play, 100 the best known; "lmrl2023": the paper's.

    NaN where this configuration has no such score; `why_no_score` says why. Raises `ValueError` for
    an unknown scoring, and for "lmrl2023" of a game for which the paper has no constants at all.
    """
    if why := why_no_score(env_id, scoring, **env_kwargs):
        if scoring == "lmrl2023" and any(entry.get("lmrl2023_raises", False) for entry in _entries(env_id)):
            raise ValueError(f"{env_id} has no lmrl2023 score: {why}")
        return math.nan
    found = reference(env_id, **env_kwargs)
    if scoring == "lmrl2023" and found.lmrl2023 is not None:
        return found.lmrl2023.score(mean_return)
    return 100 * (mean_return - found.random) / (found.best - found.random)


def why_no_score(env_id: str, scoring: Scoring = "optimal", **env_kwargs: Any) -> str:
    """Why `normalise` gives NaN for this configuration; "" if it gives a score."""
    if scoring not in SCORINGS:
        raise ValueError(f"scoring must be one of {', '.join(SCORINGS)}, got {scoring!r}")
    try:
        found = reference(env_id, **env_kwargs)
    except ValueError as error:
        return str(error)
    return found.lmrl2023_reason if scoring == "lmrl2023" and found.lmrl2023 is None else ""


def reference(env_id: str, **env_kwargs: Any) -> Reference:
    """The references of `env_id` made with `env_kwargs`; keywords left out have their defaults.

    Raises `ValueError`, listing the configurations there are, if there are none for this one.
    """
    entries = _entries(env_id)
    wanted = _completed(env_id, {**env_kwargs, **_filed_as(env_id, env_kwargs)}) if entries else {}
    for entry in entries:
        if _completed(env_id, entry["env_kwargs"]) == wanted:
            return _from_entry(env_id, entry)
    known = "; ".join(str(entry["env_kwargs"]) for entry in entries) or "none"
    raise ValueError(f"no references for {env_id} with {dict(env_kwargs)}; there are: {known}")


def references(env_id: str) -> list[Reference]:
    """The references of every configuration of `env_id` that has any."""
    return [_from_entry(env_id, entry) for entry in _entries(env_id)]


def protocol(env_id: str, **env_kwargs: Any) -> Protocol:
    """How `env_id` is evaluated: as the configuration with references that agrees most with `env_kwargs`.

    An id without references: 1,024 games with drawn tasks.
    """
    entries = _entries(env_id)
    if not entries:
        return Protocol(False, 1024)
    wanted = _completed(env_id, env_kwargs)

    def agreeing(entry: Mapping[str, Any]) -> int:
        filed = _completed(env_id, entry["env_kwargs"])
        return sum(filed.get(name) == value for name, value in wanted.items())

    return _protocol(max(entries, key=agreeing))


def key_of(env_id: str) -> str:
    """The name of the game's file ("wordle"), or "" for a game that is not in this package."""
    entry_point = gymnasium.spec(env_id).entry_point
    module = entry_point.split(":")[0] if isinstance(entry_point, str) else ""
    return module.removeprefix("lmrlgym.envs.") if module.startswith("lmrlgym.envs.") else ""


def _entries(env_id: str) -> list[Any]:
    key = key_of(env_id)
    if not key or not (data_folder() / key / "references.json").is_file():
        return []
    entries: list[Any] = read_json(key, "references.json").get(env_id, [])
    return entries


def _completed(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All keywords that make the game, those left out with the constructor's defaults, as JSON values."""
    spec = gymnasium.spec(env_id)
    make = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    parameters = {} if make is None else inspect.signature(make).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    given = {**defaults, **spec.kwargs, **env_kwargs}
    kept = {name: value for name, value in given.items() if name not in _NEUTRAL_KEYWORDS}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return plain


def _filed_as(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the game itself says about its keywords: a word file is known by its words.

    No partner is made for that: an engine may not be installed, a model takes long to load.
    """
    kwargs = {name: value for name, value in env_kwargs.items() if name != "partner"}
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs).unwrapped
    return env.filed_as() if isinstance(env, TextEnv) else {}


def _from_entry(env_id: str, entry: Mapping[str, Any]) -> Reference:
    paper = entry["lmrl2023"]
    return Reference(
        env_id=env_id,
        env_kwargs=entry["env_kwargs"],
        random=entry["random"],
        behaviour_played=entry["behaviour_played"],
        data_mean=entry["data_mean"],
        levels=entry["levels"],
        best=entry["best"]["value"],
        kind=entry["best"]["kind"],
        protocol=_protocol(entry),
        lmrl2023=None if paper is None else PaperScale(paper["min"], paper["avg"], paper["max"]),
        lmrl2023_reason=entry["lmrl2023_reason"],
    )


def _protocol(entry: Mapping[str, Any]) -> Protocol:
    return Protocol(entry["protocol"]["tasks"] is not None, entry["protocol"]["repeats"])
