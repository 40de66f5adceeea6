"""Rows of a key-value cache: which of them are attended to, how far, and that nothing else changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from baselines.core.model import LM, Base
from baselines.core.slots import ATTENTION, Group, Slots, attend

CPU = torch.device("cpu")


def slots_of(lengths: list[int], is_text: list[list[bool]]) -> Slots:
    slots = Slots(len(lengths), CPU)
    slots.keep(lengths)
    slots.reading(torch.tensor(is_text))
    return slots


def test_only_groups_with_something_to_read_are_attended_to_and_only_as_far_as_their_text_goes() -> None:
    # 16 rows are 8 groups of 2; rows 3 and 14 read a token, which makes texts of 65 and 11
    lengths = [500] * 16
    lengths[3], lengths[14] = 64, 10
    slots = slots_of(lengths, [[row in (3, 14)] for row in range(16)])
    assert slots.groups == [Group(2, 4, 128), Group(14, 16, 64)]


def test_fewer_rows_than_groups_are_groups_of_one() -> None:
    assert slots_of([0, 0, 0], [[True, True], [False, False], [False, True]]).groups == [
        Group(0, 1, 64),
        Group(2, 3, 64),
    ]


@pytest.mark.parametrize("shared", [1, 3])
@pytest.mark.parametrize("columns", [1, 8])
def test_rows_that_read_see_their_own_text_and_the_others_nothing(columns: int, shared: int) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [70, 5, 0, 200]
    slots = slots_of(lengths, [[row != 1] * columns for row in range(4)])
    width = slots.width
    query = torch.randn(4, 2 * shared, columns, 16, generator=generator)
    key, value = (torch.randn(4, 2, width, 16, generator=generator) for _ in range(2))
    mask = torch.zeros(slots.sees.shape).masked_fill(~slots.sees, torch.finfo(torch.float32).min)
    layer = cast(Any, SimpleNamespace(num_key_value_groups=shared, is_causal=True))
    found, _ = attend(layer, query, key, value, mask, scaling=0.25, slots=slots)
    for row, held in enumerate(lengths):
        for column in range(columns):
            for head in range(2 * shared):
                text = held + column + 1  # what is held, and what is read up to here
                scores = key[row, head // shared, :text] @ query[row, head, column] * 0.25
                expected = scores.softmax(dim=0) @ value[row, head // shared, :text]
                expected = expected * (row != 1)
                torch.testing.assert_close(found[row, column, head], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_model_attends_by_rows_while_it_reads_into_slots_and_only_then(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = LM(base)
    seen: list[str] = []
    decoder = lm.model.get_decoder()
    forward = decoder.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(lm.model.config._attn_implementation)
        return forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", watched)
    slots = Slots(2, CPU)
    ids, is_text = torch.tensor([[1, 2], [3, 4]]), torch.ones(2, 2, dtype=torch.bool)
    lm.hidden(ids, slots.reading(is_text), None, slots)
    lm.hidden(ids, is_text.long(), None)
    assert seen == [ATTENTION, "sdpa"]
