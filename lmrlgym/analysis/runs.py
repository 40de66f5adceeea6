"""Run folders as comparisons read them: the log, the setup and the games of the final evaluation.

A run is any folder with a `run.json` and a `log.jsonl` of the documented form (docs/compare.md). Many of
them can be kept in one Parquet file (`keep_runs`), without weights and transcripts, one row a run:

folder            where it was, below the folder that was given
run, log          its run.json and log.jsonl, as they are
task, seed        of each game of the final evaluation
return            what it earned; null where its partner broke it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
    """The runs in `paths`: run folders, folders with runs at any depth below, or files of `keep_runs`.

    Folders whose name begins with "_" hold policies to start from and are left out, as are runs inside
    runs. Raises `ValueError` for a path without a run.
    """
    runs: list[Run] = []
    notes: list[str] = []
    unfinished: list[Unfinished] = []
    for path in paths:
        for record in records_in(path):
            lines, lost = _whole_lines(record.log)
            if lost:
                notes.append(
                    f"{record.folder}: the log is cut, {lost} bytes after its last whole line are lost"
                )
            if not lines or lines[-1].get("kind") != "result":
                notes.append(f"{record.folder}: no result, left out")
                unfinished.append(_unfinished(record, lines))
            else:
                runs.append(_run(record, lines))
    return Found(tuple(runs), tuple(notes), tuple(unfinished))


class Record(NamedTuple):
    """What is read of a run, in a folder or in a row of a file."""

    folder: Path
    run: str
    log: bytes
    games: tuple[tuple[str, int, float | None], ...] | None
    """(task, seed, return) of the games of the final evaluation; None if they are not there"""

    @property
    def is_finished(self) -> bool:
        """Whether the run has a result."""
        lines, _ = _whole_lines(self.log)
        return bool(lines) and lines[-1].get("kind") == "result"


def records_in(path: Path) -> list[Record]:
    """The runs in `path`: a run folder, a folder with runs below, or a file of `keep_runs`.

    Raises `ValueError` if there is none.
    """
    if path.suffix == ".parquet" and path.is_file():
        return _read_kept(path)
    folders = _run_folders(path)
    if not folders:
        raise ValueError(f"{path} holds no run: no run.json in it or below")
    return [_read_folder(folder) for folder in folders]


def _read_folder(folder: Path) -> Record:
    log, games = folder / "log.jsonl", folder / EVALUATION
    return Record(
        folder,
        (folder / "run.json").read_text(encoding="utf-8"),
        log.read_bytes() if log.is_file() else b"",
        tuple(_scored(games)) if games.is_file() else None,
    )


def _scored(path: Path) -> Iterator[tuple[str, int, float | None]]:
    for game in Dataset.load(path):
        is_broken = game.info.get("stop_reason") == "partner_error"
        yield str(game.options.get("task", "")), int(game.seed or 0), None if is_broken else game.total_reward


def _schema() -> Any:
    import pyarrow as pa

    columns = {name: pa.string() for name in ("folder", "run", "log")}
    games = {"task": pa.string(), "seed": pa.int64(), "return": pa.float64()}
    return pa.schema({**columns, **{name: pa.list_(kind) for name, kind in games.items()}})


def keep_runs(paths: Sequence[Path], file: Path) -> int:
    """Write the runs in `paths` to the Parquet file `file`, all or nothing; how many it holds then.

    Runs that it held stay, but for those of which `paths` holds another: of the same environment, setup and
    seed. Raises `ValueError` for a path without a run, a damaged run.json and two such runs in `paths`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    given: dict[tuple[str, ...], Record] = {}
    for path in paths:
        for record in records_in(path):
            key = _identity(record)
            if key in given:
                raise ValueError(f"{given[key].folder} and {record.folder} are both runs of {', '.join(key)}")
            given[key] = _without(path, record)
    held = {_identity(record): _without(file, record) for record in _read_kept(file)} if file.exists() else {}
    rows = [
        {
            "folder": record.folder.as_posix(), "run": record.run,
            "log": record.log[: len(record.log) - _whole_lines(record.log)[1]].decode(),
            **{
                name: None if record.games is None else [game[place] for game in record.games]
                for place, name in enumerate(("task", "seed", "return"))
            },
        }
        for _, record in sorted({**held, **given}.items())
    ]  # fmt: skip
    beside = file.with_name(file.name + ".partial")
    pq.write_table(pa.Table.from_pylist(rows, _schema()), beside, compression="zstd")
    beside.replace(file)
    return len(rows)


def _without(path: Path, record: Record) -> Record:
    """`record` with its folder told from `path`."""
    is_below = path in record.folder.parents
    return record._replace(folder=record.folder.relative_to(path)) if is_below else record


def _identity(record: Record) -> tuple[str, ...]:
    """(environment, setup, seed)"""
    asked = _asked(record)
    try:
        training = asked["training"]
        name = environment_name(training["env"], training["env_kwargs"])
        return name, training.get("label") or asked["algorithm"], f"seed {asked['config']['seed']}"
    except (KeyError, TypeError) as error:
        raise ValueError(f"{record.folder} is not a run of the documented form: it lacks {error}") from error


def _read_kept(file: Path) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file, schema=_schema()).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} is no file of runs: {error}") from error
    if not rows:
        raise ValueError(f"{file} holds no run")
    found = []
    for row in rows:
        columns = [row[name] for name in ("task", "seed", "return")]
        games = None if None in columns else tuple(zip(*columns, strict=True))
        found.append(Record(file / row["folder"], row["run"], row["log"].encode(), games))
    return found


def _asked(record: Record) -> dict[str, Any]:
    try:
        asked: dict[str, Any] = json.loads(record.run)
    except ValueError as error:
        raise ValueError(f"{record.folder / 'run.json'} is damaged: {error}") from error
    return asked


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


def _unfinished(record: Record, records: Sequence[dict[str, Any]]) -> Unfinished:
    folder = record.folder
    last = records[-1] if records else {}
    why = "no line in its log"
    if last:
        why = f'its log ends with "{last.get("kind")}" at gradient step {last.get("gradient_steps")}'
    try:
        asked = json.loads(record.run)
        training = asked["training"]
        name = environment_name(training["env"], training["env_kwargs"])
        label, seed = training.get("label") or asked["algorithm"], int(asked["config"]["seed"])
    except (ValueError, KeyError, TypeError) as error:
        return Unfinished(folder, "", "", None, f"run.json is damaged ({error}); {why}", tuple(records))
    return Unfinished(folder, name, label, seed, why, tuple(records))


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a log up to its last whole line, and how many bytes after that are lost."""
    return _whole_lines(path.read_bytes() if path.is_file() else b"")


def _whole_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
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


def _run(record: Record, records: Sequence[dict[str, Any]]) -> Run:
    folder, asked = record.folder, _asked(record)
    result = records[-1]
    lacking = [key for key in _NEEDED if key not in result]
    if lacking:
        raise ValueError(f"the result in the log of {folder} lacks {', '.join(lacking)}")
    try:
        training, config = asked["training"], asked["config"]
        data = asked.get("data") or {}
        returns, planned = _games(record)
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


def _games(record: Record) -> tuple[dict[Key, float], frozenset[Key]]:
    if record.games is None:
        raise ValueError(f"{record.folder} has no {EVALUATION}: its games are needed to pair them")
    whole = {(task, seed): earned for task, seed, earned in record.games if earned is not None}
    return whole, frozenset((task, seed) for task, seed, _ in record.games)
