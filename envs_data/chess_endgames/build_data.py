"""Makes the datasets of this folder: `python envs_data/chess_endgames/build_data.py` (four minutes)."""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

SETS = {"random-v0": ("random", 2_000), "mixed-v0": ("mixed", 12_000), "expert-v0": ("expert", 4_000)}
"""Name -> (level, games)."""


def main() -> None:
    folder = Path(__file__).parent
    for name, (level, games) in SETS.items():
        collect("lmrlgym/ChessEndgames-v0", level, games, Seeds.DATA).save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
