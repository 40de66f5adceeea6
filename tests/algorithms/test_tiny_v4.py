"""What tiny-v4 is asked besides what tiny-v3 is, and that its new layers change nothing at first."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import chess
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from baselines.core.model import load_base
from lmrlgym import data_path, policy_named, rollout


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that makes it; it finds that of tiny-v3 beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(data_path("models")))
        return importlib.import_module("build_tiny_v4")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    found = load_base("tiny-v2").tokenizer
    assert isinstance(found, PreTrainedTokenizerFast)
    return found


@pytest.fixture(scope="module")
def batch(build, tokenizer):
    """Two games of Twenty Questions and the positions of one of an ending."""
    reader = build.Reader(tokenizer, 384)
    games = []
    for env_id, count in ((build.TWENTY, 2), ("lmrlgym/ChessEndgames-v0", 1)):
        source = build.Source(env_id, {}, "mixed", count)
        games += reader.games(source, rollout(env_id, policy_named("mixed", env_id), count, seed=1))
    return games, build.MoreAsked(reader, 0.3).batch(games)


def test_new_layers_change_nothing_at_first(build, tokenizer):
    start = load_base("tiny-v2").model.eval()
    model = build.deepened("tiny-v2", tokenizer, build.Config(out=Path("nowhere"))).eval()
    assert model.config.num_hidden_layers == len(model.model.layers) == 6
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == list(range(6))
    ids = torch.tensor([tokenizer.encode("Questions:\nIs it an animal?\nYes.\n")])
    with torch.no_grad():
        assert torch.allclose(start(ids).logits.float(), model(ids).logits.float(), atol=1e-5)
        early = model.model(ids, output_hidden_states=True).hidden_states
    assert torch.equal(early[2], early[4])  # the new ones stand after the second


def test_every_object_is_asked_whether_it_fits(batch):
    _, asked = batch
    at, chances, _ = asked.readouts["twenty"]
    places, fits, is_one = asked.readouts["twenty_fits"]
    assert torch.equal(at, places)
    assert not is_one
    assert fits[0].sum() == 158  # before the first answer all do
    assert torch.equal(fits, (chances > 0).float())
    assert fits.sum() < fits.numel()


def test_men_and_moves_are_asked_before_every_move_of_chess(build, batch, tokenizer):
    games, asked = batch
    rows = [row for row, game in enumerate(games) if game.env_id in build.CHESS]
    at, men, _ = asked.readouts["board"]
    places, moves, _ = asked.readouts["reach"]
    assert torch.equal(at, places)
    assert len(at) == len(rows) > 0
    for row, place, board_read, moves_read in zip(rows, at.tolist(), men, moves, strict=True):
        heard = tokenizer.decode(games[row].ids[games[row].said == 0])
        assert heard.endswith("\n")
        assert place == row * asked.ids.shape[1] + len(games[row].ids[games[row].said == 0]) - 1
        board = chess.Board(heard.strip("\n")[::2])
        king = board.king(chess.WHITE)
        assert board_read.view(12, 64)[6 + chess.KING - 1].nonzero().flatten().tolist() == [king]
        assert board_read.sum() == len(board.piece_map())
        reach = {(move.to_square, board.piece_type_at(move.from_square)) for move in board.legal_moves}
        assert {(square, kind + 1) for kind, square in moves_read.view(6, 64).nonzero().tolist()} == reach


def test_every_readout_is_learned_from(build, batch, tokenizer):
    _, asked = batch
    config = build.Config(out=Path("nowhere"))
    model = build.deepened("tiny-v2", tokenizer, config)
    heads = build.heads(config, model.config.hidden_size, build.Reader(tokenizer, 384))
    loss, measured = build.losses(model, heads, asked, config)
    loss.backward()
    wanted = {name for name in heads if not name.startswith("cities")}
    assert set(measured.nats) == wanted | {"text", "said"}
    assert {name for name, head in heads.items() if head.weight.grad is not None} == wanted
    assert all(parameter.grad is not None for parameter in model.parameters())
