"""Games as tokens: what is encoded, where rewards stand, and that learning sees what acting saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from baselines.core.model import Base
from baselines.core.tokens import (
    Encoder,
    Tokens,
    action_tokens,
    final_states,
    pieces,
    return_bounds,
    returns_to_go,
    stack,
)
from lmrlgym import History, Trajectory, Turn, visible

CONTEXTS = (None, 1, 2, 4, 40)


class Letters:
    """A tokenizer that gives each letter its code point and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        self.asked.append(text)
        return [ord(letter) for letter in text]


def encoder(context: int | None = None) -> Encoder:
    return Encoder(cast("PreTrainedTokenizerBase", Letters()), context)


def game(turns: Sequence[Turn], terminated: bool = True) -> Trajectory:
    return Trajectory("a/game-v0", {}, tuple(turns), terminated, not terminated)


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


TALK = game([Turn("hi\n", False), Turn("yo\n", True, -1.0), Turn("ok\n", False), Turn("no\n", True, 2.0)])

games = st.builds(
    lambda speakers, terminated: game(
        [Turn("0:\n", False)]
        # every turn differs, and is one to four letters long
        + [
            Turn(f"{'ab'[speaks]}{i}\n"[-1 - i % 4 :], speaks, float(i) if speaks else 0.0)
            for i, speaks in enumerate(speakers, 1)
        ],
        terminated,
    ),
    st.lists(st.booleans(), min_size=1, max_size=12) | st.just([True, False] * 6),
    st.booleans(),
)


# ---- encoding ----


def test_each_turn_is_encoded_on_its_own_and_without_special_tokens() -> None:
    letters = Letters()
    found = Encoder(cast("PreTrainedTokenizerBase", letters), None).trajectory(TALK)
    assert letters.asked == [turn.text for turn in TALK.turns]
    assert found.ids.tolist() == ids("hi\nyo\nok\nno\n")


def test_sampled_ids_are_kept_though_the_text_would_be_encoded_otherwise() -> None:
    sampled = Turn("yo\n", True, -1.0, tokens=(7, 8))
    found = encoder().trajectory(game([Turn("hi\n", False), sampled]))
    assert found.ids.tolist() == [*ids("hi\n"), 7, 8]
    assert found.is_action.tolist() == [False] * 3 + [True] * 2
    assert found.reward.tolist() == [0, 0, 0, 0, -1]
    assert encoder().prompt((sampled,)) == (7, 8)


def test_an_utterance_is_paid_on_its_last_token() -> None:
    found = encoder().trajectory(TALK)
    assert found.reward.tolist() == [0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 2]
    assert found.is_action.tolist() == ([False] * 3 + [True] * 3) * 2
    assert found.mask.tolist() == [1] * 12


def test_an_action_without_tokens_is_paid_nowhere_and_pays_no_other_turn() -> None:
    found = encoder().trajectory(game([Turn("hi\n", False), Turn("", True, -5.0), Turn("ok\n", False)]))
    assert found.reward.tolist() == [0.0] * 6
    assert not found.is_action.any()


def test_generation_stops_at_every_token_with_a_newline_and_at_special_ones(base: Base) -> None:
    found = Encoder(base.tokenizer, None)
    texts = {i: base.tokenizer.decode([i]) for i in range(len(base.tokenizer))}
    newlines = {i for i, text in texts.items() if "\n" in text}
    assert newlines
    assert found.stops == newlines | set(base.tokenizer.all_special_ids)


def test_what_was_sampled_is_said_with_its_ids(base: Base) -> None:
    found = Encoder(base.tokenizer, None)
    tokens = tuple(base.tokenizer.encode("go left\n"))
    assert found.said(tokens, (0.5,) * len(tokens)) == ("go left\n", tokens, (0.5,) * len(tokens), None)


def test_a_special_token_at_the_end_is_a_newline_without_ids(base: Base) -> None:
    tokens = (*base.tokenizer.encode("go left"), base.tokenizer.pad_token_id)
    assert Encoder(base.tokenizer, None).said(tokens, (0.5,) * len(tokens)) == ("go left\n", (), (), None)


# ---- windows ----


def learned_turns(trajectory: Trajectory, context: int | None) -> list[tuple[list[int], list[int], float]]:
    """(what is seen before it, the utterance, its reward) of every action, as `Tokens` say it."""
    found = encoder(context).trajectory(trajectory)
    turns: list[tuple[list[int], list[int], float]] = []
    start = 0
    for i in range(len(found.ids)):
        if i and found.mask[i] != found.mask[i - 1]:
            start = i
        if not found.is_action[i]:
            continue
        begins = i == start or not found.is_action[i - 1] or found.ids[i - 1] == ord("\n")
        if begins:
            turns.append((found.ids[start:i].tolist(), [], 0.0))
        before, said, paid = turns.pop()
        turns.append((before, [*said, int(found.ids[i])], paid + float(found.reward[i])))
    return turns


