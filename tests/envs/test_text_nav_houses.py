"""Generated houses: their form, their splits, and that every one can be won."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lmrlgym.envs.text_nav import DIRECTIONS, PAPER_HOUSE, SPLITS, STEPS, House, TextNavEnv, house_of
from lmrlgym.envs.text_nav_houses import content_hash, distances, shortest_game, split_of

SIZES = ((2, 1), (4, 2), (8, 7), (20, 20))
every_size = pytest.mark.parametrize(("rooms", "objects"), SIZES)
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}


def sample(rooms: int, objects: int, count: int = 12) -> list[House]:
    return [house_of(rooms, objects, split, task) for split in SPLITS for task in range(count)]


@every_size
def test_a_house_has_the_rooms_and_objects_that_were_asked_for(rooms: int, objects: int):
    for house in sample(rooms, objects):
        assert (len(house.rooms), len(set(house.rooms))) == (rooms, rooms)
        assert (len(house.things), len({thing.name for thing in house.things})) == (objects, objects)


@every_size
def test_ways_lie_on_a_grid_and_lead_back_and_everywhere(rooms: int, objects: int):
    for house in sample(rooms, objects):
        at, edge = {0: (0, 0)}, [0]
        for room in edge:
            for way, there in house.exits[room].items():
                down, right = DIRECTIONS[way]
                cell = (at[room][0] + down, at[room][1] + right)
                assert house.exits[there][OPPOSITE[way]] == room
                assert at.setdefault(there, cell) == cell
                if there not in edge:
                    edge.append(there)
        assert sorted(edge) == list(range(rooms))
        assert len(set(at.values())) == rooms


@every_size
def test_things_are_named_so_that_a_command_means_one_of_them(rooms: int, objects: int):
    for house in sample(rooms, objects):
        stood = [(holder.room, holder.name) for holder in house.holders]
        assert len(set(stood)) == len(stood)
        containers = [holder.name for holder in house.holders if holder.is_container]
        assert len(set(containers)) == len(containers)
        assert not {thing.name for thing in house.things} & {holder.name for holder in house.holders}


@every_size
def test_the_quest_begins_on_a_supporter_and_ends_in_a_container_within_15_commands(rooms: int, objects: int):
    for house in sample(rooms, objects):
        source = house.holders[house.things[house.wanted].place - rooms]
        goal = house.holders[house.goal]
        assert (source.is_container, goal.is_container) == (False, True)
        assert house.start is not None
        ways = distances(house, source.room)
        # there, take, on to the goal, open, insert, close
        assert shortest_game(house) == ways[house.start] + 1 + ways[goal.room] + 3 <= STEPS


def renamed(house: House, seed: int) -> House:
    """The same house with its rooms, holders and things numbered and named in another way."""
    rng = np.random.default_rng(seed)
    rooms, holders, things = (
        rng.permutation(len(part)).tolist() for part in (house.rooms, house.holders, house.things)
    )  # old number -> new number
    count = len(rooms)

    def moved(place: int) -> int:
        return rooms[place] if place < count else count + holders[place - count]

    def shuffled(parts: Any, order: list[int]) -> tuple[Any, ...]:
        return tuple(part for _, part in sorted(zip(order, parts, strict=True), key=lambda pair: pair[0]))

    return House(
        rooms=tuple(f"Room {i}" for i in range(count)),
        exits=shuffled(
            [dict(sorted((way, rooms[there]) for way, there in exits.items())) for exits in house.exits],
            rooms,
        ),
        holders=shuffled(
            [
                replace(holder, name=f"holder {i}", room=rooms[holder.room])
                for i, holder in enumerate(house.holders)
            ],
            holders,
        ),
        things=shuffled(
            [
                replace(thing, name=f"thing {i}", place=moved(thing.place))
                for i, thing in enumerate(house.things)
            ],
            things,
        ),
        wanted=things[house.wanted],
        goal=holders[house.goal],
        start=rooms[house.start] if house.start is not None else None,
    )


@every_size
def test_another_numbering_and_other_names_are_the_same_house(rooms: int, objects: int):
    for number, house in enumerate(sample(rooms, objects, 4)):
        assert content_hash(renamed(house, number)) == content_hash(house)
        assert split_of(renamed(house, number)) == split_of(house)


def test_the_paper_house_is_the_same_under_other_names():
    assert content_hash(renamed(PAPER_HOUSE, 1)) == content_hash(PAPER_HOUSE)


def test_another_place_food_goal_or_way_is_another_house():
    def with_bowl(**changed: Any) -> House:
        things = list(PAPER_HOUSE.things)
        things[2] = replace(things[2], **changed)
        return replace(PAPER_HOUSE, things=tuple(things))

    others = [
        with_bowl(place=9),
        with_bowl(is_food=True),
        replace(PAPER_HOUSE, goal=3),
        replace(PAPER_HOUSE, wanted=2),
        replace(PAPER_HOUSE, exits=({"west": 3}, {"west": 2}, *PAPER_HOUSE.exits[2:])),
    ]
    assert len({content_hash(house) for house in (*others, PAPER_HOUSE)}) == 1 + len(others)


@pytest.mark.parametrize("size", [(3, 2), pytest.param((8, 7), marks=pytest.mark.slow)])
def test_no_house_of_one_split_is_in_the_other_whatever_its_names(size: tuple[int, int]):
    forms = {
        split: {content_hash(house_of(*size, split, task)) for task in range(count)}
        for split, count in SPLITS.items()
    }
    assert not forms["train"] & forms["test"]
    assert min(len(found) for found in forms.values()) > 100


def test_a_house_depends_on_its_keywords_and_number_alone():
    from lmrlgym.envs.text_nav_houses import generated_house

    first = house_of(5, 3, "test", 7)
    generated_house.cache_clear()
    again = house_of(5, 3, "test", 7)
    assert (first.rooms, first.exits, first.holders, first.things, first.start) == (
        again.rooms, again.exits, again.holders, again.things, again.start,
    )  # fmt: skip


def test_one_keyword_alone_takes_the_papers_other_size():
    assert len(TextNavEnv(rooms=5).house.things) == 7
    assert len(TextNavEnv(objects=3).house.rooms) == 8


def test_the_task_is_the_house_and_begins_where_the_house_says():
    env = TextNavEnv(rooms=4, objects=2, split="test", privileged=True)
    assert env.tasks == SPLITS["test"] == 200
    assert TextNavEnv(rooms=4, objects=2).tasks == SPLITS["train"] == 1_000
    for task in range(10):
        _, info = env.reset(seed=0, options={"task": task})
        house = house_of(4, 2, "test", task)
        assert env.house is house
        assert info["secret"] == house.rooms[house.start or 0]
        assert info["task"] == task


def test_task_and_room_may_both_be_given():
    env = TextNavEnv(rooms=4, objects=2, privileged=True)
    for room in house_of(4, 2, "train", 5).rooms:
        _, info = env.reset(seed=0, options={"task": 5, "room": room})
        assert (info["task"], info["secret"]) == (5, room)
    with pytest.raises(ValueError, match=r"room must be one of .*, got 'Moon'"):
        env.reset(options={"task": 5, "room": "Moon"})


def test_its_objective_names_its_own_thing_and_goal():
    env = TextNavEnv(rooms=4, objects=2)
    observation, _ = env.reset(seed=0, options={"task": 5})
    house = env.house
    source = house.holders[house.things[0].place - 4]
    goal = house.holders[house.goal]
    assert observation.split("\n")[0] == (
        f"Your objective is to put the {house.things[0].name} on the {source.name} in the "
        f"{house.rooms[source.room].lower()} into the {goal.name} in the {house.rooms[goal.room].lower()}."
    )
