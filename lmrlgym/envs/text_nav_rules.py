"""The rules and texts of Text-Nav, pure functions of a `House` and a `State`.

Commands, refusals and replies are those of TextWorld, with which the tests compare ours one by one; the words
that describe a room are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from lmrlgym.envs.text_nav_houses import DIRECTIONS, House
from lmrlgym.types import History

CARRIED, EATEN, ELSEWHERE = -1, -2, -3
"""Places of a thing besides those of the house; ELSEWHERE in a `view` only."""
NO_VERB, NO_THING, NO_WAY = (
    "That's not a verb I recognise.",
    "You can't see any such thing.",
    "You can't go that way.",
)
NOTHING_CARRIED = "You are carrying nothing."
LISTED = "Admissible commands: "
"""How the last line of every observation begins."""
_OTHER_WAYS = ("up", "down", "in", "out", "northeast", "northwest", "southeast", "southwest")
_LONGEST_COMMAND = 80
"""Characters; every command there is is shorter."""


class State(NamedTuple):
    """What changes in a game."""

    room: int
    places: tuple[int, ...]
    """[thing] -> a place of the house, CARRIED or EATEN"""
    opened: frozenset[int] = frozenset()
    """The containers that are open."""
    recent: tuple[int, ...] = ()
    """The things that have been moved, newest first: in this order the engine lists what is in a place."""


class Outcome(NamedTuple):
    """What a command does. `reply` is None where the room is described."""

    state: State
    reply: str | None
    is_obeyed: bool = True
    takes_time: bool = True
    """Whether the engine counts it as a turn, as it does unless it does not understand."""


def first_state(house: House, room: int) -> State:
    """How a game that begins in `room` begins."""
    return State(room, tuple(thing.place for thing in house.things))


def is_won(house: House, state: State) -> bool:
    """Whether the wanted thing lies in the goal and the goal is closed."""
    return state.places[house.wanted] == house.place_in(house.goal) and house.goal not in state.opened


def is_lost(house: House, state: State) -> bool:
    """Whether the wanted thing has been eaten."""
    return state.places[house.wanted] == EATEN


# ---- commands ----


@lru_cache(maxsize=16_384)
def admissible(house: House, state: State) -> tuple[str, ...]:
    """The commands that change something, in alphabetical order; `state` may be a view."""
    held = _contents(house, state)
    carried = held.get(CARRIED, ())
    commands = [f"go {way}" for way in house.exits[state.room]]
    commands += [f"drop {name}" for name in carried]
    commands += [f"eat {name}" for name in carried if house.things[house.numbers[name]].is_food]
    commands += [f"take {name}" for name in held.get(state.room, ())]
    for number in house.furniture[state.room].values():
        holder = house.holders[number]
        is_open = number in state.opened
        if holder.is_container:
            commands.append(f"{'close' if is_open else 'open'} {holder.name}")
        if is_open or not holder.is_container:
            put, on = ("insert", "into") if holder.is_container else ("put", "on")
            commands += [f"{put} {name} {on} {holder.name}" for name in carried]
            commands += [f"take {name} from {holder.name}" for name in held.get(house.place_in(number), ())]
    commands.sort()
    return tuple(commands)


def obey(house: House, state: State, said: str) -> Outcome:
    """What `said` does, a command as `command_in` gives it. Any other text is refused."""
    verb, _, what = said.partition(" ")
    if verb in ("look", "inventory"):
        reply = None if verb == "look" else carrying(house, state)
        return _unheard(state, NO_VERB) if what else Outcome(state, reply)
    rule = _RULES.get(verb)
    if rule is None:
        return _unheard(state, NO_VERB if said else "I beg your pardon?")
    return rule(house, state, what)


def _go(house: House, state: State, way: str) -> Outcome:
    there = house.exits[state.room].get(way)
    if there is not None:
        return Outcome(State(there, state.places, state.opened, state.recent), None)
    if way in DIRECTIONS or way in _OTHER_WAYS:
        return _refused(state, NO_WAY)
    return _unheard(state, NO_THING)


def _take(house: House, state: State, what: str) -> Outcome:
    name, is_from, holder = what.partition(" from ")
    thing = _thing(house, state, name)
    if thing is None:
        is_fixed = not is_from and name in house.furniture[state.room]
        return _refused(state, "That's fixed in place.") if is_fixed else _unheard(state, NO_THING)
    place = state.places[thing]
    if is_from:
        number = house.furniture[state.room].get(holder)
        if number is None or place != house.place_in(number):
            return _unheard(state, NO_THING)
    if place == CARRIED:
        return _refused(state, "You already have that.")
    taken = _moved(state, thing, CARRIED)
    if place == state.room:
        return Outcome(taken, f"You pick up the {name} from the ground.")
    return Outcome(taken, f"You take the {name} from the {house.holders[place - len(house.rooms)].name}.")


def _put(house: House, state: State, what: str) -> Outcome:
    name, _, target = what.partition(" on ")
    refusal = _unfit(house, state, name, target, "You can't put something on top of itself.")
    if refusal is not None:
        return refusal
    number = house.furniture[state.room].get(target)
    if number is None or house.holders[number].is_container:
        return _refused(state, f"Putting things on the {target} would achieve nothing.")
    return Outcome(
        _moved(state, house.numbers[name], house.place_in(number)), f"You put the {name} on the {target}."
    )


def _insert(house: House, state: State, what: str) -> Outcome:
    name, _, target = what.partition(" into ")
    refusal = _unfit(house, state, name, target, "You can't put something inside itself.")
    if refusal is not None:
        return refusal
    number = house.furniture[state.room].get(target)
    if number is None or not house.holders[number].is_container:
        return _refused(state, "That can't contain things.")
    if number not in state.opened:
        return _refused(state, f"The {target} is closed.")
    return Outcome(
        _moved(state, house.numbers[name], house.place_in(number)), f"You put the {name} into the {target}."
    )


def _unfit(house: House, state: State, name: str, target: str, onto_itself: str) -> Outcome | None:
    """Why `name` cannot be put anywhere, least of all on or into `target`."""
    if not (_is_seen(house, state, name) and _is_seen(house, state, target)):
        return _unheard(state, NO_THING)
    thing = _thing(house, state, name)
    if thing is None:
        return _refused(state, f"The {name} is fixed in place.")
    if state.places[thing] != CARRIED:
        return _refused(state, f"You need to take the {name} first.")
    return _refused(state, onto_itself) if name == target else None


def _open(house: House, state: State, name: str) -> Outcome:
    if not _is_seen(house, state, name):
        return _unheard(state, NO_THING)
    number = house.furniture[state.room].get(name)
    if number is None or not house.holders[number].is_container:
        return _refused(state, "It isn't something you can open.")
    if number in state.opened:
        return _refused(state, "That's already open.")
    held = _contents(house, state).get(house.place_in(number))
    revealed = f", revealing {enumerated(held)}" if held else ""
    return Outcome(state._replace(opened=state.opened | {number}), f"You open the {name}{revealed}.")


def _close(house: House, state: State, name: str) -> Outcome:
    if not _is_seen(house, state, name):
        return _unheard(state, NO_THING)
    number = house.furniture[state.room].get(name)
    if number is None or not house.holders[number].is_container:
        return _refused(state, "It isn't something you can close.")
    if number not in state.opened:
        return _refused(state, "That's already closed.")
    return Outcome(state._replace(opened=state.opened - {number}), f"You close the {name}.")


def _drop(house: House, state: State, name: str) -> Outcome:
    if not _is_seen(house, state, name):
        return _unheard(state, NO_THING)
    thing = _thing(house, state, name)
    if thing is None or state.places[thing] == state.room:
        return _refused(state, f"The {name} is already here.")
    if state.places[thing] != CARRIED:
        return _refused(state, "You haven't got that.")
    return Outcome(_moved(state, thing, state.room), f"You drop the {name} on the ground.")


def _eat(house: House, state: State, name: str) -> Outcome:
    if not _is_seen(house, state, name):
        return _unheard(state, NO_THING)
    thing = _thing(house, state, name)
    if thing is None or not house.things[thing].is_food:
        return _refused(state, "That's plainly inedible.")
    if state.places[thing] != CARRIED:
        return _refused(state, f"You need to take the {name} first.")
    return Outcome(_moved(state, thing, EATEN), f"You eat the {name}. Not bad.")


def _examine(house: House, state: State, name: str) -> Outcome:
    if not _is_seen(house, state, name):
        return _unheard(state, NO_THING)
    number = house.furniture[state.room].get(name)
    if number is None:
        return Outcome(state, f"It is {with_article(name)}.")
    return Outcome(state, _described(house, number, number in state.opened, 0, _contents(house, state)))


_RULES: dict[str, Callable[[House, State, str], Outcome]] = {
    "go": _go, "take": _take, "put": _put, "insert": _insert, "open": _open, "close": _close, "drop": _drop,
    "eat": _eat, "examine": _examine,
}  # fmt: skip


def _refused(state: State, reply: str) -> Outcome:
    return Outcome(state, reply, is_obeyed=False)


def _unheard(state: State, reply: str) -> Outcome:
    return Outcome(state, reply, is_obeyed=False, takes_time=False)


def _moved(state: State, thing: int, place: int) -> State:
    places = tuple([place if i == thing else old for i, old in enumerate(state.places)])
    return State(state.room, places, state.opened, (thing, *[old for old in state.recent if old != thing]))


def _is_seen(house: House, state: State, name: str) -> bool:
    return _thing(house, state, name) is not None or name in house.furniture[state.room]


def _thing(house: House, state: State, name: str) -> int | None:
    """The thing `name`, if it is carried or lies openly in this room."""
    number = house.numbers.get(name)
    return number if number is not None and state.places[number] in shown(house, state) else None


def _contents(house: House, state: State) -> dict[int, tuple[str, ...]]:
    """Place -> the names of the things there, those last moved first."""
    held: dict[int, tuple[str, ...]] = {}
    _, places, _, recent = state
    for thing in recent:
        place = places[thing]
        held[place] = (*held.get(place, ()), house.names[thing])
    for thing, place in enumerate(places):
        if place != ELSEWHERE and thing not in recent:
            held[place] = (*held.get(place, ()), house.names[thing])
    return held


@lru_cache(maxsize=1_024)
def _shown(house: House, room: int, opened: frozenset[int]) -> frozenset[int]:
    standing = house.furniture[room].values()
    showing = [n for n in standing if n in opened or not house.holders[n].is_container]
    return frozenset((CARRIED, room, *(house.place_in(number) for number in showing)))


def shown(house: House, state: State) -> frozenset[int]:
    """The places of which one sees what is there."""
    return _shown(house, state.room, state.opened)


def view(house: House, state: State) -> State:
    """What is seen of `state`. There are far fewer views than states, so texts are remembered by view."""
    places = shown(house, state)
    seen = tuple([place if place in places else ELSEWHERE for place in state.places])
    return State(state.room, seen, state.opened, tuple([t for t in state.recent if seen[t] != ELSEWHERE]))


# ---- texts ----

_HERE = ("You are in the {}.", "You stand in the {}.", "This is the {}.", "Here is the {}.")
_SUPPORTER = (
    "On the {} {}.", "A {} stands here. On it {}.", "There is a {}. On it {}.", "You see a {}. On it {}.",
)  # fmt: skip
_OPEN = (
    "In the open {} {}.", "An open {} stands here. In it {}.", "There is an open {}. In it {}.",
    "You see an open {}. In it {}.",
)  # fmt: skip
_CLOSED = ("The {} is closed.", "A closed {} stands here.", "There is a closed {}.", "You see a closed {}.")
_EXITS = ("You can go {}.", "You can leave {}.", "Exits: {}.", "Ways out: {}.")
STYLES = len(_HERE) * len(_OPEN) * len(_EXITS)
"""How many ways there are to describe a room; a game draws one for each."""


def with_article(name: str) -> str:
    """ "a bowl", and "an utensils", as the engine says."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