@pytest.mark.parametrize("context", CONTEXTS)
@given(trajectory=games)
@settings(max_examples=60, deadline=None)
def test_every_action_is_learned_once_after_exactly_what_was_visible(
    trajectory: Trajectory, context: int | None
) -> None:
    turns = trajectory.turns
    expected = [
        (list(encoder().prompt(visible(turns[:i], context))), ids(turn.text), turn.reward)
        for i, turn in enumerate(turns)
        if turn.is_action
    ]
    assert learned_turns(trajectory, context) == expected


@pytest.mark.parametrize("context", CONTEXTS)
@given(trajectory=games)
@settings(max_examples=60, deadline=None)
def test_a_truncated_game_ends_in_the_state_to_bootstrap_from(
    trajectory: Trajectory, context: int | None
) -> None:
    if trajectory.terminated or trajectory.turns[-1].is_action:
        return
    batch = stack([encoder(context).trajectory(trajectory)])
    _, at = final_states(batch)
    window = batch.mask[0] == batch.mask[0, at]
    assert batch.ids[0][window].tolist() == list(encoder().prompt(visible(trajectory.turns, context)))


def test_no_reward_stands_outside_actions_that_are_learned() -> None:
    # context 3: the second window repeats the first action, unpaid
    turns: History = (*TALK.turns, Turn("by\n", False), Turn("go\n", True, 4.0))
    found = encoder(3).trajectory(game(turns))
    assert found.ids.tolist() == ids("hi\nyo\nok\nno\n" + "ok\nno\nby\ngo\n")
    assert found.mask.tolist() == [1] * 12 + [2] * 12
    assert found.is_action.nonzero().flatten().tolist() == [3, 4, 5, 9, 10, 11, 21, 22, 23]
    assert found.reward.nonzero().flatten().tolist() == [5, 11, 23]


def test_an_agent_that_sees_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="context must be None or at least 1, got 0"):
        encoder(0)


# ---- pieces ----


def backups(parts: Sequence[Tokens]) -> list[tuple[int, float, float]]:
    """(token, reward, value of the next state) of every action; a state's value is told by its text."""
    found = []
    for part in parts:
        batch = stack([part])
        actions = action_tokens(batch)
        values = torch.tensor([_value(part, at) for at in actions.at.tolist()])
        after = torch.tensor([_value(part, int(final_states(batch)[1]))]) * ~batch.terminated
        following = actions.next(values, after)
        found += list(zip(actions.action.tolist(), actions.reward.tolist(), following.tolist(), strict=True))
    return found


def _value(part: Tokens, at: int) -> float:
    """A number that differs for every text seen up to `at` in its window."""
    window = part.mask[: at + 1] == part.mask[at]
    value = 1.0
    for token in part.ids[: at + 1][window].tolist():
        value = (value * 31 + token) % 65_521
    return value


@pytest.mark.parametrize("context", [1, 2, 4])
@pytest.mark.parametrize("windows", [0, 1, 2, 5])
@given(trajectory=games)
@settings(max_examples=40, deadline=None)
def test_pieces_of_a_game_have_the_backups_of_the_whole(
    trajectory: Trajectory, context: int, windows: int
) -> None:
    whole = encoder(context).trajectory(trajectory)
    assert backups(pieces(whole, windows)) == backups([whole])


@pytest.mark.parametrize("context", [1, 2, 4])
@given(trajectory=games)
@settings(max_examples=40, deadline=None)
def test_every_piece_holds_an_action(trajectory: Trajectory, context: int) -> None:
    whole = encoder(context).trajectory(trajectory)
    if whole.is_action.any():
        assert all(bool(part.is_action.any()) for part in pieces(whole, 1))


def test_a_game_seen_whole_stays_in_one_piece() -> None:
    whole = encoder(None).trajectory(TALK)
    assert pieces(whole, 1) == [whole]


# ---- batches ----


@dataclass(frozen=True)
class Weighted(Tokens):
    """As an algorithm adds a column."""

    weight: Tensor


def columns(length: int, first: int) -> list[Tensor]:
    return [
        torch.arange(first, first + length),
        torch.ones(length, dtype=torch.int64),
        torch.ones(length, dtype=torch.bool),
        torch.full((length,), 2.0),
        torch.tensor(True),
    ]


