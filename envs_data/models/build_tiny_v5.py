"""Makes tiny-v5: tiny-v4 whose objects and cities are tokens, and which can say the name that it knows.

    python envs_data/models/build_tiny_v5.py --out envs_data/models/tiny-v5

In tiny-v4 the objects that fit all answers can be read off the state before a question, but their names,
spelt in pieces, do not follow from it: with one object left it says that one's name hardly more often than
another's. Here a name is one token, and over the first tokens of what is said

- what fits all answers is read off the middle and the last layer, as in tiny-v4 before the first of them;
- the output itself, among names only, must foretell what fits all answers.

In Twenty Questions the whole distributions are those of the player `steady`, which asks what divides and
names what is left; it is no better than the players of the shipped data. The men of a chess position are
found by counting squares: the count is read off every token of the position. A few questions are read as
the oracle is asked them, object and question first. `tiny-v3`, from which `tiny-v4` goes on, is made by
`build_tiny_v3.py`; it is not shipped.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from build_tiny_v3 import CITY, TWENTY, Batch, Game, Measured, Readout, tell_lengths
from build_tiny_v3 import Reader as ReaderOfV3
from build_tiny_v4 import Config as ConfigOfV4
from build_tiny_v4 import MoreAsked, losses_at, states_of, train
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from baselines.core.model import load_base
from baselines.core.pretrain import PAD, Source, continued, played, write_base
from lmrlgym import Seeds, policy_named
from lmrlgym.collection import collect_replies
from lmrlgym.commands.train_partner import balanced
from lmrlgym.envs.guess_my_city import guess_questions
from lmrlgym.envs.twenty_questions import moves, things

SOURCES = (
    Source(TWENTY, {}, "steady", 12_000),
    Source(TWENTY, {}, "mixed", 8_000),
    Source(CITY, {}, "mixed", 9_000),
    Source(CITY, {}, "expert", 4_000),
    Source("lmrlgym/CarDealer-v0", {}, "mixed", 2_500),
    Source("lmrlgym/ChessEndgames-v0", {}, "mixed", 5_000),
    Source("lmrlgym/Chess-v0", {"partner": "random", "max_moves": 80}, "random", 40),
    Source("lmrlgym/Chess-v0", {}, "mixed", 60),
    Source("lmrlgym/TextNav-v0", {}, "mixed", 1_200),
    Source("lmrlgym/TextNavPartial-v0", {}, "mixed", 1_200),
    Source("lmrlgym/Maze-v0", {}, "mixed", 150),
    Source("lmrlgym/MazePartial-v0", {}, "mixed", 250),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 2_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 1_500),
)
ORACLE, ORACLE_GAMES = "oracle", 2_500
"""What the oracle is asked in so many games is read as games of this name."""
ASKED_TOKENS = 3
"""Tokens of a sentence, from the one before it, at which is asked what fits all answers."""
_FIRST_GAMES = 300
"""Other games than those that earlier bases read begin with this number of a source."""
_OF_THE_ORACLE = (
    "Answer the question about the object truthfully.", "object: (", "question: ", "answer (yes or no): ",
)  # fmt: skip


@dataclass(frozen=True)
class Config(ConfigOfV4):
    """How the base is made."""

    start: str = "tiny-v4"
    """the base to go on from"""
    steps: int = 2600
    """gradient steps"""
    named_weight: float = 0.3
    """weight of the names that the output gives, against the text"""


def names() -> dict[str, list[str]]:
    """Readout -> [thing] its name as it stands in a guess, with the blank before it."""
    guesses = {move.guess: _asked_for(move.texts[0]) for move in moves() if move.guess >= 0}
    objects = [re.sub("^an? ", "", guesses[number]) for number in range(len(guesses))]
    cities = [_asked_for(question.texts[0]) for question in guess_questions(False)]
    return {"twenty": [f" {name}" for name in objects], "cities": [f" {name}" for name in cities]}


def _asked_for(guess: str) -> str:
    return guess.removeprefix("Is it ").rstrip("?\n")


def with_names(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer with a token for every name and for what stands around it when the oracle is asked."""
    grown = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    called = [thing.variants[0] for thing in things()]
    texts = [name for some in names().values() for name in some]
    grown.add_tokens(
        [AddedToken(text, normalized=False) for text in dict.fromkeys([*texts, *called, *_OF_THE_ORACLE])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=grown, pad_token=PAD)


class Reader(ReaderOfV3):
    """Reads Twenty Questions as `steady` would play on, and the squares of a position off all its tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int) -> None:
        super().__init__(tokenizer, longest)
        self.twenty.player = policy_named("steady", TWENTY)
        self.named = {
            name: torch.tensor([self._one(text) for text in some]) for name, some in names().items()
        }

    def _one(self, name: str) -> int:
        (token,) = self.spelt(name)
        return token

    def _squares(self, heard: str) -> np.ndarray:
        """After every token of the board, the square that was written last."""
        found, square = [], -1
        for place, token in enumerate(self.spelt(heard)):
            piece = self.tokenizer.decode([token]).strip()
            if len(piece) == 1 and piece.isalpha():
                square += 1
            elif piece.isdigit():
                square += int(piece)
            if square >= 0:
                found.append((place, square))
            if square == 63:
                break
        return np.array(found, np.int16).T

    def asked_oracle(self, count: int) -> list[Game]:
        """What the oracle is asked and says in `count` games, as many yes as no."""
        replies = collect_replies(
            TWENTY,
            "mixed",
            count,
            Seeds.BASE_TEXT + _FIRST_GAMES * 1_000_000,
            progress=True,
            partner="scripted",
        )
        return [self.read(ORACLE, [turn.text for turn in game.turns]) for game in balanced(replies, 0)]


class Asked(MoreAsked):
    """Asks what fits all answers over the first tokens of a sentence, and the output for names."""

    reader: Reader

    def batch(self, games: Sequence[Game]) -> Batch:
        """`games` of about one length."""
        batch = super().batch(games)
        said = np.zeros(batch.ids.shape, np.int64)
        for row, game in enumerate(games):
            said[row, : len(game.said)] = game.said
            if game.env_id == ORACLE:  # only the reply is learned from
                batch.weights[row] *= torch.from_numpy(said[row]).float()
                batch.plain[row] &= torch.from_numpy(said[row]).bool()
        for name in {"twenty", "twenty_fits", "cities", "cities_fits"} & set(batch.readouts):
            batch.readouts[name] = over_first_tokens(batch.readouts[name], said.reshape(-1))
        for name in {"twenty", "cities"} & set(batch.readouts):
            batch.readouts[f"{name}_named"] = batch.readouts[name]
        return batch


def over_first_tokens(readout: Readout, said: np.ndarray) -> Readout:
    """What is asked before a sentence, also at its first tokens, not the last; `said`, flat, is 1 there."""
    heard = np.append(np.flatnonzero(said == 0), len(said))
    before = readout.at.numpy()
    ends = heard[np.searchsorted(heard, before, side="right")]
    lengths = np.minimum(ends - before - 1, ASKED_TOKENS)
    first = np.cumsum(lengths) - lengths
    turn = np.repeat(np.arange(len(before)), lengths)
    at = before[turn] + np.arange(len(turn)) - first[turn]
    return Readout(torch.from_numpy(at), readout.wanted[torch.from_numpy(turn)], readout.is_one)


def losses(
    model: LlamaForCausalLM, readouts: nn.ModuleDict, batch: Batch, reader: Reader, config: Config
) -> tuple[Tensor, Measured]:
    """The loss of a batch, and what it is made of."""
    with torch.autocast("cpu", torch.bfloat16):
        states = states_of(model, batch)
        loss, measured = losses_at(states, model, readouts, batch, config)
        for name, tokens in reader.named.items():
            if (key := f"{name}_named") in batch.readouts:
                asked = batch.readouts[key]
                logits = states[-1][asked.at] @ model.lm_head.weight[tokens].T
                nll, least = asked.nats(logits.float())
                loss = loss + config.named_weight * nll / len(asked.at)
                measured.nats[key], measured.count[key] = nll.item() - least, float(len(asked.at))
    return loss, measured


def main(config: Config) -> None:
    """Play, train, and write the base with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    old = load_base(config.start).tokenizer
    assert isinstance(old, PreTrainedTokenizerFast)
    tokenizer = with_names(old)
    reader = Reader(tokenizer, config.longest)
    gc.disable()  # the millions of small arrays that are kept would be searched again and again
    games = [
        game
        for number, source in enumerate(SOURCES)
        for game in reader.games(source, played(source, _FIRST_GAMES + number))
    ]
    games += reader.asked_oracle(ORACLE_GAMES)
    tell_lengths(games)
    model = continued(config.start, tokenizer)
    collator = Asked(reader, config.answer_weight)
    result = train(model, games, collator, partial(losses, reader=reader, config=config), config)
    write_base(
        config.out, model, tokenizer, command=" ".join(["python", *sys.argv]), config=config,
        sources=[source._asdict() for source in SOURCES], oracle_games=ORACLE_GAMES, texts=len(games),
        **result,
    )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
