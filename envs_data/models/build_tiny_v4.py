"""Makes tiny-v4: tiny-v3 with more layers, which must know early what it will need late.

    python envs_data/models/build_tiny_v4.py --out envs_data/models/tiny-v4

Text and targets are those of tiny-v3 (`build_tiny_v3.py`). There all readouts stand at the end of the model,
and none learned which objects fit all answers: what an answer says must be known in a lower layer before
a higher one can gather it over the game. So here every readout has a layer of its own: of which objects or
cities a question is true and which an answer leaves, and the square of a chess man, after layer `early`;
which fit all answers, and the men on all squares of the board before a move, after layer `middle` and again
at the end; there too to which squares which kind of man can move. They are thrown away.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import chess
import numpy as np
import torch
from build_tiny_v3 import (
    CHESS,
    CITY,
    TWENTY,
    Batch,
    Collator,
    Game,
    Measured,
    Reader,
    Readout,
    batches,
    losses_of_text,
    tell_lengths,
)
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from baselines.core.model import load_base
from baselines.core.pretrain import Source, continued, played, share_of_rate, write_base
from lmrlgym.envs.chess import read_position

SOURCES = (
    Source(TWENTY, {}, "mixed", 24_000),
    Source(TWENTY, {}, "steady", 8_000),
    Source(CITY, {}, "mixed", 16_000),
    Source(CITY, {}, "expert", 4_000),
    Source("lmrlgym/CarDealer-v0", {}, "mixed", 6_000),
    Source("lmrlgym/ChessEndgames-v0", {}, "mixed", 8_000),
    Source("lmrlgym/Chess-v0", {"partner": "random", "max_moves": 80}, "random", 60),
    Source("lmrlgym/Chess-v0", {}, "mixed", 120),
    Source("lmrlgym/TextNav-v0", {}, "mixed", 3_000),
    Source("lmrlgym/TextNavPartial-v0", {}, "mixed", 3_000),
    Source("lmrlgym/Maze-v0", {}, "mixed", 300),
    Source("lmrlgym/MazePartial-v0", {}, "mixed", 500),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 6_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 3_000),
)
_FIRST_GAMES = 200
"""Other games than those that tiny-v2 and tiny-v3 read begin with this number of a source."""


@dataclass(frozen=True)
class Config:
    """How the base is made."""

    out: Path
    """folder to write; it must not exist"""
    start: str = "tiny-v3"
    """the base to go on from"""
    layers: int = 6
    """decoder layers"""
    early: int = 2
    """the layer after which questions and answers are understood"""
    middle: int = 4
    """the layer after which what they say is gathered"""
    steps: int = 4000
    """gradient steps"""
    tokens_a_step: int = 4096
    """text a gradient step"""
    longest: int = 384
    """longer games are cut to this many tokens"""
    learning_rate: float = 2e-3
    """AdamW's, with a warm-up and a cosine"""
    gathered_weight: float = 0.3
    """weight of the readouts of one among many, against the text"""
    truth_weight: float = 0.03
    """weight of the readouts of many truths, each"""
    answer_weight: float = 0.3
    """weight of what is heard, against what is said; positions of chess are not learned from"""
    seed: int = 0
    """of the order of the text"""


def at_layers(config: Config) -> dict[str, tuple[int, ...]]:
    """Readout -> the layers after which it stands."""
    early, both = (config.early,), (config.middle, config.layers)
    talk = {
        f"{name}{what}": layers
        for name in ("twenty", "cities")
        for what, layers in (("_truth", early), ("_told", early), ("_fits", both[:1]), ("", both))
    }
    return {**talk, "square": early, "board": both, "reach": (config.layers,)}


class MoreAsked(Collator):
    """Asks also whether each object or city fits, and before a move of chess for men and moves."""

    def batch(self, games: Sequence[Game]) -> Batch:
        """`games` of about one length."""
        batch = super().batch(games)
        for name in {"twenty", "cities"} & set(batch.readouts):
            at, chances, _ = batch.readouts[name]
            batch.readouts[f"{name}_fits"] = Readout(at, (chances > 0).float(), is_one=False)
        rows = [row for row, game in enumerate(games) if game.env_id in CHESS]
        if rows:
            heard = [games[row].ids[games[row].said == 0] for row in rows]
            width = batch.ids.shape[1]
            at = torch.tensor([row * width + len(one) - 1 for row, one in zip(rows, heard, strict=True)])
            boards = [chess.Board(read_position(self.reader.tokenizer.decode(one))) for one in heard]
            for name, read in (("board", men_on), ("reach", moves_to)):
                wanted = torch.from_numpy(np.stack([read(board) for board in boards]))
                batch.readouts[name] = Readout(at, wanted, is_one=False)
        return batch


def men_on(board: chess.Board) -> np.ndarray:
    """(12 * 64,) of every kind of man and square, whether one stands there."""
    table = np.zeros((12, 64), np.float32)
    for square, man in board.piece_map().items():
        table[man.piece_type - 1 + 6 * man.color, square] = 1
    return table.reshape(-1)


def moves_to(board: chess.Board) -> np.ndarray:
    """(6 * 64,) of every kind of man and square, whether one can move there."""
    table = np.zeros((6, 64), np.float32)
    for move in board.legal_moves:
        kind = board.piece_type_at(move.from_square)
        assert kind is not None
        table[kind - 1, move.to_square] = 1
    return table.reshape(-1)


