"""The maze cases: layouts, texts, moves, rewards, whole games and the solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lmrlgym import Turn, visible
from lmrlgym.envs.maze import (
    GOALS,
    LAYOUTS,
    MazeEnv,
    MazePartialEnv,
    describe_goal,
    describe_position,
    describe_walls,
)
from lmrlgym.solvers.maze import solver

Case = dict[str, Any]
NAMES = {
    "double_t_maze": "double_t",
    "maze2d_umaze": "umaze",
    "umaze": "umaze",
    "maze2d_medium": "medium",
    "maze2d_large": "large",
}


def grid(maze: str | list[list[int]]) -> tuple[str, ...]:
    if isinstance(maze, str):
        return LAYOUTS[NAMES[maze]]
    return tuple("".join(str(mark) for mark in row) for row in maze)


def started(inputs: Case, *, compat: bool) -> MazeEnv:
    """An environment set up as a step sequence or roll-out says."""
    is_partial = inputs.get("describe") == "describe_observation_only_walls"
    env = (MazePartialEnv if is_partial else MazeEnv)(
        compat=compat, max_moves=inputs.get("max_steps", 100), privileged=True
    )
    env.reset(seed=0, options={"start": inputs["start"], "goal": inputs.get("goal", [8, 6])})
    return env


def history(env: MazeEnv) -> list[dict[str, Any]]:
    """What the original calls the history: what an agent sees, and the last text alone once it is won."""
    seen = visible(env.history, env.context)
    if not env._running:
        seen = seen[-1:]
    return [{"text": turn.text, "is_action": turn.is_action} for turn in seen]


# ---- layouts and texts ----


def layout(case: Case) -> None:
    assert list(grid(case["outputs"])) == list(LAYOUTS[NAMES[case["function"]]])


def position_text(case: Case) -> None:
    inputs = case["inputs"]
    text = describe_position(grid(inputs["maze"]), tuple(inputs["position"]), tuple(inputs["goal"]))
    assert text == case["outputs"]
    env = MazeEnv(layout=NAMES[inputs["maze"]])
    if inputs["position"] != inputs["goal"]:
        assert env.reset(options={"start": inputs["position"], "goal": inputs["goal"]})[0] == text


def walls_text(case: Case) -> None:
    inputs = case["inputs"]
    text = describe_walls(grid(inputs["maze"]), tuple(inputs["position"])) + "\n"
    assert text == case["outputs"]
    if isinstance(inputs["maze"], str) and (name := NAMES[inputs["maze"]]) in GOALS:
        env = MazePartialEnv(layout=name)
        if tuple(inputs["position"]) != GOALS[name]:
            assert env.reset(options={"start": inputs["position"]})[0] == text


def goal_text(case: Case) -> None:
    inputs = case["inputs"]
    text = describe_goal(grid(inputs["maze"]), tuple(inputs["position"]), tuple(inputs["goal"]))
    assert text == case["outputs"]


def sentence(case: Case) -> None:
    """Walls above and below, put into a drawing: the sentence is the same."""
    assert case["inputs"] == {"object": "wall", "relations": ["above you", "below you"]}
    assert describe_walls(("010", "000", "010"), (1, 1)) == case["outputs"]


# ---- moves and rewards ----


def moves(case: Case) -> None:
    start = case["inputs"]["position"]
    # No game starts on its goal, so the goal's own cell is left in a game with another one.
    goal = [8, 6] if start != [8, 6] else [1, 1]
    for compat in (False, True):
        for action, position in case["outputs"].items():
            env = started({"start": start, "goal": goal}, compat=compat)
            env.step(action)
            assert env._secret() == position


def unknown_text(case: Case) -> None:
    env = started({"start": case["inputs"]["position"]}, compat=True)
    _, _, _, _, info = env.step(case["inputs"]["action"])
    assert env._secret() == case["outputs"]["position"]
    assert info["action_is_valid"] == case["outputs"]["is_legal_text"]


def unknown_price(case: Case) -> None:
    for compat in (False, True):
        env = started({"start": case["inputs"]["position_after"]}, compat=compat)
        assert env.step(case["inputs"]["action"])[1] == case["outputs"]


# ---- games ----


def game(case: Case, actions: list[str], *, compat: bool) -> None:
    env, expected = started(case["inputs"], compat=compat), case["outputs"]
    steps = []
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2]:
            break
    assert len(steps) == expected["n_steps"]
    assert sum(step[1] for step in steps) == expected["return"]
    assert steps[-1][2] == expected.get("done", True)
    if "final_obs" in expected:
        assert history(env) == expected["final_obs"]


def won_game(case: Case) -> None:
    for compat in (False, True):
        game(case, case["inputs"]["actions"], compat=compat)


def endless_game(case: Case) -> None:
    said = {"'move up\\n' repeated": "move up\n", "'x\\n' repeated": "x\n"}[case["inputs"]["actions"]]
    game(case, [said] * 200, compat=True)


def sequence(case: Case, *, compat: bool) -> None:
    env = started(case["inputs"], compat=compat)
    assert history(env) == case["outputs"][0]["obs"]
    for expected in case["outputs"][1:]:
        _, reward, terminated, _, _ = env.step(expected["action"])
        assert (reward, terminated) == (expected["reward"], expected["done"])
        assert history(env) == expected["history"]


def sequence_in_both(case: Case) -> None:
    sequence(case, compat=False)
    sequence(case, compat=True)


def sequence_of_2023(case: Case) -> None:
    sequence(case, compat=True)


# ---- resets and the solver ----


def wrong_start(case: Case) -> None:
    options = case["inputs"]["options"]
    with pytest.raises(ValueError, match="start must be a free cell"):
        MazeEnv().reset(options={"goal": options["goal"], "start": options["init_position"]})


def goal_as_tuple(case: Case) -> None:
    """The original fails on a tuple; ours takes it for the pair it is."""
    options = case["inputs"]["options"]
    goal = tuple(options["goal"]["tuple"])
    observation, _ = MazeEnv().reset(options={"goal": goal, "start": options["init_position"]})
    assert observation.startswith("The goal is at position 8, 6. ")


def other_goal(case: Case) -> None:
    options = case["inputs"]["options"]
    observation, _ = MazeEnv().reset(options={"goal": options["goal"], "start": options["init_position"]})
    assert [{"text": observation, "is_action": False}] == case["outputs"]


def best_moves(case: Case) -> None:
    """The move of the case is one of the solver's best in its cell."""
    maze = case["inputs"].get("maze", "double_t_maze").removeprefix("1 - ")
    name = NAMES[maze]
    goal = tuple(case["inputs"].get("goal", GOALS[name]))
    best = solver("lmrlgym/Maze-v0", layout=name)
    for position, move in case["outputs"]:
        seen = (Turn(describe_position(LAYOUTS[name], tuple(position), goal), False),)
        values = best.q(seen)
        assert values[move] == max(values.values())


