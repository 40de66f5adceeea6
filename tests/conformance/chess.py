"""The chess cases: texts, games against a scripted opponent, and the 2023 summary of games.

The environment's observations end with the newline that the 2023 data have and its environment has not. The
rules are the same in both modes but for the last action, which is one later under `compat`: where a case
does not reach it, both modes are asserted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from lmrlgym import Query, Trajectory
from lmrlgym.envs.chess import ChessEnv, read_move, read_position, spoken_move, spoken_position

Case = dict[str, Any]


class Scripted:
    """A partner that makes the given moves in order, and fails when there are none left."""

    def __init__(self, moves: Sequence[str]) -> None:
        self._moves = iter(moves)

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [next(self._moves) for _ in queries]


def started(inputs: Case, fen: str, compat: bool) -> tuple[ChessEnv, str]:
    env = ChessEnv(partner=Scripted(inputs["opponent_uci"]), max_moves=inputs["max_moves"], compat=compat)
    return env, env.reset(seed=0, options={"fen": fen})[0]


def move_said(case: Case) -> None:
    assert spoken_move(case["inputs"]["san"]) == case["outputs"]


def move_read(case: Case) -> None:
    assert read_move(case["inputs"]["text"]) == case["outputs"]


def position_told(case: Case) -> None:
    assert spoken_position(case["inputs"]["fen"]) == case["outputs"]


def position_told_without_newline(case: Case) -> None:
    """As the 2023 environment tells it; our convention puts one newline after it."""
    assert spoken_position(case["inputs"]["fen"]) == case["outputs"] + "\n"


def position_read(case: Case) -> None:
    assert read_position(case["inputs"]["text"]) == case["outputs"]


def game(case: Case, *, compat: bool) -> None:
    """Every observation, reward and end; the position is all that an agent sees."""
    inputs, (first, *steps) = case["inputs"], case["outputs"]
    env, told = started(inputs, inputs["fen"], compat)
    assert env.context == 1
    assert [told] == [seen["text"] + "\n" for seen in first["obs"]]
    for action, expected in zip(inputs["actions"], steps, strict=False):
        told, reward, over, truncated, _ = env.step(action)
        assert [told] == [seen["text"] + "\n" for seen in expected["obs"]]
        assert env.history[-2].text == expected["action"]
        assert (reward, over, truncated) == (expected["reward"], expected["done"], False)
    assert len(env.history) == 1 + 2 * len(steps)


def engine_failure(case: Case) -> None:
    """The 2023 game goes on with black to move, for -1; ours is truncated, in both modes."""
    inputs = case["inputs"]
    for compat in (False, True):
        env, _ = started(inputs, inputs["fen"], compat)
        _, reward, over, truncated, info = env.step(inputs["actions"][0])
        assert (reward, over, truncated, info["stop_reason"]) == (0.0, False, True, "partner_error")
        assert (case["outputs"][-1]["reward"], case["outputs"][-1]["done"]) == (-1, False)


def evaluation(case: Case) -> None:
    """The summary of games from some positions. Illegal moves are -1 rewards, the last step's left out."""
    inputs = case["inputs"]
    rows: dict[str, list[float]] = {name: [] for name in case["outputs"]}
    for fen in inputs["positions"]:
        for _ in range(inputs["n_rollouts"]):
            env, _ = started(inputs, fen, compat=True)
            over = False
            for action in inputs["actions"]:
                over = over or env.step(action)[2]
            game = Trajectory("lmrlgym/Chess-v0", {}, env.history, over, False)
            rows["reward"].append(game.total_reward)
            rows["done"].append(float(over))
            rows["victories"].append(float(1.0 in game.rewards))
            rows["percent_illegals"].append(env.measures(env.history)["percent_illegal"])
            rows["episode_length"].append(sum(turn.is_action for turn in game.turns))
    for name, expected in case["outputs"].items():
        found = {
            "mean": np.mean(rows[name]),
            "std": np.std(rows[name]),
            "min": min(rows[name]),
            "max": max(rows[name]),
        }
        assert found == pytest.approx(expected, abs=1e-4), name


def in_both(case: Case) -> None:
    game(case, compat=False)
    game(case, compat=True)


def in_compat(case: Case) -> None:
    game(case, compat=True)


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    **{f"chess-{n:03}": ("helper", move_said) for n in (1, 3, 5, 6)},
    **{f"chess-{n:03}": ("helper", move_read) for n in (7, 8, 10)},
    **{f"chess-{n:03}": ("helper", position_read) for n in (15, 21)},
    **{f"chess-{n:03}": ("helper", position_told) for n in (16, 19)},
    "chess-017": ("helper", position_told_without_newline),
    **{f"chess-{n:03}": ("clean", in_both) for n in (26, 27, 29, 32, 33, 34, 36, 37, 39, 40, 41, 42, 48)},
    "chess-045": ("compat", in_compat),  # the action beyond max_moves
    **{f"chess-{n:03}": ("compat", evaluation) for n in (51, 52)},
    "chess-053": ("clean", engine_failure),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {}
"""Case -> why nothing asserts it."""
