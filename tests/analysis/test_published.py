"""The paper's scores against its own returns."""

from __future__ import annotations

import pytest

from lmrlgym.analysis.published import AGENTS, TASKS, cells
from lmrlgym.references import references

BY_NAME = {(cell.task, cell.agent): cell for cell in cells()}


def test_every_task_has_a_return_and_a_score_for_every_agent():
    assert len(BY_NAME) == len(TASKS) * len(AGENTS) == 63


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_constants_are_those_that_normalise_scores_by(task):
    known = [one.lmrl2023 for one in references(f"lmrlgym/{task.name}-v0") if one.lmrl2023 is not None]
    for scale in known:
        assert tuple(scale) == pytest.approx(tuple(task.scale), abs=0.01)


def test_a_score_that_follows_and_one_that_does_not():
    ilql, ppo = BY_NAME["Maze", "ILQL"], BY_NAME["MazePartial", "PPO"]
    assert ilql.recomputed == pytest.approx(50 + 50 * (83 - 6.97) / (83 - 6.84))
    assert ilql.follows
    assert ppo.recomputed == pytest.approx(50 * (101 - 91.7) / (101 - 83))  # 25.8, printed 42.4
    assert not ppo.follows


def test_rounding_alone_is_no_contradiction():
    # .63 stands for .625 to .635: scores of 74.7 to 75.3, and 71.9 is printed
    cell = BY_NAME["TextNav", "MC"]
    assert (cell.low, cell.high) == pytest.approx((50 + 50 * 0.365 / 0.74, 50 + 50 * 0.375 / 0.74))
    assert not cell.follows
    assert BY_NAME["TextNav", "PPO"].follows  # .805 to .815: 86.8 to 87.5, printed 87.1
    assert BY_NAME["TwentyQuestions", "ILQL"].follows  # -14.2 gives 83.0, printed 82.9


def test_one_printed_score_of_two_equal_returns_is_wrong():
    first, second = BY_NAME["ChessEndgames", "BC"], BY_NAME["ChessEndgames", "%BC online"]
    assert first.raw == second.raw
    assert first.follows
    assert not second.follows
