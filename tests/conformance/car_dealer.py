"""The car dealer cases: lists, profiles, rewards, what a 2023 buyer writes, conversations, whole games.

In the release the buyer's words are the decision. Here a ledger decides, so that of its whole games the parts
are asserted (what is read, what it pays, what the buyer was told), and that such words decide nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lmrlgym import Query, Turn
from lmrlgym.envs.car_2023 import Output, buyer_of, buyer_turns, joined, lines_of, read_output
from lmrlgym.envs.car_dealer import (
    BRANDS,
    BUDGETS,
    FEATURES,
    GREETING,
    PERSONALITIES,
    TYPES,
    BuyerState,
    CarDealerEnv,
    Decision,
    reward_2023,
)
from lmrlgym.loaders2023 import trajectory_2023
from lmrlgym.partners.roles.car_dealer import buyer_prompt, profile_line

Case = dict[str, Any]
LISTS = {
    "DEFAULT_BUDGETS": BUDGETS,
    "DEFAULT_PERSONALITIES": PERSONALITIES,
    "DEFAULT_BRANDS": BRANDS,
    "DEFAULT_TYPES": TYPES,
    "DEFAULT_FEATURES": FEATURES,
}


def turns(history: list[Case]) -> list[Turn]:
    return [Turn(turn["text"], turn["is_action"]) for turn in history]


def told(history: list[Turn]) -> list[Case]:
    return [{"text": turn.text, "is_action": turn.is_action} for turn in history]


def paid(case: Case, budget: int, output: Output | None) -> float:
    if output is None:
        return 0.0
    return reward_2023(
        budget, output.car_bought, output.msrp, output.buy_price, case["inputs"]["reward_mode"]
    )


# ---- lists and profiles ----


def value_list(case: Case) -> None:
    assert list(LISTS[case["function"]]) == case["outputs"]


def buyer_text(case: Case) -> None:
    assert profile_line(buyer_of(case["inputs"]["buyer_info"])) == case["outputs"]


def profile(case: Case) -> None:
    """Another random stream draws other buyers; this one is among ours."""
    env = CarDealerEnv(privileged=True)
    _, info = env.reset(seed=0, options={"buyer": case["outputs"]})
    assert info["task"] >= 0
    secret = {key: value for key, value in info["secret"].items() if key != "strategy"}
    assert {**secret, "preferred_features": sorted(secret["preferred_features"])} == {
        **case["outputs"],
        "preferred_features": sorted(case["outputs"]["preferred_features"]),
    }


# ---- rewards ----


def reward(case: Case) -> None:
    output = Output(**case["inputs"]["output"])
    if "raises" in (case["outputs"] if isinstance(case["outputs"], dict) else {}):
        with pytest.raises(ValueError, match=case["inputs"]["reward_mode"]):
            paid(case, case["inputs"]["budget"], output)
    else:
        assert paid(case, case["inputs"]["budget"], output) == pytest.approx(case["outputs"])


# ---- texts ----


def decision(case: Case) -> None:
    output, rest = read_output(case["inputs"]["line"])
    expected = case["outputs"]["output"]
    assert (None if output is None else output._asdict()) == expected
    assert rest == case["outputs"]["rest"]


def in_a_row(case: Case) -> None:
    assert told(joined(turns(case["inputs"]["history"]))) == case["outputs"]


def lines(case: Case) -> None:
    assert lines_of(turns(case["inputs"]["history"])) == case["outputs"]


def conversation(case: Case) -> None:
    inputs, expected = case["inputs"], case["outputs"]
    record = {key: value for key, value in inputs["conversation"].items() if value is not None}
    if inputs["role"] == "Buyer":
        assert told(buyer_turns(record)) == expected["text_history"]
        assert not any(expected["reward"])
        return
    keyword = {"fancy": "margin", "revenue": "revenue"}[inputs["reward_mode"]]
    game = trajectory_2023(record, "lmrlgym/CarDealer-v0", reward=keyword)
    assert told(list(game.turns)) == expected["text_history"]
    assert list(game.rewards) == pytest.approx(expected["reward"])
    assert game.terminated == expected["done"]


# ---- whole games ----


def prompt(buyer_info: Case, spoken: list[Turn]) -> str:
    """What a model reads before it speaks as this buyer."""
    state = BuyerState(buyer_of(buyer_info), Decision("puzzled"), 0, 0, 0)
    return buyer_prompt(Query(tuple(spoken), state, np.random.default_rng(0)))


class Writes:
    """A buyer that says these texts in order, and keeps what it was asked."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = list(texts)
        self.heard: list[Query] = []

    def reply(self, queries: list[Query]) -> list[str]:
        self.heard += queries
        return [self.texts.pop(0) for _ in queries]


def whole_game(case: Case) -> None:
    """What the buyer was told, what its last text means and pays; and that here it decides nothing."""
    inputs, steps = case["inputs"], case["outputs"]["steps"][1:]
    spoken = [Turn(GREETING, False)]
    for seller, buyer, step, read_by_buyer in zip(
        inputs["seller"], inputs["buyer"], steps, case["outputs"]["buyer_prompts"], strict=False
    ):
        spoken.append(Turn(seller, True))
        assert prompt(inputs["buyer_info"], spoken) == read_by_buyer
        output, rest = read_output(buyer)
        is_over = output is not None
        assert (rest, is_over) == (step["last_text"], step["done"])
        assert paid(case, inputs["buyer_info"]["budget"], output) == pytest.approx(step["reward"])
        spoken.append(Turn(rest, False))
    words_decide_nothing(case)


def words_decide_nothing(case: Case) -> None:
    """The seller names no price, or one that is not taken yet: whatever the buyer writes, no sale."""
    inputs = case["inputs"]
    env = CarDealerEnv(reward="margin", compat=True, partner=Writes(inputs["buyer"]))
    env.reset(seed=0, options={"buyer": {**inputs["buyer_info"], "strategy": "specifications"}})
    for text in inputs["seller"][: len(inputs["buyer"])]:
        _, paid_here, terminated, truncated, info = env.step(text)
        assert (paid_here, terminated, truncated, info["success"]) == (0.0, False, False, False)


def prompts_of_the_limit(case: Case) -> None:
    """At its limit of two texts the release asks once more; here the limit is 25 texts of the seller."""
    inputs, (first, second) = case["inputs"], case["outputs"]["buyer_prompts"]
    assert prompt(inputs["buyer_info"], [Turn(GREETING, False), Turn(inputs["seller"][0], True)]) == first
    assert second == first + inputs["buyer"][0].rstrip("\n") + "Output: Decision="
    output, _ = read_output(inputs["buyer"][1])
    expected = case["outputs"]["output"]
    assert (None if output is None else output._asdict()) == expected
    assert paid(case, inputs["buyer_info"]["budget"], output) == pytest.approx(
        case["outputs"]["steps"][-1]["reward"]
    )
    words_decide_nothing(case)


NUMBERS = {
    "clean": {value_list: (1, 2), profile: (65, 66)},
    "compat": {reward: (9, 10, 11, 12, 14, 17, 20, 22, 23, 26, 27)},
    "helper": {
        buyer_text: (7,),
        decision: (29, 31, 34, 35, 37, 38, 39, 40),
        in_a_row: (43, 44, 45),
        conversation: (47, 49, 51, 54, 55),
        lines: (56,),
        whole_game: (57,),
        prompts_of_the_limit: (61, 62),
    },
}
HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    f"car_dealer-{number:03}": (mode, check)
    for mode, checks in NUMBERS.items()
    for check, numbers in checks.items()
    for number in numbers
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {}
"""Case -> why nothing asserts it."""
