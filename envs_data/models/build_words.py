"""Makes words-v2: words-v1 after reading Wordle with 431 words as its mixed player's whole distributions.

    python envs_data/models/build_words.py --out envs_data/models/words-v2

Games are played by the mixed player, the one of the paper's data. At every letter of its guesses the model
learns from all that the player could have said there, weighed as the player weighs it, and not from the one
letter it drew. After every answer an aside, which later text does not see, tells a word that could be
hidden ("= c r a n e"), learned from in the same way. The base is shown no better play than the data's.
The newline that ends a guess is not learned from: an agent's cloning has to teach it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baselines.core.model import load_base
from baselines.core.pretrain import share_of_rate, write_base
from lmrlgym import Seeds
from lmrlgym.envs.wordle import FEEDBACKS, LETTERS, SOLVED, vocabulary_of
from lmrlgym.policies.wordle import MIXED_SKILL

GUESSES = 6
LINE = 2 * (LETTERS + 1)
"""Tokens of a guess and its answer."""
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Config:
    """How the base is made."""

    out: Path
    """folder to write; it must not exist"""
    start: str = "words-v1"
    """the base to go on from"""
    vocabulary: str = "common-431"
    """the words"""
    steps: int = 9000
    """gradient steps"""
    games: int = 32
    """games a gradient step"""
    learning_rate: float = 1.5e-3
    """AdamW's, with a warm-up and a cosine"""
    aside_weight: float = 0.3
    """weight of what is told in asides, against the guesses"""
    answer_weight: float = 0.2
    """weight of the answers, against the guesses"""
    seed: int = 0
    """of the games"""


class Text(NamedTuple):
    """A batch of B games as the model reads it, and what it should say at every letter."""

    ids: Tensor
    """(B, T): the header, six guesses and five answers, then five asides"""
    guess: Tensor
    """(B, 6, 5, 26) next-letter distributions of the player"""
    aside: Tensor
    """(B, 5, 5, 26) next-letter distributions of the hidden word, given the answers so far"""
    is_played: Tensor
    """(B, 6) whether the game was still going on at this guess"""


