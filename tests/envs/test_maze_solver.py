"""The best play of the mazes, against exhaustive and independent means."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest

from lmrlgym import History, TextEnv, Turn, policy_named, visible
from lmrlgym.envs.maze import ACTIONS, GOALS, LAYOUTS, MazeEnv, MazePartialEnv, World, world
from lmrlgym.policies.maze import MazePlayer, best_moves
from lmrlgym.solvers.maze import _seen, _table, solver

FULL, PARTIAL = "lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0"
HERE = world("double_t", GOALS["double_t"])


def history_at(env: TextEnv, **options: Any) -> History:
    env.reset(seed=0, options=options)
    return env.history


def distances(here: World) -> dict[int, int]:
    found, edge = {here.goal: 0}, [here.goal]
    for cell in edge:
        for near in here.neighbours[cell]:
            if near not in found:
                found[near] = found[cell] + 1
                edge.append(near)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_full_values_are_the_distances_less_the_free_last_move(layout: str) -> None:
    here = world(layout, GOALS[layout])
    best, env = solver(FULL, layout=layout), MazeEnv(layout=layout)
    for task, cell in enumerate(here.starts):
        assert best.value(history_at(env, task=task)) == -(distances(here)[cell] - 1)


def test_full_action_values_are_one_step_ahead() -> None:
    best, env = solver(FULL), MazeEnv()
    distance = distances(HERE)
    for task, cell in enumerate(HERE.starts):
        values = best.q(history_at(env, task=task))
        for action, near in zip(ACTIONS, HERE.neighbours[cell], strict=True):
            assert values[action] == (0 if near == HERE.goal else -1 - (distance[near] - 1))


def test_the_turn_limit_is_part_of_the_values() -> None:
    # from (1, 1) the goal is 12 moves away: with 5 moves left all is equal, 5 times -1
    near, far = solver(FULL, max_moves=12), solver(FULL, max_moves=5)
    start = history_at(MazeEnv(), start=[1, 1])
    assert near.value(start) == -11
    assert set(far.q(start).values()) == {-5}
    spent = (*start, Turn("move up\n", True, -1.0), start[0])
    assert near.value(spent) == -11  # eleven moves left for a way of twelve: all lost


def test_2023_rules_answer_once_more() -> None:
    start = history_at(MazeEnv(), start=[1, 1])
    assert solver(FULL, max_moves=5, compat=True).value(start) == -6
    assert solver(FULL, compat=True).value(start) == -11


def test_another_goal_is_read_from_the_text() -> None:
    start = history_at(MazeEnv(), start=[1, 1], goal=[1, 5])
    assert solver(FULL).value(start) == -3


def test_the_partial_maze_has_forty_four_reachable_beliefs() -> None:
    reachable = {b for _, first in _seen(HERE.walls, HERE.starts) for b in _table(HERE, False, first)}
    assert len(reachable) == 44


@cache
def exact_value(belief: tuple[int, ...], left: int) -> Fraction:
    """Best play by plain recursion in exact fractions, over tuples with one entry a start."""
    if left == 0 or not belief:
        return Fraction(0)
    best = None
    for move in range(4):
        reached = [HERE.neighbours[cell][move] for cell in belief]
        total = Fraction(0)
        groups: dict[str, list[int]] = {}
        for cell in reached:
            if cell != HERE.goal:
                groups.setdefault(HERE.walls[cell], []).append(cell)
        for group in groups.values():
            total += Fraction(len(group), len(belief)) * (-1 + exact_value(tuple(sorted(group)), left - 1))
        best = total if best is None else max(best, total)
    assert best is not None
    return best


def test_the_partial_optimum_by_plain_recursion() -> None:
    groups: dict[str, list[int]] = {}
    for cell in HERE.starts:
        groups.setdefault(HERE.walls[cell], []).append(cell)
    # 24 moves are twice the longest shortest way, and more do not help
    total = sum(Fraction(len(g), 25) * exact_value(tuple(g), 24) for g in groups.values())
    assert total == Fraction(-724, 100)
    assert solver(PARTIAL).start_value(HERE) == pytest.approx(float(total))


def test_partial_values_are_what_their_play_earns() -> None:
    best, env = solver(PARTIAL), MazePartialEnv()
    expected, earned = [], []
    for task in range(env.tasks):
        env.reset(seed=0, options={"task": task})
        expected.append(best.value(env.history))
        total, terminated = 0.0, False
        while not terminated:
            _, reward, terminated, _, _ = env.step(best.best(visible(env.history, env.context)))
            total += reward
        earned.append(total)
    assert np.mean(expected) == pytest.approx(np.mean(earned)) == pytest.approx(-7.24)


@pytest.mark.parametrize(("env_id", "env"), [(FULL, MazeEnv()), (PARTIAL, MazePartialEnv())])
def test_the_value_is_that_of_the_best_action(env_id: str, env: MazeEnv) -> None:
    best = solver(env_id)
    for task in range(env.tasks):
        told = history_at(env, task=task)
        assert best.value(told) == max(best.q(told).values()) == best.q(told)[best.best(told)]


def test_a_solver_of_another_game_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'lmrlgym/Wordle-v0'"):
        solver("lmrlgym/Wordle-v0")


# ---- the players ----


def test_the_players_best_moves_are_the_solvers() -> None:
    best, env = solver(FULL), MazeEnv()
    for task, cell in enumerate(HERE.starts):
        values = best.q(history_at(env, task=task))
        assert values[ACTIONS[best_moves(HERE)[cell]]] == max(values.values())


def test_skill_is_the_share_of_best_moves() -> None:
    start = history_at(MazeEnv(), start=[1, 1])
    rng = np.random.default_rng(0)
    said = [str(MazePlayer(0.15).act([start], [rng])[0][0]) for _ in range(4000)]
    # right: .15 + .85 / 4 = .3625, deviation .008; the others .2125 each
    assert said.count("move right\n") / 4000 == pytest.approx(0.3625, abs=0.03)
    assert said.count("move up\n") / 4000 == pytest.approx(0.2125, abs=0.03)


@pytest.mark.parametrize("skill", [-0.1, 1.1])
def test_a_wrong_skill_is_named(skill: float) -> None:
    with pytest.raises(ValueError, match=f"got {skill}"):
        MazePlayer(skill)


def test_there_is_no_behaviour_without_data() -> None:
    with pytest.raises(ValueError, match="got 'umaze'"):
        policy_named("behaviour", FULL, layout="umaze")
