"""The space of texts."""

from __future__ import annotations

import pickle
import sys

import gymnasium
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, create_shared_memory, iterate

from lmrlgym import TextSpace


@pytest.mark.parametrize("text", ["", "a\n", "żółć", "\x00", "👩‍👩‍👧", "\ud800", "a" * 10])
def test_any_text_that_is_short_enough_belongs(text: str):
    assert text in TextSpace(10)


@pytest.mark.parametrize("other", ["a" * 11, b"a", 1, None, ["a"]])
def test_longer_texts_and_other_things_do_not_belong(other: object):
    assert other not in TextSpace(10)


def test_membership_does_not_look_at_the_characters():
    class Unreadable(str):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise AssertionError("looked")

    assert Unreadable("a" * 10) in TextSpace(10)


def test_equality_is_by_length_and_agrees_with_the_hash():
    assert TextSpace(5) == TextSpace(5)
    assert hash(TextSpace(5)) == hash(TextSpace(5))
    assert TextSpace(5) != TextSpace(6)


def test_it_is_no_plain_text_space():
    assert TextSpace(5) != spaces.Text(5)
    assert spaces.Text(5) != TextSpace(5)


def test_samples_belong_and_follow_the_seed():
    first, second = TextSpace(5, seed=3), TextSpace(5, seed=3)
    samples = [first.sample() for _ in range(100)]
    assert samples == [second.sample() for _ in range(100)]
    assert all(text in first for text in samples)
    # Lengths 0 to 5 are all drawn: missing one in 100 draws has probability 6 * (5/6)**100 < 1e-7.
    assert {len(text) for text in samples} == set(range(6))


def test_a_space_without_a_bound_samples_short_lines():
    assert len(TextSpace(sys.maxsize, seed=0).sample()) <= 64


def test_sampling_takes_no_mask():
    with pytest.raises(ValueError, match="no mask"):
        TextSpace().sample(mask=(1, None))


def test_a_pickled_space_samples_the_same():
    space = TextSpace(50, seed=1)
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space
    assert twin.sample() == space.sample()


def test_batches_are_tuples_of_texts():
    batch = batch_space(TextSpace(9), 2)
    assert ("a", "żółć") in batch
    together = concatenate(TextSpace(9), ("a", "b"), create_empty_array(TextSpace(9), 2))
    assert list(iterate(batch, together)) == ["a", "b"]


def test_shared_memory_is_refused():
    with pytest.raises(gymnasium.error.CustomSpaceError, match="shared_memory=False"):
        create_shared_memory(TextSpace(), 2)


def test_batched_spaces_are_equal_only_if_their_texts_are():
    assert batch_space(TextSpace(9), 2) == batch_space(TextSpace(9), 2)
    assert batch_space(TextSpace(9), 2) != batch_space(TextSpace(8), 2)
