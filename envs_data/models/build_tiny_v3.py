"""Makes tiny-v3: tiny-v2 after more of the dialogue games and chess, in good part as whole distributions.

    python envs_data/models/build_tiny_v3.py --out envs_data/models/tiny-v3

The players are those of the data (`mixed`). In Twenty Questions, Guess My City and chess against `random`
or the tables of the endings, the model learns at every token from all that they could have said, weighed as
they weigh it, and not from the one sentence they drew.
Readouts learn with it and are thrown away: after a question which objects or cities it is true of, after an
answer which of them fit it and which fit all answers, at a man of a chess position the square it stands on.
Of the other games the model reads enough not to forget them.

The vocabulary grows by `--merges` pieces of the dialogue games' sentences; older ones keep their numbers.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from baselines.core.model import load_base
from baselines.core.pretrain import PAD, Source, continued, grouped, played, share_of_rate, write_base
from lmrlgym import Trajectory, policy_named
from lmrlgym.envs.guess_my_city import TURNS, cities_in, guess_questions, words
from lmrlgym.envs.guess_my_city import possible as possible_cities
from lmrlgym.envs.twenty_questions import moves, moves_in, possible, truth_table
from lmrlgym.policies import KnowsDistribution
from lmrlgym.policies.guess_my_city import MIXED_LAST_GUESSES, MIXED_SKILL, fact_questions
from lmrlgym.policies.twenty_questions import Asker
from lmrlgym.types import Turn

_TRUTH_SCALE = 10.0
"""Nats a thing are small: most are not what is asked for."""
TWENTY, CITY = "lmrlgym/TwentyQuestions-v0", "lmrlgym/GuessMyCity-v0"
CHESS = ("lmrlgym/ChessEndgames-v0", "lmrlgym/Chess-v0")


SOURCES = (
    Source(TWENTY, {}, "mixed", 40_000),
    Source(CITY, {}, "mixed", 30_000),
    Source("lmrlgym/CarDealer-v0", {}, "mixed", 9_000),
    Source("lmrlgym/ChessEndgames-v0", {}, "mixed", 9_000),
    Source("lmrlgym/Chess-v0", {"partner": "random", "max_moves": 80}, "random", 200),
    Source("lmrlgym/Chess-v0", {}, "mixed", 120),
    Source("lmrlgym/TextNav-v0", {}, "mixed", 4_000),
    Source("lmrlgym/TextNavPartial-v0", {}, "mixed", 4_000),
    Source("lmrlgym/Maze-v0", {}, "mixed", 300),
    Source("lmrlgym/MazePartial-v0", {}, "mixed", 500),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 6_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 3_000),
)
_FIRST_GAMES = 100
"""Other games than those that tiny-v2 read begin with this number of a source."""


@dataclass(frozen=True)
class Config:
    """How the base is made."""

    out: Path
    """folder to write; it must not exist"""
    start: str = "tiny-v2"
    """the base to go on from"""
    merges: int = 1024
    """new pieces of the vocabulary"""
    steps: int = 1800
    """gradient steps"""
    tokens_a_step: int = 4096
    """text a gradient step"""
    longest: int = 384
    """longer games are cut to this many tokens"""
    learning_rate: float = 2e-3
    """AdamW's, with a warm-up and a cosine"""
    readout_weight: float = 0.3
    """weight of the readouts, against the text"""
    answer_weight: float = 0.3
    """weight of what is heard, against what is said; positions of chess are not learned from"""
    seed: int = 0
    """of the order of the text"""


# ---- vocabulary ----


def grown(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], merges: int) -> PreTrainedTokenizerFast:
    """The tokenizer with `merges` more merges, learnt from `texts` on top of its own."""
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, known = description["model"]["vocab"], description["model"]["merges"]
    pieces: Counter[tuple[str, ...]] = Counter()
    for text, count in Counter(texts).items():
        said = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        line: list[str] = []
        for token, (begin, end) in zip(said.tokens, said.offsets, strict=True):
            if text[begin:end].isspace() or text[begin:end].strip().isdigit():  # these stand alone
                pieces[tuple(line)] += count
                line = []
            else:
                line.append(token)
        pieces[tuple(line)] += count
    for _ in tqdm(range(merges), desc="merging", unit="piece"):
        pairs: Counter[tuple[str, str]] = Counter()
        for piece, count in pieces.items():
            for pair in pairwise(piece):
                pairs[pair] += count
        pairs = Counter({pair: count for pair, count in pairs.items() if pair[0] + pair[1] not in vocabulary})
        (left, right), _ = max(pairs.items(), key=lambda item: (item[1], item[0]))
        vocabulary[left + right] = len(vocabulary)
        known.append([left, right])
        pieces = _merged(pieces, left, right)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)), pad_token=PAD
    )


