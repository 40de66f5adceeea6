"""Text-Nav against the real engine: the same house in TextWorld, the same commands, the same game.

Needs the extra `textworld`. A house is compiled once a start room; the whole file takes about a minute.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from lmrlgym.envs.text_nav import PAPER_HOUSE, House, TextNavEnv, house_of, listed
from lmrlgym.envs.text_nav_rules import carrying

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("textworld") is None, reason="TextWorld is missing: pip install textworld"),
]

SEQUENCES = 65
"""Command sequences a start room: 8 * 65 = 520."""
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
NOT_LISTED = ("examine", "look", "inventory")
"""Admissible commands of the engine that change nothing, which the paper's observations leave out."""


def compiled(house: House, start: int, folder: Path) -> Any:
    """The engine, playing `house` from room number `start`."""
    import textworld
    from textworld.generator import compile_game
    from textworld.generator.game import Event, Quest

    options = textworld.GameOptions()
    options.seeds = 1234
    options.grammar.theme = "house"
    options.path = f"{folder}/"
    options.file_ext = ".z8"
    maker = textworld.GameMaker(options)
    # In lower case: a name that begins with P or I, as "Porch", the engine takes for one of its own numbers
    # and replaces by another, perhaps that of another room. It tells all of them with capitals.
    rooms = [maker.new_room(name.lower()) for name in house.rooms]
    for room, exits in enumerate(house.exits):
        for way, there in exits.items():
            if room < there:
                maker.connect(getattr(rooms[room], way), getattr(rooms[there], OPPOSITE[way]))
    holders = [maker.new(type="c" if h.is_container else "s", name=h.name) for h in house.holders]
    for holder, made in zip(house.holders, holders, strict=True):
        if holder.is_container:
            made.add_property("closed")
        rooms[holder.room].add(made)
    things = [maker.new(type="f" if thing.is_food else "o", name=thing.name) for thing in house.things]
    for thing, made in zip(house.things, things, strict=True):
        holders[thing.place - len(rooms)].add(made)
    maker.set_player(rooms[start])
    wanted, goal = things[house.wanted], holders[house.goal]
    is_won = Event(conditions={maker.new_fact("in", wanted, goal), maker.new_fact("closed", goal)})
    # Nothing but food can be eaten: of anything else Inform does not compile the condition.
    is_food = house.things[house.wanted].is_food
    is_lost = [Event(conditions={maker.new_fact("eaten", wanted)})] if is_food else []
    maker.quests = [Quest(win_events=[is_won], fail_events=is_lost)]
    infos = textworld.EnvInfos(
        admissible_commands=True, inventory=True, score=True, won=True, lost=True, feedback=True
    )
    return textworld.start(compile_game(maker.build(), options), request_infos=infos)


def said(house: House, env: TextNavEnv, rng: Generator) -> str:
    """An admissible command, or any other that names things of the house, or nonsense."""
    commands = [command.strip() for command in env.candidates()]
    if rng.random() < 0.6:
        return commands[int(rng.integers(len(commands)))]
    thing = house.things[int(rng.integers(len(house.things)))].name
    names = [*(holder.name for holder in house.holders), *(other.name for other in house.things)]
    name = names[int(rng.integers(len(names)))]
    others = (
        "look", "inventory", "xyzzy", "go up", f"go {rng.choice(list(OPPOSITE))}", f"examine {name}",
        f"take {thing}", f"take {thing} from {name}", f"put {thing} on {name}", f"insert {thing} into {name}",
        f"open {name}", f"close {name}", f"drop {name}", f"eat {name}", f"take {name}",
    )  # fmt: skip
    return others[int(rng.integers(len(others)))]


def told(text: str) -> list[str]:
    """The lines of an answer of the engine, without blank ones, its status line and its last question."""
    lines = [line.strip() for line in text.partition("\n>")[0].split("\n")]
    return [line for line in lines if line and not line.startswith("Would you like to")]


def room_told(text: str) -> str:
    """The room that the engine's status line names."""
    found: list[str] = re.findall(r"-= (.+?) =-", text)
    return found[-1]


def same_game(house: House, env: TextNavEnv, engine: Any, rng: Generator) -> list[str]:
    """Plays a game on both and gives what differs, which should be nothing."""
    state, observation, score, over = engine.reset(), env.history[0].text, 0.0, False
    info: dict[str, Any] = {"success": False, "stop_reason": ""}
    differences, played = [], [env._secret()]
    while True:
        ours = {
            "admissible": list(listed(observation)),
            "inventory": carrying(house, env._state),
            "room": env._secret(),
            "score": score,
            "won": info["success"],
            "lost": info["stop_reason"] == "lost",
        }
        theirs = {
            "admissible": sorted(
                command for command in state.admissible_commands if not command.startswith(NOT_LISTED)
            ),
            "inventory": state.inventory.strip(),
            "room": room_told(state.feedback),
            "score": state.score,
            "won": state.won,
            "lost": state.lost,
        }
        if over:
            ours.pop("inventory")  # the engine is asked for it in another command, which a game over refuses
        differences += [
            f"{played}: {key} {ours[key]!r}, engine {theirs[key]!r}"
            for key in ours
            if ours[key] != theirs[key]
        ]
        if over:
            return differences
        command = said(house, env, rng)
        played.append(command)
        observation, reward, over, _, info = env.step(command)
        state, _, done = engine.step(command)
        score += reward
        if done != (info["stop_reason"] in ("won", "lost")):
            differences.append(f"{played}: over {info['stop_reason']!r}, engine {done}")
        is_described = (
            command == "look"
            or command.startswith("examine")
            or (command.startswith("go") and info["action_is_valid"])
        )
        answer, engines = observation.split("\n"), told(state.feedback)
        if not is_described and answer[: len(engines)] != engines:
            differences.append(f"{played}: {answer[: len(engines)]}, engine {engines}")


@pytest.mark.parametrize("start", range(len(PAPER_HOUSE.rooms)), ids=PAPER_HOUSE.rooms)
def test_the_papers_house_is_the_engines(start: int, tmp_path: Path):
    engine, env = compiled(PAPER_HOUSE, start, tmp_path), TextNavEnv()
    for number in range(SEQUENCES):
        env.reset(seed=number, options={"task": start})
        assert same_game(PAPER_HOUSE, env, engine, np.random.default_rng([start, number])) == []


@pytest.mark.parametrize("task", range(3))
def test_generated_houses_are_the_engines(task: int, tmp_path: Path):
    house, env = house_of(5, 6, "test", task), TextNavEnv(rooms=5, objects=6, split="test")
    engine = compiled(house, house.start or 0, tmp_path)
    for number in range(20):
        env.reset(seed=number, options={"task": task})
        assert same_game(house, env, engine, np.random.default_rng([task, number])) == []
