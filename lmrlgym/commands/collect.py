"""`lmrlgym collect`: a dataset of any size, made by a scripted player."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.commands.options import (
    EnvId,
    Flag,
    Keywords,
    RayAddress,
    keywords,
    made,
    output,
    parse,
    registered,
)
from lmrlgym.commands.terminal import show, watched
from lmrlgym.distributed import playing
from lmrlgym.types import Seeds


@dataclass(frozen=True)
class CollectOptions:
    """Play games with a scripted player and write them, with a card beside them."""

    env: EnvId
    """the environment's id"""
    out: Path = Path("games.parquet")
    """the file to write: .parquet, .jsonl or .jsonl.gz"""
    level: str = "mixed"
    """who plays: random, mixed (the paper's recipe), expert, or another player of the game"""
    episodes: int = 1000
    """how many games"""
    seed: int = int(Seeds.DATA)
    """seed of the first game; the next have the next seeds"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none)"""
    overwrite: Flag = False
    """replace the file if it is there"""
    ray: RayAddress = None
    """play on a Ray cluster: HOST:PORT, ray://HOST:PORT, local or local:WORKERS"""
    ray_gpus: float = 0.0
    """GPUs of each worker there; 0.5 lets two share one"""


def main(argv: Sequence[str]) -> int:
    """Make the dataset and say what is in it."""
    options = parse(CollectOptions, "collect", argv)
    path = output(options.out, overwrite=options.overwrite)
    env_id, env_kwargs = registered(options.env), keywords(options.env_kwargs)
    made(env_id, env_kwargs).close()
    with playing(options.ray, options.ray_gpus) as play:
        dataset = collect(
            env_id, options.level, options.episodes, options.seed, progress=watched(), play=play, **env_kwargs
        )
    dataset.save(path)
    card = dataset.card
    show(
        f"{path}: {len(dataset)} games, mean return {card['return_mean']:g}, "
        f"success {card['success']:g}, mean length {card['length_mean']:g}"
    )
    return 0
