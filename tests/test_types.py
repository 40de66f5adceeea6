"""Trajectories as JSON, and the reserved seeds."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmrlgym import Seeds, Trajectory, Turn

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
turns = st.builds(
    Turn,
    texts,
    st.booleans(),
    numbers,
    st.lists(st.integers(0, 10**6), max_size=3).map(tuple),
    st.lists(numbers, max_size=3).map(tuple),
    st.none() | numbers,
)


def game(*turns: Turn, **changed: object) -> Trajectory:
    return Trajectory("toys/GuessNumber-v0", {}, turns, True, False, **changed)  # type: ignore[arg-type]


@given(st.lists(turns, max_size=4), st.none() | st.integers(), st.dictionaries(texts, st.integers() | texts))
def test_json_gives_the_same_game_back(said: list[Turn], seed: int | None, options: dict[str, object]):
    trajectory = game(*said, seed=seed, options=options, info={"success": True, "nested": {"a": [1, None]}})
    assert Trajectory.from_json(trajectory.to_json()) == trajectory


def test_json_is_one_line_and_canonical():
    trajectory = game(Turn("a\n", False), Turn("é\n", True, -1.0), options={"b": 1, "a": 2})
    assert trajectory.to_json() == (
        '{"env_id":"toys/GuessNumber-v0","env_kwargs":{},"info":{},"options":{"a":2,"b":1},"seed":null,'
        '"terminated":true,"truncated":false,"turns":[{"is_action":false,"text":"a\\n"},'
        '{"is_action":true,"reward":-1.0,"text":"é\\n"}]}'
    )


def test_rewards_stand_turn_by_turn_and_add_up():
    trajectory = game(Turn("a\n", False), Turn("b\n", True, -1.0), Turn("c\n", False), Turn("d\n", True, 0.5))
    assert trajectory.rewards == (0.0, -1.0, 0.0, 0.5)
    assert trajectory.total_reward == -0.5


def test_an_empty_game_earned_nothing():
    assert game().total_reward == 0.0
    assert isinstance(game().total_reward, float)


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        game(Turn("a\n", True, math.nan)).to_json()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"turns": []}',
        '{"turns": [{"text": "a"}]}',
        game().to_json()[:-1],
        game().to_json().replace('"seed"', '"sead"'),
        game(Turn("a\n", True)).to_json().replace('"a\\n"', "7"),
        game(Turn("a\n", True)).to_json().replace('"is_action":true', '"is_action":"yes"'),
        game(Turn("a\n", True, 1.0)).to_json().replace("1.0", '"much"'),
    ],
)
def test_a_malformed_record_is_a_value_error_that_shows_it(line: str):
    with pytest.raises(ValueError, match="not a trajectory record"):
        Trajectory.from_json(line)


def test_a_record_that_lacks_a_field_is_refused():
    record = json.loads(game().to_json())
    del record["env_id"]
    with pytest.raises(ValueError, match="env_id"):
        Trajectory.from_json(json.dumps(record))


def test_seed_ranges_are_apart_and_leave_room_for_100_million_games():
    starts = sorted(Seeds)
    assert starts[0] == Seeds.DATA == 0
    assert all(b - a >= 100_000_000 for a, b in pairwise(starts))
