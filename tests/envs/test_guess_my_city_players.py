"""Players and the solver of Guess My City."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from lmrlgym import Turn, rollout, summarise
from lmrlgym.collection import policy_named
from lmrlgym.envs.guess_my_city import (
    HEADER,
    RIGHT,
    everything,
    guess_questions,
    open_topics,
    possible,
    scripted_questions,
    scripted_texts,
    words,
    yes_no_questions,
)
from lmrlgym.policies.guess_my_city import (
    MIXED_LAST_GUESSES,
    MIXED_SKILL,
    CityPlayer,
    dividing_questions,
    fact_questions,
    sharpest_questions,
)
from lmrlgym.solvers.guess_my_city import CitySolver, halving_value, solver

ENV_ID = "lmrlgym/GuessMyCity-v0"
START = (Turn(HEADER, False),)
LEVELS = ("random", "mixed", "expert")


def talk(*said: str) -> tuple[Turn, ...]:
    """A history: questions and answers by turns."""
    return (*START, *(Turn(f"{text}\n", i % 2 == 0) for i, text in enumerate(said)))


def mask(*cities: str) -> int:
    return sum(1 << words().index(city) for city in cities)


# ---- what is left ----


def test_nothing_said_leaves_all_cities():
    assert possible(START) == everything()
    assert possible(START, compat=True).bit_count() == 99


def test_answers_narrow_the_cities():
    asia = yes_no_questions()["continent=Asia"].parts[0]
    capital = yes_no_questions()["capital"].parts[0]
    assert possible(talk("Is it in Asia?", "Yes, indeed.")) == asia
    assert possible(talk("Is it in Asia?", "No.")) == everything() & ~asia
    assert possible(talk("Is it in Asia?", "Who knows?")) == everything()
    assert possible(talk("Is it in Asia?", "Yes.", "Is it a capital city?", "No.")) == asia & ~capital
    assert possible(talk("Are you the one?", "No.")) == everything()
    assert possible(talk("Is it Paris?", "No.")) == everything() & ~mask("paris,france")


def test_answers_to_open_questions_are_read_whole():
    for topic in open_topics().values():
        for task in range(100):
            for line in topic.answers[task]:
                left = topic.question.left_after(line)
                assert left >> task & 1
                assert left in topic.question.parts


def test_the_parts_of_a_question_are_all_cities_once():
    for question in scripted_questions():
        assert sum(part.bit_count() for part in question.parts) == 100
        assert math.prod(question.parts) != 0
        union = 0
        for part in question.parts:
            union |= part
        assert union == everything()


# ---- players ----


def test_dividing_questions_rule_something_out_whatever_the_answer():
    left = mask("paris,france", "madrid,spain", "lima,peru")
    found = dividing_questions(left)
    assert yes_no_questions()["continent=Europe"] in found
    assert yes_no_questions()["capital"] not in found
    assert not any(question.is_guess for question in found)


def test_sharpest_questions_leave_least():
    # Three cities in three parts: nothing is left to find out.
    left = mask("paris,france", "tokyo,japan", "lima,peru")
    for question in sharpest_questions(left):
        assert sorted((part & left).bit_count() for part in question.parts if part & left) == [1, 1, 1]
    assert open_topics()["place"].question in sharpest_questions(left)


def test_a_player_guesses_what_is_left_and_in_the_last_turns():
    rng = np.random.default_rng(0)
    one = talk("Is the Eiffel Tower there?", "Yes.")
    (said,) = CityPlayer(0.0).act([one], [rng])
    assert said.text in guess_questions()[words().index("paris,france")].texts  # type: ignore[union-attr]
    late = talk(*(["blah", "I cannot answer that."] * 18))
    said_late = {
        scripted_texts()[CityPlayer(0.0, last_guesses=2).act([late], [rng])[0].text].is_guess
        for _ in range(50)
    }  # type: ignore[union-attr]
    assert said_late == {True}
    earlier = late[:-2]
    (said,) = CityPlayer(0.0, last_guesses=2).act([earlier], [rng])
    assert not scripted_texts()[said.text].is_guess  # type: ignore[union-attr]


def test_idle_positions_say_nothing_and_a_wrong_skill_is_refused():
    assert CityPlayer(0.5).act([()], [np.random.default_rng(0)]) == [""]
    with pytest.raises(ValueError, match="skill must be in"):
        CityPlayer(1.5)


def test_log_probabilities_are_those_of_the_texts():
    player, rng = CityPlayer(MIXED_SKILL, last_guesses=MIXED_LAST_GUESSES), np.random.default_rng(3)
    history = talk("Is it in Asia?", "Yes.", "Is it a capital city?", "No.")
    left, all_questions = possible(history), fact_questions()
    chosen = dividing_questions(left)
    for _ in range(20):
        said = player.act([history], [rng])[0]
        question = scripted_texts()[said.text]  # type: ignore[union-attr]
        expected = (1 - MIXED_SKILL) / len(all_questions)
        expected += MIXED_SKILL / len(chosen) if any(question is one for one in chosen) else 0
        assert said.log_prob == pytest.approx(math.log(expected / len(question.texts)))  # type: ignore[union-attr]


def test_no_text_asks_two_things():
    texts = [text for question in scripted_questions() for text in question.texts]
    assert {text: n for text, n in Counter(texts).items() if n > 1} == {}


def test_players_from_weak_to_strong():
    returns = {
        level: summarise(rollout(ENV_ID, policy_named(level, ENV_ID), 60, seed=5, parallel=8))
        for level in LEVELS
    }
    assert returns["random"].return_mean < returns["mixed"].return_mean < returns["expert"].return_mean
    assert returns["expert"].success == 1.0
    assert returns["expert"].return_mean > -3


@pytest.mark.parametrize("name", ["expert", "best"])
def test_strong_players_win_in_both_modes(name: str):
    for compat in (False, True):
        player = policy_named(name, ENV_ID, compat=compat)
        games = rollout(ENV_ID, player, 25, seed=1, parallel=5, env_kwargs={"compat": compat})
        assert summarise(games).success == 1.0


# ---- the solver ----


def test_halving_bounds_yes_no_play():
    # by hand: 2 cities cost 1 (a guess, then the other), 3 cost 2 + 1, 4 cost min(3 + 3, 4 + 1 + 1)
    assert [halving_value(n) * n for n in (1, 2, 3, 4)] == [0, -1, -3, -6]
    assert halving_value(100) == -6.08
    assert halving_value(99) == pytest.approx(-6.06, abs=0.001)


@cache
def a_solver(**kwargs: Any) -> CitySolver:
    return CitySolver(**kwargs)


def test_the_yes_no_tree_comes_near_the_bound():
    value = a_solver(breadth=1, only_yes_no=True).value(START)
    assert halving_value(100) - 0.05 < value <= halving_value(100)


def test_open_questions_are_worth_more():
    assert a_solver(breadth=1).value(START) > -2.5


def test_the_value_is_the_mean_return_over_all_cities():
    best = a_solver(breadth=1)

    class Best:
        def act(self, histories: Any, rngs: Any) -> list[str]:
            return [best.best(history) if history else "" for history in histories]

    games = rollout(ENV_ID, Best(), 100, seed=0, tasks=range(100), parallel=10)
    assert sum(game.total_reward for game in games) / 100 == pytest.approx(best.value(START))


def test_a_few_cities_by_hand():
    best = a_solver(breadth=1)
    assert best.value(talk("Is the Eiffel Tower there?", "Yes.")) == 0
    # Cairo and Giza, two cities on the Nile: guess one, then the other
    assert best.value(talk("Does the river Nile flow through it?", "Yes.")) == -0.5
    # Turn 20: one guess among two, and a miss for the other
    asked = talk(*(["Does the river Nile flow through it?", "Yes."] * 19))
    assert best.value(asked) == -0.5
    assert best.value((*asked, Turn("blah\n", True), Turn("No.\n", False))) == 0
    assert best.value(talk("Is it Paris?", RIGHT.strip())) == 0


def test_q_of_the_best_question_is_the_value():
    best, history = a_solver(breadth=1), talk("Is it in Europe?", "Yes.", "Is it a capital city?", "Yes.")
    q = best.q(history)
    assert set(q) == set(scripted_texts())
    assert q[best.best(history)] == pytest.approx(best.value(history))
    assert q["Is it Tokyo?\n"] == pytest.approx(best.value(history) - 1)  # tells nothing
    hit = [q[question.texts[0]] for i, question in enumerate(guess_questions()) if possible(history) >> i & 1]
    assert all(value <= best.value(history) + 1e-9 for value in hit)


def test_a_talk_that_no_city_fits_and_a_wrong_breadth_are_refused():
    with pytest.raises(ValueError, match="no city fits"):
        a_solver(breadth=1).value(talk("Is it in Asia?", "No.", "Is it in Asia?", "Yes."))
    with pytest.raises(ValueError, match="breadth"):
        CitySolver(breadth=0)


def test_the_solver_of_the_id():
    assert solver(ENV_ID).kind == "best_known"
    assert solver(ENV_ID, compat=True).compat
