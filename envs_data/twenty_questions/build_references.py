"""Makes references.json of this folder: `python envs_data/twenty_questions/build_references.py` (minutes).

Every player is played under the protocol. Best play is the tree's value over all objects, which meets the
bound that no player can exceed (see `lmrlgym/solvers/twenty_questions.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.envs.twenty_questions import HEADER
from lmrlgym.resources import replacing
from lmrlgym.rollouts import rollout, summarise
from lmrlgym.solvers.twenty_questions import solver
from lmrlgym.types import Seeds, Turn

ENV_ID = "lmrlgym/TwentyQuestions-v0"
COMMAND = "python envs_data/twenty_questions/build_references.py"
REPEATS = 4
"""Of every object."""
PROTOCOL = {"tasks": 158, "repeats": REPEATS, "first_seed": int(Seeds.EVALUATION)}
PAPER = {"min": -20, "avg": -17.3, "max": -12.6}


def played(level: str) -> float:
    """The mean return of `level` over `REPEATS` games of every object."""
    tasks = list(range(PROTOCOL["tasks"])) * REPEATS
    games = rollout(
        ENV_ID, policy_named(level, ENV_ID), len(tasks), seed=Seeds.EVALUATION, tasks=tasks, parallel=64
    )
    return round(summarise(games).return_mean, 4)


def entry() -> dict[str, Any]:
    """The references of the scripted oracle."""
    levels = {level: played(level) for level in ("random", "mixed", "steady", "expert")}
    best = solver(ENV_ID)
    card = json.loads((Path(__file__).parent / "mixed-v0.card.json").read_text(encoding="utf-8"))
    return {
        "env_kwargs": {},
        "random": levels["random"],
        "behaviour_played": levels["mixed"],
        "data_mean": card["return_mean"],
        "levels": levels,
        "best": {"value": best.value((Turn(HEADER, False),)), "kind": best.kind},
        "protocol": PROTOCOL,
        "lmrl2023": PAPER,
        "lmrl2023_reason": "",
    }


def main() -> None:
    one = entry()
    entries = [one, {**one, "env_kwargs": {"compat": True}, "data_mean": None}]
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: entries, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
