"""Best play of Wordle against the plain definition over all strategies, and along real games."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmrlgym.envs.wordle import HEADER, WordleEnv, feedback, vocabulary_of
from lmrlgym.references import reference
from lmrlgym.solvers.wordle import WordleSolver, solver
from lmrlgym.types import Turn

START = (Turn(HEADER, False),)
CATCH = ("batch", "catch", "hatch", "latch", "match", "patch", "watch", "ratch")
TINY = st.lists(st.text("abc", min_size=5, max_size=5), min_size=1, max_size=7, unique=True)


def least_misses(words: tuple[str, ...], counted: bool) -> int:
    """Over all strategies: no bound, no order, nothing left out; misses summed over the words."""

    answer = cache(feedback)

    @cache
    def least(left: frozenset[str], tries: int) -> int:
        return min(misses(guess, left, tries) for guess in words) if tries else 0

    def misses(guess: str, left: frozenset[str], tries: int) -> int:
        parts: dict[str, set[str]] = {}
        for word in left - {guess}:
            parts.setdefault(answer(guess, word, counted=counted), set()).add(word)
        return sum(len(part) + least(frozenset(part), tries - 1) for part in parts.values())

    return least(frozenset(words), 6)


def mean_return(best: WordleSolver, **kwargs: object) -> float:
    """What the solver earns in the environment, every word hidden once."""
    env = WordleEnv(**kwargs)  # type: ignore[arg-type]
    total = 0.0
    for task in range(env.tasks):
        env.reset(options={"task": task})
        over = False
        while not over:
            _, reward, over, _, _ = env.step(best.best(env.history))
            total += reward
    return total / env.tasks


@given(TINY, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_value_is_that_of_the_best_of_all_strategies(words: list[str], counted: bool) -> None:
    found = WordleSolver(vocabulary_of(words), counted=counted).value(START)
    assert found == pytest.approx(-least_misses(tuple(words), counted) / len(words))


def test_the_limit_of_six_tries_is_part_of_the_search() -> None:
    # each guess only says whether it is the word: misses 0, 1, ..., 5 for the six that are tried,
    # and 6 for the two that are not
    found = solver(vocabulary=CATCH).value(START)
    assert found == pytest.approx(-(0 + 1 + 2 + 3 + 4 + 5 + 6 + 6) / 8)
    assert least_misses(CATCH, True) == 27


@given(TINY, st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_q_is_the_mean_over_the_words_of_the_reward_and_the_next_value(words: list[str], seed: int) -> None:
    best = WordleSolver(vocabulary_of(words))
    env = WordleEnv(vocabulary=words)
    env.reset(seed=seed)
    env.step(words[seed % len(words)])
    history = env.history
    left = [words[i] for i in vocabulary_of(words).consistent(vocabulary_of(words).seen_in(history), True)]
    q = best.q(history)
    if history[-1].text == "g g g g g\n":
        assert set(q.values()) == {0.0}
        return
    for guess in words:
        total = 0.0
        for word in left:
            env.reset(options={"word": word})
            env.step(history[1].text)
            _, reward, *_ = env.step(guess)
            total += reward + best.value(env.history)
        assert q[" ".join(guess) + "\n"] == pytest.approx(total / len(left))
    assert max(q.values()) == pytest.approx(best.value(history))
    assert q[best.best(history)] == pytest.approx(best.value(history))


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("name", ["common-40", "common-236", "common-431"])
def test_the_value_is_what_the_best_player_earns(name: str, compat: bool) -> None:
    best = solver(vocabulary=name, compat=compat)
    assert best.kind == "exact"
    assert mean_return(best, vocabulary=name, compat=compat) == pytest.approx(best.value(START))


def test_a_narrow_search_is_a_strategy_too_and_never_better() -> None:
    words = vocabulary_of("common-236")
    narrow = WordleSolver(words, breadth=1)
    assert narrow.kind == "best_known"
    assert mean_return(narrow, vocabulary="common-236") == pytest.approx(narrow.value(START))
    assert narrow.value(START) <= WordleSolver(words).value(START)


def test_invalid_guesses_take_a_try_from_the_value() -> None:
    # two words left and one try: half the games are lost by one miss more
    history = (*START, *(Turn("x\n", True), Turn("\n", False)) * 5)
    assert solver(vocabulary=("crane", "slate")).value(history) == -0.5


def test_a_finished_game_is_worth_nothing_more() -> None:
    best = solver(vocabulary=("crane", "slate"))
    won = (*START, Turn("c r a n e\n", True), Turn("g g g g g\n", False))
    lost = (*START, *(Turn("s l a t e\n", True), Turn("b b g b g\n", False)) * 6)
    for history in (won, lost):
        assert best.value(history) == 0.0
        assert set(best.q(history).values()) == {0.0}
        assert best.best(history) in best.words.spoken


def test_answers_that_no_word_gives_are_refused() -> None:
    history = (*START, Turn("c r a n e\n", True), Turn("b b b b b\n", False))
    with pytest.raises(ValueError, match="no word of the vocabulary fits"):
        solver(vocabulary=("crane", "crate")).value(history)


@pytest.mark.parametrize("name", ["common-40", "common-236", "common-431"])
@pytest.mark.parametrize("compat", [False, True])
def test_the_stored_references_are_what_the_search_finds(name: str, compat: bool) -> None:
    kwargs = {"vocabulary": name, **({"compat": True} if compat else {})}
    stored = reference("lmrlgym/Wordle-v0", **kwargs)
    assert (stored.best, stored.kind) == (pytest.approx(solver(**kwargs).value(START), abs=1e-6), "exact")
    # n words: a guess misses with 1 - 1/n, and guess k is a miss only if it is reached
    count = len(vocabulary_of(name))
    assert stored.random == pytest.approx(-sum((1 - 1 / count) ** k for k in range(1, 7)), abs=1e-6)


@pytest.mark.parametrize("name", ["common-826", "common-2315"])
def test_the_stored_references_of_the_long_lists_are_reached_by_the_best_player(name: str) -> None:
    stored = reference("lmrlgym/Wordle-v0", vocabulary=name)
    assert stored.best == pytest.approx(solver(vocabulary=name).value(START), abs=1e-6)


@pytest.mark.slow
def test_no_strategy_for_the_longest_list_is_better_than_the_stored_one() -> None:
    stored = reference("lmrlgym/Wordle-v0", vocabulary="common-2315")
    best = WordleSolver(vocabulary_of("common-2315"))
    assert (stored.best, stored.kind) == (pytest.approx(best.value(START), abs=1e-6), best.kind)
