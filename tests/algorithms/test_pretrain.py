"""Making a base: what it reads, going on from another, the record of how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.core import pretrain
from baselines.core.model import load_base
from baselines.core.pretrain import Config, Source, continued, encode, main, play, train_tokenizer
from lmrlgym import data_path

TOLD = Source("lmrlgym/Wordle-v0", {"vocabulary": ("crane", "slate", "shark")}, "random", 20, tells=True)
MAZE = Source("lmrlgym/Maze-v0", {}, "random", 2)


def test_a_game_that_tells_ends_with_what_was_hidden_after_one_to_five_answers():
    games = play([TOLD])
    assert {game[-1] for game in games} == {"= c r a n e\n", "= s l a t e\n", "= s h a r k\n"}
    assert all(len(game) % 2 == 0 and 4 <= len(game) <= 12 for game in games)


def test_what_a_game_of_words_hides_is_told_in_its_own_words():
    (game,) = play([Source("lmrlgym/TwentyQuestions-v0", {}, "random", 1, tells=True)])
    told = game[-1].removeprefix("= ").removesuffix("\n")
    assert f",{told}," in data_path("twenty_questions", "objects.csv").read_text()
    assert len(game) % 2 == 0


def test_positions_are_read_turn_by_turn_and_each_pair_once():
    source = Source("lmrlgym/ChessEndgames-v0", {"partner": "random"}, "random", 2)
    games, pairs = play([source]), play([source._replace(by_turn=True)])
    assert {tuple(pair) for pair in pairs} == {
        pair for game in games for pair in zip(game[::2], game[1::2], strict=False)
    }
    assert len({tuple(pair) for pair in pairs}) == len(pairs)


def test_what_is_heard_and_what_is_said_are_told_apart():
    tokenizer = load_base("tiny-v1").tokenizer
    heard, said = (len(tokenizer.encode(text)) for text in ("Questions:\n", "Is it a cat?\n"))
    (game,) = encode([["Questions:\n", "Is it a cat?\n"]], tokenizer, 99)
    assert game[1].tolist() == [0] * heard + [1] * said
    ids, kind = next(pretrain.batches([game, game[:, :2]], 99, np.random.default_rng(0)))
    assert kind.tolist() == [[1, 1] + [0] * (heard + said - 2), [1] * heard + [2] * said]
    assert ids.shape == kind.shape


def test_games_of_similar_lengths_are_read_together():
    groups = pretrain.grouped([5, 90, 7, 6, 50], 24, np.random.default_rng(0))
    assert sorted(groups[0]) == [0, 2, 3]  # 3 times 7 tokens; a game that is longer than that stands alone
    assert groups[1:] == [[4], [1]]


def test_a_new_layer_begins_by_changing_nothing():
    base = load_base("tiny-v1")
    ids = torch.tensor([base.tokenizer.encode("go east\n")])
    old, new = (continued("tiny-v1", base.tokenizer, layers)(input_ids=ids).logits for layers in (0, 5))
    torch.testing.assert_close(new, old)
    assert continued("tiny-v1", base.tokenizer, 5).config.num_hidden_layers == 5


def test_letters_digits_and_chess_men_are_tokens_of_their_own():
    tokens = [
        token for token, _ in pretrain.pre_tokenizer().pre_tokenize_str("8 / 2 K 5   w   -\nQ x h 7 #\n")
    ]
    assert "".join(tokens).replace("Ġ", " ").replace("Ċ", "\n") == "8 / 2 K 5   w   -\nQ x h 7 #\n"
    assert {"ĠK", "Ġ2", "Ġ5", "Q", "Ġx", "Ġh", "Ġ7"} <= set(tokens)


def test_a_base_that_goes_on_keeps_the_tokens_it_knows_and_reads_new_ones_as_their_old_parts():
    base = load_base("tiny-v1")
    texts = ["".join(game) for game in play([MAZE])] + ["a phrase that is new\n"] * 50
    tokenizer = train_tokenizer(texts, 400)
    old, known = base.model.get_input_embeddings().weight, base.tokenizer.get_vocab()
    new = continued("tiny-v1", tokenizer).get_input_embeddings().weight
    assert new.shape[0] == len(tokenizer)
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    kept = [i for i, name in enumerate(names) if name in known]
    torch.testing.assert_close(new[kept], old[[known[names[i]] for i in kept]])
    (phrase,) = (i for i, name in enumerate(names) if name == "aĠphraseĠthatĠisĠnew")
    parts = base.tokenizer.encode("a phrase that is new")
    torch.testing.assert_close(new[phrase], old[parts].mean(dim=0))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_base_is_written_whole_with_the_command_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
):
    monkeypatch.setitem(pretrain.MIXTURES, "little", (TOLD, MAZE))
    folder = tmp_path / "base"
    main(Config(folder, mixture="little", optimizer=optimizer, steps=3, width=16, layers=1, bfloat16=True))
    base = load_base(str(folder))
    assert encode([["= c r a n e\n"]], base.tokenizer, 99)[0].shape[1] > 0
    assert f'"weights_sha256": "{base.sha256}"' in (folder / "card.json").read_text()
    assert "--mixture little" in (folder / "card.json").read_text()
    assert all(file.read_text().endswith("}\n") for file in folder.glob("*.json"))
    with pytest.raises(SystemExit, match="exists already"):
        main(Config(folder))


def test_an_unknown_mixture_is_named(tmp_path: Path):
    with pytest.raises(SystemExit, match="mixture must be one of v1, v2, words, got 'soup'"):
        main(Config(tmp_path / "base", mixture="soup"))
