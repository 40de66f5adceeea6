"""The houses of Text-Nav: the paper's, and generated ones whose training and test sets share no house.

A house is what never changes in a game. A generated one is drawn on a grid, so that ways go straight and
back; it belongs to the test set or to the training set by a hash of its form that new names do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import count

import numpy as np
from numpy.random import Generator

STEPS = 15
"""How many actions a game has."""
DIRECTIONS: dict[str, tuple[int, int]] = {"north": (-1, 0), "east": (0, 1), "south": (1, 0), "west": (0, -1)}
"""(rows down, columns to the right)"""
SPLITS = {"train": 1_000, "test": 200}
"""Name -> how many houses of a size it has."""
ROOM_NAMES = (
    "Attic", "Backyard", "Balcony", "Bathroom", "Bedroom", "Cellar", "Dining Room", "Garage", "Garden",
    "Guest Room", "Hall", "Kitchen", "Laundry", "Library", "Living Room", "Music Room", "Nursery", "Office",
    "Pantry", "Playroom", "Porch", "Storeroom", "Studio", "Workshop",
)  # fmt: skip
SUPPORTER_NAMES = ("bench", "counter", "desk", "shelf", "stool", "table")
CONTAINER_NAMES = ("basket", "box", "cabinet", "chest", "crate", "cupboard", "fridge", "trunk", "wardrobe")
FOOD_NAMES = (
    "apple", "banana", "bread", "cake", "carrot", "cheese", "cookie", "egg", "lemon", "pear", "soup",
    "yogurt",
)  # fmt: skip
OTHER_NAMES = (
    "bottle", "bowl", "brush", "candle", "coffee cup", "comb", "hammer", "lamp", "letter", "mirror", "needle",
    "notebook", "pencil", "pillow", "plate", "radio", "ring", "rope", "spoon", "teapot",
)  # fmt: skip
MOST_ROOMS, MOST_OBJECTS = 20, 20
_TEST_SHARE = 5  # one house in five
_SUPPORTED, _CONTAINED, _FOOD, _EXTRA_WAY = 0.6, 0.35, 0.4, 0.25


@dataclass(frozen=True)
class Holder:
    """A supporter, or a container, which can be opened. Neither can be moved."""

    name: str
    room: int
    is_container: bool


@dataclass(frozen=True)
class Thing:
    """Something that can be carried. `place` is where it lies at first: see `House.place_in`."""

    name: str
    is_food: bool
    place: int


@dataclass(frozen=True, eq=False)
class House:
    """Rooms, their exits and what is in them; every container is closed at first.

    A place is a number: that of a room for its ground, then the holders. The quest is to put thing
    number `wanted` into holder number `goal`, a container, and to close it.
    """

    rooms: tuple[str, ...]
    exits: tuple[Mapping[str, int], ...]
    """[room][direction] -> room"""
    holders: tuple[Holder, ...]
    things: tuple[Thing, ...]
    wanted: int
    goal: int
    start: int | None = None
    """The room in which its games begin; None: any."""

    def place_in(self, holder: int) -> int:
        """The place on or in a holder."""
        return len(self.rooms) + holder

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of a thing by its name."""
        return {thing.name: number for number, thing in enumerate(self.things)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the things."""
        return tuple(thing.name for thing in self.things)

    @cached_property
    def furniture(self) -> tuple[dict[str, int], ...]:
        """[room][name] -> the number of a holder that stands there."""
        return tuple(
            {holder.name: number for number, holder in enumerate(self.holders) if holder.room == room}
            for room in range(len(self.rooms))
        )


def _paper_house() -> House:
    plan = {
        "Bedroom": {"west": "Living Room", "south": "Bathroom"},
        "Bathroom": {"north": "Bedroom", "west": "Office"},
        "Office": {"east": "Bathroom", "north": "Living Room"},
        "Living Room": {"east": "Bedroom", "south": "Office", "west": "Dining Room"},
        "Kitchen": {"east": "Dining Room", "north": "Garden", "west": "Backyard"},
        "Dining Room": {"east": "Living Room", "west": "Kitchen"},
        "Garden": {"south": "Kitchen"},
        "Backyard": {"east": "Kitchen"},
    }
    rooms = tuple(plan)
    at = {name: number for number, name in enumerate(rooms)}
    bedside, parlour, dining, chest, fridge = range(len(rooms), len(rooms) + 5)
    return House(
        rooms=rooms,
        exits=tuple({way: at[there] for way, there in plan[name].items()} for name in rooms),
        holders=(
            Holder("table", at["Bedroom"], False),
            Holder("table", at["Living Room"], False),
            Holder("table", at["Dining Room"], False),
            Holder("chest", at["Office"], True),
            Holder("fridge", at["Kitchen"], True),
        ),
        things=(
            Thing("stale food", True, parlour),
            Thing("fresh food", True, parlour),
            Thing("bowl", False, bedside),
            Thing("coffee cup", False, dining),
            Thing("plate", False, dining),
            Thing("utensils", False, chest),
            Thing("fruit", True, fridge),
        ),
        wanted=0,
        goal=4,
    )


PAPER_HOUSE = _paper_house()
PAPER_ROOMS, PAPER_OBJECTS = len(PAPER_HOUSE.rooms), len(PAPER_HOUSE.things)


def house_of(rooms: int | None, objects: int | None, split: str, task: int) -> House:
    """House number `task` of these keywords: the paper's if `rooms` and `objects` are None."""
    if rooms is None and objects is None:
        return PAPER_HOUSE
    rooms = PAPER_ROOMS if rooms is None else rooms
    objects = PAPER_OBJECTS if objects is None else objects
    return generated_house(rooms, objects, split, task)


@lru_cache(maxsize=2_048)
def generated_house(rooms: int, objects: int, split: str, task: int) -> House:
    """House number `task` of its size in `split`; its game can be won in time from its start.

    Raises `ValueError` for a size or a split that there is not.
    """
    if isinstance(rooms, bool) or not isinstance(rooms, int) or not 2 <= rooms <= MOST_ROOMS:
        raise ValueError(f"rooms must be a whole number from 2 to {MOST_ROOMS}, got {rooms!r}")
    if isinstance(objects, bool) or not isinstance(objects, int) or not 1 <= objects <= MOST_OBJECTS:
        raise ValueError(f"objects must be a whole number from 1 to {MOST_OBJECTS}, got {objects!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    for attempt in count():
        rng = np.random.default_rng(np.random.SeedSequence([rooms, objects, task, attempt]))
        house = _drawn(rooms, objects, rng)
        if shortest_game(house) <= STEPS and split_of(house) == split:
            return house
    raise AssertionError("unreachable")


def split_of(house: House) -> str:
    """The set to which a house of this form belongs, whatever its rooms and objects are called."""
    return "test" if int(content_hash(house), 16) % _TEST_SHARE == 0 else "train"


def content_hash(house: House) -> str:
    """The sha256 of the form of a house: equal for houses that differ in names and numbering only."""
    # Ways have names, so a walk that takes them in order numbers the rooms; only its first room is free.
    held = [_held(house, room) for room in range(len(house.rooms))]
    forms = [_form(house, held, _walk(house, room)) for room in range(len(house.rooms))]
    return sha256(min(forms).encode()).hexdigest()


def _walk(house: House, first: int) -> list[int]:
    """All rooms, nearest first, in the order in which a walk from `first` meets them."""
    met = [first]
    for room in met:
        met += [house.exits[room][w] for w in DIRECTIONS if house.exits[room].get(w, first) not in met]
    return met


def _form(house: House, held: Sequence[object], order: Sequence[int]) -> str:
    number = {room: i for i, room in enumerate(order)}
    rooms = []
    for room in order:
        ways = [(way, number[there]) for way, there in sorted(house.exits[room].items())]
        rooms.append((ways, held[room]))
    return repr(rooms)


def _held(house: House, room: int) -> object:
    """What stands in a room, what is in or on it, and what lies on the ground, without names."""
    standing = sorted(
        (house.holders[i].is_container, i == house.goal, _contents(house, house.place_in(i)))
        for i in house.furniture[room].values()
    )
    return standing, _contents(house, room)


def _contents(house: House, place: int) -> list[tuple[bool, bool]]:
    """(is it food, is it wanted) of what lies at `place` at first, sorted."""
    return sorted((t.is_food, i == house.wanted) for i, t in enumerate(house.things) if t.place == place)


def shortest_game(house: House) -> int:
    """The fewest actions: go to the wanted thing, take it, go to the goal, open, insert, close.

    The wanted thing must be on a supporter. A house without a start counts from the wanted thing.
    """
    wanted = house.holders[house.things[house.wanted].place - len(house.rooms)].room
    start = wanted if house.start is None else house.start
    from_wanted = distances(house, wanted)
    # There and back are equally far: every way leads back.
    return from_wanted[start] + 1 + from_wanted[house.holders[house.goal].room] + 3


def distances(house: House, room: int) -> dict[int, int]:
    """Room -> how many moves it is from `room`."""
    found, edge = {room: 0}, [room]
    for here in edge:
        for there in house.exits[here].values():
            if there not in found:
                found[there] = found[here] + 1
                edge.append(there)
    return found


def _drawn(rooms: int, objects: int, rng: Generator) -> House:
    exits = _plan(rooms, rng)
    names = [ROOM_NAMES[i] for i in rng.permutation(len(ROOM_NAMES))[:rooms]]
    holders = _furniture(rooms, rng)
    containers = [i for i, holder in enumerate(holders) if holder.is_container]
    supporters = [i for i, holder in enumerate(holders) if not holder.is_container]
    foods = [FOOD_NAMES[i] for i in rng.permutation(len(FOOD_NAMES))]
    others = [OTHER_NAMES[i] for i in rng.permutation(len(OTHER_NAMES))]
    things = []
    for number in range(objects):
        is_food = bool(foods and rng.random() < _FOOD)
        spots = range(len(holders)) if number else supporters
        place = rooms + spots[int(rng.integers(len(spots)))]
        things.append(Thing(foods.pop() if is_food else others.pop(), is_food, place))
    goal = containers[int(rng.integers(len(containers)))]
    start = int(rng.integers(rooms))
    return House(tuple(names), exits, holders, tuple(things), 0, goal, start)


def _plan(rooms: int, rng: Generator) -> tuple[dict[str, int], ...]:
    """A tree of ways on a grid, and some more ways between neighbours."""
    at = {(0, 0): 0}
    exits: list[dict[str, int]] = [{}]
    opposite = dict(zip(DIRECTIONS, ("south", "west", "north", "east"), strict=True))
    while len(at) < rooms:
        cells = list(at)
        row, column = cells[int(rng.integers(len(cells)))]
        way = tuple(DIRECTIONS)[int(rng.integers(len(DIRECTIONS)))]
        down, right = DIRECTIONS[way]
        cell = (row + down, column + right)
        if cell not in at:
            exits[at[row, column]][way] = len(at)
            exits.append({opposite[way]: at[row, column]})
            at[cell] = len(at)
    for (row, column), room in at.items():
        for way in ("east", "south"):
            down, right = DIRECTIONS[way]
            there = at.get((row + down, column + right))
            if there is not None and way not in exits[room] and rng.random() < _EXTRA_WAY:
                exits[room][way] = there
                exits[there][opposite[way]] = room
    return tuple(exits)


def _furniture(rooms: int, rng: Generator) -> tuple[Holder, ...]:
    """At least one supporter and one container; no two of a name in a room, no two containers of a name."""
    containers = [CONTAINER_NAMES[i] for i in rng.permutation(len(CONTAINER_NAMES))]
    holders = []
    sure = rng.integers(rooms, size=2)  # the rooms that have the first supporter and the first container
    for room in range(rooms):
        if room == sure[0] or rng.random() < _SUPPORTED:
            name = SUPPORTER_NAMES[int(rng.integers(len(SUPPORTER_NAMES)))]
            holders.append(Holder(name, room, False))
        is_sure = room == sure[1]
        if is_sure or (len(containers) > 1 and rng.random() < _CONTAINED):
            holders.append(Holder(containers.pop(), room, True))
    return tuple(holders)
