"""Where `envs_data` lies, in a checkout or in an installed wheel, and reading from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


@cache
def data_folder() -> Path:
    """The folder of word lists, tables, datasets and the tiny base.

    A checkout comes first: an editable install also leaves a stale copy in site-packages.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "envs_data", package / "_data"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"no envs_data beside {package}: the installation is incomplete")


def data_path(*parts: str) -> Path:
    """The path of a shipped file or folder. Raises `FileNotFoundError` listing its neighbours."""
    path = data_folder().joinpath(*parts)
    if not path.exists():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise FileNotFoundError(f"no shipped {'/'.join(parts)}; there are: {', '.join(there) or 'none'}")
    return path


def read_json(*parts: str) -> Any:
    """The content of a shipped JSON file."""
    return json.loads(data_path(*parts).read_text(encoding="utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; it takes the place of `path` if all went well, else it is removed.

    It keeps the suffixes of `path`, so that writers which go by them write the same format.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
