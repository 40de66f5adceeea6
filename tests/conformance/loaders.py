"""The loader cases: what the released scripts make of a line of the released files.

Tokens come from a table made from the case (see `core`). The maze, chess and endgame scripts let the last
transition be followed by a copy of itself, so that its reward counts twice and its end is bootstrapped
from; ours ends there, and the cases hold with that taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from baselines.core.tokens import Tokens, action_tokens, returns_to_go, stack
from lmrlgym.loaders2023 import trajectory_2023
from lmrlgym.types import Trajectory
from tests.conformance.core import encoder, runs

Case = dict[str, Any]


def episode(game: Trajectory, case: Case) -> None:
    """One dialogue, one item: our (T,) columns without the first entry are the case's (T - 1,) ones."""
    expected = case["outputs"]
    is_action = [False, *expected["should_take_action"]]
    ids = runs(expected["input_ids"], is_action)
    found = encoder([turn.text for turn in game.turns], ids).trajectory(game)
    assert found.ids.tolist() == expected["input_ids"]
    assert found.is_action.tolist() == is_action
    assert found.reward.tolist() == [0.0, *expected["rewards"]]
    assert bool(found.terminated) == expected["done"]


def wordle(case: Case) -> None:
    episode(trajectory_2023(case["inputs"]["json_line"], "lmrlgym/Wordle-v0"), case)


def text_nav(case: Case) -> None:
    """As released but for the newline that our convention puts at the end of every text."""
    game = trajectory_2023(case["inputs"]["json_line"], "lmrlgym/TextNav-v0")
    assert [turn.text for turn in game.turns] == [
        f"{text}\n" for text in case["inputs"]["json_line"]["text_history"]
    ]
    episode(game, case)


def windows(case: Case) -> list[Tokens]:
    """The transitions of a list of steps, each read as a game of its own."""
    found = []
    for step, expected in zip(case["inputs"]["json_line"], case["outputs"], strict=True):
        game = trajectory_2023([step], "lmrlgym/Maze-v0")
        ids = runs(expected["input_ids"], [False, *expected["should_take_action"]])
        found.append(encoder([turn.text for turn in game.turns], ids, context=1).trajectory(game))
    return found


def transitions(case: Case) -> None:
    """ILQL: an item a transition; the last ends the game, where the original makes it its own next state."""
    items = windows(case)
    for found, expected in zip(items, case["outputs"], strict=True):
        assert found.ids.tolist() == expected["input_ids"]
        assert found.is_action.tolist() == [False, *expected["should_take_action"]]
        assert found.reward.tolist() == [0.0, *expected["rewards"]]
    last = case["outputs"][-1]
    assert last["next_token_ids"] == last["input_ids"][: len(last["next_token_ids"])]
    assert [bool(found.terminated) for found in items] == [False, True]


def returns(case: Case) -> None:
    """MC: the original's returns are ours times 1 + gamma^n, n the tokens of the action counted twice."""
    gamma, items = case["inputs"]["gamma"], windows(case)
    game = trajectory_2023(case["inputs"]["json_line"], "lmrlgym/Maze-v0")
    ids = [
        run
        for expected in case["outputs"]
        for run in runs(expected["input_ids"], [False, *expected["should_take_action"]])
    ]
    batch = stack([encoder([turn.text for turn in game.turns], ids, context=1).trajectory(game)])
    actions = action_tokens(batch)
    found = returns_to_go(actions.reward, actions.last, gamma)
    expected_returns = [x for expected in case["outputs"] for x in expected["returns"] if x]
    twice = 1 + gamma ** int(items[-1].is_action.sum())
    assert [x * twice for x in found.tolist()] == pytest.approx(expected_returns, abs=1e-4)


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    "loaders-001": ("clean", wordle),
    "loaders-003": ("clean", text_nav),
    "loaders-004": ("clean", transitions),
    "loaders-005": ("clean", transitions),
    "loaders-007": ("clean", returns),
    "loaders-009": ("clean", returns),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {}
"""Case -> why nothing asserts it."""
