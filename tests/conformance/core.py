"""The core cases: histories, trajectories, their tokens, and the summary of games.

GPT-2's tokenizer is not at hand, so a table made from the case itself stands in for it. What is asserted is
what we do with a tokenizer: every text is encoded on its own and paid on its last token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from transformers import PreTrainedTokenizerBase

from baselines.core.tokens import Encoder
from lmrlgym import Trajectory, Turn, summarise
from lmrlgym.loaders2023 import trajectory_2023

Case = dict[str, Any]


class TableTokenizer:
    """Knows the ids of whole texts only, so that any other way of cutting fails."""

    def __init__(self, table: dict[str, list[int]]) -> None:
        self.table = table

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return self.table[text]


def encoder(texts: Sequence[str], ids: Sequence[Sequence[int]], context: int | None = None) -> Encoder:
    """An `Encoder` whose tokenizer knows `texts` as `ids`."""
    table = {text: list(each) for text, each in zip(texts, ids, strict=True)}
    return Encoder(cast("PreTrainedTokenizerBase", TableTokenizer(table)), context)


def runs(values: Sequence[int], is_action: Sequence[bool]) -> list[list[int]]:
    """`values` cut wherever the speaker changes."""
    found: list[list[int]] = []
    for i, value in enumerate(values):
        if i == 0 or is_action[i] != is_action[i - 1]:
            found.append([])
        found[-1].append(value)
    return found


def turns(texts: Sequence[Case], rewards: Sequence[float] | None = None) -> tuple[Turn, ...]:
    paid = rewards or [0.0] * len(texts)
    return tuple(Turn(t["text"], t["is_action"], r) for t, r in zip(texts, paid, strict=True))


def trajectory(inputs: Case) -> Trajectory:
    done = inputs["done"]
    return Trajectory("lmrlgym/Maze-v0", {}, turns(inputs["history"], inputs["reward"]), done, not done)


def prompt(case: Case) -> None:
    assert "".join(turn.text for turn in turns(case["inputs"]["history"])) == case["outputs"]


def rewards(case: Case) -> None:
    game = trajectory(case["inputs"])
    assert list(game.rewards) == case["outputs"]["reward"]
    assert [(t.text, t.is_action) for t in game.turns] == [
        (t["text"], t["is_action"]) for t in case["outputs"]["text_history"]
    ]
    assert game.terminated == case["outputs"]["done"]


def too_few_rewards(case: Case) -> None:
    """A reward lives on its turn, so only a file can have too few: its reader refuses it."""
    record = {
        "sequence": [[t["text"], t["is_action"]] for t in case["inputs"]["history"]],
        "reward": case["inputs"]["reward"][1:],
        "done": case["inputs"]["done"],
    }
    with pytest.raises(ValueError, match="3 texts need 2 rewards, got 1"):
        trajectory_2023(record, "lmrlgym/Wordle-v0")


def tokens(case: Case) -> None:
    expected, game = case["outputs"], trajectory(case["inputs"])
    ids = runs(expected["tokens"], expected["is_action"])
    found = encoder([t.text for t in game.turns], ids).trajectory(game)
    assert found.ids.tolist() == expected["tokens"]
    assert found.is_action.tolist() == expected["is_action"]
    assert found.reward.tolist() == expected["reward"]
    assert bool(found.terminated) == expected["done"]


def prompt_tokens(case: Case) -> None:
    expected, history = case["outputs"], turns(case["inputs"]["history"])
    ids = runs(expected["tokens"], expected["is_action"])
    assert list(encoder([t.text for t in history], ids).prompt(history)) == expected["tokens"]


def nothing_said(case: Case) -> None:
    """The original fails on an empty action; ours has no token to learn from, and no error."""
    game = trajectory(case["inputs"])
    found = encoder([t.text for t in game.turns], [[87], []]).trajectory(game)
    assert found.ids.tolist() == [87]
    assert not found.is_action.any()
    assert found.reward.tolist() == [0.0]


def summary(case: Case) -> None:
    """Episodes of 1, 2 and 4 moves, -1 each and 0 on the last: returns 0, -1 and -3."""
    games = []
    for length in (1, 2, 4):
        moves = [Turn("go\n", True, -1.0 if i < length - 1 else 0.0) for i in range(length)]
        games.append(Trajectory("lmrlgym/Maze-v0", {}, (Turn("?\n", False), *moves), True, False))
    found, expected = summarise(games), case["outputs"]
    assert found.return_mean == pytest.approx(expected["reward"]["mean"])
    assert found.length == pytest.approx(expected["length"]["mean"])
    # ours is an interval of the mean: 1.96 * (population deviation * sqrt(3 / 2)) / sqrt(3)
    margin = 1.959964 * expected["reward"]["std"] / 2**0.5
    assert found.return_high - found.return_mean == pytest.approx(margin, abs=1e-4)


NO_CUTTING = "a game is never cut to a number of tokens, so nothing pads or truncates on a chosen side"

HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    "core-001": ("clean", prompt),
    "core-002": ("clean", rewards),
    "core-003": ("helper", too_few_rewards),
    "core-005": ("helper", tokens),
    "core-007": ("helper", tokens),
    "core-009": ("helper", tokens),
    "core-010": ("helper", prompt_tokens),
    "core-012": ("clean", nothing_said),
    "core-018": ("clean", summary),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {"core-014": NO_CUTTING, "core-016": NO_CUTTING}
"""Case -> why nothing asserts it."""
