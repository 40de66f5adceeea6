"""Makes the datasets of this folder: `python envs_data/guess_my_city/build_data.py` (ten minutes).

The 2023 data are 100,000 dialogues; any number comes from `lmrlgym collect`. What is shipped is as much as
fits in 2 MB. Prints how varied the answers are: distinct-n is the number of different runs of n words over
the number of all of them, in the answers of the first `SAMPLE` games.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

ENV_ID = "lmrlgym/GuessMyCity-v0"
SETS = {"random": 10_000, "mixed": 14_000, "expert": 10_000}
"""Level -> games."""
SAMPLE = 1_000


def distinct(texts: Iterable[str], n: int) -> float:
    """Different runs of `n` words, as a share of all."""
    split = [text.split() for text in texts]
    runs = [tuple(words[i : i + n]) for words in split for i in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs)


def main() -> None:
    folder = Path(__file__).parent
    for level, games in SETS.items():
        data = collect(ENV_ID, level, games, Seeds.DATA)
        data.save(folder / f"{level}-v0.parquet")
        told = [turn.text for game in data[:SAMPLE] for turn in game.turns[2::2]]
        print(level, *(f"distinct-{n} {distinct(told, n):.4f}" for n in (1, 2, 3)), f"{len(set(told))} texts")  # noqa: T201


if __name__ == "__main__":
    main()
