"""`lmrlgym replay`: plays stored games again and says where they turn out otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import gymnasium
import tyro

from lmrlgym.commands.options import game_ids, parse, unknown
from lmrlgym.commands.terminal import show, watched
from lmrlgym.dataset import Dataset
from lmrlgym.replays import Divergence, replay
from lmrlgym.types import Trajectory

DIVERGED = 1


@dataclass(frozen=True)
class ReplayOptions:
    """Play every stored game again. Exit code 1 if one turns out otherwise, else 0."""

    games: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE|DATASET")]
    """a .parquet, .jsonl or .jsonl.gz file, or a shipped dataset's name"""
    shown: int = 5
    """how many of the diverging games are described"""
    modules: tuple[str, ...] = ()
    """modules imported first because they register environments (default: none)"""


def main(argv: Sequence[str]) -> int:
    """Compare all games and report."""
    options = parse(ReplayOptions, "replay", argv)
    for module in options.modules:
        import_module(module)
    dataset = Dataset.load(options.games)
    diverged = 0
    for number, divergence in _divergences(dataset):
        diverged += 1
        if diverged <= options.shown:
            show(f"game {number}, turn {divergence.turn}: {divergence.what} "
                 f"stored {divergence.stored!r}, played {divergence.played!r}")  # fmt: skip
    show(f"{options.games}: {len(dataset)} games, {diverged} diverge")
    return DIVERGED if diverged else 0


def _divergences(dataset: Dataset) -> Iterator[tuple[int, Divergence]]:
    from tqdm.auto import tqdm

    for number, game in enumerate(tqdm(dataset, desc="replay", unit="game", disable=not watched())):
        try:
            divergence = _again(game)
        except (ValueError, TypeError) as error:  # a keyword the environment does not take is a TypeError
            raise ValueError(f"game {number} cannot be played again: {error}") from error
        if divergence is not None:
            yield number, divergence


def _again(game: Trajectory) -> Divergence | None:
    # `gymnasium.make` would import the module of "module:id": no file may choose what is imported.
    if game.env_id not in gymnasium.registry:
        raise unknown("environment", game.env_id, game_ids())
    return replay(game)
