"""Sampling tokens for many games at once, each from its own random stream.

Games with the same text share one row of the computation; rows split where their samples differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from baselines.core.model import Caches

NextLogits = Callable[[Tensor, Tensor, Caches], Tensor]
"""(ids (B, T), mask (B, past + T), caches) -> logits (B, V) after the last token."""

_MEMORY_BYTES = 64 * 2**20


class Sampled(NamedTuple):
    """The tokens said and the log-probability of each under the distribution it was drawn from."""

    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


class Sampler:
    """Draws from `next_logits` until a token in `stops` or `max_new_tokens`.

    Temperature 0 is arg-max. Log-probabilities (V,) are remembered by prefix while the weights
    stay, which makes repeated states free; make a new sampler after a gradient step.
    """

    def __init__(
        self,
        next_logits: NextLogits,
        stops: frozenset[int],
        max_new_tokens: int,
        temperature: float,
        device: torch.device,
    ) -> None:
        self.next_logits = next_logits
        self.stops = stops
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.device = device
        self._memory: dict[tuple[int, ...], np.ndarray] = {}

    @torch.no_grad()
    def sample(self, prompts: Sequence[tuple[int, ...]], rngs: Sequence[Generator]) -> list[Sampled]:
        """One utterance a prompt. `rngs[i]` is drawn from once per token of game i."""
        said: list[list[int]] = [[] for _ in prompts]
        log_probs: list[list[float]] = [[] for _ in prompts]
        running = list(range(len(prompts)))
        reader = _Reader(self.next_logits, self.device)
        for _ in range(self.max_new_tokens):
            prefixes = {i: (*prompts[i], *said[i]) for i in running}
            known = self._known(reader, list(dict.fromkeys(prefixes.values())))
            for i in running:
                token, log_prob = self._draw(known[prefixes[i]], rngs[i])
                said[i].append(token)
                log_probs[i].append(log_prob)
            running = [i for i in running if said[i][-1] not in self.stops]
            if not running:
                break
        return [Sampled(tuple(t), tuple(p)) for t, p in zip(said, log_probs, strict=True)]

    def _known(self, reader: _Reader, prefixes: list[tuple[int, ...]]) -> dict[tuple[int, ...], np.ndarray]:
        """log-probabilities (V,) of every prefix, computed where they are not remembered."""
        missing = [prefix for prefix in prefixes if prefix not in self._memory]
        known = {prefix: self._memory[prefix] for prefix in prefixes if prefix in self._memory}
        if missing:
            logits = reader.read(missing).float()
            scale = self.temperature if self.temperature > 0 else 1.0
            rows = torch.log_softmax(logits / scale, dim=-1).cpu().numpy()
            known.update(zip(missing, rows, strict=True))
            if (len(self._memory) + len(missing)) * rows[0].nbytes <= _MEMORY_BYTES:
                self._memory.update(zip(missing, rows, strict=True))
        return known

    def _draw(self, log_probs: np.ndarray, rng: Generator) -> tuple[int, float]:
        if self.temperature == 0:
            token = int(log_probs.argmax())
        else:
            cumulated = np.cumsum(np.exp(log_probs, dtype=np.float64))
            token = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
            token = min(token, len(log_probs) - 1)
        return token, float(log_probs[token])


class _Reader:
    """Reads prefixes on from those it read last, through their caches."""

    def __init__(self, next_logits: NextLogits, device: torch.device) -> None:
        self.next_logits = next_logits
        self.device = device
        self._rows: dict[tuple[int, ...], int] = {}
        self._caches: Caches = {}
        self._mask = torch.zeros(0, 0, dtype=torch.int64)

    def read(self, prefixes: list[tuple[int, ...]]) -> Tensor:
        """(B, V) logits after each prefix."""
        parents = [self._rows.get(prefix[:-1], -1) for prefix in prefixes]
        if self._rows and min(parents) >= 0:
            rows = torch.tensor(parents, device=self.device)
            for cache in self._caches.values():
                cache.batch_select_indices(rows)
            ids = torch.tensor([prefix[-1:] for prefix in prefixes], device=self.device)
            one = torch.ones(len(prefixes), 1, dtype=torch.int64, device=self.device)
            self._mask = torch.cat([self._mask[rows], one], dim=1)
        else:
            ids, self._mask = left_padded(prefixes, self.device)
            self._caches = {}
        self._rows = {prefix: row for row, prefix in enumerate(prefixes)}
        return self.next_logits(ids, self._mask, self._caches)


def left_padded(prefixes: Sequence[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(ids, mask), both (B, T): the texts end together, 0 before them."""
    width = max(len(prefix) for prefix in prefixes)
    ids = np.zeros((len(prefixes), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prefix in enumerate(prefixes):
        ids[row, width - len(prefix) :] = prefix
        mask[row, width - len(prefix) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
