"""Makes references.json of this folder: `python envs_data/text_nav/build_references.py` (two minutes).

In the paper's house every value is exact: the chances of all states, command by command, those dropped from
which no play wins any more. In generated houses the best is exact (every game can be won, so it is 1), and
the other players are played by the protocol, so that `lmrlgym eval` prints the same numbers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.envs.text_nav import (
    PAPER_HOUSE,
    SPLITS,
    STEPS,
    State,
    admissible,
    first_state,
    is_won,
    obey,
    view,
)
from lmrlgym.envs.text_nav_houses import PAPER_OBJECTS, PAPER_ROOMS
from lmrlgym.policies.text_nav import NEAR_SHARE, is_near
from lmrlgym.resources import replacing
from lmrlgym.rollouts import rollout, summarise
from lmrlgym.solvers.text_nav import best_command, steps_to_win
from lmrlgym.types import Seeds

IDS = {"lmrlgym/TextNav-v0": "mixed-v0", "lmrlgym/TextNavPartial-v0": "partial-mixed-v0"}
"""Environment id -> its mixed data."""
COMMAND = "python envs_data/text_nav/build_references.py"
REPEATS = 64
GENERATED_REPEATS = {"train": 1, "test": 4}
PAPER = {"min": 0, "avg": 0.26, "max": 1}
REASON = "the paper's constants are those of its own house"
Knows = Callable[[State], bool]
"""Whether a player takes the best command in a state; else it takes any admissible one."""


def chance_to_win(knows: Knows) -> float:
    """How often a player wins in the paper's house, from a uniformly random room."""
    house, rooms = PAPER_HOUSE, len(PAPER_HOUSE.rooms)
    chances = {first_state(house, room): 1 / rooms for room in range(rooms)}
    won = 0.0
    for left in reversed(range(STEPS)):
        after: defaultdict[State, float] = defaultdict(float)
        for state, chance in chances.items():
            seen = view(house, state)
            said = (best_command(house, state),) if knows(state) else admissible(house, seen)
            for command in said:
                reached = obey(house, state, command).state._replace(recent=())  # order changes nothing
                if is_won(house, reached):
                    won += chance / len(said)
                elif steps_to_win(house, reached) <= left:
                    after[reached] += chance / len(said)
        chances = after
    return won


def papers_levels() -> dict[str, float]:
    """What the players earn in the paper's house; both games pay them the same."""

    def in_near_half(state: State) -> bool:
        return is_near(PAPER_HOUSE, state.room)

    near, far = chance_to_win(in_near_half), chance_to_win(lambda state: not in_near_half(state))
    return {
        "random": chance_to_win(lambda state: False),
        "mixed": NEAR_SHARE * near + (1 - NEAR_SHARE) * far,
        "expert": chance_to_win(lambda state: True),
    }


def played(env_id: str, level: str, split: str, size: dict[str, Any]) -> float:
    """The mean return of `level` over all houses of a split."""
    kwargs = {**size, "split": split}
    games = SPLITS[split] * GENERATED_REPEATS[split]
    tasks = [i // GENERATED_REPEATS[split] for i in range(games)]
    found = rollout(
        env_id, policy_named(level, env_id, **kwargs), games, seed=Seeds.EVALUATION, tasks=tasks,
        parallel=64, env_kwargs=kwargs,
    )  # fmt: skip
    return round(summarise(found).return_mean, 6)


def entry(
    env_kwargs: dict[str, Any], levels: dict[str, float], tasks: int, repeats: int, data_mean: float | None
) -> dict[str, Any]:
    """One configuration of the file; `data_mean` marks the paper's house."""
    return {
        "env_kwargs": env_kwargs,
        "random": levels["random"],
        "behaviour_played": None if data_mean is None else levels["mixed"],
        "data_mean": data_mean,
        "levels": levels,
        "best": {"value": 1.0, "kind": "exact"},
        "protocol": {"tasks": tasks, "repeats": repeats, "first_seed": int(Seeds.EVALUATION)},
        "lmrl2023": None if data_mean is None else PAPER,
        "lmrl2023_reason": REASON if data_mean is None else "",
    }


def entries(env_id: str, papers: dict[str, float]) -> list[dict[str, Any]]:
    """All configurations of a game; both modes are the same game."""
    card = json.loads((Path(__file__).parent / f"{IDS[env_id]}.card.json").read_text(encoding="utf-8"))
    size: dict[str, Any] = {"rooms": PAPER_ROOMS, "objects": PAPER_OBJECTS}
    found = [entry({}, papers, PAPER_ROOMS, REPEATS, card["return_mean"])]
    for split, repeats in GENERATED_REPEATS.items():
        levels = {level: played(env_id, level, split, size) for level in papers}
        found.append(entry({**size, "split": split}, levels, SPLITS[split], repeats, None))
    return [{**one, "env_kwargs": {**one["env_kwargs"], **mode}} for one in found for mode in MODES]


MODES: tuple[dict[str, Any], ...] = ({}, {"compat": True})


def main() -> None:
    papers = papers_levels()
    found: dict[str, Any] = {env_id: entries(env_id, papers) for env_id in IDS}
    found["command"] = COMMAND
    with replacing(Path(__file__).parent / "references.json") as beside:
        beside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
