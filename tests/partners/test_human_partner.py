"""A person at the terminal as the partner."""

from __future__ import annotations

import gymnasium

from lmrlgym.partners.human import HumanPartner
from lmrlgym.partners.roles.guess_my_city import ROLE


def test_the_person_sees_the_city_and_the_question_without_control_characters(monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: "Yes, it is.")
    env = gymnasium.make("lmrlgym/GuessMyCity-v0", partner="human")
    env.reset(seed=0, options={"city": "lima,peru"})
    observation, reward, *_ = env.step("Is it \x1b[2Jbig?\n")
    assert capsys.readouterr().out == "You are from lima,peru (do not say so). Is it [2Jbig?\n"
    assert (observation, reward) == ("Yes, it is.\n", -1.0)


def test_several_games_are_labelled():
    shown = []
    partner = HumanPartner(ROLE, lambda prompt: "Yes.", shown.append)
    vector = gymnasium.make_vec(
        "lmrlgym/GuessMyCity-v0", 2, vectorization_mode="vector_entry_point", partner=partner
    )
    vector.reset(seed=0)
    vector.step(["Is it big?\n", "Is it old?\n"])
    assert [text.split("]")[0] for text in shown] == ["[game 1", "[game 2"]


def test_a_person_who_leaves_ends_the_game_as_a_failed_partner():
    def leave(prompt):
        raise EOFError

    env = gymnasium.make("lmrlgym/GuessMyCity-v0", partner=HumanPartner(ROLE, leave, lambda text: None))
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step("Is it big?\n")
    assert (terminated, truncated, info["stop_reason"]) == (False, True, "partner_error")


def test_the_buyers_person_is_shown_what_the_ledger_decided(monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: "Not above $6,000.")
    env = gymnasium.make("lmrlgym/CarDealer-v0", partner="human")
    env.reset(seed=0, options={"buyer": {"budget": 10000, "strategy": "discount"}})
    observation, *_ = env.step("What is your budget?\n")
    assert "Decision: counter $6,000\n" in capsys.readouterr().out
    assert observation == "Not above $6,000.\n"
