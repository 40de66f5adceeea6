"""The verbs that score and train players."""

from __future__ import annotations

import builtins
import json
from types import SimpleNamespace

import pytest
from test_cli import MAZE, run

import lmrlgym
from baselines.core.demo import Row
from lmrlgym import Dataset
from lmrlgym.commands import agents, players


def evaluated(capsys, *argv):
    """The record that `lmrlgym eval --json` prints."""
    assert run("eval", *argv, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_eval_scores_the_optimum_100_on_both_scales(capsys):
    record = evaluated(capsys, MAZE, "--policy", "best", "--repeats", 1)
    # The mean distance of the 25 starts is 7.84 moves; the last of them costs nothing.
    assert record["episodes"] == 25
    assert record["return_mean"] == pytest.approx(-6.84)
    assert record["score_optimal"] == pytest.approx(100, abs=0.01)
    assert record["score_lmrl2023"] == pytest.approx(100)


def test_eval_plays_the_protocol_of_the_function(tmp_path, capsys):
    record = evaluated(capsys, MAZE, "--policy", "expert", "--repeats", 2, "--out", tmp_path / "g.jsonl")
    games = list(Dataset.load(tmp_path / "g.jsonl"))
    policy = lmrlgym.policy_named("expert", MAZE)
    assert games == lmrlgym.evaluate(MAZE, policy, repeats=2)
    assert record["return_mean"] == pytest.approx(lmrlgym.summarise(games).return_mean)
    card = json.loads((tmp_path / "g.card.json").read_text())
    assert card["options"]["repeats"] == 2
    assert card["score_optimal"] == record["score_optimal"]


def test_fewer_games_than_the_protocol_are_spread_over_the_starts(tmp_path, capsys):
    evaluated(capsys, MAZE, "--policy", "best", "--episodes", 5, "--out", tmp_path / "g.jsonl")
    # 25 starts, 5 games: every fifth start.
    assert [game.options["task"] for game in Dataset.load(tmp_path / "g.jsonl")] == [0, 5, 10, 15, 20]


def test_scores_without_a_reference_are_null_with_the_reason(capsys):
    record = evaluated(capsys, MAZE, "--policy", "best", "--repeats", 1, "--env-kwargs", "max_moves=50")
    assert record["score_optimal"] is None
    assert record["score_lmrl2023"] is None
    assert "no references" in record["score_lmrl2023_note"]


def test_the_table_holds_every_column(capsys):
    assert run("eval", MAZE, "--policy", "best", "--repeats", 1) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["mean return"].strip().startswith("-6.84 [")
    assert lines["success"].strip() == "100.0 %"
    assert lines["score optimal"].strip() == "100.0 (100 is exact)"
    assert {"score lmrl2023", "agent tokens", "partner errors", "seconds", "mean length"} <= lines.keys()


def test_eval_refuses_to_overwrite_before_it_plays(tmp_path, monkeypatch, capsys):
    games = tmp_path / "games.jsonl"
    games.touch()
    monkeypatch.setattr("lmrlgym.commands.eval.evaluate", pytest.fail)
    assert run("eval", MAZE, "--out", games) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_person_is_scored_like_any_player(monkeypatch, capsys):
    monkeypatch.setattr(builtins, "input", lambda prompt: "move left")
    assert (
        run("eval", MAZE, "--policy", "human", "--episodes", 1, "--env-kwargs", "max_moves=3", "--json") == 0
    )
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("The goal is at position")
    assert json.loads(out[-1])["return_mean"] == -3.0


# ---- trained agents ----


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run folder whose agent, for this test, is the scripted expert."""
    folder = tmp_path / "run"
    folder.mkdir()
    training = {"env": MAZE, "env_kwargs": {"layout": "umaze"}}
    (folder / "run.json").write_text(json.dumps({"algorithm": "bc", "training": training}))

    def load_policy(folder, temperature):
        return lmrlgym.policy_named("expert", MAZE, layout="umaze")

    monkeypatch.setattr(players, "agents", lambda module: SimpleNamespace(load_policy=load_policy))
    return folder


def test_a_run_is_played_with_its_own_keywords(trained, capsys):
    record = evaluated(capsys, MAZE, "--policy", trained, "--repeats", 1)
    assert record["env_kwargs"] == {"layout": "umaze"}
    assert record["success"] == 1.0


def test_a_run_of_another_environment_is_refused_unless_forced(trained, capsys):
    partial = "lmrlgym/MazePartial-v0"
    assert run("eval", partial, "--policy", trained) == 2
    assert "was trained on lmrlgym/Maze-v0, not lmrlgym/MazePartial-v0; --force" in capsys.readouterr().err
    assert run("eval", MAZE, "--policy", trained, "--env-kwargs", "layout=medium") == 2
    assert "was trained with {'layout': 'umaze'}" in capsys.readouterr().err
    assert (
        run("eval", MAZE, "--policy", trained, "--force", "--env-kwargs", "layout=umaze", "--episodes", 1)
        == 0
    )


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"training": 3}'])
def test_a_damaged_run_is_one_line(content, tmp_path, capsys):
    (tmp_path / "run.json").write_text(content)
    assert run("eval", MAZE, "--policy", tmp_path) == 2
    assert "is not the folder of a training run" in capsys.readouterr().err


def test_train_reads_the_algorithm_s_options_and_the_environment_s_keywords(monkeypatch):
    heard = {}

    def train(name, training, config):
        heard[name] = (training.env, training.env_kwargs, config.steps)

    monkeypatch.setattr("baselines.core.run.train", train)
    assert run("train", "bc", MAZE, "--steps", 3, "--env-kwargs", "max_moves=7") == 0
    assert heard == {"bc": (MAZE, {"max_moves": 7}, 3)}


def test_demo_reads_its_options_and_prints_the_table(monkeypatch, capsys):
    heard = []
    row = Row(MAZE, "optimal", -6.84, -6.84, -6.84, 100.0, 100.0, 0.1, 0)
    monkeypatch.setattr("baselines.core.demo.run", lambda options: heard.append(options.full) or [row])
    assert run("demo", "--full") == 0
    assert heard == [True]
    assert "-6.84" in capsys.readouterr().out


def test_a_wrong_option_of_train_is_one_line(capsys):
    assert run("train", "bc", MAZE, "--stepps", 3) == 2
    err = capsys.readouterr().err
    assert "--steps" in err
    assert err.count("\n") == 1


def test_a_foreign_package_named_baselines_is_refused_by_name(tmp_path, monkeypatch, capsys):
    foreign = tmp_path / "baselines"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise RuntimeError('imported a foreign package')")
    monkeypatch.setattr(
        agents, "find_spec", lambda name: SimpleNamespace(origin=str(foreign / "__init__.py"))
    )
    assert run("train", "bc", MAZE) == 2
    err = capsys.readouterr().err
    assert f"the package `baselines` in {foreign} is another one" in err
    assert "pip uninstall baselines" in err


def test_a_missing_extra_is_named(monkeypatch, capsys):
    found = agents.find_spec
    monkeypatch.setattr(agents, "find_spec", lambda name: None if name == "peft" else found(name))
    assert run("train", "bc", MAZE) == 2
    assert "peft is missing: pip install 'lmrlgym[baselines]'" in capsys.readouterr().err


def test_train_without_an_algorithm_lists_them(monkeypatch, capsys):
    run_module = SimpleNamespace(algorithm_names=lambda: ["bc", "ilql"])
    monkeypatch.setattr("lmrlgym.commands.train.agents", lambda module: run_module)
    assert run("train", "--help") == 0
    assert "ALGORITHM: bc, ilql," in capsys.readouterr().out
