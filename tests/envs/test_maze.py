"""The maze: texts, moves, rewards, ends and options, in both observations and both modes."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from lmrlgym import Action, visible
from lmrlgym.envs.maze import (
    GOALS,
    LAYOUTS,
    MazeEnv,
    MazePartialEnv,
    describe_walls,
    world,
)

BOTH = pytest.mark.parametrize("env_class", [MazeEnv, MazePartialEnv])
RIGHT, DOWN, UP = "move right\n", "move down\n", "move up\n"


def game(env_class: type[MazeEnv] = MazeEnv, start: tuple[int, int] = (1, 1), **kwargs: Any) -> MazeEnv:
    env = env_class(**kwargs)
    env.reset(seed=0, options={"start": list(start)})
    return env


def at(row: str, column: str, walls: str) -> str:
    return f"The goal is at position 8, 6. Your current position is at position {row}, {column}. {walls}\n"


# ---- texts ----


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ((1, 1), at("1", "1", "There are walls to your left, above you, below you.")),
        ((1, 3), at("1", "3", "There is a wall above you.")),
        ((1, 10), at("1", "1 0", "There are walls above you, below you.")),  # ten, digit by digit
        ((2, 9), at("2", "9", "There are walls to your right, to your left.")),
    ],
)
def test_an_observation_tells_goal_position_and_walls(start: tuple[int, int], text: str) -> None:
    observation, _ = MazeEnv().reset(options={"start": list(start)})
    assert observation == text


def test_the_partial_maze_tells_the_walls_only() -> None:
    observation, _ = MazePartialEnv().reset(options={"start": [1, 1]})
    assert observation == "There are walls to your left, above you, below you.\n"


def test_a_cell_without_walls_says_so() -> None:
    assert (
        describe_walls(("11111", "10001", "10001", "10001", "11111"), (2, 2))
        == "There are no walls near you."
    )


@BOTH
def test_no_text_but_the_full_ones_names_a_position(env_class: type[MazeEnv]) -> None:
    env = game(env_class)
    env.step(RIGHT)
    told = "".join(turn.text for turn in env.history)
    assert ("position" in told) == (env_class is MazeEnv)


# ---- moves ----


@BOTH
def test_every_move_from_every_cell_follows_the_drawing(env_class: type[MazeEnv]) -> None:
    grid = LAYOUTS["double_t"]
    steps = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
    free = [(r, c) for r, row in enumerate(grid) for c, mark in enumerate(row) if mark == "0"]
    env = env_class(privileged=True)
    assert env.tasks == 25
    for row, column in free:
        if (row, column) == (8, 6):
            continue
        for name, (down, right) in steps.items():
            env.reset(options={"start": [row, column]})
            info = env.step(f"move {name}\n")[4]
            to = (row + down, column + right)
            assert tuple(info["secret"]) == (to if grid[to[0]][to[1]] == "0" else (row, column))


@pytest.mark.parametrize("said", [RIGHT, "move right", "  MOVE Right \n", "move right\r\n", "\tmove right\n"])
def test_blanks_case_and_the_newline_do_not_matter(said: str) -> None:
    observation, reward, _, _, info = game().step(said)
    assert (observation, reward) == (at("1", "2", "There are walls above you, below you."), -1.0)
    assert info["action_is_valid"]


@BOTH
@pytest.mark.parametrize(
    "said", ["", "\n", "move", "moveright", "move right now", "right", "move  right", "😀"]
)
def test_anything_else_costs_four_and_moves_nothing(env_class: type[MazeEnv], said: str) -> None:
    env = game(env_class)
    before = env.history[0].text
    observation, reward, terminated, truncated, info = env.step(said)
    assert (observation, reward, terminated, truncated) == (before, -4.0, False, False)
    assert not info["action_is_valid"]
    assert len(env.history) == 3


def test_a_wall_is_a_legal_move_that_goes_nowhere() -> None:
    env = game()
    observation, reward, _, _, info = env.step(UP)
    assert (observation, reward, info["action_is_valid"]) == (env.history[0].text, -1.0, True)


# ---- ends ----


@BOTH
def test_the_goal_pays_nothing_and_ends_the_game(env_class: type[MazeEnv]) -> None:
    env = game(env_class, (7, 6))
    observation, reward, terminated, truncated, info = env.step(DOWN)
    assert (observation, reward, terminated, truncated) == ("Success\n", 0.0, True, False)
    assert (info["success"], info["stop_reason"], info["turn"]) == (True, "won", 1)
    with pytest.raises(ResetNeeded):
        env.step(DOWN)


@BOTH
def test_the_last_move_is_carried_out_and_ends_the_game(env_class: type[MazeEnv]) -> None:
    env = game(env_class, max_moves=2)
    assert env.step(UP)[2] is False
    observation, reward, terminated, truncated, info = env.step(RIGHT)
    assert (observation, reward, terminated, truncated) == ("Failure\n", -1.0, True, False)
    assert (info["success"], info["stop_reason"], info["turn"]) == (False, "turn_limit", 2)


def test_the_last_move_may_win() -> None:
    env = game(start=(6, 6), max_moves=2)
    env.step(DOWN)
    assert env.step(DOWN)[0] == "Success\n"


def test_nonsense_as_the_last_move_costs_four_and_ends_the_game() -> None:
    observation, reward, terminated, _, info = game(max_moves=1).step("hello")
    assert (observation, reward, terminated) == ("Failure\n", -4.0, True)
    assert (info["stop_reason"], info["action_is_valid"]) == ("turn_limit", False)


@BOTH
def test_a_hundred_legal_moves_cost_a_hundred(env_class: type[MazeEnv]) -> None:
    env = game(env_class)
    steps = [env.step(UP) for _ in range(100)]
    assert sum(step[1] for step in steps) == -100
    assert [step[2] for step in steps] == [False] * 99 + [True]


# ---- what an agent sees ----


def test_the_full_maze_is_seen_one_observation_at_a_time() -> None:
    env = game()
    env.step(RIGHT)
    assert visible(env.history, env.context) == env.history[-1:]


def test_the_partial_maze_is_seen_forty_turns_at_a_time() -> None:
    env = game(MazePartialEnv)
    for _ in range(25):
        env.step(UP)
    assert len(env.history) == 51
    assert visible(env.history, env.context) == env.history[-40:]


# ---- starts, tasks and options ----


def test_a_seed_decides_the_start_and_all_starts_are_drawn() -> None:
    env = MazeEnv()
    assert env.reset(seed=3)[0] == env.reset(seed=3)[0]
    assert len({env.reset(seed=seed)[0] for seed in range(300)}) == 25


def test_a_reset_without_a_seed_goes_on_in_the_same_stream() -> None:
    def starts() -> list[str]:
        env = MazeEnv()
        return [env.reset(seed=1)[0], *(env.reset()[0] for _ in range(10))]

    assert starts() == starts()
    assert len(set(starts())) > 3


def test_tasks_are_the_starts_in_row_major_order() -> None:
    env = MazeEnv(privileged=True)
    secrets = [env.reset(options={"task": task})[1]["secret"] for task in range(25)]
    assert secrets == sorted(secrets)
    assert secrets[0] == [1, 1]
    assert [8, 6] not in secrets


def test_the_goal_can_be_moved() -> None:
    env = MazeEnv()
    observation, _ = env.reset(options={"start": [1, 1], "goal": [1, 2]})
    assert observation.startswith("The goal is at position 1, 2. ")
    assert env.step(RIGHT)[0] == "Success\n"
    assert "position 8, 6" in env.reset()[0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"start": [0, 0]}, "start must be a free cell other than the goal, got \\[0, 0\\]"),
        ({"start": [8, 6]}, "start must be a free cell"),
        ({"start": [1, 1], "goal": [1, 1]}, "start must be a free cell"),
        ({"start": "here"}, "start must be \\[row, column\\], got 'here'"),
        ({"start": [1]}, "start must be \\[row, column\\]"),
        ({"start": [True, 1]}, "start must be \\[row, column\\]"),
        ({"goal": [0, 0]}, "goal must be a free cell"),
        ({"goal": 5}, "goal must be \\[row, column\\], got 5"),
        ({"task": 25}, "task must be a whole number from 0 to 24, got 25"),
        ({"task": -1}, "got -1"),
        ({"task": True}, "got True"),
        ({"task": 1, "start": [1, 1]}, "not both"),
        ({"word": "crane"}, "unknown reset option 'word'; this game knows: task, start, goal"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        MazeEnv().reset(options=options)


@pytest.mark.parametrize(
    ("keywords", "what"),
    [
        ({"layout": "spiral"}, "layout must be one of double_t, umaze, medium, large, got 'spiral'"),
        ({"max_moves": 0}, "got 0"),
        ({"max_moves": 2.5}, "got 2.5"),
        ({"max_moves": True}, "got True"),
        ({"render_mode": "human"}, "got 'human'"),
    ],
)
def test_a_wrong_keyword_is_named(keywords: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        MazeEnv(**keywords)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_goal_can_be_reached_from_everywhere(layout: str) -> None:
    here = world(layout, GOALS[layout])
    reached, edge = {here.goal}, [here.goal]
    for cell in edge:
        for near in set(here.neighbours[cell]) - reached:
            reached.add(near)
            edge.append(near)
    assert len(reached) == len(here.cells)


# ---- info ----


@BOTH
def test_the_position_is_told_to_the_privileged_only(env_class: type[MazeEnv]) -> None:
    _, info = env_class().reset(seed=0)
    assert not {"task", "secret"} & set(info)
    env = game(env_class, privileged=True)
    assert env.step(RIGHT)[4]["secret"] == [1, 2]
    assert env.step(RIGHT)[4]["task"] == 0


def test_rendering_is_the_whole_conversation() -> None:
    env = game(MazePartialEnv, render_mode="ansi")
    env.step("move right")
    first, second = (
        "There are walls to your left, above you, below you.\n",
        "There are walls above you, below you.\n",
    )
    assert env.render() == first + RIGHT + second


# ---- the 2023 release ----


@pytest.mark.parametrize("said", ["move right", "MOVE RIGHT\n", " move right\n", "move right\n\n"])
def test_2023_only_the_exact_strings_are_moves(said: str) -> None:
    env = game(compat=True)
    assert env.step(said)[1] == -4.0
    assert env.step(RIGHT)[1] == -1.0


def test_2023_answers_one_step_more_than_it_carries_out() -> None:
    env = game(start=(7, 6), compat=True)
    steps = [env.step(UP) for _ in range(100)]
    assert not any(step[2] for step in steps)
    observation, reward, terminated, _, info = env.step(DOWN)
    assert (observation, reward, terminated, info["success"]) == ("Failure\n", -1.0, True, False)
    assert sum(step[1] for step in steps) + reward == -101


def test_2023_an_unknown_action_clears_what_is_seen() -> None:
    env = game(MazePartialEnv, compat=True)
    lengths = []
    for said in (RIGHT, RIGHT, "hello\n", RIGHT, RIGHT):
        env.step(said)
        lengths.append(len(visible(env.history, env.context)))
    assert lengths == [3, 5, 1, 3, 5]
    assert visible(env.history, env.context)[0].text == "There is a wall above you.\n"


# ---- as a Gymnasium environment ----


@pytest.mark.parametrize("env_id", ["lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0"])
@pytest.mark.parametrize("compat", [False, True])
def test_gymnasium_has_nothing_to_complain_about(env_id: str, compat: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id, compat=compat, render_mode="ansi").unwrapped)


@BOTH
def test_a_copy_goes_on_identically(env_class: type[MazeEnv]) -> None:
    env = game(env_class)
    env.step(RIGHT)
    twin = copy.deepcopy(env)
    for said in (RIGHT, "what?", DOWN):
        assert env.step(said) == twin.step(said)
    assert env.reset() == twin.reset()
    assert env.history == twin.history


def test_a_sampled_action_keeps_its_tokens() -> None:
    env = game()
    env.step(Action(RIGHT, (4, 5), (-0.5, -0.25)))
    assert (env.history[1].tokens, env.history[1].log_probs) == ((4, 5), (-0.5, -0.25))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12), st.booleans(), st.booleans())
def test_any_text_is_answered(said: list[str], compat: bool, is_partial: bool) -> None:
    env = (MazePartialEnv if is_partial else MazeEnv)(compat=compat)
    env.reset(seed=0)
    for text in said:
        observation, reward, terminated, truncated, _ = env.step(text)
        assert observation.endswith("\n")
        assert reward in (0.0, -1.0, -4.0)
        assert not truncated
        if terminated:
            break
