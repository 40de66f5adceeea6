"""Sampling tokens for many games at once, each from its own random stream, each on from where it was.

A game keeps its row of a key-value cache from turn to turn: only what is new in its text is read. All
passes over the model have one of three shapes, and the tokens of a row are cut into passes by their own
number alone, so that what is said does not depend on the neighbours, nor on the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import PCG64, PCG64DXSM, Generator
from torch import Tensor

from baselines.core.model import Caches
from baselines.core.slots import Slots

NextLogits = Callable[[Tensor, Tensor, Caches], Tensor]
"""(ids (B, T), mask (B, past + T), caches) -> logits (B, V) after the last token."""

_BLOCK, _LONG_BLOCK = 8, 64
"""Tokens a row that are read in one pass; what is left after the long blocks goes into short ones."""
_WIDEST = {"cpu": 128}
_WIDEST_ON_GPU = 512
"""Rows of a pass where no width is asked for: more are slower, or take too much memory."""
_MEMORY_BYTES = 64 * 2**20


class Sampled(NamedTuple):
    """The tokens said and the log-probability of each under the distribution it was drawn from."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


class Sampler:
    """Draws from `next_logits` until a token in `stops` or `max_new_tokens`.

    Temperature 0 is arg-max. Position i is the same game from call to call, or another one: what its new
    text has in common with the last one is not read again. `width` is the number of rows of a pass,
    which stays; None: as many as there are positions in the first call, up to 128 (on a GPU 512). With
    `remembers`, log-probabilities (V,) are kept by prefix, which makes states that come again
    free. Make a new sampler after a gradient step.
    """

    def __init__(
        self,
        next_logits: NextLogits,
        stops: frozenset[int],
        max_new_tokens: int,
        temperature: float,
        device: torch.device,
        *,
        width: int | None = None,
        remembers: bool = True,
    ) -> None:
        if width is not None and width < 1:
            raise ValueError(f"width must be None or at least 1, got {width}")
        self.next_logits = next_logits
        self.stops = stops
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.device = device
        self.width = width
        self.remembers = remembers
        self._memory: dict[tuple[int, ...], Tensor] = {}
        self._merged: dict[str, list[Tensor]] = {}
        self._rows: list[_Rows] = []
        self._stops = torch.tensor(sorted(stops), dtype=torch.int64, device=device)

    @torch.no_grad()
    def sample(self, prompts: Sequence[tuple[int, ...]], rngs: Sequence[Generator]) -> list[Sampled]:
        """One utterance a prompt, none where it is (). `rngs[i]` is drawn from once per token of game i."""
        if self.width is None:
            widest = _WIDEST.get(self.device.type, _WIDEST_ON_GPU)
            self.width = max(1, min(len(prompts), widest))
        said: list[Sampled] = []
        for number, begin in enumerate(range(0, len(prompts), self.width)):
            if number == len(self._rows):
                self._rows.append(self._new_rows())
            some = list(prompts[begin : begin + self.width])
            some += [()] * (self.width - len(some))
            said += self._say(self._rows[number], some, rngs[begin : begin + self.width])
        return said[: len(prompts)]

    @torch.no_grad()
    def score(self, prompts: Sequence[tuple[int, ...]], said: Sequence[tuple[int, ...]]) -> list[float]:
        """The log-probability of sampling `said[i]` after `prompts[i]`, by the passes that sampling makes.

        -inf for what is not an utterance: without a stop at its end (and there alone) or too long. Positions
        are games as in `sample`; one whose prompt is () gets 0.
        """
        assert self.width is not None, "how many games at once is said by `width`"
        found: list[float] = []
        for number, begin in enumerate(range(0, len(prompts), self.width)):
            if number == len(self._rows):
                self._rows.append(self._new_rows())
            rest = self.width - len(prompts[begin : begin + self.width])
            some = [*prompts[begin : begin + self.width], *[()] * rest]
            found += self._score(self._rows[number], some, [*said[begin : begin + self.width], *[()] * rest])
        return found[: len(prompts)]

    def _score(self, rows: _Rows, prompts: list[tuple[int, ...]], said: list[tuple[int, ...]]) -> list[float]:
        lengths = torch.tensor([len(text) for text in said], device=self.device)
        longest = int(lengths.max())
        tokens = torch.tensor([[*text, *[0] * (longest - len(text))] for text in said], device=self.device)
        total = torch.zeros(len(said), dtype=torch.float64, device=self.device)
        for at in range(longest):
            running = lengths > at
            scores = rows.begin(prompts) if at == 0 else rows.go_on(tokens[:, at - 1], running)
            log_prob = scores.gather(1, tokens[:, at : at + 1])[:, 0].double()
            if self.temperature == 0:
                is_said = scores.argmax(dim=1) == tokens[:, at]
                log_prob = torch.where(is_said, 0.0, -math.inf).double()
            total += torch.where(running, log_prob, 0.0)
        if longest:
            rows.end([(*prompt, *text[:-1]) for prompt, text in zip(prompts, said, strict=True)])
        return [
            value if not prompt or self._is_utterance(text) else -math.inf
            for value, prompt, text in zip(total.tolist(), prompts, said, strict=True)
        ]

    def _is_utterance(self, tokens: tuple[int, ...]) -> bool:
        stops = [at for at, token in enumerate(tokens) if token in self.stops]
        is_cut = not stops and len(tokens) == self.max_new_tokens
        return is_cut or (stops == [len(tokens) - 1] and len(tokens) <= self.max_new_tokens)

    def _new_rows(self) -> _Rows:
        assert self.width is not None
        scale = self.temperature if self.temperature > 0 else 1.0
        caches = Slots(self.width, self.device, self._merged)
        if self.remembers:
            return _RememberingRows(self.next_logits, scale, caches, self._memory)
        return _Rows(self.next_logits, scale, caches)

    def _say(self, rows: _Rows, prompts: list[tuple[int, ...]], rngs: Sequence[Generator]) -> list[Sampled]:
        """One utterance in every row that has a prompt."""
        running = torch.tensor([bool(prompt) for prompt in prompts], device=self.device)
        if not running.any():
            return [Sampled((), ())] * len(prompts)
        draws = self._draws(prompts, rngs)
        tokens: list[Tensor] = []
        log_probs: list[Tensor] = []
        counts = torch.zeros(len(prompts), dtype=torch.int64, device=self.device)
        scores = rows.begin(prompts)
        while True:
            token = self._chosen(scores, draws[:, len(tokens)])
            tokens.append(token)
            log_probs.append(scores.gather(1, token[:, None])[:, 0])
            counts += running
            running = running & ~torch.isin(token, self._stops)
            if len(tokens) == self.max_new_tokens or not running.any():
                break
            scores = rows.go_on(token, running)
        lengths = counts.tolist()
        said = [
            Sampled(tuple(ids[:length]), tuple(values[:length]))
            for ids, values, length in zip(
                torch.stack(tokens, 1).tolist(), torch.stack(log_probs, 1).tolist(), lengths, strict=True
            )
        ]
        self._give_back(prompts, rngs, lengths)
        rows.end([(*prompt, *each.tokens[:-1]) for prompt, each in zip(prompts, said, strict=True)])
        return said

    def _chosen(self, log_probs: Tensor, draws: Tensor) -> Tensor:
        """(B,) the token at `draws` (B,) of the distribution's cumulated mass, or the likeliest."""
        if self.temperature == 0:
            return log_probs.argmax(dim=1)
        cumulated = log_probs.double().exp().cumsum(dim=1)
        token = (cumulated <= (draws * cumulated[:, -1])[:, None]).sum(dim=1)
        return token.clamp(max=log_probs.shape[1] - 1)

    def _draws(self, prompts: Sequence[tuple[int, ...]], rngs: Sequence[Generator]) -> Tensor:
        """(B, max_new_tokens) numbers in [0, 1), the next ones of each game's own stream."""
        draws = np.zeros((len(prompts), self.max_new_tokens))
        if self.temperature > 0:
            for row, rng in enumerate(rngs):
                if prompts[row]:
                    draws[row] = rng.random(self.max_new_tokens)
        return torch.from_numpy(draws).to(self.device)

    def _give_back(
        self, prompts: Sequence[tuple[int, ...]], rngs: Sequence[Generator], used: Sequence[int]
    ) -> None:
        """Set the streams to after the draws that were used, where they can go back (numpy's default can)."""
        if self.temperature > 0:
            for prompt, rng, count in zip(prompts, rngs, used, strict=False):
                bits = rng.bit_generator
                if prompt and isinstance(bits, PCG64 | PCG64DXSM):
                    bits.advance(count - self.max_new_tokens)


