"""Makes the datasets of this folder: `python envs_data/twenty_questions/build_data.py` (minutes).

The 2023 data are 100,000 games of two language models; any number of ours comes from `lmrlgym collect`.
How varied the agent's texts are stands in README.md; `distinct` counts it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.dataset import Dataset
from lmrlgym.types import Seeds

SETS = {"random-v0": ("random", 4_000), "mixed-v0": ("mixed", 6_000), "expert-v0": ("expert", 10_000)}
"""Name -> (level, games)."""


def distinct(data: Dataset, n: int) -> tuple[int, float]:
    """distinct-n: how many different runs of `n` words the agent says, and their share of all."""
    runs: Counter[tuple[str, ...]] = Counter()
    for game in data:
        for turn in game.turns:
            if turn.is_action:
                words = turn.text.split()
                runs.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return len(runs), len(runs) / sum(runs.values())


def main() -> None:
    folder = Path(__file__).parent
    for name, (level, games) in SETS.items():
        data = collect("lmrlgym/TwentyQuestions-v0", level, games, Seeds.DATA)
        data.save(folder / f"{name}.parquet")


if __name__ == "__main__":
    main()
