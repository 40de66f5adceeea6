"""Wordle: the feedback by a definition of its own, the rules of both modes, word files, hostile input."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st

import lmrlgym
from lmrlgym.envs.wordle import FEEDBACKS, PATTERNS, WordleEnv, feedback, judged, spoken, vocabulary_of
from lmrlgym.types import Action, Turn

WORDS = ("crane", "slate", "trace", "crate", "grape", "brick", "shout", "money", "pupil", "eerie")
FEW_LETTERS = st.text("abc", min_size=5, max_size=5)


def played(env: WordleEnv, *guesses: str) -> list[tuple[str, float, bool, str]]:
    """(answer, reward, terminated, stop reason) of every guess."""
    steps = [env.step(guess) for guess in guesses]
    return [(text, reward, over, info["stop_reason"]) for text, reward, over, _, info in steps]


def game(word: str = "crane", **kwargs: object) -> WordleEnv:
    env = WordleEnv(vocabulary=WORDS, **kwargs)  # type: ignore[arg-type]
    env.reset(seed=0, options={"word": word})
    return env


# ---- feedback ----


def real_marks(guess: str, word: str) -> str:
    """The rules of the real game, said differently: of each letter as many marks as both words have."""
    marks = ["g" if a == b else "b" for a, b in zip(guess, word, strict=True)]
    for letter in set(guess):
        owed = (Counter(guess) & Counter(word))[letter]
        owed -= sum(mark == "g" and a == letter for a, mark in zip(guess, marks, strict=True))
        open_places = [i for i in range(5) if guess[i] == letter and marks[i] == "b"]
        for i in open_places[:owed]:
            marks[i] = "y"
    return " ".join(marks) + "\n"


@given(FEW_LETTERS, FEW_LETTERS)
@settings(max_examples=500, deadline=None)
def test_counted_feedback_is_that_of_the_real_game(guess: str, word: str) -> None:
    assert feedback(guess, word) == real_marks(guess, word)


@given(FEW_LETTERS, FEW_LETTERS)
@settings(max_examples=300, deadline=None)
def test_uncounted_feedback_looks_at_each_letter_alone(guess: str, word: str) -> None:
    marks = ["g" if a == b else "y" if a in word else "b" for a, b in zip(guess, word, strict=True)]
    assert feedback(guess, word, counted=False) == " ".join(marks) + "\n"


def test_letters_in_place_are_green_and_absent_ones_black() -> None:
    assert feedback(guess="crane", word="crate") == "g g g b g\n"


def test_a_repeated_letter_is_marked_as_often_as_the_word_holds_it() -> None:
    # speed has two e, abide one: the first is yellow, the second black (2023: both yellow)
    assert feedback("speed", "abide") == "b b y b y\n"
    assert feedback("speed", "abide", counted=False) == "b b y y y\n"


def test_a_green_later_in_the_guess_is_counted_before_an_earlier_yellow() -> None:
    # the only e of crane is in place in geese, so the e before it gets nothing
    assert feedback("geese", "crane") == "b b b b g\n"


def test_there_are_243_answers_and_each_has_its_own_number() -> None:
    assert len(FEEDBACKS) == len(PATTERNS) == 3**5
    assert [PATTERNS[text] for text in FEEDBACKS] == list(range(243))


@pytest.mark.parametrize("counted", [True, False])
def test_tables_and_single_answers_agree_with_the_feedback_of_the_words(counted: bool) -> None:
    words = vocabulary_of(WORDS)
    for i, guess in enumerate(WORDS):
        for j, word in enumerate(WORDS):
            expected = PATTERNS[feedback(guess, word, counted=counted)]
            assert words.table(counted)[i, j] == words.answers(j, counted)[i] == expected


# ---- rules ----


def test_a_game_is_won_by_the_word_and_every_miss_costs_one() -> None:
    assert played(game(), "s l a t e\n", "c r a n e\n") == [
        ("b b g b g\n", -1.0, False, ""),
        ("g g g g g\n", 0.0, True, "won"),
    ]


def test_the_sixth_miss_ends_the_game() -> None:
    env = game()
    steps = played(env, *["s l a t e\n"] * 6)
    assert [over for _, _, over, _ in steps] == [False] * 5 + [True]
    assert steps[-1] == ("b b g b g\n", -1.0, True, "turn_limit")
    with pytest.raises(ResetNeeded):
        env.step("c r a n e\n")


def test_the_word_may_be_found_by_the_sixth_guess() -> None:
    assert played(game(), *["slate"] * 5, "crane")[-1] == ("g g g g g\n", 0.0, True, "won")


def test_an_invalid_guess_uses_a_try_and_is_answered_by_the_newline() -> None:
    env = game()
    assert played(env, "z z z z z\n") == [("\n", -1.0, False, "")]
    *_, info = env.step("slate")
    assert info["action_is_valid"]
    assert info["turn"] == 2
    assert played(env, *["nonsense"] * 4)[-1] == ("\n", -1.0, True, "turn_limit")


@pytest.mark.parametrize(
    "said", ["crane", "c r a n e", "  C R A N E \n", "Crane\n", "cr ane\n", "c r a n e\n\n"]
)
def test_blanks_case_and_the_final_newline_do_not_matter(said: str) -> None:
    env = game()
    assert env.step(said)[1] == 0.0
    assert env.history[1].text == "c r a n e\n"


@pytest.mark.parametrize("said", ["C R A N E\n", "crane \t", "\tcrane", "Crane"])
def test_compat_takes_lower_case_and_blanks_only(said: str) -> None:
    *_, info = game(compat=True).step(said)
    assert not info["action_is_valid"]


def test_compat_respaces_what_is_no_guess_and_the_clean_rules_leave_it_as_said() -> None:
    for compat, recorded in ((False, "two words\n"), (True, "t w o w o r d s\n")):
        env = game(compat=compat)
        env.step("two words\n")
        assert env.history[1].text == recorded


def test_compat_writes_one_newline_whatever_blanks_stand_between_newlines() -> None:
    env = game(compat=True)
    env.step("a\n \n")
    assert env.history[1].text == "a\n"


def test_compat_marks_repeated_letters_uncounted() -> None:
    assert game("crane").step("eerie")[0] == "b b y b g\n"
    assert game("crane", compat=True).step("eerie")[0] == "y y y b g\n"


@given(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from([*WORDS, "zonal", "x", "CRANE"]), max_size=6),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_the_environment_answers_as_the_rule_in_words(word: str, guesses: list[str], compat: bool) -> None:
    env = game(word, compat=compat)
    for guess in guesses:
        read = guess if compat else guess.lower()
        text, reward, over, _, _ = env.step(guess)
        assert (text, reward) == judged(read, word, vocabulary_of(WORDS), counted=not compat)
        if over:
            break


def test_invalid_guesses_can_be_priced_and_marked_as_in_the_training_scripts() -> None:
    words = vocabulary_of(WORDS)
    assert judged("zzzzz", "crane", words, invalid_reward=-10.0) == ("\n", -10.0)
    assert judged("zonal", "crane", words, invalid_reward=-5.0, only_listed=False) == ("b b y y b\n", -5.0)
    assert judged("zona", "crane", words, only_listed=False) == ("\n", -1.0)


def test_compat_redraws_the_word_yet_answers_are_distributed_as_for_a_fixed_one() -> None:
    words, guesses, games = WORDS[:6], ("grape", "slate", "crate"), 6000
    fixed = Counter(tuple(feedback(guess, word, counted=False) for guess in guesses) for word in words)
    env = WordleEnv(vocabulary=words, compat=True)
    env.reset(seed=0)
    met: Counter[tuple[str, ...]] = Counter()
    for _ in range(games):
        env.reset()
        answers: list[str] = []
        for guess in guesses:
            answers.append(env.step(guess)[0])
            if answers[-1] == "g g g g g\n":
                # the word is known now, and so are the answers that would follow
                answers += [feedback(later, guess, counted=False) for later in guesses[len(answers) :]]
                break
        met[tuple(answers)] += 1
    assert set(met) == set(fixed)
    for answers, count in fixed.items():
        share = count / len(words)
        error = (share * (1 - share) / games) ** 0.5
        assert met[answers] / games == pytest.approx(share, abs=4 * error)


def test_compat_really_redraws_and_every_new_word_fits_all_answers() -> None:
    env = WordleEnv(vocabulary="common-236", compat=True, privileged=True)
    redrawn = 0
    for seed in range(30):
        _, info = env.reset(seed=seed)
        said: list[tuple[str, str]] = []
        for guess in ("other", "class"):
            before = info["secret"]
            answer, _, over, _, info = env.step(guess)
            said.append((guess, answer))
            redrawn += info["secret"] != before
            assert all(feedback(g, info["secret"], counted=False) == a for g, a in said)
            if over:
                break
    assert redrawn > 30


@pytest.mark.parametrize("options", [{"word": "brick"}, {"task": 5}])
def test_a_word_that_was_chosen_stays_in_compat_mode_too(options: dict[str, object]) -> None:
    env = WordleEnv(vocabulary=WORDS, compat=True, privileged=True)
    env.reset(seed=3, options=options)
    assert {env.step("money")[-1]["secret"] for _ in range(3)} == {"brick"}


def test_every_word_is_drawn_about_equally_often() -> None:
    env = WordleEnv(vocabulary=WORDS)
    env.reset(seed=0)
    tasks = Counter()
    for _ in range(5000):
        env.reset()
        tasks[env.task] += 1
    # 500 expected each; the deviation of a count is sqrt(5000 * .1 * .9) = 21
    assert set(tasks) == set(range(10))
    assert all(abs(count - 500) < 5 * 21 for count in tasks.values())


def test_the_word_is_told_to_privileged_callers_only() -> None:
    _, info = WordleEnv(vocabulary=WORDS, privileged=True).reset(options={"task": 2})
    assert (info["task"], info["secret"]) == (2, "trace")
    _, info = WordleEnv(vocabulary=WORDS).reset(options={"task": 2})
    assert "secret" not in info
    assert "task" not in info


def test_candidates_are_the_words_as_they_are_said() -> None:
    env = WordleEnv(vocabulary=WORDS)
    assert env.candidates() == tuple(" ".join(word) + "\n" for word in WORDS)
    assert env.candidates() is env.candidates()
    assert env.tasks == 10


def test_sampled_ids_stay_with_the_words_they_said_only() -> None:
    env = game()
    env.step(Action("s l a t e\n", (7, 8), (-0.5, -0.25)))
    env.step(Action("trace\n", (9,), (-1.0,)))
    assert env.history[1] == Turn("s l a t e\n", True, -1.0, (7, 8), (-0.5, -0.25))
    assert env.history[3] == Turn("t r a c e\n", True, -1.0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"word": "zonal"}, "word"),
        ({"word": "CRANE"}, "word"),
        ({"word": 3}, "word"),
        ({"word": ["crane"]}, "word"),
        ({"task": 10}, "task"),
        ({"task": "0"}, "task"),
        ({"word": "crane", "task": 0}, "not both"),
        ({"start": [1, 1]}, "start"),
    ],
)
def test_a_bad_reset_option_is_refused(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        WordleEnv(vocabulary=WORDS).reset(options=options)


# ---- as an environment ----


@given(st.lists(st.text(max_size=40), min_size=6, max_size=6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_anything_said_is_answered_and_its_record_is_replayed_as_it_is(said: list[str], compat: bool) -> None:
    env, again = game(compat=compat), game(compat=compat)
    for text in said:
        answer, reward, over, truncated, _ = env.step(text)
        recorded = env.history[-2].text
        assert answer in PATTERNS or answer == "\n"
        assert reward in (0.0, -1.0)
        assert not truncated
        assert recorded.endswith("\n")
        assert not recorded.endswith("\n\n")
        assert again.step(recorded)[:3] == (answer, reward, over)
        assert again.history[-2].text == recorded
        if over:
            break


@pytest.mark.parametrize("compat", [False, True])
def test_very_long_text_is_nonsense_and_is_replayed_as_written(compat: bool) -> None:
    for text in ("c r a n e " * 5000, " " * 20000 + "crane", "x" * 16383, "x" * 9000 + "\n"):
        env, again = game(compat=compat), game(compat=compat)
        assert env.step(text)[:2] == ("\n", -1.0)
        again.step(env.history[1].text)
        assert again.history == env.history


@pytest.mark.parametrize("compat", [False, True])
def test_a_copy_in_the_middle_of_a_game_goes_on_identically(compat: bool) -> None:
    env = WordleEnv(compat=compat, privileged=True)
    env.reset(seed=5)
    env.step("about")
    twin = copy.deepcopy(env)
    guesses = ["other", "while", "nonsense", "class"]
    assert [env.step(guess) for guess in guesses] == [twin.step(guess) for guess in guesses]
    assert env.history == twin.history
    assert env.candidates() is twin.candidates()


@pytest.mark.parametrize("compat", [False, True])
def test_equal_seeds_give_equal_games_and_the_stream_goes_on_without_one(compat: bool) -> None:
    secrets = []
    for _ in range(2):
        env = WordleEnv(compat=compat, privileged=True)
        secrets.append([env.reset(seed=11)[1]["secret"], *(env.reset()[1]["secret"] for _ in range(20))])
    assert secrets[0] == secrets[1]
    assert len(set(secrets[0])) > 10


def test_rollout_replays_the_task_it_was_given() -> None:
    class Slate:
        def act(self, histories: object, rngs: list[np.random.Generator]) -> list[str]:
            return [spoken("slate") for _ in rngs]

    games = lmrlgym.rollout(
        "lmrlgym/Wordle-v0", Slate(), 2, tasks=[1, 0], env_kwargs={"vocabulary": list(WORDS)}, parallel=2
    )
    # task 1 is slate itself, found at once; task 0 never
    assert [trajectory.total_reward for trajectory in games] == [0.0, -6.0]
