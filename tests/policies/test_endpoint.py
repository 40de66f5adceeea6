"""An OpenAI-compatible endpoint as a player, against a server on this machine."""

from __future__ import annotations

import numpy as np
import pytest

import lmrlgym
from lmrlgym.policies.endpoint import EndpointPolicy
from lmrlgym.remote_models import address
from lmrlgym.types import Turn
from tests.servers import serving

pytest.importorskip("openai", reason="the extra `endpoint` is not installed")

KEY = "sk-test-0123456789"
HISTORY = (Turn("there is a wall.\n", False), Turn("move left\n", True), Turn("no wall.\n", False))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


def rngs(count):
    return [np.random.default_rng(i) for i in range(count)]


def test_a_request_holds_instructions_roles_model_and_limits(server):
    EndpointPolicy(server.url, "be brief.", temperature=0.5, max_tokens=9).act([HISTORY], rngs(1))
    [(path, _, body)] = server.requests
    assert path == "/v1/chat/completions"
    assert body["model"] == "tiny"
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)
    assert [(m["role"], m["content"].rstrip("\n")) for m in body["messages"]] == [
        ("system", "be brief."),
        ("user", "there is a wall."),
        ("assistant", "move left"),
        ("user", "no wall."),
    ]


def test_answers_go_to_their_games_and_idle_positions_are_not_asked(server):
    histories = [(Turn(f"game {i}\n", False),) if i != 2 else () for i in range(5)]
    seen = EndpointPolicy(server.url).act(histories, rngs(5))
    assert [action.text for action in seen] == ["move up\n", "move up\n", "", "move up\n", "move up\n"]
    assert sorted(body["messages"][-1]["content"].strip() for _, _, body in server.requests) == [
        "game 0", "game 1", "game 3", "game 4",
    ]  # fmt: skip


def test_seeds_come_from_the_games_own_generators(server):
    EndpointPolicy(server.url).act([HISTORY, HISTORY], rngs(2))
    expected = {int(rng.integers(2**31)) for rng in rngs(2)}
    assert {body["seed"] for _, _, body in server.requests} == expected


def test_tokens_are_counted_as_the_server_reports_them(server):
    policy = EndpointPolicy(server.url)
    policy.act([HISTORY, HISTORY], rngs(2))
    assert (policy.usage.prompt_tokens, policy.usage.completion_tokens) == (14, 4)


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_is_said_as_it_is(server, content):
    server.script.append((200, content))
    assert EndpointPolicy(server.url).act([HISTORY], rngs(1))[0].text == "\n"


def test_a_passing_failure_is_sent_again(server):
    server.script.extend([(503, "busy"), (429, "slow down"), (200, "move down")])
    assert EndpointPolicy(server.url, retries=2).act([HISTORY], rngs(1))[0].text == "move down\n"
    assert len(server.requests) == 3


def test_retries_are_bounded(server):
    server.script.extend([(503, "busy")] * 9)
    with pytest.raises(ConnectionError, match="busy"):
        EndpointPolicy(server.url, retries=2).act([HISTORY], rngs(1))
    assert len(server.requests) == 3


def test_a_refusal_is_not_sent_again_and_never_shows_the_key(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script.append((401, f"{KEY} is not a key"))
    with pytest.raises(ConnectionError) as caught:
        EndpointPolicy(server.url).act([HISTORY], rngs(1))
    assert "[key] is not a key" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    EndpointPolicy(server.url).act([HISTORY], rngs(1))
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "may_have_key"),
    [
        ("https://api.example.org/v1#m", True),
        ("http://localhost:8000/v1#m", True),
        ("http://[::1]:8000/v1#m", True),
        ("http://api.example.org/v1#m", False),
    ],
)
def test_the_key_never_crosses_a_network_in_the_clear(url, may_have_key):
    assert address(url).may_have_key is may_have_key


def test_without_leave_the_client_gets_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert EndpointPolicy("http://api.example.org/v1#m").model._client.api_key == "none"
    assert EndpointPolicy("https://api.example.org/v1#m").model._client.api_key == KEY


def test_an_address_has_its_model_behind_the_hash():
    assert address("https://h.example/v1#org/model-1")[:2] == ("https://h.example/v1", "org/model-1")


@pytest.mark.parametrize(
    "url", ["http://h/v1", "ftp://h/v1#m", "http:///v1#m", "h/v1#m", "http://h:port/v1#m", "http://[h/v1#m"]
)
def test_a_wrong_address_is_named(url):
    with pytest.raises(ValueError, match="an endpoint is http"):
        address(url)


def test_a_key_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="without a key") as caught:
        address(f"https://user:{KEY}@h.example/v1#m")
    assert KEY not in str(caught.value)


def test_it_plays_whole_games(server):
    games = lmrlgym.rollout("lmrlgym/Maze-v0", EndpointPolicy(server.url), 4, parallel=2,
                            env_kwargs={"max_moves": 2})  # fmt: skip
    assert all(turn.text == "move up\n" for game in games for turn in game.turns if turn.is_action)
