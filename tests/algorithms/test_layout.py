"""Windows laid out with shared stems are computed as if each were read alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines.core import layout as layout_module
from baselines.core.algorithm import POLICY
from baselines.core.layout import layout
from baselines.core.model import LM, Base

STEM = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8)


@pytest.fixture(scope="module")
def adapted(base: Base) -> LM:
    """A model whose adapter "policy" matters."""
    lm = LM(base)
    lm.add_adapter(POLICY, 4, 0)
    with torch.no_grad():
        for weight in lm.adapter(POLICY).values():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) / 4)
    return lm


def batch(games: Sequence[Sequence[tuple[int, ...]]]) -> tuple[Tensor, Tensor]:
    """(ids, mask) of games given as their windows."""
    rows = [[token for window in game for token in window] for game in games]
    numbers = [[k for k, window in enumerate(game, 1) for _ in window] for game in games]
    width = max(len(row) for row in rows)
    padded = [
        torch.tensor([row + [0] * (width - len(row)) for row in column], dtype=torch.int64)
        for column in (rows, numbers)
    ]
    return padded[0], padded[1]


def alone(lm: LM, window: tuple[int, ...]) -> Tensor:
    """(L, D) hidden states of one window by the plain model. The adapter in use is the last one used."""
    decoder = lm.model.get_decoder()
    hidden: Tensor = decoder(input_ids=torch.tensor([window]), use_cache=False).last_hidden_state[0]
    return hidden


def assert_as_alone(lm: LM, games: Sequence[Sequence[tuple[int, ...]]]) -> None:
    hidden = lm.hidden(*batch(games), POLICY)
    for row, game in enumerate(games):
        expected = torch.cat([alone(lm, window) for window in game])
        torch.testing.assert_close(hidden[row, : len(expected)], expected, atol=1e-4, rtol=1e-4)


tokens = st.integers(0, 20)
windows = st.one_of(
    st.lists(tokens, min_size=1, max_size=6).map(tuple),
    # a common beginning, cut or not, and an ending of its own
    st.builds(
        lambda keep, ending: (*STEM[:keep], *ending),
        st.integers(4, len(STEM)),
        st.lists(tokens, max_size=4),
    ),
)


@given(games=st.lists(st.lists(windows, min_size=1, max_size=5), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_hidden_states_are_those_of_each_window_alone(
    adapted: LM, games: list[list[tuple[int, ...]]]
) -> None:
    with torch.no_grad():
        assert_as_alone(adapted, games)


@torch.no_grad()
def test_single_tokens_and_a_window_that_begins_another(adapted: LM) -> None:
    assert_as_alone(adapted, [[(7,)], [(7,), (8,), (7,)], [STEM, STEM[:6], (*STEM, 2)]])


@torch.no_grad()
def test_windows_longer_than_a_line_with_branches(adapted: LM) -> None:
    long = tuple(i % 19 for i in range(200))
    assert_as_alone(adapted, [[(*long, 1), (*long, 2)], [(*long, 3, 3), long]])


@torch.no_grad()
def test_many_windows_fall_into_several_chunks(adapted: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "_CHUNK_TOKENS", 40)
    games = [[tuple((i * j + 3) % 23 for j in range(1, 2 + i))] for i in range(1, 20)]
    assert len(layout(*batch(games)).chunks) > 4
    assert_as_alone(adapted, games)


@torch.no_grad()
def test_padding_changes_nothing_and_points_to_some_state(adapted: LM) -> None:
    ids, mask = batch([[(5, 6, 7)], [(5, 6, 7, 8, 9, 9, 9)]])
    narrow = adapted.hidden(ids[:1, :3].clone(), mask[:1, :3].clone(), POLICY)
    torch.testing.assert_close(adapted.hidden(ids, mask, POLICY)[0, :3], narrow[0], atol=1e-4, rtol=1e-4)
    index = layout(ids, mask).index
    assert index.shape == ids.shape
    assert index[0, 3:].tolist() == [0] * 4


def computed(games: Sequence[Sequence[tuple[int, ...]]]) -> int:
    """How many tokens the model reads for a batch."""
    return sum(chunk.ids.numel() for chunk in layout(*batch(games)).chunks)


def test_equal_windows_are_read_once() -> None:
    assert computed([[STEM, STEM], [STEM, (7,)]]) == computed([[STEM, (7,)]])


def test_a_common_beginning_is_read_once() -> None:
    # the stem of 12 tokens, then an ending of one for each of four windows
    assert computed([[(*STEM, i)] for i in range(4)]) == 12 + 4


def test_the_whole_is_differentiated_as_each_window_alone(adapted: LM) -> None:
    games: list[list[tuple[int, ...]]] = [[(*STEM, 1), (*STEM, 2)], [(*STEM, 1), (4, 4)]]
    weights = list(adapted.adapter(POLICY).values())
    scale = torch.randn(32, generator=torch.Generator().manual_seed(2))
    ids, mask = batch(games)
    ours = (adapted.hidden(ids, mask, POLICY)[mask > 0] @ scale).square().sum()
    theirs = torch.stack([(alone(adapted, w) @ scale).square().sum() for game in games for w in game]).sum()
    for found, expected in zip(
        torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_states_are_those_of_hidden_and_each_is_there_once(adapted: LM) -> None:
    ids, mask = batch([[(*STEM, 1), (*STEM, 2)], [(*STEM, 1)]])
    row, at = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([11, 24, 11, 3, 16])
    distinct, of = adapted.states(ids, mask, POLICY, row, at)
    torch.testing.assert_close(distinct[of], adapted.hidden(ids, mask, POLICY)[row, at])
    # 11, 24 = 13 + 11 and row 1's 11 are one state; 3 and 16 = 13 + 3 are another
    assert len(distinct) == 2
    assert len(set(of.tolist())) == 2


@torch.no_grad()
def test_another_mask_over_the_same_ids_is_laid_out_anew(adapted: LM) -> None:
    ids, one_window = batch([[(5, 6, 7, 8)]])
    two_windows = torch.tensor([[1, 1, 2, 2]])
    together = adapted.hidden(ids, one_window, POLICY)
    apart = adapted.hidden(ids, two_windows, POLICY)
    torch.testing.assert_close(apart[0, 2:], alone(adapted, (7, 8)), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0, 2:], apart[0, 2:], atol=1e-2)