@lru_cache(maxsize=8_192)
def enumerated(names: tuple[str, ...]) -> str:
    """ "a bowl, a plate and an egg" """
    return _joined([with_article(name) for name in names])


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def objective(house: House) -> str:
    """The sentence that says what to do."""
    thing, goal = house.things[house.wanted], house.holders[house.goal]
    source = house.holders[thing.place - len(house.rooms)]
    return (
        f"Your objective is to put the {thing.name} on the {source.name} in the "
        f"{house.rooms[source.room].lower()} into the {goal.name} in the {house.rooms[goal.room].lower()}."
    )


def carrying(house: House, state: State) -> str:
    """The inventory."""
    carried = _contents(house, state).get(CARRIED)
    return f"You are carrying: {enumerated(carried)}." if carried else NOTHING_CARRIED


@lru_cache(maxsize=16_384)
def described(house: House, state: State, style: int, tells_room: bool) -> str:
    """The room, what is in it and its exits, in one of `STYLES` ways; its name only if `tells_room`."""
    before, after = _around(house, state.room, style, tells_room)
    return f"{before}{_within(house, state, style // len(_EXITS) % len(_OPEN))}{after}"


@lru_cache(maxsize=16_384)
def _within(house: House, state: State, style: int) -> str:
    """What is in the room, a blank after every sentence."""
    held = _contents(house, state)
    sentences = [
        _described(house, number, number in state.opened, style, held)
        for number in house.furniture[state.room].values()
    ]
    if state.room in held:
        sentences.append(f"On the ground {_being(held[state.room])}.")
    return "".join([f"{sentence} " for sentence in sentences])


