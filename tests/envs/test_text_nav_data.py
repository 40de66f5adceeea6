"""The shipped games of Text-Nav and its references."""

from __future__ import annotations

import math

import pytest

from lmrlgym import Dataset, normalise, reference
from lmrlgym.envs.text_nav import listed
from lmrlgym.references import protocol, why_no_score

FULL, PARTIAL = "lmrlgym/TextNav-v0", "lmrlgym/TextNavPartial-v0"
every_id = pytest.mark.parametrize("env_id", [FULL, PARTIAL])


@pytest.mark.parametrize("name", ["mixed-v0", "partial-mixed-v0"])
def test_as_many_games_of_the_recipe_are_won_as_in_the_paper(name: str):
    games = Dataset.load(f"text_nav/{name}")
    assert len(games) == 2_500
    assert abs(sum(game.info["success"] for game in games) / 2_500 - 0.26) <= 0.02
    assert sum(game.total_reward for game in games) == sum(game.info["success"] for game in games)
    assert max(len(game.turns) // 2 for game in games) == 15


@pytest.mark.parametrize("level", ["random", "mixed", "expert"])
def test_both_games_tell_the_same_commands_and_rewards(level: str):
    full, partial = Dataset.load(f"text_nav/{level}-v0"), Dataset.load(f"text_nav/partial-{level}-v0")
    for game, other in zip(full[::10], partial[::10], strict=True):
        assert [turn[1:] for turn in game.turns] == [turn[1:] for turn in other.turns]
        for turn, less in zip(game.turns, other.turns, strict=True):
            assert (turn.text == less.text) if turn.is_action else (listed(turn.text) == listed(less.text))


def test_every_admissible_command_of_the_way_is_tried_in_the_mixed_data():
    said = {turn.text for game in Dataset.load("text_nav/mixed-v0") for turn in game.turns if turn.is_action}
    for command in (
        "take stale food from table",
        "open fridge",
        "insert stale food into fridge",
        "close fridge",
    ):
        assert f"{command}\n" in said


@every_id
def test_the_references_of_the_papers_house(env_id: str):
    found = reference(env_id)
    assert (found.best, found.kind, found.levels["expert"]) == (1.0, "exact", 1.0)
    assert found.random == pytest.approx(0.0001, abs=5e-6)
    # the recipe: .26 of its games won with .99298, the others with .00017
    assert found.behaviour_played == pytest.approx(0.26 * 0.99298 + 0.74 * 0.00017, abs=1e-4)
    assert found.data_mean == pytest.approx(0.2576)
    assert protocol(env_id) == (True, 64)


@every_id
def test_both_scores(env_id: str):
    assert normalise(env_id, 1.0) == 100
    assert normalise(env_id, reference(env_id).random) == 0
    # the paper's ILQL: 50 + 50 * (.88 - .26) / .74; its GPT-4: 50 * .21 / .26
    assert normalise(env_id, 0.88, "lmrl2023") == pytest.approx(91.89, abs=0.01)
    assert normalise(env_id, 0.21, "lmrl2023") == pytest.approx(40.38, abs=0.01)
    assert normalise(env_id, 0.26, "lmrl2023") == 50


@every_id
def test_generated_houses_have_an_optimum_but_not_the_papers_scale(env_id: str):
    for kwargs in ({"rooms": 8}, {"objects": 7, "split": "test"}, {"rooms": 8, "objects": 7, "compat": True}):
        assert normalise(env_id, 1.0, **kwargs) == 100
        assert math.isnan(normalise(env_id, 1.0, "lmrl2023", **kwargs))
        assert "its own house" in why_no_score(env_id, "lmrl2023", **kwargs)
    assert math.isnan(normalise(env_id, 1.0, rooms=5))