class Games:
    """Plays games of the mixed player, many at once, and writes them as text."""

    def __init__(self, vocabulary: str, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
        words = vocabulary_of(vocabulary)
        self.answers = words.table(True).astype(np.int64)  # (guess, hidden word) -> pattern
        self.count = len(words)
        self.letters = np.array([[ALPHABET.index(letter) for letter in word] for word in words.words])
        self.is_letter = np.eye(26, dtype=np.float32)[self.letters]  # (words, 5, 26)
        self.rng = np.random.default_rng(Seeds.BASE_TEXT + seed)
        self.header = tokenizer.encode("Wordle:\n", add_special_tokens=False)
        self.equals = tokenizer.encode("= c r a n e\n", add_special_tokens=False)[0]
        self.newline = tokenizer.encode("\n", add_special_tokens=False)[0]
        # A letter at the beginning of a line and one after a blank are two tokens.
        spelt = [tokenizer.encode(f"{x} {x}\n", add_special_tokens=False)[:2] for x in ALPHABET]
        self.first, self.later = np.array(spelt).T
        self.patterns = np.array([tokenizer.encode(text, add_special_tokens=False) for text in FEEDBACKS])
        self.history = len(self.header) + GUESSES * LINE - (LETTERS + 1)

    def next_letters(self, weights: np.ndarray, words: np.ndarray) -> np.ndarray:
        """(..., 5, 26): the next letter of a word drawn by `weights` (..., W), begun as `words` (...)."""
        left, found = weights.astype(np.float32), []
        for place in range(LETTERS):
            mass = left @ self.is_letter[:, place]
            found.append(mass / mass.sum(axis=-1, keepdims=True))
            left = left * (self.letters[:, place] == self.letters[words, place][..., None])
        return np.stack(found, axis=-2)

    def drawn(self, fits: np.ndarray) -> np.ndarray:
        """(B,) a uniformly random word of those that fit, (B, W)."""
        return np.asarray((self.rng.random(fits.shape) * fits).argmax(axis=-1))

    def batch(self, size: int) -> Text:
        """`size` games."""
        hidden = self.rng.integers(self.count, size=size)
        fits = np.ones((size, GUESSES, self.count), dtype=bool)
        is_played = np.ones((size, GUESSES), dtype=bool)
        guess = np.zeros((size, GUESSES), dtype=np.int64)
        for turn in range(GUESSES):
            is_smart = self.rng.random(size) < MIXED_SKILL
            anything = self.rng.integers(self.count, size=size)
            guess[:, turn] = np.where(is_smart, self.drawn(fits[:, turn]), anything)
            if turn + 1 < GUESSES:
                pattern = self.answers[guess[:, turn], hidden]
                fits[:, turn + 1] = fits[:, turn] & (self.answers[guess[:, turn]] == pattern[:, None])
                is_played[:, turn + 1] = is_played[:, turn] & (pattern != SOLVED)
        told = np.stack([self.drawn(fits[:, turn]) for turn in range(1, GUESSES)], axis=1)
        possible = fits / fits.sum(axis=-1, keepdims=True)
        said = MIXED_SKILL * possible + (1 - MIXED_SKILL) / self.count
        return Text(
            torch.from_numpy(self.written(guess, self.answers[guess, hidden[:, None]], told)),
            torch.from_numpy(self.next_letters(said, guess)),
            torch.from_numpy(self.next_letters(possible[:, 1:], told)),
            torch.from_numpy(is_played),
        )

    def written(self, guess: np.ndarray, pattern: np.ndarray, told: np.ndarray) -> np.ndarray:
        """(B, T) ids."""
        size = len(guess)
        guesses = self.later[self.letters[guess]]  # (B, 6, 5)
        guesses[..., 0] = self.first[self.letters[guess][..., 0]]
        line = np.full((size, GUESSES, LETTERS + 1), self.newline)
        line[..., :LETTERS] = guesses
        lines = np.concatenate([line, self.patterns[pattern]], axis=-1).reshape(size, -1)
        aside = np.full((size, GUESSES - 1, LETTERS + 1), self.equals)
        aside[..., 1:] = self.later[self.letters[told]]
        header = np.tile(self.header, (size, 1))
        played = np.concatenate([header, lines], axis=1)[:, : self.history]
        return np.concatenate([played, aside.reshape(size, -1)], axis=1)


class Places(NamedTuple):
    """Where things stand in the text of a game."""

    positions: Tensor
    """(1, T)"""
    mask: Tensor
    """(1, 1, T, T): 0 where a token sees another, else the lowest number"""
    guess: Tensor
    """(30,) the tokens before the letters of the guesses"""
    aside: Tensor
    """(25,) the tokens before the letters of the asides"""
    answer: Tensor
    """(30,) the tokens before those of the answers, newlines included"""


def places(header: int, history: int) -> Places:
    """An aside goes on from the answer before it and is seen by itself alone."""
    width = history + (GUESSES - 1) * (LETTERS + 1)
    positions, sees = np.arange(width), np.tril(np.ones((width, width), dtype=bool))
    for number in range(GUESSES - 1):
        begin, told = header + LINE * (number + 1), history + (LETTERS + 1) * number
        own = slice(told, told + LETTERS + 1)
        positions[own] = begin + np.arange(LETTERS + 1)
        sees[own, begin:told] = False
    guesses = [header + LINE * turn - 1 + np.arange(LETTERS) for turn in range(GUESSES)]
    asides = [history + (LETTERS + 1) * turn + np.arange(LETTERS) for turn in range(GUESSES - 1)]
    answers = [header + LINE * turn + LETTERS + np.arange(LETTERS + 1) for turn in range(GUESSES - 1)]
    hidden = torch.zeros(width, width).masked_fill(~torch.from_numpy(sees), torch.finfo(torch.float32).min)
    return Places(
        torch.from_numpy(positions)[None],
        hidden[None, None],
        *(torch.from_numpy(np.concatenate(one)) for one in (guesses, asides, answers)),
    )  # fmt: skip


def soft_nll(log_probs: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Mean cross-entropy a letter; `counts` (B, turns) says which turns count."""
    nll = -(wanted * log_probs).sum(-1).mean(-1)  # (B, turns)
    return (nll * counts).sum() / counts.sum()


class Losses(NamedTuple):
    """Nats a letter of guesses and asides, nats a token of the answers."""

    guess: Tensor
    aside: Tensor
    answer: Tensor


def losses(model: LlamaForCausalLM, text: Text, games: Games, at: Places) -> Losses:
    """What the model says of a batch."""
    size, width = text.ids.shape
    hidden = model.model(
        input_ids=text.ids,
        position_ids=at.positions.expand(size, -1),
        attention_mask=at.mask.expand(size, 1, width, width),
    ).last_hidden_state
    first, later = torch.from_numpy(games.first), torch.from_numpy(games.later)
    is_played = text.is_played.float()
    said = functional.log_softmax(model.lm_head(hidden[:, at.guess]), dim=-1)
    said = said.view(size, GUESSES, LETTERS, -1)
    letters = torch.cat([said[:, :, :1, first], said[:, :, 1:, later]], dim=2)
    told = functional.log_softmax(model.lm_head(hidden[:, at.aside]), dim=-1)[..., later]
    heard = functional.log_softmax(model.lm_head(hidden[:, at.answer]), dim=-1)
    answer = -heard.gather(-1, text.ids[:, at.answer + 1][..., None]).view(size, GUESSES - 1, -1).mean(-1)
    return Losses(
        soft_nll(letters, text.guess, is_played),
        soft_nll(told.view(size, GUESSES - 1, LETTERS, 26), text.aside, is_played[:, 1:]),
        (answer * is_played[:, :-1]).sum() / is_played[:, :-1].sum(),
    )


def train(model: LlamaForCausalLM, games: Games, config: Config) -> dict[str, float]:
    """`config.steps` of AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    at = places(len(games.header), games.history)
    begin, mean = time.perf_counter(), np.zeros(3)
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        optimizer.param_groups[0]["lr"] = config.learning_rate * share_of_rate(step, config.steps, warm_up=50)
        found = losses(model, games.batch(config.games), games, at)
        loss = found.guess + config.aside_weight * found.aside + config.answer_weight * found.answer
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        now = np.array([value.item() for value in found])
        mean = now if step == 0 else 0.98 * mean + 0.02 * now
        bar.set_postfix(guess=f"{mean[0]:.4f}", aside=f"{mean[1]:.4f}", answer=f"{mean[2]:.4f}")
    guess, aside, answer = (round(float(value), 4) for value in mean)
    seconds = round(time.perf_counter() - begin)
    return {"guess_nats": guess, "aside_nats": aside, "answer_nats": answer, "seconds": seconds}


def main(config: Config) -> None:
    """Train, and write the base with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    base = load_base(config.start)
    model = base.model
    if not isinstance(model, LlamaForCausalLM):
        raise SystemExit(f"{config.start} is not a Llama, got {type(model).__name__}")
    model.requires_grad_(True).train()
    result = train(model, Games(config.vocabulary, base.tokenizer, config.seed), config)
    write_base(
        config.out, model, base.tokenizer, command=" ".join(["python", *sys.argv]), config=config,
        start_sha256=base.sha256, games=config.steps * config.games, **result,
    )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
