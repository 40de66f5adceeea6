"""The Text-Nav cases: games that were played in the TextWorld engine, command by command.

What is compared is what a case tells: the room, the replies (rooms are described in our own words, and the
question after the end is left out), the admissible commands, the score, and who won or lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmrlgym.envs.text_nav import PAPER_HOUSE, TextNavEnv, TextNavPartialEnv, listed
from lmrlgym.solvers.text_nav import TextNavSolver

Case = dict[str, Any]
QUESTION = "Would you like to RESTART"


def lines(text: str) -> list[str]:
    """The lines of a reply, without blank ones and the question that follows the end."""
    stripped = [line.strip() for line in text.split("\n")]
    return [line for line in stripped if line and not line.startswith(QUESTION)]


def played(env: TextNavEnv, case: Case) -> None:
    first, *steps = case["outputs"]["steps"]
    observation, info = env.reset(seed=0, options={"room": case["inputs"]["start_room"]})
    assert info["secret"] == first["room"]
    assert list(listed(observation)) == first["admissible"]
    score = 0.0
    for step in steps:
        room = info["secret"]
        observation, reward, terminated, truncated, info = env.step(step["command"])
        score += reward
        assert info["secret"] == (step["entered"] or room)
        if step["text"] is not None:
            told = lines(step["text"])
            assert lines(observation)[: len(told)] == told
        assert list(listed(observation)) == step["admissible"]
        assert score == step["score"]
        assert info["success"] == step["won"]
        assert (info["stop_reason"] == "lost") == step["lost"]
        assert (terminated, truncated) == (step["done"], False)
    assert len(steps) == case["outputs"].get("n_steps", len(steps))
    assert score == case["outputs"].get("return", score)


def full_game(case: Case) -> None:
    played(TextNavEnv(privileged=True), case)


def partial_game(case: Case) -> None:
    """The room's name is never told."""
    env = TextNavPartialEnv(privileged=True)
    played(env, case)
    told = " ".join(turn.text for turn in env.history[1:] if not turn.is_action)
    assert case["inputs"]["start_room"] not in told.lower()


def best_game(case: Case) -> None:
    """The commands are as few as the solver needs, and won by the same commands."""
    full_game(case)
    env = TextNavEnv()
    env.reset(seed=0, options={"room": case["inputs"]["start_room"]})
    for command in case["inputs"]["commands"]:
        values = TextNavSolver().q(env.history)
        assert values[f"{command}\n"] == max(values.values()) == 1
        assert TextNavSolver().best(env.history) == f"{command}\n"
        env.step(command)
    assert case["outputs"]["n_steps"] == len(case["inputs"]["commands"])


def room_graph(case: Case) -> None:
    found = {
        name.lower(): {way: PAPER_HOUSE.rooms[there] for way, there in PAPER_HOUSE.exits[number].items()}
        for number, name in enumerate(PAPER_HOUSE.rooms)
    }
    assert found == case["outputs"]


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    **{f"text_nav-{number:03}": ("clean", best_game) for number in (2, 4, 5, 6, 8)},
    "text_nav-010": ("clean", full_game),
    "text_nav-014": ("clean", partial_game),
    "text_nav-015": ("helper", room_graph),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {}
"""Case -> why nothing asserts it."""
