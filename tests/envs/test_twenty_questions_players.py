"""Twenty Questions: scripted players say what they say they do; the tree of questions meets the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lmrlgym
from lmrlgym.envs.twenty_questions import moves, things, truth_table
from lmrlgym.policies.twenty_questions import LEVELS, Asker
from lmrlgym.solvers.twenty_questions import bound, least_costs, solver
from lmrlgym.types import Turn

ENV_ID = "lmrlgym/TwentyQuestions-v0"
START = (Turn("Questions:\n", False),)


def test_a_text_is_said_by_one_move_only():
    texts = [text for move in moves() for text in move.texts]
    assert len(texts) == len(set(texts))
    assert all(text.endswith("\n") and "\n" not in text[:-1] for text in texts)


def test_there_is_a_guess_of_every_object():
    assert [move.guess for move in moves() if move.guess >= 0] == list(range(158))
    assert truth_table().shape == (len(moves()), len(things()))


@pytest.mark.parametrize("level", ["random", "mixed", "expert"])
def test_log_probabilities_are_those_of_the_texts(level: str):
    action = LEVELS[level]().act([START], [np.random.default_rng(3)])[0]
    assert isinstance(action, lmrlgym.Action)
    number = next(i for i, move in enumerate(moves()) if action.text in move.texts)
    chances = np.full(len(moves()), 1 / len(moves()))
    if level != "random":
        chances = LEVELS[level]().probabilities(START)  # type: ignore[union-attr]
    assert chances.sum() == pytest.approx(1.0)
    # a wording is drawn uniformly from those of its move
    assert action.log_prob == pytest.approx(math.log(chances[number] / len(moves()[number].texts)))


def test_an_idle_slot_says_nothing():
    assert Asker(20.0, 0.5).act([()], [np.random.default_rng(0)]) == [""]


@pytest.mark.parametrize(("sharpness", "noise"), [(-1.0, 0.5), (1.0, 1.5)])
def test_settings_without_meaning_are_refused(sharpness: float, noise: float):
    with pytest.raises(ValueError, match="sharpness"):
        Asker(sharpness, noise)


def test_least_costs_of_few_objects_are_worked_out_by_hand():
    # 1: guess it, 0. 2: guess one (the other needs 1 more), 1. 3: guess one, 2 + B(2) = 3; or split
    # 1|2: 3 + 0 + 1 = 4. 4: split 2|2: 4 + 1 + 1 = 6; guess: 3 + 3 = 6.
    assert least_costs(4) == (0, 0, 1, 3, 6)


def test_the_bound_is_the_ideal_partition_of_158_objects():
    assert bound() == pytest.approx(-6.785, abs=5e-4)


def test_the_tree_meets_the_bound_so_it_is_best_play():
    tree = solver(ENV_ID)
    assert tree.kind == "exact"
    assert tree.value(START) == pytest.approx(bound())
    values = tree.q(START)
    assert max(values.values()) == pytest.approx(tree.value(START))
    assert values[tree.best(START)] == pytest.approx(tree.value(START))


def test_the_value_after_a_right_guess_is_zero():
    over = (*START, Turn("Is it a dog?\n", True), Turn("Yes.\n", False))
    assert solver(ENV_ID).value(over) == 0.0


@pytest.mark.slow
def test_best_play_finds_every_object_and_its_mean_return_is_its_value():
    best = lmrlgym.policy_named("best", ENV_ID)
    games = lmrlgym.rollout(ENV_ID, best, 158, seed=0, tasks=range(158), parallel=32)
    summary = lmrlgym.summarise(games)
    assert summary.success == 1.0
    assert summary.return_mean == pytest.approx(bound())


def test_no_solver_for_another_partner():
    with pytest.raises(ValueError, match="scripted"):
        solver(ENV_ID, partner="human")


def test_the_same_seed_collects_the_same_games():
    first, again = (lmrlgym.collect(ENV_ID, "mixed", 3, 7) for _ in range(2))
    assert list(first) == list(again)


def test_no_shipped_text_names_the_object_before_the_agent_does():
    # What the agent is told is the header, Yes. and No.: it cannot hold a name.
    data = lmrlgym.Dataset.load("twenty_questions/mixed-v0")
    told = {turn.text for game in data[:200] for turn in game.turns if not turn.is_action}
    assert told == {"Questions:\n", "Yes.\n", "No.\n"}