def _merged(pieces: Counter[tuple[str, ...]], left: str, right: str) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for piece, count in pieces.items():
        if left in piece:
            joined: list[str] = []
            for token in piece:
                if joined and joined[-1] == left and token == right:
                    joined[-1] = left + right
                else:
                    joined.append(token)
            piece = tuple(joined)
        found[piece] += count
    return found


# ---- what could have been said ----


Spell = Callable[[str], Sequence[int]]
"""The tokens of a text."""


class Soft(NamedTuple):
    """Next-token distributions, sparse: probability `share` of `token` as what follows place `place`."""

    place: np.ndarray
    token: np.ndarray
    share: np.ndarray


class Sentences:
    """A fixed list of sentences as a tree of tokens, to read next-token distributions from."""

    def __init__(self, texts: Sequence[str], spell: Spell) -> None:
        spelt = [tuple(spell(text)) for text in texts]
        self.order = np.array(sorted(range(len(spelt)), key=spelt.__getitem__))
        self.number = {text: number for number, text in enumerate(texts)}
        ranked = [spelt[i] for i in self.order]
        spans: dict[tuple[int, ...], tuple[int, int]] = {}
        children: dict[tuple[int, ...], list[int]] = {}
        for rank, tokens in enumerate(ranked):
            for depth in range(len(tokens) + 1):
                begin, _ = spans.get(tokens[:depth], (rank, rank))
                spans[tokens[:depth]] = (begin, rank + 1)
                if depth < len(tokens):
                    after = children.setdefault(tokens[:depth], [])
                    if not after or after[-1] != tokens[depth]:
                        after.append(tokens[depth])
        self.paths: list[np.ndarray] = []
        """[sentence] -> (5, N): place, token, and the ranks it begins and ends and its parent's"""
        for tokens in spelt:
            rows = [
                (depth, token, *spans[(*tokens[:depth], token)], *spans[tokens[:depth]])
                for depth in range(len(tokens))
                for token in children[tokens[:depth]]
            ]
            self.paths.append(np.array(rows, dtype=np.int32).T)

    def soft(self, said: Sequence[int], chances: np.ndarray) -> list[Soft]:
        """What could have been said where `said` were drawn from rows of `chances`, (turns, sentences)."""
        sums = np.zeros((len(said), chances.shape[1] + 1))
        np.cumsum(chances[:, self.order], axis=1, out=sums[:, 1:])
        found = []
        for number, row in zip(said, sums, strict=True):
            place, token, begin, end, first, last = self.paths[number]
            share = (row[end] - row[begin]) / (row[last] - row[first])
            kept = share > 1e-6
            found.append(Soft(place[kept], token[kept], share[kept]))
        return found


def of_few(chances: Mapping[str, float], said: str, spell: Spell) -> Soft:
    """The same for a list of sentences that is used once."""
    sentences = Sentences(list(chances), spell)
    (soft,) = sentences.soft([sentences.number[said]], np.array([list(chances.values())]))
    return soft


def marked(fitting: Sequence[np.ndarray], things: int) -> np.ndarray:
    """(turns, things) 1 where a thing is one of those that fit, else 0."""
    table = np.zeros((len(fitting), things), np.float32)
    for row, fit in zip(table, fitting, strict=True):
        row[fit] = 1
    return table


