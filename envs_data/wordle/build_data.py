"""Makes the datasets of this folder: `python envs_data/wordle/build_data.py` (half a minute).

The 2023 data are a million games of the mixed player on a vocabulary of 431 words; any size comes from
`lmrlgym collect`.
"""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

SETS = {
    "common40-random-v0": ("common-40", "random", 4_000),
    "common40-mixed-v0": ("common-40", "mixed", 4_000),
    "common40-expert-v0": ("common-40", "expert", 4_000),
    "common431-mixed-v0": ("common-431", "mixed", 20_000),
}
"""Name -> (vocabulary, level, games)."""


def main() -> None:
    folder = Path(__file__).parent
    for name, (vocabulary, level, games) in SETS.items():
        data = collect("lmrlgym/Wordle-v0", level, games, Seeds.DATA, vocabulary=vocabulary)
        data.save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
