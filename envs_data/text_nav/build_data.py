"""Makes the datasets of this folder: `python envs_data/text_nav/build_data.py` (a minute)."""

from __future__ import annotations

from pathlib import Path

from lmrlgym.collection import collect
from lmrlgym.types import Seeds

GAMES = 2_500
IDS = {"": "lmrlgym/TextNav-v0", "partial-": "lmrlgym/TextNavPartial-v0"}
"""How the names of a game's sets begin -> the game."""
LEVELS = ("random", "mixed", "expert")
DELAYED_GAMES = 1_000


def main() -> None:
    folder = Path(__file__).parent
    collect(IDS[""], "delayed", DELAYED_GAMES, Seeds.DATA).save(folder / "delayed-v0.parquet")
    for prefix, env_id in IDS.items():
        for level in LEVELS:
            collect(env_id, level, GAMES, Seeds.DATA).save(folder / f"{prefix}{level}-v0.parquet")


if __name__ == "__main__":
    main()
