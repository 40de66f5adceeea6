"""What needs no cluster: chunks, addresses, what travels (with one: tests/algorithms/test_clusters.py)."""

from __future__ import annotations

import pickle
import socket
import sys
from functools import partial

import pytest
from test_cli import MAZE, run

import lmrlgym
from lmrlgym.commands.options import game_ids
from lmrlgym.commands.players import Player, travelling
from lmrlgym.distributed import Cluster, MadeThere, chunks, playing
from lmrlgym.policies.language_model import Usage


@pytest.mark.parametrize(
    ("games", "parallel", "sizes"),
    [
        (7, 3, [3, 4]),  # two chunks of at least three
        (6, 3, [3, 3]),
        (5, 3, [5]),
        (2, 3, [2]),  # all of them are fewer
        (3, 1, [1, 1, 1]),
        (0, 3, []),
    ],
)
def test_chunks_are_as_wide_as_all_games_would_be(games: int, parallel: int, sizes: list[int]) -> None:
    found = chunks(games, parallel)
    assert [len(part) for part in found] == sizes
    assert [number for part in found for number in part] == list(range(games))


@pytest.mark.parametrize(
    "address", ["here", "host:port", "http://host:80", "host:80/path", "local:", "local:x", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"a cluster is HOST:PORT, ray://HOST:PORT, local or local:WORKERS"):
        Cluster(address).__enter__()


def free_port() -> int:
    """One where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_an_address_where_nobody_answers_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert run("eval", MAZE, "--policy", "best", "--ray", address) == 2
    assert f"no cluster answers at {address}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["collect", "eval"])
def test_without_ray_the_extra_is_named(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(verb, MAZE, "--ray", "local") == 2
    assert "pip install 'lmrlgym[ray]'" in capsys.readouterr().err


def test_what_makes_no_sense_with_a_cluster_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="at least one worker, got 'local:0'"):
        Cluster("local:0")
    with pytest.raises(ValueError, match="gpus must be a number from 0, got -1"):
        Cluster("local", gpus=-1)
    person = lmrlgym.policies.human.HumanPolicy()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="a person sits at this terminal"):
        Cluster("local").play(MAZE, person, 1)
    with pytest.raises(ValueError, match="a person sits at this terminal"):
        Cluster("local").play("lmrlgym/CarDealer-v0", MadeThere(len), 1, env_kwargs={"partner": "human"})  # type: ignore[arg-type]
    options = ("--envs", MAZE, "--algorithms", "bc", "--out", "x", "--jobs", 2, "--ray", "local")
    assert run("sweep", *options) == 2
    assert "--jobs are processes of this machine" in capsys.readouterr().err


def test_without_an_address_this_process_plays() -> None:
    with playing(None) as play:
        assert play is lmrlgym.rollout


def made_here(name: str) -> lmrlgym.Policy:
    return lmrlgym.policy_named(name, MAZE)


def test_a_policy_that_is_made_there_travels_as_its_name() -> None:
    travels = MadeThere(partial(made_here, "expert"))
    assert len(pickle.dumps(travels)) < 200
    arrived = pickle.loads(pickle.dumps(travels))
    assert type(arrived) is type(made_here("expert"))
    assert lmrlgym.rollout(MAZE, travels, 2) == lmrlgym.rollout(MAZE, arrived, 2)


def test_models_are_made_there_and_scripts_here(tmp_path: object) -> None:
    usage, script = Usage(), Player(made_here("expert"))
    assert travelling("expert", lambda: script, usage) is script
    model = travelling("hf:no-such-model", pytest.fail, usage)  # type: ignore[arg-type]
    assert isinstance(model.policy, MadeThere)
    assert model.usage is usage


@pytest.mark.parametrize("env_id", game_ids())
def test_every_scripted_player_travels(env_id: str) -> None:
    for level in ("random", "mixed", "expert", "best"):
        try:
            player = lmrlgym.policy_named(level, env_id)
        except (ValueError, ImportError):  # a game without a solver, a player who needs an engine
            continue
        assert type(pickle.loads(pickle.dumps(player))) is type(player)
