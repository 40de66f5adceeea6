"""Games on disk and in memory: `Dataset`, Parquet and JSON lines, and the card that lies beside a file.

A Parquet row is one game; a list column has one entry a turn, so that pandas and `datasets` can read
the file without this package. A file's bytes change with the writer's version; what identifies
a dataset is the sha256 of its canonical JSON lines, which the card holds and loading checks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from lmrlgym.resources import data_folder, replacing
from lmrlgym.types import Trajectory, Turn

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
_MOST_COUNTED_ACTIONS = 16
_DERIVED_FACTS = ("command", "seeds")
"""Facts of a card that no longer hold for a part of the dataset."""


@dataclass(frozen=True)
class Dataset(Sequence[Trajectory]):
    """Games and the card that says what they are. `filter`, `top` and `split` give new datasets.

    The card holds JSON values: what made the games, and `statistics` of them.
    """

    trajectories: tuple[Trajectory, ...]
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Dataset:
        """A shipped dataset by name ("maze/mixed-v0") or a .parquet, .jsonl or .jsonl.gz file.

        Raises `FileNotFoundError`, listing the shipped names, if there is no such dataset, and
        `ValueError`, naming the file and what is wrong with it, if it cannot be read or is not what its
        card says.
        """
        path = _resolved(name_or_path)
        read = _read_parquet if _suffix(path) == ".parquet" else _read_lines
        try:
            trajectories = read(path)
            card = _read_card(path)
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged file fails in many ways, each deep inside a reader
            raise ValueError(f"{path} is not a dataset: {_first_line(error)}") from error
        if card and card.get("sha256") != (found := content_sha256(trajectories)):
            raise ValueError(
                f"{path} is not what its card says: sha256 {found}, the card has {card.get('sha256')}"
            )
        return cls(trajectories, card)

    def save(self, path: str | Path) -> Path:
        """Write the games to `path`, in the format of its suffix, and the card beside it."""
        path = Path(path)
        write = _write_parquet if _suffix(path) == ".parquet" else _write_lines
        card = {**self.card, **statistics(self), "sha256": content_sha256(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            write(self, beside)
        with replacing(card_path(path)) as beside:
            beside.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def filter(self, keep: Callable[[Trajectory], bool]) -> Dataset:
        """The games that `keep` says yes to, in order."""
        return self._part([t for t in self.trajectories if keep(t)], "filtered")

    def top(self, fraction: float) -> Dataset:
        """The best `fraction` of the games by return, best first; exactly so many, and at least one."""
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction}")
        # A quantile would keep every game that ties with the last one.
        ranked = sorted(self.trajectories, key=lambda t: -t.total_reward)
        return self._part(ranked[: max(1, round(fraction * len(ranked)))], f"top {fraction:g}")

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """A random `fraction` of the games and the rest, both in order; equal seeds split equally."""
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must be in (0, 1), got {fraction}")
        order = np.random.default_rng(seed).permutation(len(self))
        chosen = {int(i) for i in order[: round(fraction * len(self))]}
        part = [t for i, t in enumerate(self) if i in chosen]
        rest = [t for i, t in enumerate(self) if i not in chosen]
        return (
            self._part(part, f"split {fraction:g} seed {seed}"),
            self._part(rest, f"split {fraction:g} seed {seed}, the rest"),
        )

    def _part(self, trajectories: Sequence[Trajectory], how: str) -> Dataset:
        facts = {k: v for k, v in self.card.items() if k not in (*_DERIVED_FACTS, "sha256")}
        facts["derived"] = [*facts.get("derived", ()), how]
        return Dataset(tuple(trajectories), {**facts, **statistics(trajectories)})

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Trajectory | Dataset:
        if isinstance(index, slice):
            return self._part(self.trajectories[index], f"slice {index.start}:{index.stop}:{index.step}")
        return self.trajectories[index]

    def __len__(self) -> int:
        return len(self.trajectories)

    def __iter__(self) -> Iterator[Trajectory]:
        return iter(self.trajectories)

    def __repr__(self) -> str:
        return f"Dataset({self.card.get('env_id', 'of unknown origin')}, {len(self)} games)"


def statistics(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    """The part of a card that is counted: games, return, success, length in agent turns, actions.

    `action_counts` is there only if few different things were said.
    """
    returns = np.array([t.total_reward for t in trajectories])
    lengths = np.array([sum(turn.is_action for turn in t.turns) for t in trajectories])
    said = Counter(turn.text for t in trajectories for turn in t.turns if turn.is_action)
    found: dict[str, Any] = {"count": len(trajectories)}
    if len(trajectories):
        found |= {
            "return_mean": _rounded(returns.mean()),
            "return_std": _rounded(returns.std()),
            "success": _rounded(np.mean([bool(t.info.get("success")) for t in trajectories])),
            "length_mean": _rounded(lengths.mean()),
            "length_std": _rounded(lengths.std()),
            "truncated": _rounded(np.mean([t.truncated for t in trajectories])),
        }
    if len(said) <= _MOST_COUNTED_ACTIONS:
        found["action_counts"] = dict(sorted(said.items()))
    return found


def distinct(texts: Sequence[str], n: int) -> float:
    """distinct-n (arXiv 1510.03055): how many different n-grams of words there are, per n-gram; 0 if none."""
    words = [text.split() for text in texts]
    grams = Counter(tuple(said[i : i + n]) for said in words for i in range(len(said) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def content_sha256(trajectories: Sequence[Trajectory]) -> str:
    """What identifies a dataset: the sha256 of its canonical JSON lines, each with its newline."""
    digest = hashlib.sha256()
    for trajectory in trajectories:
        digest.update(trajectory.to_json().encode())
        digest.update(b"\n")
    return digest.hexdigest()


def shipped_names() -> list[str]:
    """The names of the datasets in `envs_data`."""
    folder = data_folder()
    return sorted(f"{p.parent.name}/{p.stem}" for p in folder.glob("*/*.parquet"))


def card_path(path: Path) -> Path:
    """Where the card of the dataset file `path` lies."""
    return path.with_name(path.name.removesuffix(_suffix(path)) + ".card.json")


def _resolved(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.name.endswith(SUFFIXES):
        if not path.is_file():
            raise FileNotFoundError(f"no dataset file {path}")
        return path
    if path.is_file():
        _suffix(path)
    name = path.as_posix()
    if name not in shipped_names():
        raise FileNotFoundError(f"no dataset {name!r}; there are: {', '.join(shipped_names()) or 'none'}")
    return data_folder() / f"{name}.parquet"


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise ValueError(f"a dataset file ends in {', '.join(SUFFIXES)}, got {path.name!r}")


def _read_card(path: Path) -> dict[str, Any]:
    beside = card_path(path)
    if not beside.is_file():
        return {}
    card = json.loads(beside.read_text(encoding="utf-8"))
    if not isinstance(card, dict):
        raise ValueError(f"{beside.name} does not hold one JSON object")
    return card


def _read_lines(path: Path) -> tuple[Trajectory, ...]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    found = []
    # Not splitlines(): a text may hold any of the other line ends.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        try:
            found.append(Trajectory.from_json(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return tuple(found)


def _write_lines(dataset: Dataset, path: Path) -> None:
    data = "".join(t.to_json() + "\n" for t in dataset).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if ".gz" in path.suffixes else data)


def _read_parquet(path: Path) -> tuple[Trajectory, ...]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return tuple(_from_row(*row) for row in zip(*columns, strict=True))


_COLUMNS = (
    "env_id", "env_kwargs", "seed", "options", "texts", "is_action", "rewards", "tokens", "log_probs",
    "log_prob", "terminated", "truncated", "info",
)  # fmt: skip


def _from_row(
    env_id: str, env_kwargs: str, seed: int | None, options: str, texts: list[str], is_action: list[bool],
    rewards: list[float], tokens: list[list[int]], log_probs: list[list[float]], log_prob: list[float | None],
    terminated: bool, truncated: bool, info: str,
) -> Trajectory:  # fmt: skip
    turns = tuple(
        Turn(text, acts, reward, tuple(ids), tuple(each), whole)
        for text, acts, reward, ids, each, whole in zip(
            texts, is_action, rewards, tokens, log_probs, log_prob, strict=True
        )
    )
    keywords, settings, last = json.loads(env_kwargs), json.loads(options), json.loads(info)
    return Trajectory(env_id, keywords, turns, terminated, truncated, seed, settings, last)


def _write_parquet(dataset: Dataset, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def turns(value: Callable[[Turn], Any], kind: pa.DataType) -> pa.Array:
        return pa.array([[value(turn) for turn in t.turns] for t in dataset], pa.list_(kind))

    def objects(values: list[Mapping[str, Any]]) -> pa.Array:
        return pa.array([json.dumps(dict(value), sort_keys=True) for value in values], pa.string())

    table = pa.table(
        {
            "env_id": pa.array([t.env_id for t in dataset], pa.string()),
            "env_kwargs": objects([t.env_kwargs for t in dataset]),
            "seed": pa.array([t.seed for t in dataset], pa.int64()),
            "options": objects([t.options for t in dataset]),
            "texts": turns(lambda turn: turn.text, pa.string()),
            "is_action": turns(lambda turn: turn.is_action, pa.bool_()),
            "rewards": turns(lambda turn: turn.reward, pa.float64()),
            "tokens": turns(lambda turn: list(turn.tokens), pa.list_(pa.int32())),
            "log_probs": turns(lambda turn: list(turn.log_probs), pa.list_(pa.float64())),
            "log_prob": turns(lambda turn: turn.log_prob, pa.float64()),
            "terminated": pa.array([t.terminated for t in dataset], pa.bool_()),
            "truncated": pa.array([t.truncated for t in dataset], pa.bool_()),
            "info": objects([t.info for t in dataset]),
            "total_reward": pa.array([t.total_reward for t in dataset], pa.float64()),
        }
    )
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _rounded(number: float | np.floating[Any]) -> float:
    return round(float(number), 6) if math.isfinite(number) else math.nan


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
