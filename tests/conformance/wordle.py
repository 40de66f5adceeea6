"""The Wordle cases: rules in both modes, texts, and the inner form of the 2023 release.

A "compat" case is asserted with the released rules; where the rules are the same in both modes it is
"clean" and asserted in both. A "helper" case asserts a function beside the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmrlgym.envs.wordle import (
    HEADER,
    WordleEnv,
    deformat_history,
    judged,
    reformat_history,
    spoken,
    vocabulary_of,
)
from lmrlgym.types import Turn

Case = dict[str, Any]


def letters(said: str) -> str:
    return said.replace(" ", "").removesuffix("\n")


def fixed_word(case: Case, *, compat: bool) -> None:
    """One game with a forced word: texts, rewards, end, and the words that still fit."""
    word, guesses = case["inputs"]["target"], case["inputs"]["guesses"]
    words = sorted({word, *guesses})
    env = WordleEnv(vocabulary=words, compat=compat)
    env.reset(seed=0, options={"word": word})
    for guess, expected in zip(guesses, case["outputs"], strict=True):
        text, reward, over, truncated, _ = env.step(guess)
        assert text == expected["feedback_text"]
        assert deformat_history((Turn(HEADER, False), Turn(text, False)))[0].text == expected["feedback"]
        assert (reward, over, truncated) == (expected["reward"], expected["done"], False)
        left = vocabulary_of(words).consistent(vocabulary_of(words).seen_in(env.history), not compat)
        assert [words[i] for i in left] == sorted(expected["remaining"])


def game(case: Case, *, compat: bool) -> None:
    """One game with a forced word, as agents see it."""
    inputs = case["inputs"]
    env = WordleEnv(vocabulary=inputs["vocab"], compat=compat)
    env.reset(seed=0, options={"word": inputs["target"]})
    assert [(turn.text, turn.is_action) for turn in env.history] == [
        (text["text"], text["is_action"]) for text in case["outputs"][0]["history"]
    ]
    for action, expected in zip(inputs["actions"], case["outputs"][1:], strict=True):
        text, reward, over, *_ = env.step(action)
        assert text == expected["last_text"]
        assert (reward, over) == (expected["reward"], expected["done"])
        assert env.history[-2].text == expected["last_action_text"]
        assert len(env.history) == expected["n_texts"]


def priced(case: Case) -> None:
    """The training scripts' price of an invalid guess, and guesses outside the vocabulary marked."""
    inputs = case["inputs"]
    words = vocabulary_of(inputs["vocab"])
    for action, expected in zip(inputs["actions"], case["outputs"][1:], strict=True):
        guess = letters(action)
        found = judged(
            guess,
            inputs["target"],
            words,
            counted=False,
            invalid_reward=inputs["bad"],
            only_listed=inputs.get("require", True),
        )
        assert found == (expected["last_text"], expected["reward"])
        assert spoken(guess) == expected["last_action_text"]
        assert (guess == inputs["target"]) == expected["done"]


def turns(texts: list[Case]) -> tuple[Turn, ...]:
    return tuple(Turn(text["text"], text["is_action"]) for text in texts)


def reformatted(case: Case) -> None:
    assert reformat_history(turns(case["inputs"]["history"])) == turns(case["outputs"])


def deformatted(case: Case) -> None:
    assert deformat_history(turns(case["inputs"]["history"])) == turns(case["outputs"])


def read_game(case: Case) -> None:
    """A game written line by line in the inner form: what was guessed, what still fits, what it paid."""
    words = vocabulary_of(case["inputs"]["vocab"])
    lines = case["inputs"]["text"].split("\n") if case["inputs"]["text"] else []
    told = reformat_history([Turn(line, i % 2 == 0) for i, line in enumerate(lines)])
    expected = case["outputs"]
    left = words.consistent(words.seen_in(told), counted=False)
    assert [words.words[i] for i in left] == expected["remaining"]
    guesses = [letters(turn.text) for turn in told if turn.is_action]
    assert guesses == expected.get("actions", [])
    if "reward" in expected:
        hidden = words.words[int(left[0])]
        assert judged(guesses[-1], hidden, words, counted=False) == (told[-1].text, expected["reward"])


def in_compat(check: Callable[..., None]) -> tuple[str, Callable[[Case], None]]:
    return "compat", lambda case: check(case, compat=True)


def in_both(check: Callable[..., None]) -> tuple[str, Callable[[Case], None]]:
    def run(case: Case) -> None:
        check(case, compat=False)
        check(case, compat=True)

    return "clean", run


NO_FILE = "needs a word file of the 2023 release, which is not ours to ship"
NO_STREAM = f"{NO_FILE}; and draws from Python's `random` stream of the original, ours is numpy's"

HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    # nothing here is marked differently when letters are counted
    **{f"wordle-{n:03}": in_both(fixed_word) for n in (10, 11, 15, 17, 21, 27, 28, 31, 35, 38, 40)},
    **{f"wordle-{n:03}": in_compat(fixed_word) for n in (25, 29, 34)},
    **{f"wordle-{n:03}": in_both(game) for n in (41, 43, 44)},
    "wordle-045": ("helper", priced),
    "wordle-046": in_compat(game),  # upper case is invalid in 2023 only
    "wordle-048": ("helper", priced),
    "wordle-050": ("helper", reformatted),
    "wordle-052": ("helper", reformatted),
    "wordle-055": ("helper", deformatted),
    "wordle-064": ("helper", read_game),
    "wordle-065": ("helper", read_game),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {
    **dict.fromkeys(("wordle-002", "wordle-004", "wordle-006", "wordle-007", "wordle-008"), NO_FILE),
    **dict.fromkeys(("wordle-058", "wordle-059", "wordle-060"), NO_STREAM),
    **dict.fromkeys(("wordle-061", "wordle-062", "wordle-063"), NO_FILE),
}
"""Case -> why nothing asserts it."""