@lru_cache(maxsize=8_192)
def _around(house: House, room: int, style: int, tells_room: bool) -> tuple[str, str]:
    """How the description of a room begins, its name and a blank or nothing, and how it ends."""
    exits, here = style % len(_EXITS), style // len(_EXITS) // len(_OPEN)
    ways = [way for way in DIRECTIONS if way in house.exits[room]]
    before = f"{_HERE[here].format(house.rooms[room].lower())} " if tells_room else ""
    return before, _EXITS[exits].format(_joined(ways))


def _described(
    house: House, number: int, is_open: bool, style: int, held: Mapping[int, tuple[str, ...]]
) -> str:
    """A supporter or container and what of `held`, the contents of all places, is to be seen on or in it."""
    holder = house.holders[number]
    if holder.is_container and not is_open:
        return _CLOSED[style].format(holder.name)
    sentence = (_OPEN if holder.is_container else _SUPPORTER)[style]
    return sentence.format(holder.name, _being(held.get(house.place_in(number), ())))


@lru_cache(maxsize=8_192)
def _being(names: tuple[str, ...]) -> str:
    if not names:
        return "is nothing"
    return f"{'is' if len(names) == 1 else 'are'} {enumerated(names)}"


@lru_cache(maxsize=4_096)
def opening(house: House, room: int, style: int, tells_room: bool) -> tuple[State, str]:
    """How a game that begins in `room` begins, and what is told first."""
    state = first_state(house, room)
    seen = view(house, state)
    room_told = described(house, seen, style, tells_room)
    return state, f"{objective(house)}\n{room_told}\n{last_lines(house, seen, False)}"


