"""What all tests share: the toy games have ids."""

from __future__ import annotations

import gymnasium
import pytest

import lmrlgym

GUESS, ASK = "toys/GuessNumber-v0", "toys/AskNumber-v0"


@pytest.fixture(scope="session", autouse=True)
def toys() -> None:
    """Register the toy games, one with a vector entry point and one without."""
    assert lmrlgym.__version__
    gymnasium.register(
        GUESS,
        entry_point="tests.toys:GuessNumber",
        vector_entry_point="tests.toys:guess_number_vector",
    )
    gymnasium.register(ASK, entry_point="tests.toys:AskNumber")
