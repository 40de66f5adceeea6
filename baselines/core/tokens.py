"""The border between text and tensors: trajectories become token sequences here and nowhere else.

Letters used for shapes everywhere: B rows (games), T tokens, N action tokens, D hidden width,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lmrlgym import Action, History, Trajectory, Turn, visible


@dataclass(frozen=True)
class Tokens:
    """One game, columns of shape (T,), or a batch of games, (B, T) padded on the right with zeros.

    An algorithm adds columns by subclassing; every added column has one entry a token.
    """

    ids: Tensor
    """int64"""
    mask: Tensor
    """int64: 0 is padding, k > 0 the k-th window of the game. A token sees only its own window."""
    is_action: Tensor
    """bool: the agent said this token and learns from it."""
    reward: Tensor
    """float32: what the token earned; an utterance is paid on its last token."""
    terminated: Tensor
    """bool, () or (B,): the game came to its own end; if not, values bootstrap after the last action."""

    def to(self, device: torch.device) -> Self:
        """The same columns on `device`."""
        return type(self)(*(getattr(self, f.name).to(device) for f in fields(self)))


Kind = TypeVar("Kind", bound=Tokens)


class ActionTokens(NamedTuple):
    """The N action tokens of a batch, games one after the other, each game in order of time.

    Entry i + 1 is the next state of entry i unless `last[i]`.
    """

    row: Tensor
    """(N,) the game"""
    at: Tensor
    """(N,) the position before the action token: the state it was said in"""
    action: Tensor
    """(N,) the token said"""
    reward: Tensor
    """(N,) float32"""
    last: Tensor
    """(N,) bool: the last action token of its game"""

    def next(self, of_state: Tensor, after_last: Tensor) -> Tensor:
        """(N,) the value of the next state: `of_state` (N,) shifted by one, `after_last` (B,) at each end."""
        return torch.where(self.last, after_last[self.row], of_state.roll(-1))


def action_tokens(batch: Tokens) -> ActionTokens:
    """Every action token of `batch` (B, T) with the state before it."""
    row, position = batch.is_action.nonzero(as_tuple=True)
    last = torch.ones_like(row, dtype=torch.bool)
    last[:-1] = row[1:] != row[:-1]
    return ActionTokens(row, position - 1, batch.ids[row, position], batch.reward[row, position], last)


def final_states(batch: Tokens) -> tuple[Tensor, Tensor]:
    """(row, at), both (B,): the last token of every game, the state in which it stopped."""
    lengths = (batch.mask > 0).sum(dim=1)
    return torch.arange(len(lengths), device=lengths.device), lengths - 1


def returns_to_go(reward: Tensor, last: Tensor, gamma: float, tail: Tensor | None = None) -> Tensor:
    """(N,) sums of later rewards, discounted once per action token; float64 inside.

    `tail` (N,), where given, is what follows a game's last token (read at `last`).
    """
    values = np.empty(len(reward))
    ends, earned = last.cpu().numpy(), reward.double().cpu().numpy()
    after = None if tail is None else tail.double().cpu().numpy()
    running = 0.0
    for i in range(len(earned) - 1, -1, -1):
        if ends[i]:
            running = 0.0 if after is None else float(after[i])
        running = earned[i] + gamma * running
        values[i] = running
    return torch.from_numpy(values).to(reward)


def return_bounds(games: Sequence[Tokens], gamma: float) -> tuple[float, float]:
    """The lowest and highest discounted return that a game like these can have.

    The worst and the best reward seen, earned at every utterance of a game as long as the longest, or
    what a game really had where that is more; never above 0 at the bottom nor below it at the top,
    since a game may end at once.
    """
    worst = best = lowest = highest = 0.0
    turns, spacing = 1, 1.0
    for game in games:
        reward = game.reward[game.is_action]
        worst, best = min(worst, float(reward.min())), max(best, float(reward.max()))
        had = returns_to_go(reward, torch.arange(len(reward)) == len(reward) - 1, gamma)
        lowest, highest = min(lowest, float(had.min())), max(highest, float(had.max()))
        count = int((game.reward != 0).sum()) or 1
        if count > turns:
            turns, spacing = count, len(reward) / count
    rate = gamma**spacing
    reach = turns if rate == 1 else (1 - rate**turns) / (1 - rate)
    return min(worst * reach, lowest), max(best * reach, highest)


def advantages(
    reward: Tensor, value: Tensor, next_value: Tensor, last: Tensor, gamma: float, lam: float
) -> Tensor:
    """(N,) generalised advantage estimates (arXiv 1506.02438, eq. 16) of games one after the other.

    Added to `value` they are lambda-returns: 0 looks at the next value alone, 1 at no value of a whole game.
    """
    delta = (reward + gamma * next_value - value).double().cpu().numpy()
    ends = last.cpu().numpy()
    out = np.empty_like(delta)
    running = 0.0
    for i in range(len(delta) - 1, -1, -1):
        running = delta[i] + (0.0 if ends[i] else gamma * lam * running)
        out[i] = running
    return torch.from_numpy(out).to(reward)


class Encoder:
    """Texts to token ids: each turn on its own, sampled ids kept, nothing added.

    A game is written as windows, so that learning sees exactly what acting saw (`visible`): one
    window where the whole history is seen, else one for the beginning and one for each later action.
    Raises `ValueError` for a `context` below 1: an agent that sees nothing cannot go on from it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int | None) -> None:
        if context is not None and context < 1:
            raise ValueError(f"context must be None or at least 1, got {context}")
        self.tokenizer = tokenizer
        self.context = context
        self._known: dict[str, tuple[int, ...]] = {}

    def turn(self, turn: Turn) -> tuple[int, ...]:
        """The ids of one turn: those that were sampled, if any, else its text encoded on its own."""
        if turn.tokens:
            return turn.tokens
        ids = self._known.get(turn.text)
        if ids is None:
            ids = tuple(self.tokenizer.encode(turn.text, add_special_tokens=False))
            if len(self._known) < 100_000:
                self._known[turn.text] = ids
        return ids

    @cached_property
    def stops(self) -> frozenset[int]:
        """The tokens that end an utterance: those with a newline in them, and the special ones."""
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return self._special | {i for i, text in enumerate(texts) if "\n" in text}

    @cached_property
    def _special(self) -> frozenset[int]:
        """Marks that are no text, such as the end of text or of a chat's turn."""
        added = self.tokenizer.added_tokens_decoder.items()
        return frozenset({*self.tokenizer.all_special_ids, *(i for i, token in added if token.special)})

    def said(self, tokens: tuple[int, ...], log_probs: tuple[float, ...]) -> Action:
        """The utterance that was sampled as `tokens`, one that ended at one of `stops` or was cut.

        A special token at its end is written as a newline. That text is not what was sampled, so it
        has no ids.
        """
        if tokens and tokens[-1] in self._special:
            return Action(self._text(tokens[:-1]) + "\n")
        return Action(self._text(tokens), tokens, log_probs)

    def _text(self, tokens: tuple[int, ...]) -> str:
        return str(self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    def prompt(self, history: History) -> tuple[int, ...]:
        """The ids a model acts on: the plain concatenation of the turns that it sees."""
        return tuple(token for turn in visible(history, self.context) for token in self.turn(turn))

    def trajectory(self, trajectory: Trajectory) -> Tokens:
        """The whole game, (T,)."""
        ids: list[int] = []
        mask: list[int] = []
        is_action: list[bool] = []
        reward: list[float] = []
        for number, (seen, learned_from) in enumerate(self._windows(trajectory), start=1):
            for i, turn in enumerate(seen):
                tokens = self.turn(turn)
                learned = turn.is_action and i >= learned_from
                ids += tokens
                mask += [number] * len(tokens)
                is_action += [learned] * len(tokens)
                reward += [0.0] * len(tokens)
                if learned and tokens:
                    reward[-1] = turn.reward
        return Tokens(
            torch.tensor(ids, dtype=torch.int64),
            torch.tensor(mask, dtype=torch.int64),
            torch.tensor(is_action, dtype=torch.bool),
            torch.tensor(reward, dtype=torch.float32),
            torch.tensor(trajectory.terminated),
        )

    def _windows(self, trajectory: Trajectory) -> Iterator[tuple[History, int]]:
        """(turns, index of the first one to learn from) for each window."""
        turns, context = trajectory.turns, self.context
        if context is None or len(turns) <= context:
            yield turns, 0
            return
        first = context + 1 if turns[context].is_action else context
        yield turns[:first], 0
        for i in range(first, len(turns)):
            if turns[i].is_action:
                seen = visible(turns[:i], context)
                yield (*seen, turns[i]), len(seen)
        if not trajectory.terminated and not turns[-1].is_action:
            yield visible(turns, context), context  # the state to bootstrap from


def pieces(game: Kind, windows: int) -> list[Kind]:
    """A game (T,) cut into its first window and runs of at most `windows` later ones.

    Every piece but the last ends, as truncated, in the state of the action that comes next: one-step
    backups and columns worked out before are those of the whole game. 0 leaves the game whole. A
    piece without an action is left out: the one before it already ends in its state.
    """
    last = int(game.mask[-1])
    if windows < 1 or last < 2:
        return [game]
    # of windows 1 ... last, and the end
    begins = torch.searchsorted(game.mask, torch.arange(1, last + 2)).tolist()
    firsts = [1, *range(2, last + 1, windows)]
    parts = [_piece(game, begins, first, following) for first, following in pairwise((*firsts, last + 1))]
    return [part for part in parts if bool(part.is_action.any())]


def _piece(game: Kind, begins: Sequence[int], first: int, following: int) -> Kind:
    """Windows `first` to `following` - 1 and what is seen at the beginning of window `following`."""
    begin, end = begins[first - 1], begins[following - 1]
    if following == len(begins):
        stop = end
    else:
        acts = game.is_action[end : begins[following]].nonzero()
        stop = end + int(acts[0]) if len(acts) else begins[following]
    cells = {
        f.name: column[begin:stop].clone() if (column := getattr(game, f.name)).dim() else column.clone()
        for f in fields(game)
    }
    if following < len(begins):
        cells["terminated"] = torch.tensor(False)
    return type(game)(**cells)


def stack(games: Sequence[Kind]) -> Kind:
    """A batch (B, T) of games (T,), padded on the right. All games are of one kind."""
    first = games[0]
    columns = []
    for field in fields(first):
        column = [getattr(game, field.name) for game in games]
        columns.append(
            torch.stack(column)
            if column[0].dim() == 0
            else torch.nn.utils.rnn.pad_sequence(column, batch_first=True)
        )
    return type(first)(*columns)
