"""Makes the datasets of this folder: `python envs_data/chess/build_data.py` (half an hour).

The 2023 data are 625,000 games of the mixed player against Stockfish; any size comes from `lmrlgym collect`.
`builtin-mixed-v0` is for the default partner, which is no Stockfish. Needs Stockfish 15.1.
"""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

SETS = {
    "mixed-v0": ("stockfish", "mixed", 1_500),
    "random-v0": ("stockfish", "random", 500),
    "expert-v0": ("stockfish", "expert", 400),
    "builtin-mixed-v0": ("builtin", "mixed", 400),
}
"""Name -> (partner, level, games)."""


def main() -> None:
    folder = Path(__file__).parent
    for name, (partner, level, games) in SETS.items():
        keywords = {} if partner == "builtin" else {"partner": partner}
        data = collect("lmrlgym/Chess-v0", level, games, Seeds.DATA, **keywords)
        data.save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