@lru_cache(maxsize=16_384)
def last_lines(house: House, state: State, tells_inventory: bool) -> str:
    """How every observation ends."""
    inventory = f"{carrying(house, state)}\n" if tells_inventory else ""
    return f"{inventory}{LISTED}{', '.join(admissible(house, state))}\n"


class Step(NamedTuple):
    """What a command does and what is told of it, but for the description of a room (`reply` None)."""

    state: State
    seen: State
    reply: str | None
    lines: str
    """How the observation ends."""
    is_obeyed: bool
    takes_time: bool
    end: str
    """"won", "lost" or "" while the game goes on."""


@lru_cache(maxsize=32_768)
def step_of(house: House, state: State, command: str, tells_inventory: bool) -> Step:
    """What `command`, as `command_in` gives it, leads to; one table instead of one for each part of it."""
    after, reply, is_obeyed, takes_time = obey(house, state, command)
    seen = view(house, after)
    end = "won" if is_won(house, after) else "lost" if is_lost(house, after) else ""
    lines = last_lines(house, seen, tells_inventory)
    return Step(after, seen, None if reply is None else f"{reply}\n", lines, is_obeyed, takes_time, end)


# ---- what a history tells ----


def command_in(action: str) -> str:
    """What an action says: in lower case, with single blanks, cut where no command goes on."""
    return _short_command(action) if len(action) <= _LONGEST_COMMAND else _normal(action)


@lru_cache(maxsize=16_384)
def _short_command(action: str) -> str:
    """Longer texts are not kept."""
    return _normal(action)


def _normal(action: str) -> str:
    return " ".join(action.lower().split())[:_LONGEST_COMMAND]


def listed(observation: str) -> tuple[str, ...]:
    """The admissible commands that an observation tells."""
    return tuple(observation.rpartition(LISTED)[2].strip().split(", "))


def starts_in(house: House, history: History) -> list[int]:
    """The rooms in which a game that is told like `history` may have begun; one in the paper's house."""
    _, _, lines = history[0].text.partition("\n")
    views = {room: view(house, first_state(house, room)) for room in range(len(house.rooms))}
    told = listed(lines)
    alike = [room for room, seen in views.items() if admissible(house, seen) == told]
    if len(alike) < 2:
        return alike
    description, _, _ = lines.partition("\n")
    return [room for room in alike if description in _descriptions(house, views[room])]


def _descriptions(house: House, seen: State) -> set[str]:
    """All ways to describe a room, with and without its name."""
    return {described(house, seen, style, tells) for style in range(STYLES) for tells in (True, False)}


def replayed(house: House, room: int, history: History) -> list[State]:
    """The states of a game that began in `room`, one an observation."""
    states = [first_state(house, room)]
    for turn in history:
        if turn.is_action:
            states.append(step_of(house, states[-1], command_in(turn.text), True).state)
    return states
