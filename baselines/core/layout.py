"""How the windows of a batch are laid out for the model: each distinct one once, common beginnings shared.

Where an agent sees only the newest observation, most windows of a batch are repeats, and those
that are not differ in a few last tokens. Windows with a long common beginning become one line: the
beginning (the stem), then every ending (the branches), each seeing only the stem and itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_CHUNK_TOKENS = 16_384
_CHUNK_STRETCH = 1.25
_SHORTEST_STEM = 4
_STEM_SHARE = 0.75
_LONGEST_LINE = 256
"""Tokens of a line with branches: its attention is explicit, so it costs their square."""


class Chunk(NamedTuple):
    """Lines of similar length, padded on the right."""

    ids: Tensor
    """(U, L)"""
    positions: Tensor
    """(U, L)"""
    mask: Tensor | None
    """(U, 1, L, L) bool, which token sees which; None: each sees all before it"""


@dataclass(frozen=True)
class Layout:
    """The distinct windows of a batch, and where each token of the batch finds its hidden state."""

    chunks: tuple[Chunk, ...]
    index: Tensor
    """(B, T) -> row of the concatenated, flattened hidden states; padding points to the first"""


@dataclass
class _Line:
    """Windows with a common stem."""

    stem: np.ndarray
    members: list[int]
    lengths: list[int]

    @property
    def width(self) -> int:
        stem = len(self.stem)
        return stem + sum(length - stem for length in self.lengths)


def layout(ids: Tensor, mask: Tensor) -> Layout:
    """Lay out `ids` (B, T), where `mask` (B, T) numbers the windows of each row (0: padding)."""
    tokens, numbers = ids.cpu().numpy(), mask.cpu().numpy()
    known: dict[bytes, int] = {}
    windows: list[np.ndarray] = []
    places: list[tuple[int, int, int]] = []  # (row, start, number of its distinct window)
    for row in range(len(tokens)):
        borders = np.flatnonzero(numbers[row, 1:] != numbers[row, :-1]) + 1
        for start, end in pairwise((0, *borders.tolist(), tokens.shape[1])):
            if numbers[row, start]:
                window = tokens[row, start:end]
                number = known.setdefault(window.tobytes(), len(windows))
                if number == len(windows):
                    windows.append(window)
                places.append((row, start, number))
    rows, chunks = _chunks(windows)
    index = np.zeros(tokens.shape, dtype=np.int64)
    for row, start, number in places:
        index[row, start : start + len(windows[number])] = rows[number]
    return Layout(tuple(_on(chunk, ids.device) for chunk in chunks), torch.from_numpy(index).to(ids.device))


def _lines(windows: Sequence[np.ndarray]) -> list[_Line]:
    """Windows gathered by long common beginnings."""
    lines: list[_Line] = []
    # Sorted by their bytes, windows with a common beginning stand side by side.
    for i in sorted(range(len(windows)), key=lambda i: windows[i].tobytes()):
        window = windows[i]
        if lines and _joins(lines[-1], i, window):
            continue
        lines.append(_Line(window, [i], [len(window)]))
    return lines


def _joins(line: _Line, number: int, window: np.ndarray) -> bool:
    """Add `window` to `line` if most of it is the line's stem, and most of the stem is its own."""
    shorter = min(len(line.stem), len(window))
    differs = np.flatnonzero(line.stem[:shorter] != window[:shorter])
    common = int(differs[0]) if len(differs) else shorter
    lengths = [*line.lengths, len(window)]
    width = common + sum(length - common for length in lengths)
    longest = max(len(window), len(line.stem))
    if common < max(_SHORTEST_STEM, _STEM_SHARE * longest) or width > _LONGEST_LINE:
        return False
    line.stem, line.lengths = line.stem[:common], lengths
    line.members.append(number)
    return True


def _chunks(windows: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[Chunk]]:
    """Lines of similar length padded together; for each window the flat rows of its tokens."""
    rows = [np.empty(0, dtype=np.int64)] * len(windows)
    chunks, offset = [], 0
    lines = sorted(_lines(windows), key=lambda line: line.width)
    while lines:
        count = 1
        while count < len(lines):
            width = lines[count].width
            if width > lines[0].width * _CHUNK_STRETCH + 8 or width * (count + 1) > _CHUNK_TOKENS:
                break
            count += 1
        width = lines[count - 1].width
        chunks.append(_chunk(lines[:count], width, windows, rows, offset))
        offset += count * width
        lines = lines[count:]
    return rows, chunks


def _chunk(
    lines: Sequence[_Line], width: int, windows: Sequence[np.ndarray], rows: list[np.ndarray], offset: int
) -> Chunk:
    """One chunk of `lines`; writes into `rows` where the tokens of their windows are."""
    shape = (len(lines), width)
    ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    branch = np.full(shape, -1)  # 0 the stem, then the branches; -1 padding
    for number, line in enumerate(lines):
        stem, end = len(line.stem), len(line.stem)
        ids[number, :stem], positions[number, :stem] = line.stem, np.arange(stem)
        branch[number, :stem] = 0
        for i, length in zip(line.members, line.lengths, strict=True):
            begin, end = end, end + length - stem
            ids[number, begin:end] = windows[i][stem:]
            positions[number, begin:end] = np.arange(stem, length)
            branch[number, begin:end] = i + 1
            rows[i] = offset + number * width + np.concatenate([np.arange(stem), np.arange(begin, end)])
    mask = None
    if any(len(line.members) > 1 for line in lines):
        one = torch.from_numpy(branch)
        sees = (one[:, None, :] == one[:, :, None]) | (one[:, None, :] == 0)
        mask = (sees & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    return Chunk(torch.from_numpy(ids), torch.from_numpy(positions), mask)


def _on(chunk: Chunk, device: torch.device) -> Chunk:
    mask = None if chunk.mask is None else chunk.mask.to(device)
    return Chunk(chunk.ids.to(device), chunk.positions.to(device), mask)
