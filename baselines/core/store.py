"""What a run leaves on disk, written beside and then renamed: JSON, adapters and heads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from baselines.core.algorithm import POLICY, Algorithm

HEADS = "value_heads.safetensors"


def write_agent(algorithm: Algorithm, folder: Path) -> None:
    """Adapters and heads, as the module's docstring says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in algorithm.adapters():
        algorithm.lm.save_adapter(name, folder if name == POLICY else folder / name)
    heads = {name: value.detach().contiguous().cpu().clone() for name, value in algorithm.heads().items()}
    if heads:
        save_file(heads, folder / HEADS)


@torch.no_grad()
def restore_agent(algorithm: Algorithm, folder: Path) -> None:
    """The inverse of `write_agent`. Raises `ValueError` for another base or other shapes."""
    for name in algorithm.adapters():
        algorithm.lm.load_adapter(name, folder if name == POLICY else folder / name)
    heads = algorithm.heads()
    stored: dict[str, Tensor] = {}
    if (folder / HEADS).is_file():
        with safe_open(folder / HEADS, "pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in heads.items()}:
        raise ValueError(f"the heads in {folder} are not those of {type(algorithm).__name__}")
    for key, value in stored.items():
        heads[key].copy_(value)


def checkpoint_folder(run: Path) -> Path | None:
    """The last whole checkpoint of `run`, if there is one."""
    found = [run / name for name in ("checkpoint", "checkpoint.old")]
    return next((folder for folder in found if (folder / "state.json").is_file()), None)


@contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """A file to write beside `path`, which takes its place when it is whole."""
    beside = path.with_name(path.name + ".partial")
    with beside.open("w", newline="") as file:
        yield file
    os.replace(beside, path)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, replacing `path` at once."""
    with replacing_text(path) as file:
        file.write(json.dumps(value, indent=1) + "\n")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON gives them back; a number that is none becomes null."""
    text = json.dumps(dict(values), default=str)
    plain: dict[str, Any] = json.loads(text, parse_constant=lambda name: None)
    return plain
