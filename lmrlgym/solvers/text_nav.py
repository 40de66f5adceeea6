"""Exact values of Text-Nav: the fewest commands to the goal, by breadth-first search over the rooms.

The game has no chance in it, and its first observation tells the house and the room it begins in; so a player
with the map knows the state, and wins if and only if the shortest game fits into the commands that are left.
Nothing but the ways, taking the thing and opening, filling and closing containers is ever needed, which is
what `steps_to_win` counts; the tests hold it against a search through all states of a house by its rules.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

from lmrlgym.envs.text_nav import (
    CARRIED,
    EATEN,
    SPLITS,
    STEPS,
    House,
    State,
    admissible,
    distances,
    house_of,
    obey,
    objective,
    replayed,
    starts_in,
    view,
)
from lmrlgym.types import History


class TextNavSolver:
    """The best play in the paper's house, or in the generated ones of these keywords.

    A history begins with its game's first observation. Raises `ValueError` if no house begins so.
    Histories of a finished game have no meaning here.
    """

    def __init__(self, rooms: int | None = None, objects: int | None = None, split: str = "train") -> None:
        self._size = (rooms, objects, split)

    def value(self, history: History) -> float:
        """1 if the game can still be won in time, else 0."""
        return max(self.q(history).values())

    def q(self, history: History) -> dict[str, float]:
        """Each admissible command's sum of rewards, if the best play follows."""
        left = STEPS - sum(turn.is_action for turn in history)
        house, states = self.game(history)
        needed = steps_after(house, states[-1])
        return {f"{command}\n": float(1 + steps <= left) for command, steps in needed.items()}

    def best(self, history: History) -> str:
        """The first command of a shortest game; of several, the first in alphabetical order."""
        house, states = self.game(history)
        return f"{best_command(house, states[-1])}\n"

    def game(self, history: History) -> tuple[House, list[State]]:
        """The house of a game that is told like `history`, and its states so far, one an observation."""
        told = history[0].text if history else ""
        for house in _houses(*self._size).get(told.partition("\n")[0], ()):
            if starts := starts_in(house, history):
                # Rooms that look alike are told apart by nothing; most games begin at the house's own start.
                start = house.start if house.start in starts else starts[0]
                return house, replayed(house, start, history)
        raise ValueError(f"no house of these keywords begins with {told!r}")


@cache
def _houses(rooms: int | None, objects: int | None, split: str) -> dict[str, tuple[House, ...]]:
    """The objective, which games begin with -> the houses that have it."""
    count = 1 if rooms is None and objects is None else SPLITS[split]
    found: dict[str, tuple[House, ...]] = {}
    for task in range(count):
        house = house_of(rooms, objects, split, task)
        found[objective(house)] = (*found.get(objective(house), ()), house)
    return found


@lru_cache(maxsize=16_384)
def best_command(house: House, state: State) -> str:
    """The first command of a shortest game from `state`; of several, the first in alphabetical order."""
    needed = steps_after(house, state)
    return min(needed, key=lambda command: needed[command])


def steps_after(house: House, state: State) -> dict[str, float]:
    """Admissible command -> `steps_to_win` once it has been carried out; in alphabetical order."""
    commands = admissible(house, view(house, state))
    return {command: steps_to_win(house, obey(house, state, command).state) for command in commands}


def steps_to_win(house: House, state: State) -> float:
    """The fewest commands that win; 0 in a won game, infinity once the wanted thing has been eaten."""
    place, goal = state.places[house.wanted], house.holders[house.goal].room
    if place == EATEN:
        return math.inf
    is_open = house.goal in state.opened
    if place == house.place_in(house.goal):
        return _way(house, goal)[state.room] + 1 if is_open else 0
    stowing = 2 if is_open else 3  # open, insert, close
    if place == CARRIED:
        return _way(house, goal)[state.room] + stowing
    room, taking = place, 1
    if place >= len(house.rooms):
        number = place - len(house.rooms)
        holder = house.holders[number]
        room, taking = holder.room, 2 if holder.is_container and number not in state.opened else 1
    return _way(house, room)[state.room] + taking + _way(house, goal)[room] + stowing


@cache
def _way(house: House, room: int) -> dict[int, int]:
    """Room -> how many ways it is to `room`: as many as from there, since every way leads back."""
    return distances(house, room)


def solver(
    env_id: str = "lmrlgym/TextNav-v0",
    *,
    rooms: int | None = None,
    objects: int | None = None,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> TextNavSolver:
    """The best play of `env_id` made with these keywords; both ids have the same."""
    return TextNavSolver(rooms, objects, split)
