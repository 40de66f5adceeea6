"""Wordle's scripted players: what they say, how likely it was, and how they fare."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

import lmrlgym
from lmrlgym.envs.wordle import HEADER, feedback, spoken, vocabulary_of
from lmrlgym.policies.wordle import LEVELS, WordlePlayer, possible_words, sharpest_words
from lmrlgym.types import Action, History, Turn

WORDS = ("crane", "slate", "trace", "crate", "grape", "brick", "shout", "money", "pupil", "eerie")
START: History = (Turn(HEADER, False),)


def after(*guesses: str, word: str) -> History:
    turns = list(START)
    for guess in guesses:
        turns += [Turn(spoken(guess), True, -1.0), Turn(feedback(guess, word), False)]
    return tuple(turns)


def said(level: str, history: History, games: int) -> list[Action]:
    player = LEVELS[level](vocabulary=WORDS)
    rngs = [np.random.default_rng(seed) for seed in range(games)]
    actions = player.act([history] * games, rngs)
    assert all(isinstance(action, Action) for action in actions)
    return [action for action in actions if isinstance(action, Action)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "history", [START, after("slate", word="crane"), after("money", "pupil", word="crate")]
)
def test_each_utterance_comes_as_often_as_its_probability_says(level: str, history: History) -> None:
    games = 4000
    actions = said(level, history, games)
    probability = {action.text: math.exp(action.log_prob or 0.0) for action in actions}
    assert set(probability) <= {spoken(word) for word in WORDS}
    # every word with a probability was said, so they sum to one
    assert sum(probability.values()) == pytest.approx(1)
    for text, count in Counter(action.text for action in actions).items():
        error = math.sqrt(probability[text] * (1 - probability[text]) / games)
        assert count / games == pytest.approx(probability[text], abs=5 * error + 1e-9)


def test_the_mixture_says_words_that_fit_more_often() -> None:
    # after slate (b b g b g for crane) the words that fit are crane and grape; trace and crate have
    # the t, brick no e: .33 / 2 + .67 / 10 for those two, .67 / 10 for every other
    probability = {
        a.text: math.exp(a.log_prob or 0.0) for a in said("mixed", after("slate", word="crane"), 400)
    }
    for word in WORDS:
        expected = 0.067 + (0.165 if word in ("crane", "grape") else 0)
        assert probability[spoken(word)] == pytest.approx(expected)


def test_invalid_guesses_tell_the_players_nothing() -> None:
    history = (*START, Turn("zzzzz\n", True, -1.0), Turn("\n", False))
    assert {a.log_prob for a in said("expert", history, 50)} == {
        a.log_prob for a in said("expert", START, 50)
    }


def test_the_expert_says_what_splits_the_remaining_words_best() -> None:
    # aaaab answers itself, aaaac and aaaad alike (b b b b -> "g g g g b"), so it splits 1 + 3;
    # aabcd tells all four apart: the expected log of what remains is 0
    words = ("aaaab", "aaaac", "aaaad", "aabcd")
    chosen = sharpest_words(vocabulary_of(words), (), True)
    answers = {guess: Counter(feedback(guess, word) for word in words) for guess in words}
    remaining = {g: sum(n * math.log(n) for n in counts.values()) for g, counts in answers.items()}
    assert [words[i] for i in chosen] == [g for g in words if remaining[g] < min(remaining.values()) + 1e-9]


def test_equal_splits_are_drawn_equally_often() -> None:
    # two words are told apart by either
    player = LEVELS["expert"](vocabulary=("crane", "slate"))
    assert isinstance(player, WordlePlayer)
    assert player.probabilities(()).tolist() == [0.5, 0.5]


def test_only_words_that_fit_all_answers_remain() -> None:
    words = vocabulary_of("common-236")
    rng = np.random.default_rng(0)
    for _ in range(15):
        first, second, word = (words.words[i] for i in rng.integers(236, size=3))
        seen = words.seen_in(after(first, second, word=word))
        left = {words.words[i] for i in possible_words(words, seen, True)}
        both = (feedback(first, word), feedback(second, word))
        assert left == {w for w in words.words if (feedback(first, w), feedback(second, w)) == both}


def test_an_idle_position_gets_the_empty_text() -> None:
    rngs = [np.random.default_rng(0)] * 2
    for level in LEVELS:
        assert LEVELS[level](vocabulary=WORDS).act([(), START], rngs)[0] == ""


def test_a_skill_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="skill"):
        WordlePlayer(vocabulary_of(WORDS), 1.5)


@pytest.mark.parametrize("compat", [False, True])
def test_the_mixture_plays_like_the_data_of_the_paper(compat: bool) -> None:
    # arXiv 2311.18232, table 1, on its own 431 words: return -4.12, length 4.82, success .70; ours differ
    kwargs = {"vocabulary": "common-431", "compat": compat}
    games = lmrlgym.rollout(
        "lmrlgym/Wordle-v0", LEVELS["mixed"](**kwargs), 1500, seed=7, parallel=32, env_kwargs=kwargs
    )
    summary = lmrlgym.summarise(games)
    assert summary.return_mean == pytest.approx(-4.12, abs=0.2)
    assert summary.length == pytest.approx(4.82, abs=0.15)
    assert summary.success == pytest.approx(0.70, abs=0.05)


def test_play_does_not_depend_on_how_many_games_run_at_once() -> None:
    one, many = (
        lmrlgym.rollout("lmrlgym/Wordle-v0", LEVELS["mixed"](), 20, seed=3, parallel=parallel)
        for parallel in (1, 7)
    )
    assert one == many
