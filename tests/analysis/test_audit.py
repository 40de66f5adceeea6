"""The audit counts what partners with known faults do wrong."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest

from lmrlgym.analysis.audit import audit, exam_of
from lmrlgym.analysis.exams import PLANTED, PLANTED_YES
from lmrlgym.cli import main

ORACLE, CITY, CAR = "lmrlgym/TwentyQuestions-v0", "lmrlgym/GuessMyCity-v0", "lmrlgym/CarDealer-v0"
GAMES = [ORACLE, CITY, CAR]


class Faulty:
    """Says what `say` makes of a query."""

    def __init__(self, say):
        self.say = say

    def reply(self, queries):
        return [self.say(query) for query in queries]


def audited(env_id, say, questions=60, **changes):
    return audit(env_id, questions=questions, width=8, env_kwargs={"partner": Faulty(say)}, **changes)


@pytest.mark.parametrize("env_id", GAMES)
def test_a_scripted_partner_passes_its_exam(env_id):
    found = audit(env_id, questions=120, width=16)
    assert found.accuracy.value == found.consistency.value == found.determinism.value == 1
    assert found.contradictions.value == found.leaks.value == found.told_leaks.value == 0
    assert found.injections.value == found.not_understood.value == found.partner_errors.value == 0
    assert found.accuracy.cases >= 120
    assert found.contradictions.cases >= 20


def test_an_oracle_that_always_says_yes_is_half_right_and_wholly_obedient():
    found = audited(ORACLE, lambda query: "yes", questions=400)
    # Half of the facts are true, and what is either is right both ways.
    assert 0.4 < found.accuracy.value < 0.8
    assert (found.consistency.value, found.contradictions.value) == (1, 0)
    # Obeyed is what asks for a yes, three texts of the seven; the others want the name, which it never says.
    assert found.injections.value == pytest.approx(len(PLANTED_YES) / len(PLANTED + PLANTED_YES), abs=0.15)


def test_an_oracle_that_always_says_no_is_right_half_of_the_time():
    # Half of the facts are true of their object; of the others no is right, also where either is.
    found = audited(ORACLE, lambda query: "no", questions=400)
    assert found.accuracy.value == pytest.approx(0.5, abs=0.1)
    assert found.accuracy.cases == 400


def test_an_oracle_that_throws_a_coin_contradicts_itself_every_second_time():
    coin = np.random.default_rng(3)
    found = audited(ORACLE, lambda query: "yes" if coin.random() < 0.5 else "no", questions=400)
    assert found.contradictions.value == pytest.approx(0.5, abs=0.12)
    assert found.determinism.value == pytest.approx(0.5, abs=0.15)


def test_a_secret_that_is_told_is_a_leak_though_no_agent_hears_it():
    found = audited(ORACLE, lambda query: f"Yes, the {query.state.variants[0]}!")
    assert found.leaks.value > 0.95  # unless the question named it
    assert found.told_leaks.value == 0
    assert found.injections.value > 0.95


def test_a_city_that_is_told_is_a_leak_that_the_rules_stop():
    found = audited(CITY, lambda query: f"Yes. I am from {query.state.facts['name']}.")
    assert found.leaks.value > 0.9
    assert found.told_leaks.value == 0


def test_a_buyer_that_tells_its_budget_leaks_and_does_not_say_what_was_decided():
    found = audited(CAR, lambda query: f"I have ${query.state.profile.budget:,}.")
    assert found.leaks.value > 0.5
    assert found.told_leaks.value == 0
    assert found.accuracy.value < 0.5


def test_a_buyer_that_obeys_the_seller_is_found_out():
    found = audited(CAR, lambda query: "I accept $999,999 xylograph")
    assert 0.3 < found.injections.value < 0.9  # the others want the budget, which it never says


def test_an_answer_that_says_nothing_is_not_understood():
    found = audited(ORACLE, lambda query: "perhaps")
    assert (found.not_understood.value, found.accuracy.value) == (1, 0)


def test_a_partner_that_fails_is_counted_and_not_judged():
    def fails_with_every_second_object(query):
        if len(query.state.variants[0]) % 2:
            raise RuntimeError("no")
        return "no"

    found = audited(ORACLE, fails_with_every_second_object)
    assert 0.1 < found.partner_errors.value < 0.9
    assert found.leaks.cases < found.partner_errors.cases


def test_intervals_are_wilsons():
    # No case of 10: the upper end is z^2 / (n + z^2) = 3.8415 / 13.8415.
    found = audited(ORACLE, lambda query: "no", questions=12)
    assert found.partner_errors.value == 0
    n = found.partner_errors.cases
    assert found.partner_errors.high == pytest.approx(3.8415 / (n + 3.8415), abs=1e-4)


def test_a_game_without_a_partner_has_no_exam():
    with pytest.raises(ValueError, match="lmrlgym/Maze-v0 has no exam"):
        exam_of("lmrlgym/Maze-v0")


@pytest.mark.parametrize("env_id", GAMES)
def test_every_game_that_models_can_play_has_an_exam(env_id):
    exam, rng = exam_of(env_id), np.random.default_rng(0)
    env = gymnasium.make(env_id).unwrapped
    for dialogues in (exam.facts(rng, 5), exam.talks(rng, 5), exam.injections(rng, 5)):
        assert len(dialogues) == 5
        for dialogue in dialogues:
            env.reset(seed=0, options=dialogue.options)
            assert all(ask.text.endswith("\n") for ask in dialogue.asks)


def test_the_verb_prints_a_table_and_writes_json(capsys, tmp_path):
    out = tmp_path / "audit.json"
    assert main(["audit", ORACLE, "--questions", "20", "--out", str(out)]) == 0
    assert "accuracy          100.0 %" in capsys.readouterr().out
    record = json.loads(out.read_text())
    assert (record["env"], record["accuracy"]["value"]) == (ORACLE, 1.0)


def test_the_verb_names_a_game_without_an_exam(capsys):
    assert main(["audit", "lmrlgym/Maze-v0"]) == 2
    assert "has no exam" in capsys.readouterr().err
