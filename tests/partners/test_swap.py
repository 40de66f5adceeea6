"""The swap matrix: agents in rows, partners in columns."""

from __future__ import annotations

import json

import pytest

from lmrlgym.cli import main
from lmrlgym.collection import evaluate, policy_named
from lmrlgym.rollouts import summarise
from tests.servers import serving

pytest.importorskip("openai", reason="the extra `endpoint` is not installed")

GAME = "lmrlgym/TwentyQuestions-v0"


def test_every_agent_plays_every_partner_on_the_same_games(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out = tmp_path / "swap.json"
    with serving() as server:
        server.content = lambda body: "No."
        code = main(["swap", GAME, "--agents", "random", "random", "--partners", "scripted", server.url,
                     "--episodes", "4", "--out", str(out)])  # fmt: skip
    assert code == 0
    pairs = json.loads(out.read_text())["pairs"]
    assert [(pair["agent"], pair["partner"]) for pair in pairs] == [
        ("random", "scripted"), ("random", server.url), ("random", "scripted"), ("random", server.url),
    ]  # fmt: skip
    # An oracle that always says no never lets anybody win: twenty questions at -1 each.
    assert [pair["summary"]["return_mean"] for pair in pairs[1::2]] == [-20.0, -20.0]
    alone = summarise(evaluate(GAME, policy_named("random", GAME), repeats=4, episodes=4, parallel=64))
    assert pairs[0]["summary"]["return_mean"] == alone.return_mean
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert "-20.00 [-20.00, -20.00] 0 %" in table[1]


def test_a_run_of_another_game_is_refused(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({"training": {"env": "lmrlgym/Maze-v0", "env_kwargs": {}}}))
    assert main(["swap", GAME, "--agents", str(tmp_path)]) == 2
    assert "was trained on lmrlgym/Maze-v0" in capsys.readouterr().err
