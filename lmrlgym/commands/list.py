"""`lmrlgym list`: the environments and the shipped datasets."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from lmrlgym.commands.options import game_ids, parse
from lmrlgym.commands.terminal import show, table
from lmrlgym.dataset import card_path, shipped_names
from lmrlgym.resources import data_folder


@dataclass(frozen=True)
class ListOptions:
    """The environments and the shipped datasets."""


def main(argv: Sequence[str]) -> int:
    """Print both tables."""
    parse(ListOptions, "list", argv)
    show(table([["ENVIRONMENT", "WHAT"], *([env_id, _first_sentence(env_id)] for env_id in game_ids())]))
    show()
    show(table([["DATASET", "GAMES", "MEAN RETURN"], *(_dataset_row(name) for name in shipped_names())]))
    return 0


def _first_sentence(env_id: str) -> str:
    entry_point = gymnasium.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return (inspect.getdoc(creator) or "").split("\n", 1)[0]


def _dataset_row(name: str) -> list[str]:
    """From the card: reading the games themselves would take seconds."""
    card: dict[str, Any] = json.loads(card_path(data_folder() / f"{name}.parquet").read_text("utf-8"))
    return [name, str(card["count"]), f"{card['return_mean']:.2f}"]