class TwentyQuestions:
    """The mixed player's chances, for many turns at once."""

    def __init__(self, spell: Spell) -> None:
        self.player = policy_named("mixed", TWENTY)
        assert isinstance(self.player, Asker)
        self.texts = [text for move in moves() for text in move.texts]
        self.sentences = Sentences(self.texts, spell)
        self.move = np.repeat(np.arange(len(moves())), [len(move.texts) for move in moves()])
        self.count = np.array([len(move.texts) for move in moves()])[self.move]
        self.things = possible(()).shape[0]
        self.parts_of = [np.stack([row, 1 - row]) for row in truth_table().astype(np.float32)]
        """[move] -> (2, objects) those that it is true of, and the others"""

    def situation(self, history: Sequence[Turn]) -> tuple[np.ndarray, np.ndarray]:
        """The objects that fit the answers, and the moves said before."""
        told = moves_in(history)
        return np.flatnonzero(possible(told)).astype(np.int16), np.array([n for n, _ in told], np.int16)

    def chances(self, situations: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """(turns, sentences)."""
        left = marked([one for one, _ in situations], self.things)
        return np.asarray(
            self.player.chances(left, [said for _, said in situations])[:, self.move] / self.count
        )


class Cities:
    """The mixed player's chances, for many turns at once."""

    def __init__(self, spell: Spell) -> None:
        asked, guesses = fact_questions(), guess_questions(False)
        self.questions, self.things = len(asked), len(words())
        everything = [*asked, *(guesses[city] for city in range(self.things))]
        self.texts = [text for question in everything for text in question.texts]
        self.sentences = Sentences(self.texts, spell)
        self.move = np.repeat(np.arange(len(everything)), [len(one.texts) for one in everything])
        self.count = np.array([len(one.texts) for one in everything])[self.move]
        self.first = np.cumsum([0, *(len(one.parts) for one in asked[:-1])])
        self.parts = np.zeros((sum(len(one.parts) for one in asked), self.things), np.float32)
        for row, part in zip(self.parts, (p for one in asked for p in one.parts), strict=True):
            row[list(cities_in(part))] = 1
        self.parts_of = np.split(self.parts, self.first[1:])
        self.parts_of += [np.stack([row, 1 - row]) for row in np.eye(self.things, dtype=np.float32)]
        """[question] -> (parts, cities) those that answer it alike"""

    def situation(self, history: Sequence[Turn]) -> tuple[np.ndarray, np.ndarray]:
        """The cities that fit the answers, and whether it is late."""
        left = possible_cities(history) or possible_cities(())
        return (
            np.array(cities_in(left), np.int16),
            np.array(len(history) // 2 >= TURNS - MIXED_LAST_GUESSES),
        )

    def chances(self, situations: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """(turns, sentences)."""
        left = marked([one for one, _ in situations], self.things)
        count = left.sum(axis=1, keepdims=True)
        largest = np.maximum.reduceat(left @ self.parts.T, self.first, axis=1)
        divides = largest < count
        asked = (1 - MIXED_SKILL) / self.questions + MIXED_SKILL * divides / divides.sum(
            1, keepdims=True
        ).clip(1)
        guesses = left / count
        is_guessing = (count <= 1) | np.array([[bool(late)] for _, late in situations])
        p = np.concatenate([asked * ~is_guessing, guesses * is_guessing], axis=1)
        return np.asarray(p[:, self.move] / self.count)


# ---- games ----


class Talk(NamedTuple):
    """The turns of a game in which the player chose from a fixed list: where, what, knowing what."""

    starts: np.ndarray
    ends: np.ndarray
    said: list[int]
    situations: list[tuple[np.ndarray, np.ndarray]]


class Game(NamedTuple):
    """A game or a part of one, as the model reads it."""

    env_id: str
    ids: np.ndarray
    said: np.ndarray
    """1 where the player speaks"""
    talk: Talk | None = None
    soft: Soft | None = None
    squares: np.ndarray | None = None
    """(2, men): places of the men of a chess position, and their squares"""


class Reader:
    """Writes played games as `Game`s."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.spelt: Spell = cache(lambda text: tokenizer.encode(text, add_special_tokens=False))
        self.twenty, self.cities = TwentyQuestions(self.spelt), Cities(self.spelt)

    def read(self, env_id: str, texts: Sequence[str], **more: Any) -> Game:
        """Each turn is encoded on its own, as the agents are trained."""
        ids = [token for text in texts for token in self.spelt(text)]
        said = [turn % 2 for turn, text in enumerate(texts) for _ in self.spelt(text)]
        kept = self.longest
        return Game(env_id, np.array(ids[:kept], np.int16), np.array(said[:kept], np.int8), **more)

    def games(self, source: Source, played: Sequence[Trajectory]) -> list[Game]:
        """All games of a source."""
        player = policy_named(source.level, source.env_id, **source.env_kwargs)
        found: dict[Any, Game] = {}
        for index, game in enumerate(tqdm(played, desc=source.env_id, unit="game")):
            if source.env_id in CHESS:
                for k in range(0, len(game.turns) - 1, 2):
                    key = (game.turns[k].text, game.turns[k + 1].text)
                    if key not in found:
                        found[key] = self._position(source.env_id, game.turns[k : k + 2], player)
            elif source.env_id in (TWENTY, CITY):
                found[index] = self._talk(game)
            else:
                found[index] = self.read(source.env_id, [turn.text for turn in game.turns])
        return list(found.values())

    def _talk(self, game: Trajectory) -> Game:
        kind = self.twenty if game.env_id == TWENTY else self.cities
        place, starts, ends, said, situations = 0, [], [], [], []
        for k, turn in enumerate(game.turns):
            if turn.is_action:
                starts.append(place)
                ends.append(place + len(self.spelt(turn.text)))
                said.append(kind.sentences.number[turn.text])
                situations.append(kind.situation(game.turns[:k]))
            place += len(self.spelt(turn.text))
        if place > self.longest:
            return self.read(game.env_id, [turn.text for turn in game.turns])
        return self.read(
            game.env_id,
            [turn.text for turn in game.turns],
            talk=Talk(np.array(starts), np.array(ends), said, situations),
        )

    def _position(self, env_id: str, turns: Sequence[Turn], player: Any) -> Game:
        heard, said = turns[0].text, turns[1].text
        soft = None
        if isinstance(player, KnowsDistribution):
            soft = of_few(player.distribution(turns[:1]), said, self.spelt)
            soft = soft._replace(place=soft.place + len(self.spelt(heard)))
        return self.read(env_id, [heard, said], soft=soft, squares=self._squares(heard))

    def _squares(self, heard: str) -> np.ndarray:
        """A man is a token of its own; digits count empty squares and `/` ends a rank."""
        found, square = [], 0
        for place, token in enumerate(self.spelt(heard)):
            piece = self.tokenizer.decode([token]).strip()
            if square == 64:
                break
            if len(piece) == 1 and piece.isalpha():
                found.append((place, square))
                square += 1
            elif piece.isdigit():
                square += int(piece)
        return np.array(found, np.int16).T


# ---- training ----


class Readout(NamedTuple):
    """What is to be read off N tokens."""

    at: Tensor
    """(N,) flat places"""
    wanted: Tensor
    """(N, classes) how likely each is"""
    is_one: bool
    """whether one class is asked for, or of each whether it is true"""

    def nats(self, logits: Tensor) -> tuple[Tensor, float]:
        """The sum of the losses, and of what could not be less."""
        if self.is_one:
            nll = -(functional.log_softmax(logits, dim=-1) * self.wanted).sum()
            return nll, -torch.special.xlogy(self.wanted, self.wanted).sum().item()
        each = functional.binary_cross_entropy_with_logits(logits, self.wanted, reduction="none")
        return each.mean(-1).sum(), 0.0


class Batch(NamedTuple):
    """Games side by side: B of them, T tokens wide."""

    ids: Tensor
    tokens: int
    """how many there are"""
    weights: Tensor
    """(B, T) of the token as one to foretell: 0 where there is none"""
    plain: Tensor
    """(B, T) whether it is learned from by itself"""
    soft: tuple[Tensor, Tensor, Tensor, Tensor]
    """flat place, token, share, and its entropy's share"""
    readouts: dict[str, Readout]


class Collator:
    """Makes batches of games."""

    def __init__(self, reader: Reader, answer_weight: float) -> None:
        self.reader, self.answer_weight = reader, answer_weight

    def batch(self, games: Sequence[Game]) -> Batch:
        """`games` of about one length."""
        width = max(len(game.ids) for game in games)
        ids, said = np.zeros((2, len(games), width), np.int64)
        weights = np.zeros((len(games), width), np.float32)
        for row, game in enumerate(games):
            ids[row, : len(game.ids)] = game.ids
            said[row, : len(game.ids)] = game.said
            heard = 0.0 if game.env_id in CHESS else self.answer_weight
            weights[row, : len(game.ids)] = np.where(game.said, 1.0, heard)
        plain = weights > 0
        plain[:, 0] = False
        softs: list[tuple[int, Soft]] = []
        readouts: dict[str, Readout] = {}
        for name, env_id, kind in (
            ("twenty", TWENTY, self.reader.twenty),
            ("cities", CITY, self.reader.cities),
        ):
            chosen = [
                (row, game.talk) for row, game in enumerate(games) if game.talk and game.env_id == env_id
            ]
            if chosen:
                softs += self._talks(chosen, kind, width)
                readouts |= self._told(name, chosen, kind, width)
        for row, game in enumerate(games):
            if game.soft is not None:
                softs.append((row * width, game.soft))
        squares = [
            (row * width + game.squares[0], game.squares[1])
            for row, game in enumerate(games)
            if game.squares is not None
        ]
        if squares:
            at, square = (np.concatenate(part).astype(np.int64) for part in zip(*squares, strict=True))
            wanted = torch.from_numpy(np.eye(64, dtype=np.float32)[square])
            readouts["square"] = Readout(torch.from_numpy(at), wanted, is_one=True)
        flat = plain.reshape(-1)
        place = np.concatenate([begin + one.place for begin, one in softs] or [np.zeros(0, np.int64)])
        flat[place] = False
        token = np.concatenate([one.token for _, one in softs] or [np.zeros(0, np.int64)]).astype(np.int64)
        share = np.concatenate([one.share for _, one in softs] or [np.zeros(0)]).astype(np.float32)
        return Batch(
            torch.from_numpy(ids), sum(len(game.ids) for game in games),
            torch.from_numpy(weights), torch.from_numpy(plain),
            (torch.from_numpy(place.astype(np.int64)), torch.from_numpy(token), torch.from_numpy(share),
             torch.from_numpy(share * np.log(share))), readouts,
        )  # fmt: skip

    def _talks(
        self, chosen: Sequence[tuple[int, Talk]], kind: TwentyQuestions | Cities, width: int
    ) -> list[tuple[int, Soft]]:
        situations = [one for _, talk in chosen for one in talk.situations]
        begins = [row * width + int(start) for row, talk in chosen for start in talk.starts]
        soft = kind.sentences.soft([n for _, talk in chosen for n in talk.said], kind.chances(situations))
        return list(zip(begins, soft, strict=True))

    def _told(
        self, name: str, chosen: Sequence[tuple[int, Talk]], kind: TwentyQuestions | Cities, width: int
    ) -> dict[str, Readout]:
        """What fits all answers and the last one before a sentence, and what it is true of at its end."""
        left = marked([fit for _, talk in chosen for fit, _ in talk.situations], kind.things)
        before = np.concatenate([row * width + talk.starts for row, talk in chosen]) - 1
        after = np.concatenate([row * width + talk.ends for row, talk in chosen]) - 1
        answered = np.concatenate([np.arange(len(talk.said)) > 0 for _, talk in chosen])
        parts = [[kind.parts_of[kind.move[number]] for number in talk.said] for _, talk in chosen]
        told = [
            next(part for part in some if (part >= fit).all())
            for some, fit in zip((p for of in parts for p in of[:-1]), left[answered], strict=True)
        ]
        truth = [some[0] for of in parts for some in of]  # of an open question, its first answer
        wanted = {
            f"{name}_told": (before[answered], np.stack(told)),
            name: (before, left / left.sum(axis=1, keepdims=True)),
            f"{name}_truth": (after, np.stack(truth)),
        }
        return {
            key: Readout(torch.from_numpy(at), torch.from_numpy(table), is_one=key == name)
            for key, (at, table) in wanted.items()
        }


def batches(games: Sequence[Game], collator: Collator, tokens: int, seed: int) -> Iterator[Batch]:
    """Games of similar length, `tokens` at most, for ever."""
    rng = np.random.default_rng(seed)
    lengths = [len(game.ids) for game in games]
    while True:
        groups = grouped(lengths, tokens, rng)
        for number in rng.permutation(len(groups)):
            yield collator.batch([games[i] for i in groups[number]])


class Measured(NamedTuple):
    """Sums of nats above what is possible, and of what they are sums over."""

    nats: dict[str, float]
    count: dict[str, float]


def losses(
    model: LlamaForCausalLM, readouts: nn.ModuleDict, batch: Batch, config: Config
) -> tuple[Tensor, Measured]:
    """The loss of a batch, and what it is made of."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state.flatten(0, 1)
    loss, (nats, count) = losses_of_text(model, hidden, batch)
    for name, asked_for in batch.readouts.items():
        nll, least = asked_for.nats(readouts[name](hidden[asked_for.at]))
        weight = config.readout_weight * (1.0 if asked_for.is_one else _TRUTH_SCALE)
        loss = loss + weight * nll / len(asked_for.at)
        nats[name], count[name] = nll.item() - least, float(len(asked_for.at))
    return loss, Measured(nats, count)


def losses_of_text(model: LlamaForCausalLM, hidden: Tensor, batch: Batch) -> tuple[Tensor, Measured]:
    """The same of the text alone, whose last states are `hidden`, (B * T, D)."""
    weights, ids = batch.weights.view(-1), batch.ids.view(-1)
    is_soft = torch.zeros(len(ids), dtype=torch.bool)
    place, token, share, negative_entropy = batch.soft
    is_soft[place] = True
    asked = (batch.plain.view(-1) | is_soft).nonzero()[:, 0]
    log_probs = functional.log_softmax(model.lm_head(hidden[asked - 1]).float(), dim=-1)
    row_of = torch.zeros(len(ids), dtype=torch.int64)
    row_of[asked] = torch.arange(len(asked))
    plain = batch.plain.view(-1).nonzero()[:, 0]
    hard = -(log_probs[row_of[plain], ids[plain]] * weights[plain]).sum()
    soft = -(log_probs[row_of[place], token] * share).sum()
    loss = (hard + soft) / weights[asked].sum()
    nats = {"text": hard.item(), "said": soft.item() + negative_entropy.sum().item()}
    return loss, Measured(nats, {"text": float(weights[plain].sum()), "said": float(is_soft.sum())})


def train(model: LlamaForCausalLM, games: Sequence[Game], reader: Reader, config: Config) -> dict[str, float]:
    """`config.steps` of AdamW."""
    torch.manual_seed(config.seed)
    width = model.config.hidden_size
    classes = {"square": 64}
    for name, kind in (("twenty", reader.twenty), ("cities", reader.cities)):
        classes |= {name: kind.things, f"{name}_truth": kind.things, f"{name}_told": kind.things}
    readouts = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})
    weights = [*model.parameters(), *readouts.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    begin, read = time.perf_counter(), 0
    nats: Counter[str] = Counter()
    count: Counter[str] = Counter()
    text = batches(games, Collator(reader, config.answer_weight), config.tokens_a_step, config.seed)
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        batch = next(text)
        optimizer.param_groups[0]["lr"] = config.learning_rate * share_of_rate(step, config.steps)
        loss, measured = losses(model, readouts, batch, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        read += batch.tokens
        for total, new in ((nats, measured.nats), (count, measured.count)):
            for name in total:
                total[name] *= 0.98
            total.update(new)
        bar.set_postfix({name: f"{nats[name] / count[name]:.3f}" for name in nats} | {"tokens": f"{read:,}"})
    above = {f"{name}_nats": round(nats[name] / count[name], 4) for name in sorted(nats)}
    return {"tokens": read, "seconds": round(time.perf_counter() - begin), **above}


def tell_lengths(games: Sequence[Game]) -> None:
    """How much there is to read of every environment."""
    for env_id in dict.fromkeys(game.env_id for game in games):
        lengths = [len(game.ids) for game in games if game.env_id == env_id]
        tqdm.write(f"{env_id}: {len(lengths):,} texts, {sum(lengths):,} tokens")


def main(config: Config) -> None:
    """Play, let the vocabulary grow, train, and write the base with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    found = [played(source, _FIRST_GAMES + number) for number, source in enumerate(SOURCES)]
    old = load_base(config.start).tokenizer
    assert isinstance(old, PreTrainedTokenizerFast)
    talked = [turn.text for games in found[:3] for game in games[:4000] for turn in game.turns]
    tokenizer = grown(old, talked, config.merges)
    reader = Reader(tokenizer, config.longest)
    gc.disable()  # the millions of small arrays that are kept would be searched again and again
    games = [game for number, source in enumerate(SOURCES) for game in reader.games(source, found[number])]
    tell_lengths(games)
    model = continued(config.start, tokenizer)
    result = train(model, games, reader, config)
    write_base(
        config.out, model, tokenizer, command=" ".join(["python", *sys.argv]), config=config,
        sources=[source._asdict() for source in SOURCES], texts=len(games), **result,
    )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
