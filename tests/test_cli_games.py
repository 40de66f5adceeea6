"""The verbs that write, show and replay files of games."""

from __future__ import annotations

import json
import shlex
import sys

import pytest
from test_cli import MAZE, run

import lmrlgym
from lmrlgym import Dataset


@pytest.fixture
def games(tmp_path):
    """A small file of games."""
    path = tmp_path / "games.jsonl"
    assert run("collect", MAZE, "--level", "mixed", "--episodes", 6, "--seed", 3, "--out", path) == 0
    return path


def forged(games, tmp_path, **changes):
    """`games` with fields of every record replaced and no card that could disagree."""
    path = tmp_path / "forged.jsonl"
    records = [{**json.loads(line), **changes} for line in games.read_text().splitlines()]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


# ---- collect ----


def test_collect_writes_what_the_function_gives(games):
    expected = lmrlgym.collect(MAZE, "mixed", 6, 3)
    assert [game.to_json() for game in Dataset.load(games)] == [game.to_json() for game in expected]


def test_a_collected_card_holds_a_command_that_makes_the_same_games(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("collect", MAZE, "--episodes", 3, "--env-kwargs", "layout=umaze", "--out", "a.jsonl") == 0
    first = Dataset.load("a.jsonl")
    program, *argv = shlex.split(first.card["command"])
    assert program == "lmrlgym"
    assert run(*argv) == 0
    assert list(Dataset.load("games.parquet")) == list(first)


def test_collect_does_not_overwrite_unless_told(games, capsys):
    before = games.read_bytes()
    assert run("collect", MAZE, "--episodes", 2, "--out", games) == 2
    assert games.read_bytes() == before
    assert run("collect", MAZE, "--episodes", 2, "--out", games, "--overwrite") == 0
    assert len(Dataset.load(games)) == 2


def test_a_folder_is_never_overwritten(tmp_path):
    (tmp_path / "d.jsonl").mkdir()
    assert run("collect", MAZE, "--episodes", 2, "--out", tmp_path / "d.jsonl", "--overwrite") == 2


# ---- replay ----


def test_replay_of_true_games_is_code_0(games, capsys):
    assert run("replay", games) == 0
    assert capsys.readouterr().out.endswith(f"{games}: 6 games, 0 diverge\n")


def test_replay_of_a_changed_game_is_code_1_and_says_where(games, tmp_path, capsys):
    path = tmp_path / "changed.jsonl"
    first, *others = games.read_text().splitlines(keepends=True)
    record = json.loads(first)
    record["turns"][1]["reward"] = 7.0
    path.write_text(json.dumps(record) + "\n" + "".join(others))
    assert run("replay", path) == 1
    out = capsys.readouterr().out
    assert "game 0, turn 1: reward stored 7.0, played -1" in out
    assert out.endswith("6 games, 1 diverge\n")


def test_replay_describes_only_the_first_divergences(games, tmp_path, capsys):
    path = forged(games, tmp_path, turns=[{"text": "nothing like it\n", "is_action": False}])
    assert run("replay", path, "--shown", 2) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("game ")]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env_id": "lmrlgym/Nothing-v0"}, "no environment 'lmrlgym/Nothing-v0'"),
        ({"env_id": "antigravity:x/Game-v0"}, "no environment 'antigravity:x/Game-v0'"),
        ({"env_kwargs": {"layot": "umaze"}}, "layot"),
        ({"options": {"task": 99}}, "task must be a whole number"),
        ({"seed": None}, "no seed"),
    ],
)
def test_a_game_that_cannot_be_played_again_is_code_2(games, tmp_path, changes, said, capsys):
    assert run("replay", forged(games, tmp_path, **changes)) == 2
    err = capsys.readouterr().err
    assert "game 0 cannot be played again" in err
    assert said in err
    assert err.count("\n") == 1
    assert "antigravity" not in sys.modules


# ---- show ----


def test_show_of_a_file_prints_its_card_and_a_game(games, capsys):
    assert run("show", games, "--game", 2) == 0
    out = capsys.readouterr().out
    assert '"count": 6' in out
    assert f"return {Dataset.load(games)[2].total_reward:g} " in out


def test_what_a_file_says_cannot_command_the_terminal(games, tmp_path, capsys):
    turns = [{"text": "wall\x1b]0;owned\x07\n", "is_action": False}]
    assert run("show", forged(games, tmp_path, turns=turns, env_kwargs={"x": "\x1b[2J"})) == 0
    out = capsys.readouterr().out
    assert "wall]0;owned" in out
    assert "\x1b" not in out
