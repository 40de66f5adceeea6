"""Makes the datasets of this folder: `python envs_data/car_dealer/build_data.py` (two minutes)."""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.dataset import Dataset, distinct
from lmrlgym.types import Seeds

SETS = {"random-v0": ("random", 6_000), "mixed-v0": ("mixed", 11_000), "expert-v0": ("expert", 8_000)}
"""Name -> (level, games)."""
SAMPLE = 1_000
"""Shares of different n-grams fall with the number of texts: they are told for so many."""


def variety(data: Dataset, is_action: bool) -> list[float]:
    """distinct-1, -2 and -3 of the first `SAMPLE` texts of one side, and the share of different texts."""
    texts = [turn.text for game in data for turn in game.turns[1:] if turn.is_action == is_action][:SAMPLE]
    return [*(round(distinct(texts, n), 4) for n in (1, 2, 3)), round(len(set(texts)) / len(texts), 4)]


def main() -> None:
    folder = Path(__file__).parent
    for name, (level, games) in SETS.items():
        data = collect("lmrlgym/CarDealer-v0", level, games, Seeds.DATA)
        counted = {"seller": variety(data, True), "buyer": variety(data, False)}
        card = {**data.card, f"distinct_1_2_3_and_texts_of_{SAMPLE}": counted}
        Dataset(data.trajectories, card).save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
