"""Makes references.json of this folder: `python envs_data/guess_my_city/build_references.py` (five minutes).

The best play is the solver's tree of questions: its exact value over all cities. `ideal_partition` is what
the best conceivable yes/no questions would reach (see `lmrlgym/solvers/guess_my_city.py`): -6.06 with the
99 cities of 2023. Open questions are worth more. The players are played by the protocol, so that
`lmrlgym eval` prints the same numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.envs.guess_my_city import HEADER
from lmrlgym.resources import replacing
from lmrlgym.rollouts import rollout, summarise
from lmrlgym.solvers.guess_my_city import CitySolver, halving_value
from lmrlgym.types import Seeds, Turn

ENV_ID = "lmrlgym/GuessMyCity-v0"
COMMAND = "python envs_data/guess_my_city/build_references.py"
GAMES = 1024
PROTOCOL = {"tasks": None, "repeats": GAMES, "first_seed": int(Seeds.EVALUATION)}
PAPER = {"min": -20, "avg": -18.8, "max": -8.56}
"""The average contradicts the paper's own table: a length of 18.8 and a success of .53 make -18.27."""


def played(level: str, env_kwargs: dict[str, Any]) -> float:
    """The mean return of `level` by the protocol."""
    player = policy_named(level, ENV_ID, **env_kwargs)
    games = rollout(ENV_ID, player, GAMES, seed=Seeds.EVALUATION, parallel=64, env_kwargs=env_kwargs)
    return round(summarise(games).return_mean, 4)


def entry(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The references of one configuration."""
    compat = "compat" in env_kwargs
    best = CitySolver(compat=compat)
    levels = {level: played(level, env_kwargs) for level in ("random", "mixed", "expert")}
    card = json.loads((Path(__file__).parent / "mixed-v0.card.json").read_text(encoding="utf-8"))
    return {
        "env_kwargs": env_kwargs,
        "random": levels["random"],
        "behaviour_played": levels["mixed"],
        "data_mean": None if compat else card["return_mean"],
        "levels": levels,
        "best": {"value": best.value((Turn(HEADER, False),)), "kind": best.kind},
        "ideal_partition": round(halving_value(99 if compat else 100), 4),
        "protocol": PROTOCOL,
        "lmrl2023": PAPER,
        "lmrl2023_reason": "",
    }


def main() -> None:
    entries = [entry({}), entry({"compat": True})]
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: entries, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