class _Rows:
    """Texts that are read on, one a row; gives the log-probabilities (B, V) of what follows."""

    def __init__(self, next_logits: NextLogits, scale: float, caches: Slots) -> None:
        self.next_logits = next_logits
        self.scale = scale
        self.caches = caches
        self.held: list[tuple[int, ...]] = [()] * len(caches.row)

    def begin(self, prompts: Sequence[tuple[int, ...]]) -> Tensor:
        """After each of `prompts`."""
        return self.read(prompts)

    def go_on(self, tokens: Tensor, running: Tensor) -> Tensor:
        """After one more of `tokens` (B,) in the rows that are `running` (B,)."""
        return self._pass(tokens[:, None], running[:, None])

    def end(self, texts: Sequence[tuple[int, ...]]) -> None:
        """`texts` have been read, where there are any."""
        self.held = [text or held for text, held in zip(texts, self.held, strict=True)]

    def read(self, texts: Sequence[tuple[int, ...]]) -> Tensor:
        """After each of `texts`, of which a row has to read what is new; rows without a text rest."""
        kept = [
            min(_common(held, text), len(text) - 1) if text else len(held)
            for held, text in zip(self.held, texts, strict=True)
        ]
        self.caches.keep(kept)
        for ids, is_text in _blocks([text[k:] for k, text in zip(kept, texts, strict=True)]):
            device = self.caches.device
            scores = self._pass(torch.from_numpy(ids).to(device), torch.from_numpy(is_text).to(device))
        self.end(texts)
        return scores

    def _pass(self, ids: Tensor, is_text: Tensor) -> Tensor:
        logits = self.next_logits(ids, self.caches.reading(is_text), self.caches)
        return torch.log_softmax(logits.float() / self.scale, dim=-1)


