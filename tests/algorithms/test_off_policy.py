"""A trained agent on games that others played: its probabilities are those it acted with."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from baselines.bc import BC
from baselines.core.off_policy import scored
from baselines.core.run import EVALUATION, Training, load_policy, train
from lmrlgym import Dataset
from lmrlgym.cli import main

MAZE = "lmrlgym/Maze-v0"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smallest run there is, with its games."""
    folder = tmp_path_factory.mktemp("run") / "bc"
    training = Training(env=MAZE, out=folder, repeats=1, episodes=2, env_kwargs={"max_moves": 6})
    train("bc", replace(training, data="maze/mixed-v0"), BC.Config(rounds=1, steps=1, batch_size=4))
    return folder


def test_an_agent_gives_what_it_said_the_probability_it_said_it_with(run):
    games = Dataset.load(run / EVALUATION)
    found = scored(run, games)
    for game, log_probs in zip(games, found.log_probs, strict=True):
        stored = [sum(turn.log_probs) for turn in game.turns if turn.is_action]
        kept = [turn.tokens != () for turn in game.turns if turn.is_action]
        assert log_probs[kept] == pytest.approx(np.array(stored)[kept], abs=1e-4)
    assert 0 <= found.uncommon <= 1


def test_a_greedy_agent_says_one_thing_and_nothing_else(run):
    games = Dataset.load("maze/mixed-v0")[:4]
    found = np.concatenate(scored(run, games, temperature=0.0).log_probs)
    assert set(found) <= {0.0, -np.inf}


def test_what_does_not_end_or_goes_on_after_its_end_is_no_utterance(run):
    policy = load_policy(run)
    policy.sampler.width = 1
    (stop,) = policy.encoder.tokenizer.encode("\n", add_special_tokens=False)
    prompt = policy.encoder.prompt(Dataset.load("maze/mixed-v0")[0].turns[:1])
    said = [(stop,), (), (stop, stop), (stop + 1,), (stop + 1,) * policy.sampler.max_new_tokens]
    is_possible = [np.isfinite(policy.sampler.score([prompt], [one])[0]) for one in said]
    assert is_possible == [True, False, False, False, stop + 1 not in policy.encoder.stops]


def test_a_run_is_evaluated_on_its_own_games_as_their_mean(run, tmp_path, capsys):
    path = tmp_path / "ope.json"
    data = str(run / EVALUATION)
    assert main(["ope", str(run), "--data", data, "--resamples", "20", "--json", str(path)]) == 0
    record = json.loads(path.read_text())
    mean = np.mean([game.total_reward for game in Dataset.load(data)])
    assert record["coverage"]["data_mean"] == pytest.approx(mean)
    by_name = {one["name"]: one for one in record["estimates"]}
    assert by_name["importance sampling"]["value"] == pytest.approx(mean, rel=1e-3)
    assert by_name["weighted"]["effective"] == pytest.approx(2, rel=1e-3)
    assert "mean weight" in capsys.readouterr().out
