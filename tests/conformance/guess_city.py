"""The cases of Guess My City: the list, what counts as a guess, and the texts around the oracle.

The released environment cannot be won, and its oracle drops open answers: those quirks are seen to differ.
The script that made the data has another rule for guesses, which is that of `compat=True`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lmrlgym.env import Query
from lmrlgym.envs.guess_my_city import HEADER, NOT_UNDERSTOOD, GuessMyCityEnv, state_of, words
from lmrlgym.envs.twenty_questions_texts import asked_openly
from lmrlgym.partners.roles.guess_my_city import ROLE
from lmrlgym.types import Turn
from tests.envs.test_guess_my_city import Sayer

Case = dict[str, Any]


def is_won(city: str, question: str, *, compat: bool) -> bool:
    """Whether `question` wins the game in which `city` is hidden."""
    env = GuessMyCityEnv(compat=compat)
    env.reset(seed=0, options={"city": city})
    _, reward, terminated, _, info = env.step(question)
    assert (reward == 0) == terminated == info["success"]
    return bool(info["success"])


def word_list(case: Case) -> None:
    """The loader drops Seoul; so do we with `compat=True` only."""
    listed = case["outputs"]["all"]
    assert list(words()[1:]) == listed
    assert words()[0] == "seoul,south korea"
    assert GuessMyCityEnv(compat=True).tasks == case["outputs"]["n"] == len(listed)
    assert (listed[0], listed[-1]) == (case["outputs"]["first"], case["outputs"]["last"])


def prompt(case: Case) -> None:
    """What a model that plays the city goes on from."""
    task = words().index(case["inputs"]["word"])
    history = (Turn(HEADER, False), Turn(f"{case['inputs']['question']}\n", True))
    assert ROLE.prompt(Query(history, state_of(task), np.random.default_rng(0))) == case["outputs"]


def cannot_be_won(case: Case) -> None:
    """A right guess is wrong in the released environment, and wins ours in both modes."""
    assert case["outputs"] == {"correct": False}
    for compat in (False, True):
        assert is_won(**renamed(case), compat=compat)


def substring(case: Case) -> None:
    """The rule of the script that made the data."""
    assert is_won(**renamed(case), compat=True) == case["outputs"]["correct"]


def renamed(case: Case) -> dict[str, str]:
    return {"city": case["inputs"]["word"], "question": case["inputs"]["question"]}


def drawn(case: Case) -> None:
    """The original draws from Python's `random`, ours from the game's own generator: the same city again."""
    envs = [GuessMyCityEnv(compat=True, privileged=True) for _ in range(2)]
    secrets = [env.reset(seed=case["inputs"]["seed"])[1]["secret"] for env in envs]
    assert secrets[0] == secrets[1]
    assert {case["outputs"], *secrets} <= set(words()[1:])


def whole_answer(case: Case) -> None:
    """The released wrapper keeps yes or no alone; ours keeps what the partner says."""
    said = case["inputs"]["model_output"]
    env = GuessMyCityEnv(partner=Sayer(said))
    env.reset(seed=0, options={"city": "paris,france"})
    told = env.step("Is it in Europe?\n")[0]
    assert told == (f"{said}\n" if said else NOT_UNDERSTOOD)
    assert case["outputs"] == ("Yes.\n" if told.lower().startswith("yes") else "No.\n").strip()


def asked(case: Case) -> None:
    """A guesser's text made into a question."""
    assert asked_openly(case["inputs"]["question"]) == case["outputs"]


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    "guess_city-001": ("compat", word_list),
    "guess_city-002": ("helper", prompt),
    "guess_city-006": ("clean", cannot_be_won),
    "guess_city-007": ("clean", cannot_be_won),
    "guess_city-011": ("compat", substring),
    "guess_city-012": ("compat", substring),
    "guess_city-013": ("compat", substring),
    "guess_city-014": ("compat", substring),
    "guess_city-018": ("clean", drawn),
    "guess_city-019": ("clean", drawn),
    "guess_city-020": ("clean", whole_answer),
    "guess_city-021": ("clean", whole_answer),
    "guess_city-024": ("clean", whole_answer),
    "guess_city-028": ("helper", asked),
    "guess_city-029": ("helper", asked),
    "guess_city-030": ("helper", asked),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {
    "guess_city-009": "an empty word is no entry of the list, so that no game hides it",
}
"""Case -> why nothing asserts it."""
