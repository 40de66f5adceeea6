"""A trained partner: what it learns from, and that its folder plays."""

from __future__ import annotations

from collections import Counter

import gymnasium
import pytest

from lmrlgym.cli import main
from lmrlgym.collection import collect_replies
from lmrlgym.commands.train_partner import balanced
from lmrlgym.dataset import Dataset

pytest.importorskip("torch", reason="the extra `baselines` is not installed")

GAME = "lmrlgym/TwentyQuestions-v0"
SMALL = ["--games", "4", "--rounds", "1", "--steps", "2", "--batch-size", "4", "--rank", "2"]


def test_what_a_partner_is_asked_and_says_is_the_data():
    data = collect_replies(GAME, "mixed", 3, seed=5)
    assert 3 <= len(data) <= 60
    for game in data:
        prompt, reply = game.turns
        assert prompt.text.startswith("Answer the question about the object truthfully.\nobject: (")
        assert prompt.text.endswith("\nanswer (yes or no): ")
        assert reply.is_action
        assert reply.text in ("Yes.\n", "No.\n")


def test_the_replies_are_those_of_the_games_partner():
    # One game with a known object: the data say what the environment's own partner says.
    data = collect_replies(GAME, "mixed", 1, seed=5)
    for game in data:
        prompt, reply = (turn.text for turn in game.turns)
        name = prompt.split("object: (")[1].split(")")[0].split(", ")[0]
        env = gymnasium.make(GAME)
        env.reset(seed=0, options={"object": name})
        assert env.step(prompt.split("question: ")[1].split("\nanswer")[0] + "\n")[0] == reply


def test_the_commonest_reply_is_at_most_half_of_what_is_learned_from():
    data = collect_replies(GAME, "mixed", 3, seed=5)
    said = Counter(game.turns[-1].text for game in data)
    assert said["No.\n"] > said["Yes.\n"]
    kept = balanced(data, 0)
    assert Counter(game.turns[-1].text for game in kept) == dict.fromkeys(said, said["Yes.\n"])
    assert {game.turns for game in kept} <= {game.turns for game in data}
    assert kept.card["left_out"] == len(data) - len(kept)
    assert balanced(kept, 0) is kept
    only_no = data.filter(lambda game: game.turns[-1].text == "No.\n")
    assert balanced(only_no, 0) is only_no


def test_a_game_without_a_partner_is_refused():
    with pytest.raises(ValueError, match="lmrlgym/Maze-v0 has no partner that a model can play"):
        collect_replies("lmrlgym/Maze-v0", "mixed", 1)


@pytest.mark.slow
def test_a_trained_folder_plays_as_the_partner_and_can_be_gone_on_with(tmp_path, capsys):
    out = tmp_path / "oracle"
    assert main(["train-partner", GAME, "--out", str(out), *SMALL]) == 0
    assert len(Dataset.load(str(out / "replies.parquet"))) > 4
    env = gymnasium.make(GAME, partner=f"hf:{out}")
    env.reset(seed=0)
    observation, *_, info = env.step("Is it alive?\n")
    assert observation in ("Yes.\n", "No.\n")
    assert info["partner_usage"]["calls"] == 1
    assert main(["train-partner", GAME, "--out", str(out), "--resume"]) == 0  # finished: nothing to do
    assert main(["train-partner", GAME, "--out", str(out), *SMALL]) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.slow
def test_an_adapter_over_other_weights_is_refused(tmp_path):
    import json

    out = tmp_path / "oracle"
    assert main(["train-partner", GAME, "--out", str(out), *SMALL]) == 0
    record = json.loads((out / "base.json").read_text())
    (out / "base.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
    with pytest.raises(ValueError, match=r"its adapter belongs to base tiny-v1 \(000000000000\)"):
        gymnasium.make(GAME, partner=f"hf:{out}")
