"""Where an agent may be in a maze, as far as its history tells."""

from __future__ import annotations

import numpy as np
import pytest

from lmrlgym import visible
from lmrlgym.envs.maze import ACTIONS, MazeEnv, MazePartialEnv, possible_cells, world


def game(env_class: type[MazeEnv], start: tuple[int, int]) -> MazeEnv:
    env = env_class()
    env.reset(seed=0, options={"start": list(start)})
    return env


@pytest.mark.parametrize("env_class", [MazeEnv, MazePartialEnv])
def test_the_true_cell_is_always_a_possible_one(env_class: type[MazeEnv]) -> None:
    rng = np.random.default_rng(0)
    env = env_class(privileged=True)
    for seed in range(40):
        env.reset(seed=seed)
        terminated = False
        while not terminated:
            here, cells = possible_cells("double_t", visible(env.history, env.context))
            assert tuple(env._secret()) in {here.cells[cell] for cell in cells}
            said = (*ACTIONS, "hm?")[int(rng.integers(5))]
            _, _, terminated, _, _ = env.step(said)


def test_told_positions_leave_one_cell_and_walls_leave_several() -> None:
    full, partial = game(MazeEnv, (2, 3)), game(MazePartialEnv, (2, 3))
    assert [world("double_t", (8, 6)).cells[i] for i in possible_cells("double_t", full.history)[1]] == [
        (2, 3)
    ]
    # side walls only: three cells of each leg of the Ts and two of the stem
    assert len(possible_cells("double_t", partial.history)[1]) == 3 + 3 + 2


def test_cells_count_once_for_every_start_that_leads_there() -> None:
    env = game(MazePartialEnv, (1, 1))
    for _ in range(2):
        env.step("move left\n")
    # (1, 1) and (1, 7) look alike at first and stay where they are
    here, cells = possible_cells("double_t", env.history)
    assert [here.cells[cell] for cell in cells] == [(1, 1), (1, 7)]
