"""A person at the terminal, and what is safe to print on one."""

from __future__ import annotations

import numpy as np
import pytest

from lmrlgym.person import printable
from lmrlgym.policies.human import HumanPolicy
from lmrlgym.types import Turn

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, twice\n\tindented", "plain text, twice\n\tindented"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),  # no colour
        ("\x1b]0;title\x07after", "]0;titleafter"),  # no window title
        ("\x9b2Jcleared", "2Jcleared"),  # the one-character form of ESC [
        ("over\rwritten\x08\x7f", "overwritten"),
        ("a\u202etxt.exe", "atxt.exe"),  # no reordering of what is read
        ("half \ud800 pair", "half  pair"),  # could not be encoded
        ("grün 語 ✓", "grün 語 ✓"),
    ],
)
def test_control_characters_are_dropped_and_nothing_else(text, shown):
    assert printable(text) == shown


def test_the_person_sees_the_newest_utterance_without_control_characters():
    shown, prompts = [], []

    def read(prompt):
        prompts.append(prompt)
        return "move up"

    history = (Turn("first\n", False), Turn("move left\n", True), Turn("a \x1b[2Jwall\n", False))
    assert HumanPolicy(read, shown.append).act([history], [RNG]) == ["move up"]
    assert shown == ["a [2Jwall"]
    assert prompts == ["> "]


def test_several_games_are_labelled_and_idle_positions_are_not_asked():
    shown = []
    policy = HumanPolicy(lambda prompt: "yes", shown.append)
    said = policy.act([(), (Turn("wall\n", False),)], [RNG, RNG])
    assert said == ["", "yes"]
    assert shown == ["[game 2] wall"]