def test_a_batch_is_padded_on_the_right_with_zeros_added_columns_too() -> None:
    batch = stack([Weighted(*(*columns(n, 5), torch.full((n,), 9.0))) for n in (3, 1)])
    assert type(batch) is Weighted
    assert batch.ids.tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.is_action.tolist() == [[True, True, True], [True, False, False]]
    assert batch.reward.tolist() == [[2, 2, 2], [2, 0, 0]]
    assert batch.weight.tolist() == [[9, 9, 9], [9, 0, 0]]
    assert batch.terminated.tolist() == [True, True]
    assert [tensor.dtype for tensor in (batch.ids, batch.mask)] == [torch.int64] * 2


def test_action_tokens_come_game_by_game_with_the_state_before_them() -> None:
    short = game([Turn("a\n", False), Turn("b\n", True, 3.0)])
    batch = stack([encoder().trajectory(TALK), encoder().trajectory(short)])
    found = action_tokens(batch)
    assert found.row.tolist() == [0] * 6 + [1] * 2
    assert found.at.tolist() == [2, 3, 4, 8, 9, 10, 1, 2]
    assert found.action.tolist() == ids("yo\nno\nb\n")
    assert found.reward.tolist() == [0, 0, -1, 0, 0, 2, 0, 3]
    assert found.last.tolist() == [False] * 5 + [True, False, True]
    assert [x.tolist() for x in final_states(batch)] == [[0, 1], [11, 3]]


def test_the_next_state_of_a_game_s_last_token_is_its_final_state() -> None:
    batch = stack([encoder().trajectory(TALK), encoder().trajectory(TALK)])
    found = action_tokens(batch)
    of_state = torch.arange(12.0)
    following = found.next(of_state, torch.tensor([100.0, 200.0]))
    assert following.tolist() == [1, 2, 3, 4, 5, 100, 7, 8, 9, 10, 11, 200]


# ---- returns ----


def test_returns_to_go_are_discounted_once_per_action_token() -> None:
    reward, last = torch.tensor([0.0, 0.0, 2.0, 1.0]), torch.tensor([False, False, True, True])
    assert returns_to_go(reward, last, 0.5).tolist() == [0.5, 1.0, 2.0, 1.0]


def test_a_tail_follows_the_last_token_of_its_game() -> None:
    reward, last = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([False, True, True])
    tail = torch.tensor([0.0, -8.0, 4.0])
    # 1 + .5 * -8 = -3;  1 + .5 * -3 = -.5;  1 + .5 * 4 = 3
    assert returns_to_go(reward, last, 0.5, tail).tolist() == [-0.5, -3.0, 3.0]


def test_long_games_with_a_small_discount_have_finite_returns() -> None:
    # the 2023 release divides cumulative products: .5 ** 2000 underflows there
    reward, last = torch.ones(2000), torch.zeros(2000, dtype=torch.bool)
    last[-1] = True
    found = returns_to_go(reward, last, 0.5)
    assert found[0].item() == pytest.approx(2.0)
    assert found[-1].item() == 1.0


def paid(*rewards: float, tokens: int = 1) -> Tokens:
    said = "x" * (tokens - 1) + "\n"
    turns = [turn for r in rewards for turn in (Turn("?\n", False), Turn(said, True, r))]
    return encoder().trajectory(game(turns))


def test_bounds_are_the_worst_and_best_reward_earned_all_the_game_long() -> None:
    # three utterances of one token: worst -1 (1 + .5 + .25), best 0
    assert return_bounds([paid(-1, -1, -1), paid(-1, 0)], 0.5) == (-1.75, 0.0)
    # two tokens an utterance: -1 (1 + .25)
    assert return_bounds([paid(-1, -1, tokens=2)], 0.5) == (-1.25, 0.0)
    assert return_bounds([paid(-1, 3)], 1.0) == (-2.0, 6.0)
    assert return_bounds([], 0.9) == (0.0, 0.0)


@given(
    rewards=st.lists(
        st.tuples(
            st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0]), min_size=1, max_size=6), st.integers(1, 4)
        ),
        min_size=1,
        max_size=4,
    ),
    gamma=st.sampled_from([0.3, 0.9, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_no_return_of_a_game_lies_outside_the_bounds(
    rewards: list[tuple[list[float], int]], gamma: float
) -> None:
    played = [paid(*some, tokens=tokens) for some, tokens in rewards]
    low, high = return_bounds(played, gamma)
    for tokens in played:
        actions = action_tokens(stack([tokens]))
        found = returns_to_go(actions.reward, actions.last, gamma)
        assert low - 1e-5 <= found.min()
        assert found.max() <= high + 1e-5
