"""Makes the datasets and references.json of this folder: `python envs_data/maze/build.py` (a minute).

Values of players that go by the position are exact: dynamic programming over cells and moves left,
averaged over the starts. Those that remember (mixed and expert of the partial maze) are played:
`REPEATS` games from each start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmrlgym.collection import collect, evaluate, policy_named
from lmrlgym.dataset import Dataset
from lmrlgym.envs.maze import ACTIONS, GOALS, LAYOUTS, World, world
from lmrlgym.policies.maze import MIXED_SKILL, StitchingPlayer, best_moves
from lmrlgym.resources import replacing
from lmrlgym.rollouts import summarise
from lmrlgym.solvers.maze import solver
from lmrlgym.types import Seeds

FULL, PARTIAL = "lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0"
GAMES = 1240
STITCHING_GAMES = 2400
REPEATS = 32
MAX_MOVES = 100
DATA = {"mixed-v0": (FULL, "mixed"), "random-v0": (FULL, "random"), "expert-v0": (FULL, "expert")}
PARTIAL_DATA = {"partial-mixed-v0": (PARTIAL, "mixed")}
PAPER = {FULL: {"min": -101, "avg": -83, "max": -6.84}, PARTIAL: {"min": -101, "avg": -83, "max": -25.75}}
COMMAND = "python envs_data/maze/build.py"


def mean_return(here: World, moves: Sequence[Sequence[float]], *, compat: bool) -> float:
    """The mean over the starts of a player that makes move m in cell c with probability `moves[c][m]`."""
    after = np.full(len(here.cells), -1.0 if compat else 0.0)  # compat: one more step, Failure
    after[here.goal] = 0.0
    neighbours = np.array(here.neighbours)  # (cells, moves)
    reward = np.where(neighbours == here.goal, 0.0, -1.0)
    for _ in range(MAX_MOVES):
        after = (np.asarray(moves) * (reward + after[neighbours])).sum(axis=1)
        after[here.goal] = 0.0
    return float(after[list(here.starts)].mean())


def by_skill(here: World, skill: float) -> list[list[float]]:
    """[cell][move] -> probability, for a player that takes the best move with probability `skill`."""
    return [
        [(1 - skill) / len(ACTIONS) + skill * (move == best) for move in range(len(ACTIONS))]
        for best in best_moves(here)
    ]


def played(env_id: str, level: str, env_kwargs: dict[str, Any]) -> float:
    """The mean return of `level` over the id's protocol."""
    player = policy_named(level, env_id, **env_kwargs)
    return summarise(evaluate(env_id, player, repeats=REPEATS, env_kwargs=env_kwargs)).return_mean


def entry(env_id: str, env_kwargs: dict[str, Any], card: Mapping[str, Any] | None) -> dict[str, Any]:
    """The references of one configuration; `card` is that of its mixed data, if there is any."""
    layout, compat = env_kwargs.get("layout", "double_t"), env_kwargs.get("compat", False)
    here = world(layout, GOALS[layout])

    def exact(moves: Sequence[Sequence[float]]) -> float:
        return mean_return(here, moves, compat=compat)

    said = None if card is None else np.array([card["action_counts"][action] for action in ACTIONS])
    levels = {"mixed": MIXED_SKILL, "expert": 1.0}
    random = exact(by_skill(here, 0.0))
    return {
        "env_kwargs": env_kwargs,
        "random": random,
        "behaviour_played": None if said is None else exact([list(said / said.sum())] * len(here.cells)),
        "data_mean": None if card is None else card["return_mean"],
        "levels": {"random": random}
        | {
            level: exact(by_skill(here, skill)) if env_id == FULL else played(env_id, level, env_kwargs)
            for level, skill in levels.items()
        },
        "best": {"value": solver(env_id, **env_kwargs).start_value(here), "kind": "exact"},
        "protocol": {"tasks": len(here.starts), "repeats": REPEATS, "first_seed": int(Seeds.EVALUATION)},
        "lmrl2023": PAPER[env_id] if layout == "double_t" else None,
        "lmrl2023_reason": ""
        if layout == "double_t"
        else "the paper's constants are those of layout double_t",
    }


def stitching(games: int = STITCHING_GAMES) -> Dataset:
    """Those of so many games that are no good alone; see `StitchingPlayer`."""
    played = collect(FULL, "stitching", games, Seeds.DATA)
    return Dataset(
        played.filter(StitchingPlayer().is_stitched).trajectories, {**played.card, "command": COMMAND}
    )


def main() -> None:
    folder = Path(__file__).parent
    stitching().save(folder / "stitching-v0.parquet")
    cards = {}
    for name, (env_id, level) in {**DATA, **PARTIAL_DATA}.items():
        data = collect(env_id, level, GAMES, Seeds.DATA)
        data.save(folder / f"{name}.parquet")
        cards[env_id, level] = data.card
    others: list[dict[str, Any]] = [{"layout": layout} for layout in LAYOUTS if layout != "double_t"]
    found: dict[str, Any] = {
        env_id: [
            entry(env_id, {}, cards[env_id, "mixed"]),
            entry(env_id, {"compat": True}, cards[env_id, "mixed"]),
            *(entry(env_id, env_kwargs, None) for env_kwargs in others),
        ]
        for env_id in (FULL, PARTIAL)
    }
    found["command"] = COMMAND
    with replacing(folder / "references.json") as beside:
        beside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
