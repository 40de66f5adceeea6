"""Makes the datasets of this folder: `python envs_data/twenty_questions/build_data.py` (minutes).

The 2023 data are 100,000 games of two language models; any number of ours comes from `lmrlgym collect`.
How varied the agent's texts are stands in README.md; `lmrlgym.dataset.distinct` counts it.
"""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

SETS = {"random-v0": ("random", 4_000), "mixed-v0": ("mixed", 6_000), "expert-v0": ("expert", 10_000)}
"""Name -> (level, games)."""


def main() -> None:
    folder = Path(__file__).parent
    for name, (level, games) in SETS.items():
        data = collect("lmrlgym/TwentyQuestions-v0", level, games, Seeds.DATA)
        data.save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
