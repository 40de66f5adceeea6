"""The text that words-v2 has read: who sees what, and what it should say at every letter."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

from baselines.core.model import load_base
from lmrlgym import data_path


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_words", data_path() / "models" / "build_words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_words"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return load_base("words-v1").tokenizer


def test_the_next_letter_is_that_of_the_words_left(build: ModuleType, tokenizer: object) -> None:
    games = build.Games("common-40", tokenizer, 0)
    words = ["".join(build.ALPHABET[i] for i in letters) for letters in games.letters]
    said = words[0]
    weights = np.zeros(len(words))
    weights[0] = 0.25
    other = next(i for i, word in enumerate(words) if word[0] != said[0])
    weights[other] = 0.75
    found = games.next_letters(weights[None], np.array([0]))[0]
    # first the two words' letters by weight; the other word is out once the first letter is said
    assert found[0][build.ALPHABET.index(said[0])] == pytest.approx(0.25)
    assert found[0][build.ALPHABET.index(words[other][0])] == pytest.approx(0.75)
    assert [found[i][build.ALPHABET.index(said[i])] for i in range(1, 5)] == pytest.approx([1.0] * 4)


def test_an_aside_goes_on_from_its_answer_and_nothing_else_sees_it(build: ModuleType) -> None:
    header, history = 2, 2 + 6 * build.LINE - 6
    at = build.places(header, history)
    second = history + 6  # the first token of the second aside
    sees = at.mask[0, 0] == 0
    assert at.positions[0, second] == header + 2 * build.LINE
    assert sees[second].nonzero().flatten().tolist() == [*range(header + 2 * build.LINE), second]
    assert not sees[:history, history:].any()
    assert not sees[second + 6, second : second + 6].any()


def test_a_batch_is_written_as_the_game_would_be(build: ModuleType, tokenizer: object) -> None:
    games = build.Games("common-40", tokenizer, 0)
    text = games.batch(3)
    for row, played in zip(text.ids, text.is_played, strict=True):
        turns = games_text(tokenizer, row[: games.history].tolist()).split("\n")
        assert turns[0] == "Wordle:"
        words = {" ".join(build.ALPHABET[i] for i in letters) for letters in games.letters}
        assert set(turns[1:12:2]) <= words
        solved = [turn == "g g g g g" for turn in turns[2:12:2]]
        # a guess is played unless one before it was right
        assert played.tolist() == [not any(solved[:i]) for i in range(6)]


def games_text(tokenizer: object, ids: list[int]) -> str:
    return str(tokenizer.decode(ids))  # type: ignore[attr-defined]
