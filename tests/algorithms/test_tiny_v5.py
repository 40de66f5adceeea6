"""What tiny-v5 reads besides what tiny-v4 does: names of one token; what is asked as a sentence begins."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from baselines.core.model import load_base
from baselines.core.pretrain import continued
from lmrlgym import data_path, policy_named, rollout
from lmrlgym.envs.guess_my_city import guess_questions
from lmrlgym.envs.twenty_questions import moves


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that makes it; it finds those of earlier bases beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(data_path("models")))
        return importlib.import_module("build_tiny_v5")


@pytest.fixture(scope="module")
def tokenizer(build) -> PreTrainedTokenizerFast:
    found = load_base("tiny-v4").tokenizer
    assert isinstance(found, PreTrainedTokenizerFast)
    return build.with_names(found)


@pytest.fixture(scope="module")
def reader(build, tokenizer):
    return build.Reader(tokenizer, 384)


@pytest.fixture(scope="module")
def talks(build, reader):
    """Two games of Twenty Questions."""
    source = build.Source(build.TWENTY, {}, "mixed", 2)
    return reader.games(source, rollout(build.TWENTY, policy_named("mixed", build.TWENTY), 2, seed=1))


def test_every_name_is_a_token_of_its_own(build, tokenizer):
    assert {name: len(texts) for name, texts in build.names().items()} == {"twenty": 158, "cities": 100}
    for name, texts in build.names().items():
        ids = [tokenizer.encode(text) for text in texts]
        assert {len(one) for one in ids} == {1}, name
        assert len({one[0] for one in ids}) == len(texts)
    objects = {move.guess: move.texts[0] for move in moves() if move.guess >= 0}
    for thing, text in objects.items():
        assert tokenizer.encode(build.names()["twenty"][thing])[0] in tokenizer.encode(text)


@pytest.mark.parametrize(
    "text", [guess_questions(False)[1].texts[0], "Is it a TV?\n", "object: (Basketball)\n"]
)
def test_a_text_with_names_is_read_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_older_tokens_keep_their_numbers(tokenizer):
    old = load_base("tiny-v4").tokenizer
    assert tokenizer.convert_ids_to_tokens(range(len(old))) == old.convert_ids_to_tokens(range(len(old)))


def test_squares_are_counted_at_every_token_of_a_position(reader):
    heard = " ".join("K7/8/7Q/8/6k1/8/8/8") + "   w   -   -   0   1\n"
    places, squares = reader._squares(heard)
    spelt = [reader.tokenizer.decode([reader.spelt(heard)[place]]).strip() for place in places]
    assert spelt == list("K7/8/7Q/8/6k1/8/8/8")
    assert squares.tolist() == [0, 7, 7, 15, 15, 22, 23, 23, 31, 31, 37, 38, 39, 39, 47, 47, 55, 55, 63]


def test_what_fits_is_asked_over_the_beginning_of_a_sentence(build):
    # places: 0 1 heard, 2-6 said, 7 heard, 8 said, 9 heard
    said = np.array([0, 0, 1, 1, 1, 1, 1, 0, 1, 0])
    wanted = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    asked = build.over_first_tokens(build.Readout(torch.tensor([1, 7]), wanted, is_one=True), said)
    assert asked.at.tolist() == [1, 2, 3, 7]
    assert asked.wanted.tolist() == [wanted[0].tolist()] * 3 + [wanted[1].tolist()]
    assert asked.is_one


def test_of_the_oracle_only_the_reply_is_learned_from(build, reader):
    texts = ["object: (Basketball)\nquestion: is it alive\nanswer (yes or no): ", "No.\n"]
    game = reader.read(build.ORACLE, texts)
    batch = build.Asked(reader, 0.3).batch([game])
    assert batch.weights[0].tolist() == game.said.astype(float).tolist()
    assert batch.plain[0].tolist() == (game.said == 1).tolist()


def test_the_output_is_asked_for_names(build, reader, talks, tokenizer):
    batch = build.Asked(reader, 0.3).batch(talks)
    config, without = (build.Config(out=Path("nowhere"), named_weight=weight) for weight in (0.5, 0.0))
    heads = importlib.import_module("build_tiny_v4").heads
    model = continued("tiny-v4", tokenizer)
    readouts = heads(config, model.config.hidden_size, reader)
    loss, measured = build.losses(model, readouts, batch, reader, config)
    at, wanted, _ = batch.readouts["twenty_named"]
    assert wanted.sum(dim=1).allclose(torch.ones(1))
    with torch.no_grad():
        logits = model(input_ids=batch.ids).logits.flatten(0, 1)[at][:, reader.named["twenty"]]
        expected = -(logits.float().log_softmax(dim=-1) * wanted).sum(dim=-1).mean()
        less, _ = build.losses(model, readouts, batch, reader, without)
    assert (loss - less).item() == pytest.approx(0.5 * expected.item(), rel=0.02)  # one is in bfloat16
    assert measured.count["twenty_named"] == measured.count["twenty_6"] > sum(len(g.talk.said) for g in talks)
