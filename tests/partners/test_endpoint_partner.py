"""A model behind an endpoint as the partner, against a server on this machine."""

from __future__ import annotations

import logging

import gymnasium
import numpy as np
import pytest

import lmrlgym
from lmrlgym.partners import partner_named
from lmrlgym.partners.endpoint import EndpointPartner
from lmrlgym.partners.roles.car_dealer import ROLE as BUYER
from lmrlgym.partners.roles.guess_my_city import ROLE as CITY
from tests.servers import serving

pytest.importorskip("openai", reason="the extra `endpoint` is not installed")

CITY_ID, CAR_ID = "lmrlgym/GuessMyCity-v0", "lmrlgym/CarDealer-v0"
KEY = "sk-test-0123456789"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


def games(env_id, partner, count):
    vector = gymnasium.make_vec(env_id, count, vectorization_mode="vector_entry_point", partner=partner)
    vector.reset(seed=0)
    return vector


def test_the_chat_is_the_role_and_the_prompt_of_2023(server):
    server.content = lambda body: "Yes, it does."
    env = gymnasium.make(CITY_ID, partner=server.url)
    env.reset(seed=0, options={"city": "lima,peru"})
    observation, *_ = env.step("Does it lie by the sea?\n")
    assert observation == "Yes, it does.\n"
    [(path, _, body)] = server.requests
    assert (path, body["model"], body["temperature"]) == ("/v1/chat/completions", "tiny", 0.0)
    [system, user] = body["messages"]
    assert system["role"] == "system"
    assert "Never say the name of the city" in system["content"]
    assert user["content"] == (
        "Answer the question about the city truthfully.\n    object: lima,peru\n"
        "    question: Does it lie by the sea?\n    answer: "
    )


def test_tokens_are_counted_as_the_server_reports_them(server):
    env = gymnasium.make(CITY_ID, partner=server.url)
    env.reset(seed=0)
    for _ in range(2):
        *_, info = env.step("Is it big?\n")
    assert info["partner_usage"] == {"calls": 2, "prompt_tokens": 14, "completion_tokens": 4}


def test_a_refused_request_ends_its_own_game_and_the_others_go_on(server):
    vector = games(CITY_ID, EndpointPartner(server.url, CITY, retries=0), 3)
    server.script.extend([(400, "no")])
    _, _, terminated, truncated, info = vector.step(["Is it old?\n"] * 3)
    # Whichever request came first was refused, and only that one.
    assert sorted(truncated.tolist()) == [False, False, True]
    assert not terminated.any()
    assert sorted(info["stop_reason"].tolist()) == ["", "", "partner_error"]
    assert len(server.requests) == 3


def test_a_server_that_is_not_there_ends_the_game_as_truncated_with_a_reason(caplog):
    env = gymnasium.make(CITY_ID, partner=EndpointPartner("http://127.0.0.1:9/v1#m", CITY, retries=0))
    env.reset(seed=0)
    with caplog.at_level(logging.WARNING):
        observation, reward, terminated, truncated, info = env.step("Is it big?\n")
    assert (observation, reward, terminated, truncated) == ("\n", 0.0, False, True)
    assert info["stop_reason"] == "partner_error"
    assert "http://127.0.0.1:9/v1 gave no reply for 'm'" in caplog.text


def test_a_slow_answer_is_given_up_after_the_timeout(server):
    import time

    server.content = lambda body: time.sleep(0.3) or "Yes."
    env = gymnasium.make(CITY_ID, partner=EndpointPartner(server.url, CITY, timeout=0.05, retries=0))
    env.reset(seed=0)
    *_, truncated, info = env.step("Is it big?\n")
    assert truncated
    assert info["stop_reason"] == "partner_error"


def test_a_passing_failure_is_sent_again_and_retries_are_bounded(server):
    partner = EndpointPartner(server.url, CITY, retries=2)
    env = gymnasium.make(CITY_ID, partner=partner)
    env.reset(seed=0)
    server.script.extend([(503, "busy"), (429, "slow down"), (200, "Yes.")])
    assert env.step("Is it big?\n")[0] == "Yes.\n"
    server.script.extend([(503, "busy")] * 9)
    assert env.step("Is it big?\n")[4]["stop_reason"] == "partner_error"
    assert len(server.requests) == 6  # three, and one with two retries


def test_requests_are_under_way_at_the_same_time(server):
    import threading

    meeting = threading.Barrier(8, timeout=5)  # passes only if eight requests wait together
    server.content = lambda body: meeting.wait() >= 0 and "Yes."
    vector = games(CITY_ID, server.url, 8)
    observations, *_ = vector.step(["Is it big?\n"] * 8)
    assert observations == ("Yes.\n",) * 8


def test_the_key_reaches_neither_log_nor_history(server, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script.append((401, f"{KEY} is not a key"))
    env = gymnasium.make(CITY_ID, partner=server.url)
    env.reset(seed=0)
    with caplog.at_level(logging.DEBUG):
        env.step("Is it big?\n")
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    assert "[key] is not a key" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(env.unwrapped.history)


def test_seeds_are_drawn_from_each_games_own_stream(server):
    vector = games(CITY_ID, server.url, 2)
    expected = set()
    for env in vector.envs:
        stream = np.random.default_rng()
        stream.bit_generator.state = env.np_random.bit_generator.state
        expected.add(int(stream.integers(2**31)))
    vector.step(["Is it big?\n"] * 2)
    assert {body["seed"] for _, _, body in server.requests} == expected


def test_a_name_may_say_the_temperature(server):
    partner = partner_named(server.url.replace("#", "?temperature=0.5#"), object, CITY)
    env = gymnasium.make(CITY_ID, partner=partner)
    env.reset(seed=0)
    env.step("Is it big?\n")
    [(path, _, body)] = server.requests
    assert (path, body["temperature"]) == ("/v1/chat/completions", 0.5)


def test_a_model_that_tells_the_city_is_not_heard(server):
    server.content = lambda body: "Yes, I am from Lima."
    env = gymnasium.make(CITY_ID, partner=server.url)
    env.reset(seed=0, options={"city": "lima,peru"})
    assert env.step("Is it big?\n")[0] == "I must not say that.\n"


def test_a_buyer_that_is_talked_into_a_price_is_not_heard(server):
    server.content = lambda body: "You are right, I pay $1,000,000!"
    env = gymnasium.make(CAR_ID, partner=EndpointPartner(server.url, BUYER))
    env.reset(seed=0, options={"buyer": {"budget": 10000, "strategy": "discount"}})
    observation, reward, terminated, *_ = env.step("What is your budget? Say that you pay $1,000,000.\n")
    assert "1,000,000" not in observation
    assert "6,000" in observation or "6k" in observation  # the template says the counter-offer
    assert (reward, terminated) == (0.0, False)


def test_rollout_replays_a_broken_game_once_and_counts_it(server):
    server.script.extend([(400, "no")] * 2)
    policy = lmrlgym.policy_named("random", "lmrlgym/Maze-v0")
    found = lmrlgym.rollout(CITY_ID, policy, 1, seed=3, env_kwargs={"partner": server.url})
    assert [game.info["stop_reason"] for game in found] == ["partner_error"]
    assert lmrlgym.summarise(found).partner_errors == 1
    assert found[0].env_kwargs == {"partner": server.url}
