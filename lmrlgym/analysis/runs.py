"""Run folders as comparisons read them: the log, the setup and the games of the final evaluation.

A run is any folder with a `run.json` and a `log.jsonl` of the documented form (docs/compare.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from lmrlgym.dataset import Dataset
from lmrlgym.references import normalise

EVALUATION = "evaluation.parquet"
"""The games of the final evaluation in a run folder."""
Key = tuple[str, int]
"""(task, seed) of a game; the task is "" where the seed draws it."""
_OWN_TO_A_RUN = (
    "env",
    "env_kwargs",
    "out",
    "start",
    "resume",
    "label",
    "threads",
    "device",
    "validate_every",
    "tracker",
)
"""Options of a training that do not make another setup, or are told elsewhere."""

_NEEDED = ("task", "env_kwargs", "algorithm", "seed", "gradient_steps", "evaluation_return_mean")
"""What a result must tell; whatever else it lacks is not shown."""


@dataclass(frozen=True)
class Run:
    """One training run with its result."""

    folder: Path
    env_id: str
    env_kwargs: Mapping[str, Any]
    algorithm: str
    label: str
    seed: int
    setup: Mapping[str, Any]
    """Every option but the seed, and the base."""
    data: str
    """sha256 of the games that were learned from; "" if it is not known."""
    result: Mapping[str, Any]
    """The last line of the log."""
    curve: tuple[Mapping[str, Any], ...]
    """The validations."""
    returns: Mapping[Key, float]
    """The return of every game of the evaluation that its partner did not break."""
    planned: frozenset[Key]
    """All games of the evaluation."""
    played: tuple[Mapping[str, Any], ...] = ()
    """The games played in learning, round by round."""

    @property
    def mean(self) -> float:
        """The mean return of the evaluation."""
        return float(self.result["evaluation_return_mean"])

    @property
    def environment(self) -> str:
        """Id and keywords, as one text."""
        return environment_name(self.env_id, self.env_kwargs)

    def score(self) -> float | None:
        """The mean on the scale of 0 (random) to 100 (best); None without references."""
        found = self.result.get("score_optimal")
        return None if found is None else float(found)

    def score_at(self, mean: float) -> float | None:
        """`mean` on the same scale."""
        try:
            return normalise(self.env_id, mean, **self.env_kwargs)
        except (ValueError, gymnasium.error.Error):  # a game of another package need not be registered here
            return None


@dataclass(frozen=True)
class Unfinished:
    """A run without a result: killed, failed, or still under way."""

    folder: Path
    environment: str
    """Id and keywords; "" if run.json does not tell."""
    label: str
    seed: int | None
    why: str
    """How far it came."""
    log: tuple[Mapping[str, Any], ...]
    """Its whole records."""


@dataclass(frozen=True)
class Found:
    """What was found in folders: the runs, and one line for each that was left out or damaged."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    unfinished: tuple[Unfinished, ...] = ()


def find_runs(paths: Sequence[Path]) -> Found:
    """The runs in `paths`: run folders, or folders with runs at any depth below.

    Folders whose name begins with "_" hold policies to start from and are left out, as are runs inside
    runs. Raises `ValueError` for a path without a run.
    """
    runs: list[Run] = []
    notes: list[str] = []
    unfinished: list[Unfinished] = []
    for path in paths:
        folders = _run_folders(path)
        if not folders:
            raise ValueError(f"{path} holds no run: no run.json in it or below")
        for folder in folders:
            records, lost = read_log(folder / "log.jsonl")
            if lost:
                notes.append(f"{folder}: the log is cut, {lost} bytes after its last whole line are lost")
            if not records or records[-1].get("kind") != "result":
                notes.append(f"{folder}: no result, left out")
                unfinished.append(_unfinished(folder, records))
            else:
                runs.append(_run(folder, records))
    return Found(tuple(runs), tuple(notes), tuple(unfinished))


def _run_folders(path: Path) -> list[Path]:
    if (path / "run.json").is_file():
        return [path]
    found: list[Path] = []
    for file in sorted(path.rglob("run.json")):
        folder = file.parent
        is_start = any(part.startswith("_") for part in folder.relative_to(path).parts)
        if not is_start and not any(outer in folder.parents for outer in found):
            found.append(folder)
    return found


def environment_name(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    """Id and keywords, as one text."""
    keywords = ", ".join(f"{key}={value}" for key, value in sorted(env_kwargs.items()))
    return f"{env_id} ({keywords})" if keywords else env_id


def _unfinished(folder: Path, records: Sequence[dict[str, Any]]) -> Unfinished:
    last = records[-1] if records else {}
    why = "no line in its log"
    if last:
        why = f'its log ends with "{last.get("kind")}" at gradient step {last.get("gradient_steps")}'
    try:
        asked = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        training = asked["training"]
        name = environment_name(training["env"], training["env_kwargs"])
        label, seed = training.get("label") or asked["algorithm"], int(asked["config"]["seed"])
    except (ValueError, KeyError, TypeError) as error:
        return Unfinished(folder, "", "", None, f"run.json is damaged ({error}); {why}", tuple(records))
    return Unfinished(folder, name, label, seed, why, tuple(records))


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a log up to its last whole line, and how many bytes after that are lost."""
    data = path.read_bytes() if path.is_file() else b""
    records: list[dict[str, Any]] = []
    read = 0
    for line in data.splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(record, dict):
            break
        records.append(record)
        read += len(line)
    return records, len(data) - read


def _run(folder: Path, records: Sequence[dict[str, Any]]) -> Run:
    try:
        asked = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / 'run.json'} is damaged: {error}") from error
    result = records[-1]
    lacking = [key for key in _NEEDED if key not in result]
    if lacking:
        raise ValueError(f"the result in the log of {folder} lacks {', '.join(lacking)}")
    try:
        training, config = asked["training"], asked["config"]
        data = asked.get("data") or {}
        returns, planned = _games(folder)
        return Run(
            folder=folder,
            env_id=result["task"],
            env_kwargs=result["env_kwargs"],
            algorithm=result["algorithm"],
            label=training.get("label") or result["algorithm"],
            seed=result["seed"],
            setup={
                **{key: value for key, value in training.items() if key not in _OWN_TO_A_RUN},
                **{key: value for key, value in config.items() if key != "seed"},
                "base": asked["base"]["sha256"],
            },
            data=data.get("sha256", ""),
            result=result,
            curve=tuple(record for record in records if record["kind"] == "validation"),
            played=tuple(record for record in records if record["kind"] == "rollout"),
            returns=returns,
            planned=planned,
        )
    except KeyError as error:
        raise ValueError(f"{folder} is not a run of the documented form: it lacks {error}") from error
    except TypeError as error:
        raise ValueError(f"{folder} is not a run of the documented form: {error}") from error


def _games(folder: Path) -> tuple[dict[Key, float], frozenset[Key]]:
    path = folder / EVALUATION
    if not path.is_file():
        raise ValueError(f"{folder} has no {EVALUATION}: its games are needed to pair them")
    games = Dataset.load(path)
    keys = [(str(game.options.get("task", "")), int(game.seed or 0)) for game in games]
    whole = {
        key: game.total_reward
        for key, game in zip(keys, games, strict=True)
        if game.info.get("stop_reason") != "partner_error"
    }
    return whole, frozenset(keys)
