"""Key-value caches in which every game has a row of its own, which is as long as its own text.

Nothing is moved when rows grow by different numbers of tokens, when a row begins another game or when it
goes back to an earlier token: a row is the beginning of a buffer, and its length is a number.

What a turn costs more in a long game is the reading of keys and values. On a CPU they are read only where a
row has something to say, and only as far as its text goes (`attend`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward

WIDTH_STEP = 64
"""Rows are attended to in whole steps, so that rounding hardly depends on how long the others are."""
ATTENTION = "lmrlgym_slots"
"""The name under which models find `attend`."""
_GROUPS = 8
"""Neighbouring rows are attended to together, in so many groups: no work in Python grows with the rows."""


class Group(NamedTuple):
    """Rows `begin` to `end` - 1, some of which read tokens; none of them sees a column from `width` on."""

    begin: int
    end: int
    width: int


class Slots(dict[str, Cache]):
    """`Caches` of `rows` texts: a cache an adapter, and what all of them know of the tokens being read."""

    def __init__(
        self, rows: int, device: torch.device, merged: dict[str, list[Tensor]] | None = None
    ) -> None:
        super().__init__()
        self.device = device
        self.merged = {} if merged is None else merged
        """adapter -> the weights of the layers it adapts, with its own added, where that is done"""
        self.row = torch.arange(rows, device=device)[:, None]
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.capacity = WIDTH_STEP
        self.width = 0
        """Columns that are attended to, the tokens being read included."""
        self.positions = self.lengths[:, None]
        """(B, T) of the tokens being read"""
        self.places = self.lengths[:, None]
        """(B, T) the columns they are written to; padding goes to the one after the last"""
        self.sees = torch.ones(rows, 1, 1, 1, dtype=torch.bool, device=device)
        """(B, 1, T, width)"""
        self.groups: list[Group] = []
        """The rows that read tokens; on a GPU, which would have to wait for the numbers, all of them."""
        self._longest = 0

    def keep(self, lengths: Sequence[int]) -> None:
        """Let each row hold its first `lengths[i]` tokens only."""
        self.lengths = torch.tensor(lengths, dtype=torch.int64, device=self.device)
        self._longest = max(lengths)

    def reading(self, is_text: Tensor) -> Tensor:
        """Make room for (B, T) tokens, of which `is_text` (bool) are no padding, and count them as held.

        Gives the mask (B, past + T) that `LM.hidden` takes: 1 on text, 0 on padding.
        """
        past = torch.arange(self._longest, device=self.device) < self.lengths[:, None]
        self._longest += is_text.shape[1]
        self.width = -(-self._longest // WIDTH_STEP) * WIDTH_STEP
        while self.capacity < self.width:
            self.capacity *= 2
        self.positions = (self.lengths[:, None] + is_text.cumsum(dim=1) - 1).clamp(min=0)
        self.places = torch.where(is_text, self.positions, self.capacity)
        columns = torch.arange(self.width, device=self.device)
        self.sees = (columns <= self.positions[:, :, None])[:, None]
        self.lengths = self.lengths + is_text.sum(dim=1)
        self.groups = self._groups(is_text)
        return torch.cat([past, is_text], dim=1).long()

    def _groups(self, is_text: Tensor) -> list[Group]:
        rows = len(is_text)
        if self.device.type != "cpu":
            return [Group(0, rows, self.width)]
        size = -(-rows // _GROUPS)
        reach = torch.where(is_text.any(dim=1), self.lengths, 0)
        return [
            Group(begin, min(begin + size, rows), -(-longest // WIDTH_STEP) * WIDTH_STEP)
            for begin, part in zip(range(0, rows, size), reach.split(size), strict=True)
            if (longest := int(part.max()))
        ]

    def cache(self, name: str) -> Cache:
        """The cache of one adapter."""
        if name not in self:
            self[name] = Cache(layer_class_to_replicate=cast(Any, partial(_SlotLayer, self)))
        return self[name]


class _SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, each (B, heads, capacity + 1, width of a head)."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots
        self.buffers: tuple[Tensor, ...] = ()
        """the keys and the values"""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Empty buffers for states like these, (B, heads, T, width of a head)."""
        self.buffers = (self._buffer(key_states), self._buffer(value_states))
        self.is_initialized = True

    def _buffer(self, states: Tensor) -> Tensor:
        rows, heads, _, width = states.shape
        return states.new_zeros(rows, heads, self.slots.capacity + 1, width)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Write the states of the tokens being read; give those of all columns that are attended to."""
        slots, states = self.slots, (key_states, value_states)
        if not self.is_initialized:
            self.lazy_initialization(*states)
        if self.buffers[0].shape[2] <= slots.capacity:
            self.buffers = tuple(
                torch.cat([old[:, :, :-1], self._buffer(new)[:, :, old.shape[2] - 1 :]], dim=2)
                for old, new in zip(self.buffers, states, strict=True)
            )
        for buffer, new in zip(self.buffers, states, strict=True):
            buffer[slots.row, :, slots.places] = new.transpose(1, 2)
        return tuple(buffer[:, :, : slots.width] for buffer in self.buffers)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns, the first one)"""
        return self.slots.width, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.slots.width

    def get_max_length(self) -> int:
        """There is none."""
        return -1


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float,
    slots: Slots,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(B, T, heads, width of a head): what the groups of `slots` see; zeros for rows that read nothing.

    One token a row is done by two products of matrices, which read the cache about as fast as the machine
    can; PyTorch's fused attention took 1.3 to 1.8 times as long.
    """
    rows, heads, length, width = query.shape
    seen = query.new_zeros(rows, length, heads, width)
    for begin, end, columns in slots.groups:
        part = slice(begin, end)
        asked, keys, values = query[part], key[part, :, :columns], value[part, :, :columns]
        mask = attention_mask[part, ..., :columns]
        if length == 1:
            # (rows, heads of the cache, queries of each, width)
            shared = asked.reshape(end - begin, key.shape[1], -1, width)
            scores = torch.matmul(shared, keys.transpose(2, 3)).mul_(scaling).add_(mask)
            seen[part] = torch.matmul(scores.softmax(dim=-1), values).view(end - begin, 1, heads, width)
        else:
            found, _ = sdpa_attention_forward(module, asked, keys, values, mask, scaling=scaling, **kwargs)
            seen[part] = found
    return seen, None


AttentionInterface.register(ATTENTION, attend)
