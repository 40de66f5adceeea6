"""The shipped dialogues of Guess My City and its references."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from lmrlgym import Dataset, collect, normalise, replay
from lmrlgym.envs.guess_my_city import names_in
from lmrlgym.references import reference
from lmrlgym.resources import data_folder
from lmrlgym.solvers.guess_my_city import halving_value

ENV_ID = "lmrlgym/GuessMyCity-v0"
FOLDER = data_folder() / "guess_my_city"
LEVELS = ("random", "mixed", "expert")
MEGABYTE = 2**20


@cache
def shipped(level: str) -> Dataset:
    return Dataset.load(f"guess_my_city/{level}-v0")


@pytest.mark.parametrize("level", LEVELS)
def test_no_answer_names_any_city_or_country(level: str):
    told = {turn.text for game in shipped(level)[:2_000] for turn in game.turns if not turn.is_action}
    assert len(told) > 300
    assert {text for text in told if names_in(text)} == set()


@pytest.mark.parametrize("level", LEVELS)
def test_shipped_games_are_made_by_the_command_on_their_card(level: str):
    data = shipped(level)
    assert data.trajectories[:10] == collect(ENV_ID, level, 10, 0).trajectories
    assert all(replay(game) is None for game in data[:10])


@pytest.mark.parametrize("level", LEVELS)
def test_a_set_fits_in_two_megabytes(level: str):
    assert (FOLDER / f"{level}-v0.parquet").stat().st_size <= 2 * MEGABYTE


def test_the_mixed_player_is_near_what_the_paper_tells():
    card = json.loads((FOLDER / "mixed-v0.card.json").read_text(encoding="utf-8"))
    assert card["success"] == pytest.approx(0.53, abs=0.01)
    assert card["length_mean"] == pytest.approx(18.8, abs=2)
    assert card["length_std"] == pytest.approx(4.57, abs=0.3)
    # A game costs a question less than it is long if it is won: the paper's own -18.8 cannot be.
    assert card["return_mean"] == pytest.approx(card["success"] - card["length_mean"], abs=1e-6)


def test_answers_are_varied():
    told = [turn.text for game in shipped("mixed")[:1_000] for turn in game.turns[2::2]]
    runs = [pair for text in told for pair in pairwise(text.split())]
    assert len(set(told)) >= 400
    assert len(set(runs)) >= 1_000
    assert Counter(told).most_common(1)[0][1] < 0.25 * len(told)


@pytest.mark.parametrize("compat", [False, True])
def test_references_go_from_weak_to_strong(compat: bool):
    found = reference(ENV_ID, compat=compat)
    assert found.kind == "best_known"
    assert found.random < found.levels["mixed"] < found.levels["expert"] < found.best + 0.1
    assert halving_value(99 if compat else 100) < found.best < -1
    assert normalise(ENV_ID, found.random, compat=compat) == 0
    assert normalise(ENV_ID, found.best, compat=compat) == pytest.approx(100)
    # the paper's two slopes: -20 is 0, the data's -18.8 is 50, -8.56 is 100
    scores = [normalise(ENV_ID, value, "lmrl2023", compat=compat) for value in (-20, -18.8, -8.56)]
    assert scores == pytest.approx([0, 50, 100])


def test_the_bound_by_ideal_partition_is_on_record():
    entries = json.loads((FOLDER / "references.json").read_text(encoding="utf-8"))[ENV_ID]
    assert [entry["ideal_partition"] for entry in entries] == [-6.08, -6.0606]