class Head(nn.Linear):
    """A readout of normalised states. It must be able to say `surely not` after few steps of AdamW."""

    def __init__(self, width: int, classes: int, sharpness: float) -> None:
        super().__init__(width, classes)
        self.norm, self.sharpness = nn.RMSNorm(width), sharpness
        nn.init.zeros_(self.weight)

    def forward(self, states: Tensor) -> Tensor:
        """(N, classes) of states (N, D)."""
        return self.sharpness * super().forward(self.norm(states))


def heads(config: Config, width: int, reader: Reader) -> nn.ModuleDict:
    """The readouts, by name and layer."""
    classes = {"square": 64, "board": 12 * 64, "reach": 6 * 64}
    for name, kind in (("twenty", reader.twenty), ("cities", reader.cities)):
        classes |= {f"{name}{what}": kind.things for what in ("", "_truth", "_told", "_fits")}
    gathered = ("twenty", "cities", "twenty_fits", "cities_fits")
    return nn.ModuleDict({
        f"{name}_{layer}": Head(width, classes[name], 16.0 if name in gathered else 4.0)
        for name, layers in at_layers(config).items()
        for layer in layers
    })  # fmt: skip


def deepened(start: str, tokenizer: PreTrainedTokenizerFast, config: Config) -> LlamaForCausalLM:
    """The base `start` with new layers after its first `early`; at first they change nothing.

    Their attention is at first the mean over all that was read, which is near what gathering needs.
    """
    old = load_base(start).model.config.num_hidden_layers
    model = continued(start, tokenizer, config.layers)
    layers = list(model.model.layers)
    ordered = [*layers[: config.early], *layers[old:], *layers[config.early : old]]
    for place, layer in enumerate(ordered):
        layer.self_attn.layer_idx = place
    model.model.layers = nn.ModuleList(ordered)
    return model


def losses(
    model: LlamaForCausalLM, readouts: nn.ModuleDict, batch: Batch, config: Config
) -> tuple[Tensor, Measured]:
    """The loss of a batch, and what it is made of."""
    with torch.autocast("cpu", torch.bfloat16):
        return losses_at(states_of(model, batch), model, readouts, batch, config)


def states_of(model: LlamaForCausalLM, batch: Batch) -> list[Tensor]:
    """[layer] (B * T, D): the states after it; 0 is the embedding."""
    found = model.model(input_ids=batch.ids, output_hidden_states=True).hidden_states
    return [one.flatten(0, 1) for one in found]


def losses_at(
    states: Sequence[Tensor], model: LlamaForCausalLM, readouts: nn.ModuleDict, batch: Batch, config: Config
) -> tuple[Tensor, Measured]:
    """The same, of the states of the layers."""
    loss, (nats, count) = losses_of_text(model, states[-1], batch)
    for name, layers in at_layers(config).items():
        if name not in batch.readouts:
            continue
        asked = batch.readouts[name]
        for layer in layers:
            key = f"{name}_{layer}"
            nll, least = asked.nats(readouts[key](states[layer][asked.at]).float())
            classes = 1 if asked.is_one else asked.wanted.shape[1]
            weight = config.gathered_weight if asked.is_one else config.truth_weight * classes
            loss = loss + weight * nll / len(asked.at)
            nats[key], count[key] = nll.item() - least, float(len(asked.at))
    return loss, Measured(nats, count)


Losses = Callable[[LlamaForCausalLM, nn.ModuleDict, Batch], tuple[Tensor, Measured]]


def train(
    model: LlamaForCausalLM, games: Sequence[Game], collator: MoreAsked, losses: Losses, config: Config
) -> dict[str, float]:
    """`config.steps` of AdamW, with matrices multiplied in bfloat16."""
    torch.manual_seed(config.seed)
    model.set_attn_implementation("eager")  # the fused attention was measured to be slower in bfloat16
    readouts = heads(config, model.config.hidden_size, collator.reader)
    weights = [*model.parameters(), *readouts.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    begin, read = time.perf_counter(), 0
    nats: Counter[str] = Counter()
    count: Counter[str] = Counter()
    text = batches(games, collator, config.tokens_a_step, config.seed)
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        batch = next(text)
        optimizer.param_groups[0]["lr"] = config.learning_rate * share_of_rate(step, config.steps)
        loss, measured = losses(model, readouts, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        read += batch.tokens
        nats.update(measured.nats)
        count.update(measured.count)
        if step % 100 == 99 or step + 1 == config.steps:
            above = {name: round(nats[name] / count[name], 4) for name in sorted(nats)}
            tqdm.write(f"{step + 1}: {above}")
            nats.clear()
            count.clear()
    above = {f"{name}_nats": value for name, value in above.items()}
    return {"tokens": read, "seconds": round(time.perf_counter() - begin), **above}


def main(config: Config) -> None:
    """Play, train, and write the base with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    tokenizer = load_base(config.start).tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    reader = Reader(tokenizer, config.longest)
    gc.disable()  # the millions of small arrays that are kept would be searched again and again
    games = [
        game
        for number, source in enumerate(SOURCES)
        for game in reader.games(source, played(source, _FIRST_GAMES + number))
    ]
    tell_lengths(games)
    model = deepened(config.start, tokenizer, config)
    collator = MoreAsked(reader, config.answer_weight)
    result = train(model, games, collator, partial(losses, config=config), config)
    write_base(
        config.out, model, tokenizer, command=" ".join(["python", *sys.argv]), config=config,
        sources=[source._asdict() for source in SOURCES], texts=len(games), **result,
    )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
