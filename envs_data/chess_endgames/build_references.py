"""Makes references.json of this folder: `python envs_data/chess_endgames/build_references.py` (five minutes).

Best play wins every game within 16 moves, whatever the partner (see `lmrlgym/solvers/chess_endgames.py`);
the other players are played by the protocol, so that `lmrlgym eval` prints the same numbers. None of their
games came near the turn limit: those under `compat=True` are the same games. Needs Stockfish.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.envs.chess import MAX_MOVES
from lmrlgym.envs.chess_endgames import hard_positions
from lmrlgym.resources import replacing
from lmrlgym.rollouts import rollout, summarise
from lmrlgym.types import Seeds

ENV_ID = "lmrlgym/ChessEndgames-v0"
COMMAND = "python envs_data/chess_endgames/build_references.py"
CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"split": "test"},
    {"split": "test", "partner": "stockfish"},
)
TRAIN_GAMES = 1024
TRAIN = {"tasks": None, "repeats": TRAIN_GAMES, "first_seed": int(Seeds.EVALUATION)}
TEST = {"tasks": len(hard_positions()), "repeats": 1, "first_seed": int(Seeds.EVALUATION)}
PAPER = {"min": -1, "avg": 0.586, "max": 1}
REASON = "the paper's opponent is Stockfish and its scores are those of test positions"


def played(level: str, env_kwargs: Mapping[str, Any]) -> float:
    """The mean return of `level`. Raises if the turn limit ended a game or the partner failed."""
    is_test = env_kwargs.get("split") == "test"
    count = len(hard_positions()) if is_test else TRAIN_GAMES
    games = rollout(
        ENV_ID, policy_named(level, ENV_ID, **env_kwargs), count, seed=Seeds.EVALUATION, parallel=64,
        tasks=range(count) if is_test else None, env_kwargs=env_kwargs,
    )  # fmt: skip
    if max(game.info["turn"] for game in games) >= MAX_MOVES or not all(game.terminated for game in games):
        raise RuntimeError(f"{level} with {dict(env_kwargs)}: a game met the turn limit or a broken partner")
    return round(summarise(games).return_mean, 4)


def entries(env_kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The references of one configuration in both modes."""
    card = json.loads((Path(__file__).parent / "mixed-v0.card.json").read_text(encoding="utf-8"))
    levels = {level: played(level, env_kwargs) for level in ("random", "mixed", "expert")}
    is_paper = "partner" in env_kwargs
    return [
        {
            "env_kwargs": {**env_kwargs, **mode},
            "random": levels["random"],
            "behaviour_played": levels["mixed"],
            "data_mean": None if is_paper else card["return_mean"],
            "levels": levels,
            "best": {"value": 1.0, "kind": "exact"},
            "protocol": TEST if "split" in env_kwargs else TRAIN,
            "lmrl2023": PAPER if is_paper else None,
            "lmrl2023_reason": "" if is_paper else REASON,
        }
        for mode in ({}, {"compat": True})
    ]


def main() -> None:
    found = [entry for env_kwargs in CONFIGURATIONS for entry in entries(env_kwargs)]
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: found, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
