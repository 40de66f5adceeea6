"""Makes references.json of this folder: `python envs_data/chess/build_references.py` (half an hour).

The protocol is the paper's, 1,000 games from the start position; what `lmrlgym eval` prints is the same
number. Against the partner `builtin`, which is slow, Stockfish plays the first `FEWER` of them only. The best
player known is Stockfish at full strength. Where no game reaches the turn limit, those under `compat=True`
are the same games. Needs Stockfish 15.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.envs.chess import MAX_MOVES
from lmrlgym.resources import replacing
from lmrlgym.rollouts import rollout, summarise
from lmrlgym.types import Seeds

ENV_ID = "lmrlgym/Chess-v0"
COMMAND = "python envs_data/chess/build_references.py"
CONFIGURATIONS: Mapping[str, dict[str, Any]] = {
    "builtin-mixed-v0": {},
    "mixed-v0": {"partner": "stockfish"},
}
"""Name of the mixed player's data -> keywords."""
LEVELS = ("random", "mixed", "expert")
GAMES, FEWER = 1_000, 300
PROTOCOL = {"tasks": None, "repeats": GAMES, "first_seed": int(Seeds.EVALUATION)}
PAPER = {"min": -401, "avg": 0.21, "max": 1}
REASON = "the paper's opponent is Stockfish"


def games_of(level: str, env_kwargs: Mapping[str, Any]) -> int:
    """How many of the protocol's games `level` plays."""
    return GAMES if level == "random" or "partner" in env_kwargs else FEWER


def played(level: str, env_kwargs: Mapping[str, Any]) -> tuple[float, bool]:
    """(mean return of `level`, whether a game reached the turn limit). Raises if the partner failed."""
    player, count = policy_named(level, ENV_ID, **env_kwargs), games_of(level, env_kwargs)
    games = rollout(ENV_ID, player, count, seed=Seeds.EVALUATION, parallel=64, env_kwargs=env_kwargs)
    if not all(game.terminated for game in games):
        raise RuntimeError(f"{level} with {dict(env_kwargs)}: the partner failed")
    return round(summarise(games).return_mean, 4), any(game.info["turn"] >= MAX_MOVES for game in games)


def entries(data: str, env_kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The references of one configuration in both modes."""
    card = json.loads((Path(__file__).parent / f"{data}.card.json").read_text(encoding="utf-8"))
    clean, compat = {}, {}
    for level in LEVELS:
        clean[level], is_long = played(level, env_kwargs)
        compat[level] = played(level, {**env_kwargs, "compat": True})[0] if is_long else clean[level]
    is_paper = env_kwargs.get("partner") == "stockfish"
    return [
        {
            "env_kwargs": {**env_kwargs, **mode},
            "random": levels["random"],
            "behaviour_played": levels["mixed"],
            "data_mean": None if mode else card["return_mean"],
            "levels": levels,
            "games": {level: games_of(level, env_kwargs) for level in LEVELS},
            "best": {"value": max(levels.values()), "kind": "best_known"},
            "protocol": PROTOCOL,
            "lmrl2023": PAPER if is_paper else None,
            "lmrl2023_reason": "" if is_paper else REASON,
        }
        for mode, levels in (({}, clean), ({"compat": True}, compat))
    ]


def main() -> None:
    found = [entry for data, kwargs in CONFIGURATIONS.items() for entry in entries(data, kwargs)]
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: found, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
