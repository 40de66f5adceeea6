"""What tiny-v3 reads: sentences that could have been said, a vocabulary that grows, squares of chess men."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from baselines.core.model import load_base
from lmrlgym import data_path, policy_named, rollout
from lmrlgym.envs.twenty_questions import moves


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that makes it."""
    spec = importlib.util.spec_from_file_location("build_tiny_v3", data_path("models", "build_tiny_v3.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    found = load_base("tiny-v2").tokenizer
    assert isinstance(found, PreTrainedTokenizerFast)
    return found


@pytest.fixture(scope="module")
def reader(build, tokenizer):
    return build.Reader(tokenizer, 384)


def test_next_tokens_are_those_of_all_that_could_have_been_said(build, tokenizer):
    chances = {"K a 1\n": 0.5, "K a 2\n": 0.25, "Q b 2\n": 0.25}
    soft = build.of_few(chances, "K a 2\n", tokenizer.encode)
    king, queen, a, one, two, newline = (
        tokenizer.encode(text, add_special_tokens=False)[index]
        for text, index in (("K a\n", 0), ("Q a\n", 0), ("K a\n", 1), ("K 1\n", 1), ("K 2\n", 1), ("K\n", 1))
    )
    found = {(place, token): share for place, token, share in zip(*soft, strict=True)}
    assert found == pytest.approx({
        (0, king): 0.75, (0, queen): 0.25, (1, a): 1.0, (2, one): 2 / 3, (2, two): 1 / 3, (3, newline): 1.0,
    })  # fmt: skip


@pytest.mark.parametrize("name", ["twenty", "cities"])
def test_chances_are_the_players_own(build, reader, name):
    kind = {"twenty": reader.twenty, "cities": reader.cities}[name]
    env_id = {"twenty": build.TWENTY, "cities": build.CITY}[name]
    player = policy_named("mixed", env_id)
    (game,) = rollout(env_id, player, 1, seed=3)
    places = [k for k, turn in enumerate(game.turns) if turn.is_action]
    chances = kind.chances([kind.situation(game.turns[:k]) for k in places])
    for k, row in zip(places, chances, strict=True):
        wanted = player.distribution(game.turns[:k])
        assert row == pytest.approx([wanted.get(text, 0.0) for text in kind.texts], abs=1e-7)


def test_new_pieces_keep_old_numbers_and_texts(build, tokenizer):
    texts = ["Is it a tennis racket?\n"] * 3 + ["Is it a tennis ball?\n"]
    new = build.grown(tokenizer, texts, 4)
    assert tokenizer.get_vocab().items() <= new.get_vocab().items()
    assert len(new) == len(tokenizer) + 4
    before, after = (each.encode(texts[0], add_special_tokens=False) for each in (tokenizer, new))
    assert len(after) == len(before) - 4
    assert new.decode(after) == texts[0]


def test_the_men_of_a_position_are_found_on_their_squares(reader, tokenizer):
    heard = "4 k 3 / 8 / 8 / 8 / 8 / 2 Q 5 / 8 / 4 K 3   w   -   -   0   1\n"
    places, squares = reader._squares(heard)
    men = [tokenizer.decode([reader.spelt(heard)[place]]).strip() for place in places]
    assert list(zip(men, squares.tolist(), strict=True)) == [("k", 4), ("Q", 5 * 8 + 2), ("K", 7 * 8 + 4)]


def test_a_game_is_learned_from_as_a_whole_but_for_what_could_not_have_been_said(build, reader):
    source = build.SOURCES[0]
    played = list(rollout(source.env_id, policy_named("mixed", source.env_id), 2, seed=1))
    games = reader.games(source, played)
    batch = build.Collator(reader, 0.3).batch(games)
    said = np.zeros(batch.ids.shape, bool)
    for row, game in enumerate(games):
        said[row, : len(game.said)] = game.said
    place, _, share, _ = batch.soft
    assert set(place.tolist()) == set(np.flatnonzero(said))  # all that is said, from distributions
    assert not batch.plain.numpy()[said].any()
    sums = np.bincount(place.numpy(), weights=share.numpy(), minlength=said.size)
    assert sums[said.ravel()] == pytest.approx(1.0, abs=1e-4)
    at, wanted, _ = batch.readouts["twenty"]
    assert len(at) == sum(turn.is_action for game in played for turn in game.turns)
    assert wanted.sum(dim=1).tolist() == pytest.approx([1.0] * len(at))
    assert wanted[0].max().item() == pytest.approx(1 / 158)  # before the first answer
    after, truth, _ = batch.readouts["twenty_truth"]
    assert batch.ids.view(-1)[after].tolist() == [reader.spelt("\n")[-1]] * len(at)  # a sentence's end
    first = games[0].talk.said[0]
    text = reader.twenty.texts[first]
    assert truth[0].sum().item() == sum(move.mask.bit_count() for move in moves() if text in move.texts)