class _RememberingRows(_Rows):
    """Rows that read a text only if nobody has read the same before."""

    def __init__(
        self, next_logits: NextLogits, scale: float, caches: Slots, memory: dict[tuple[int, ...], Tensor]
    ) -> None:
        super().__init__(next_logits, scale, caches)
        self.memory = memory
        self.texts: list[tuple[int, ...]] = []

    def begin(self, prompts: Sequence[tuple[int, ...]]) -> Tensor:
        """After each of `prompts`."""
        self.texts = list(prompts)
        return self._recalled([bool(prompt) for prompt in prompts])

    def go_on(self, tokens: Tensor, running: Tensor) -> Tensor:
        """After one more of `tokens` (B,) in the rows that are `running` (B,)."""
        asked = running.tolist()
        for row, (token, wanted) in enumerate(zip(tokens.tolist(), asked, strict=True)):
            if wanted:
                self.texts[row] = (*self.texts[row], token)
        return self._recalled(asked)

    def end(self, texts: Sequence[tuple[int, ...]]) -> None:
        """What was read is known already."""

    def _recalled(self, asked: Sequence[bool]) -> Tensor:
        """Of the rows that are `asked`; the others get what some other gets."""
        known = [
            self.memory.get(text) if wanted else None for text, wanted in zip(self.texts, asked, strict=True)
        ]
        unknown = [row for row, scores in enumerate(known) if scores is None and asked[row]]
        if unknown:
            rows = set(unknown)
            scores = self.read([text if row in rows else () for row, text in enumerate(self.texts)])
            for row in unknown:
                known[row] = scores[row]
                if (len(self.memory) + 1) * scores[row].nbytes <= _MEMORY_BYTES:
                    self.memory[self.texts[row]] = scores[row].clone()
        some = next(scores for scores in known if scores is not None)
        return torch.stack([some if scores is None else scores for scores in known])

    def read(self, texts: Sequence[tuple[int, ...]]) -> Tensor:
        """After each of `texts`, and the rows hold them."""
        scores = super().read(texts)
        super().end(texts)
        return scores


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens two texts begin with alike."""
    if other[: len(one)] == one:
        return len(one)
    shorter = min(len(one), len(other))
    differs = np.flatnonzero(np.array(one[:shorter]) != np.array(other[:shorter]))
    return int(differs[0]) if len(differs) else shorter


def _blocks(texts: Sequence[tuple[int, ...]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, is_text), each (B, 8 or 64): the texts cut into passes; all end with the last pass."""
    long = [max(len(text) - 1, 0) // _LONG_BLOCK for text in texts]
    cuts = [_LONG_BLOCK * count for count in long]
    heads = _aligned([text[:cut] for text, cut in zip(texts, cuts, strict=True)], _LONG_BLOCK)
    return heads + _aligned([text[cut:] for text, cut in zip(texts, cuts, strict=True)], _BLOCK)


def _aligned(texts: Sequence[tuple[int, ...]], size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The texts side by side, ending together, in passes of `size` columns."""
    count = -(-max(len(text) for text in texts) // size)
    ids = np.zeros((len(texts), count * size), dtype=np.int64)
    is_text = np.zeros(ids.shape, dtype=bool)
    for row, text in enumerate(texts):
        if text:
            ids[row, -len(text) :] = text
            is_text[row, -len(text) :] = True
    return [(ids[:, i : i + size], is_text[:, i : i + size]) for i in range(0, count * size, size)]


def left_padded(prefixes: Sequence[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(ids, mask), both (B, T): the texts end together, 0 before them."""
    width = max(len(prefix) for prefix in prefixes)
    ids = np.zeros((len(prefixes), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prefix in enumerate(prefixes):
        ids[row, width - len(prefix) :] = prefix
        mask[row, width - len(prefix) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
