"""Makes references.json of this folder: `python envs_data/car_dealer/build_references.py` (five minutes).

Every player is played; best play is the solver's, in closed form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmrlgym.collection import evaluate, policy_named
from lmrlgym.resources import replacing
from lmrlgym.rollouts import summarise
from lmrlgym.solvers.car_dealer import solver
from lmrlgym.types import Seeds

ENV_ID = "lmrlgym/CarDealer-v0"
COMMAND = "python envs_data/car_dealer/build_references.py"
GAMES = 4_096
"""Of each player: four times the protocol, so that a reference is twice as sharp as a result."""
PROTOCOL = {"tasks": None, "repeats": 1_024, "first_seed": int(Seeds.EVALUATION)}
REASON = "the paper prints no constants for Car Dealer (its table has a blank)"


def played(level: str, env_kwargs: dict[str, Any]) -> float:
    """The mean return of `level` over `GAMES` games."""
    games = evaluate(ENV_ID, policy_named(level, ENV_ID), repeats=GAMES, env_kwargs=env_kwargs)
    return round(summarise(games).return_mean, 4)


def entry(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The references of one configuration."""
    levels = {level: played(level, env_kwargs) for level in ("random", "mixed", "expert")}
    best = solver(ENV_ID, **env_kwargs)
    card = json.loads((Path(__file__).parent / "mixed-v0.card.json").read_text(encoding="utf-8"))
    return {
        "env_kwargs": env_kwargs,
        "random": levels["random"],
        "behaviour_played": levels["mixed"],
        "data_mean": None if env_kwargs else card["return_mean"],
        "levels": levels,
        "best": {"value": best.bound(), "kind": best.kind},
        "protocol": PROTOCOL,
        "lmrl2023": None,
        "lmrl2023_reason": REASON,
        "lmrl2023_raises": True,
    }


def main() -> None:
    revenue, margin = entry({}), entry({"reward": "margin"})
    # Revenue is the same in both modes.
    entries = [revenue, margin, {**revenue, "env_kwargs": {"compat": True}, "data_mean": None}]
    entries.append(entry({"reward": "margin", "compat": True}))
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: entries, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