def cases(
    numbers: str, mode: str, check: Callable[[Case], None]
) -> dict[str, tuple[str, Callable[[Case], None]]]:
    return {f"maze-{int(number):03}": (mode, check) for number in numbers.split()}


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    **cases("1 2 3 4", "clean", layout),
    **cases("5 182 183", "clean", best_moves),
    **cases("9 11 12 14 15 16 19 23 27 29 30 31 33", "clean", position_text),
    **cases("66 68 69 71 72 73 74 75 76 77", "clean", position_text),
    **cases("35 40 41 42 46 49 50 54 59 78 79", "clean", walls_text),
    **cases("61 62 63 64 65", "helper", goal_text),
    **cases("82", "helper", sentence),
    **cases("85 87 90 91 92 94 97 98 100 101 102 103 104 107 108 110", "clean", moves),
    **cases("111 112 113 115", "compat", unknown_text),
    **cases("120", "clean", unknown_price),
    **cases("129 134 135 137 139 143 146 147 148 149 152 153", "clean", won_game),
    **cases("154 159", "clean", sequence_in_both),
    **cases("157", "compat", sequence_of_2023),
    **cases("165 166", "compat", endless_game),
    **cases("167", "clean", wrong_start),
    **cases("169", "clean", goal_as_tuple),
    **cases("171", "clean", other_goal),
}
"""Case -> (clean, compat or helper; what asserts it)."""

UNREACHABLE = "no game comes to it: an unknown action moves nothing, and a game on its goal is over"
OTHER_REWARDS = "the rewards are a rule of the environment; the two unused reward functions were left out"
NO_STREAM = "draws from Python's `random` stream of the original, ours is numpy's"

NOT_BUILT: dict[str, str] = {
    "maze-118": UNREACHABLE,
    **dict.fromkeys((f"maze-{n}" for n in (122, 123, 125, 126, 127, 128)), OTHER_REWARDS),
    **dict.fromkeys((f"maze-{n}" for n in (172, 173, 175, 178, 179, 180)), NO_STREAM),
}
"""Case -> why nothing asserts it."""
