"""A cluster of two workers on this machine plays and trains what one process does, even if some die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from numpy.random import Generator

from baselines.bc import BC
from baselines.core.run import Training, train
from baselines.testing import small_config
from lmrlgym import Action, Dataset, History, Policy, collect, evaluate, policy_named
from lmrlgym.cli import main
from lmrlgym.distributed import RETRIES, Cluster

pytestmark = pytest.mark.slow
MAZE, WORDLE = "lmrlgym/Maze-v0", "lmrlgym/Wordle-v0"
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180
RAY = "from ray.scripts.scripts import main; main()"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two workers that `ray start` began in another folder."""
    pytest.importorskip("ray")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    before = dict(os.environ)
    os.environ.update(PYTHONPATH=str(ROOT), RAY_AUTH_MODE="disabled", RAY_worker_niceness="0")
    log = tmp_path_factory.mktemp("ray") / "log.txt"
    options = f"start --head --block --num-cpus 2 --port {port} --include-dashboard false".split()
    options += f"--object-store-memory {100 * 2**20} --disable-usage-stats".split()
    with log.open("w") as file:
        head = subprocess.Popen(
            [sys.executable, "-c", RAY, *options], stdout=file, stderr=file, cwd=log.parent,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in log.read_text():
            assert head.poll() is None and time.monotonic() < deadline, log.read_text()  # noqa: PT018
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(60)
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def cluster(address: str) -> Iterator[Cluster]:
    with Cluster(address) as entered:
        yield entered


class Unlucky:
    """Plays as another, but its process is killed at the third move, as long as `lives` has lines left."""

    def __init__(self, policy: Policy, lives: Path) -> None:
        self.policy, self.lives, self.moves = policy, lives, 0

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> Sequence[str | Action]:
        self.moves += 1
        left = self.lives.read_text().splitlines()
        if left and self.moves >= 3:
            self.lives.write_text("\n".join(left[1:]))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.policy.act(histories, rngs)


def test_collected_games_are_to_the_byte_those_of_one_process(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["collect", WORDLE, "--episodes", "200", "--seed", "7", "--env-kwargs", "vocabulary=common-40"]
    assert main([*asked, "--out", str(tmp_path / "here.jsonl")]) == 0
    assert main([*asked, "--out", str(tmp_path / "there.jsonl"), "--ray", address]) == 0
    assert capsys.readouterr().err == ""
    for kind in ("jsonl", "card.json"):
        assert (tmp_path / f"there.{kind}").read_bytes() == (tmp_path / f"here.{kind}").read_bytes()


def test_nothing_depends_on_the_number_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    asked = ["collect", MAZE, "--level", "random", "--episodes", "150"]
    assert main([*asked, "--out", str(tmp_path / "here.jsonl")]) == 0
    assert main([*asked, "--out", str(tmp_path / "there.jsonl"), "--ray", "local:1"]) == 0
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


def test_a_trained_agent_says_and_scores_what_it_does_in_one_process(
    address: str,
    base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = Dataset.load("maze/mixed-v0")[:6].save(tmp_path / "some.jsonl")
    run = Training(
        MAZE, tmp_path / "run", {"max_moves": 8}, str(data), str(base_folder), device="cpu", repeats=0
    )
    train("bc", run, small_config(BC))
    monkeypatch.chdir(tmp_path)  # its folder is named as seen from here
    records = []
    for out, where in (("here.jsonl", []), ("there.jsonl", ["--ray", address])):
        asked = ["eval", MAZE, "--policy", "run", "--episodes", "50", "--parallel", "8", "--json"]
        capsys.readouterr()
        assert main([*asked, "--out", out, *where]) == 0
        records.append({k: v for k, v in json.loads(capsys.readouterr().out).items() if k != "seconds"})
    assert records[0] == records[1]
    assert records[0]["agent_tokens"] > 0
    # Not only what was said: the log-probabilities of the tokens too, to the last digit.
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


def test_the_games_of_a_killed_worker_are_played_again(cluster: Cluster, tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("one\nanother")
    plain = policy_named("behaviour", MAZE)
    asked: dict[str, Any] = {"episodes": 40, "parallel": 8}
    games = evaluate(MAZE, Unlucky(plain, lives), **asked, play=cluster.play)
    assert lives.read_text() == ""
    assert games == evaluate(MAZE, plain, **asked)


def test_a_chunk_whose_workers_are_killed_again_and_again_is_given_up(
    cluster: Cluster, tmp_path: Path
) -> None:
    lives = tmp_path / "lives"
    lives.write_text("\n".join("x" * (RETRIES + 1)))
    with pytest.raises(ChildProcessError, match=f"killed {RETRIES + 1} times"):
        evaluate(MAZE, Unlucky(policy_named("random", MAZE), lives), episodes=1, play=cluster.play)
    assert lives.read_text() == ""


class Wrong:
    """No player at all."""

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> Sequence[str | Action]:
        raise ValueError("I cannot play")


def test_what_a_player_raises_is_raised_here(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match=r"^I cannot play$"):
        evaluate(MAZE, Wrong(), episodes=1, play=cluster.play)


def test_a_game_of_ones_own_needs_no_registration_there(cluster: Cluster) -> None:
    game = "toys/GuessNumber-v0"  # registered by conftest.py, which no worker reads
    here = collect(game, "random", 70, limit=2)
    assert collect(game, "random", 70, limit=2, play=cluster.play) == here


def test_a_call_begins_when_the_one_it_waits_for_has_ended(cluster: Cluster, tmp_path: Path) -> None:
    write = partial(_written, tmp_path / "order")
    assert sorted(cluster.each(write, [("a", 1.0), ("b", 0.0)], [None, 0])) == [(0, "a"), (1, "b")]
    assert (tmp_path / "order").read_text() == "ab"


def _written(file: Path, text: str, seconds: float) -> str:
    time.sleep(seconds)
    with file.open("a") as out:
        out.write(text)
    return text


def test_a_worker_has_one_thread_and_sees_no_gpu_that_it_did_not_ask_for(cluster: Cluster) -> None:
    asked = [("OMP_NUM_THREADS",), ("CUDA_VISIBLE_DEVICES",)]
    assert dict(cluster.each(os.getenv, asked)) == {0: "1", 1: ""}


TRACKER = """
import os, pathlib, signal

def listen(folder, record):
    lives = pathlib.Path(__file__).with_name("lives")
    if folder.name == "mc_returns-0" and lives.exists():
        lives.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_sweep_goes_on_where_a_worker_was_killed_and_skips_what_is_done(
    address: str,
    base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = Dataset.load("maze/mixed-v0")[:12].save(tmp_path / "some.jsonl")
    (tmp_path / "own_tracker.py").write_text(TRACKER)
    monkeypatch.syspath_prepend(tmp_path)
    small = "rounds = 2\nsteps = 2\nbatch_size = 4\nmax_new_tokens = 3\n"
    (tmp_path / "sweep.toml").write_text(
        f"""
        envs = [{{id = "{MAZE}", max_moves = 2}}]
        seeds = [0]
        [training]
        base = "{base_folder}"
        data = "{data}"
        device = "cpu"
        episodes = 2
        tracker = "own_tracker:listen"
        [setups.bc]
        {small}
        [setups.mc_returns]
        {small}
        """
    )
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "sweep.toml", "--out", "here"]) == 0
    (tmp_path / "lives").touch()
    ran = []
    for _ in range(2):
        capsys.readouterr()
        assert main(["sweep", "sweep.toml", "--out", "there", "--ray", address]) == 0
        ran.append(capsys.readouterr().out)
    assert not (tmp_path / "lives").exists()
    assert (ran[0].count(": trained"), ran[1].count(": skipped")) == (2, 2)
    weights = sorted((tmp_path / "here").rglob("*.safetensors"))
    assert len(weights) > 2
    for file in weights:
        assert (tmp_path / "there" / file.relative_to(tmp_path / "here")).read_bytes() == file.read_bytes()
