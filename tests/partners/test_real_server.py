"""A partner behind a real OpenAI-compatible server on this machine: transformers' own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import gymnasium
import pytest

from tests.tiny_models import save_model

pytest.importorskip("openai", reason="the extra `endpoint` is not installed")
pytest.importorskip("fastapi", reason="the server's own packages are not installed")
pytest.importorskip("uvicorn", reason="the server's own packages are not installed")

TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
SERVE = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"
STARTS_WITHIN = 300.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp("served"), TEMPLATE, longest=2048)
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("OPENAI_API_KEY", None)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            assert server.poll() is None, server.stderr.read()[-2000:]
            try:
                with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    break
            except (URLError, OSError):
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1#{folder}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.slow
def test_games_of_a_batch_are_answered_by_a_served_model(url, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    vector = gymnasium.make_vec(
        "lmrlgym/TwentyQuestions-v0", 4, vectorization_mode="vector_entry_point", partner=url
    )
    vector.reset(seed=0)
    observations, _, terminated, truncated, info = vector.step(["Is it alive?\n"] * 4)
    assert set(observations) <= {"Yes.\n", "No.\n"}
    assert not (terminated | truncated).any()
    assert (info["stop_reason"] == "").all()
    assert all(count > 0 for count in info["partner_usage"]["completion_tokens"])


@pytest.mark.slow
def test_a_model_that_is_not_served_ends_the_game_as_truncated(url):
    env = gymnasium.make("lmrlgym/TwentyQuestions-v0", partner=url.split("#")[0] + "#/no/such")
    env.reset(seed=0)
    *_, truncated, info = env.step("Is it alive?\n")
    assert truncated
    assert info["stop_reason"] == "partner_error"
