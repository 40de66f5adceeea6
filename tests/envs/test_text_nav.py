"""The rules and texts of Text-Nav, in the paper's house, and its options."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import gymnasium
import pytest

from lmrlgym.envs.text_nav import PAPER_HOUSE, STEPS, TextNavEnv, TextNavPartialEnv, listed
from lmrlgym.envs.text_nav_rules import STYLES, described, first_state

EAT_IT = ("take stale food from table", "eat stale food")
TO_FRIDGE = ("take stale food from table", "go west", "go west", "open fridge")
WIN = (*TO_FRIDGE, "insert stale food into fridge", "close fridge")
ROOMS = ("Bedroom", "Bathroom", "Office", "Living Room", "Kitchen", "Dining Room", "Garden", "Backyard")


def at(room: str, *said: str, seed: int = 0, env: TextNavEnv | None = None) -> TextNavEnv:
    """A game that began in `room`, after some commands."""
    env = env or TextNavEnv(privileged=True)
    env.reset(seed=seed, options={"room": room})
    for command in said:
        env.step(command)
    return env


def answer(env: TextNavEnv, command: str) -> str:
    """The first line of the answer, or "(room)" if a room is described."""
    line = env.step(command)[0].split("\n")[0]
    return "(room)" if line.startswith(("You are in", "You stand in", "This is the", "Here is the")) else line


# ---- the house ----


@pytest.mark.parametrize(
    ("room", "exits"),
    [
        ("Bedroom", {"west": "Living Room", "south": "Bathroom"}),
        ("Bathroom", {"north": "Bedroom", "west": "Office"}),
        ("Office", {"east": "Bathroom", "north": "Living Room"}),
        ("Living Room", {"east": "Bedroom", "south": "Office", "west": "Dining Room"}),
        ("Dining Room", {"east": "Living Room", "west": "Kitchen"}),
        ("Kitchen", {"east": "Dining Room", "north": "Garden", "west": "Backyard"}),
        ("Garden", {"south": "Kitchen"}),
        ("Backyard", {"east": "Kitchen"}),
    ],
)
def test_ways_lead_where_the_papers_house_has_them(room: str, exits: dict[str, str]):
    for way in ("north", "east", "south", "west"):
        env = at(room)
        *_, info = env.step(f"go {way}\n")
        assert info["secret"] == exits.get(way, room)
        assert info["action_is_valid"] == (way in exits)


@pytest.mark.parametrize(
    ("room", "commands"),
    [
        ("Bedroom", "go south, go west, take bowl from table"),
        ("Living Room", "go east, go south, go west, take fresh food from table, take stale food from table"),
        ("Dining Room", "go east, go west, take coffee cup from table, take plate from table"),
        ("Office", "go east, go north, open chest"),
        ("Kitchen", "go east, go north, go west, open fridge"),
        ("Garden", "go south"),
    ],
)
def test_a_game_begins_with_the_objective_the_room_and_what_can_be_done_there(room: str, commands: str):
    env = at(room)
    objective, description, last, end = env.history[0].text.split("\n")
    assert objective == (
        "Your objective is to put the stale food on the table in the living room "
        "into the fridge in the kitchen."
    )
    assert f"the {room.lower()}." in description
    assert last == f"Admissible commands: {commands}"
    assert end == ""
    assert env.candidates() == tuple(f"{command}\n" for command in commands.split(", "))


def test_the_first_room_is_drawn_uniformly_and_hands_are_empty():
    env, rooms = TextNavEnv(privileged=True), Counter()
    for seed in range(400):
        _, info = env.reset(seed=seed)
        rooms[info["secret"]] += 1
        assert info["task"] == ROOMS.index(info["secret"])
    assert sorted(rooms) == sorted(ROOMS)
    assert max(rooms.values()) < 80  # 50 expected, deviation 6.6
    assert "You are carrying nothing." in env.step("look")[0]


# ---- commands ----


@pytest.mark.parametrize(
    ("room", "said", "reply"),
    [
        ("Bedroom", ["take bowl from table"], "You take the bowl from the table."),
        ("Bedroom", ["take bowl"], "You take the bowl from the table."),
        ("Bedroom", ["take bowl", "drop bowl"], "You drop the bowl on the ground."),
        ("Bedroom", ["take bowl", "drop bowl", "take bowl"], "You pick up the bowl from the ground."),
        ("Bedroom", ["take bowl", "put bowl on table"], "You put the bowl on the table."),
        ("Kitchen", ["open fridge"], "You open the fridge, revealing a fruit."),
        ("Kitchen", ["open fridge", "take fruit from fridge"], "You take the fruit from the fridge."),
        ("Kitchen", ["open fridge", "close fridge"], "You close the fridge."),
        (
            "Kitchen",
            ["open fridge", "take fruit", "insert fruit into fridge"],
            "You put the fruit into the fridge.",
        ),
        ("Kitchen", ["open fridge", "take fruit", "close fridge", "open fridge"], "You open the fridge."),
        ("Kitchen", ["open fridge", "take fruit", "eat fruit"], "You eat the fruit. Not bad."),
        ("Office", ["open chest"], "You open the chest, revealing an utensils."),
        ("Kitchen", ["look"], "(room)"),
        ("Kitchen", ["go north"], "(room)"),
        ("Kitchen", ["inventory"], "You are carrying nothing."),
        ("Kitchen", ["open fridge", "take fruit", "inventory"], "You are carrying: a fruit."),
        ("Bedroom", ["examine bowl"], "It is a bowl."),
        ("Bedroom", ["examine table"], "On the table is a bowl."),
        ("Kitchen", ["examine fridge"], "The fridge is closed."),
    ],
)
def test_what_is_obeyed(room: str, said: list[str], reply: str):
    env = at(room, *said[:-1])
    assert answer(env, said[-1]) == reply
    assert env.history[-1].reward == 0


@pytest.mark.parametrize(
    ("room", "said", "reply"),
    [
        ("Kitchen", ["go south"], "You can't go that way."),
        ("Kitchen", ["go up"], "You can't go that way."),
        ("Kitchen", ["go home"], "You can't see any such thing."),
        ("Kitchen", ["close fridge"], "That's already closed."),
        ("Kitchen", ["open fridge", "open fridge"], "That's already open."),
        ("Kitchen", ["take fruit from fridge"], "You can't see any such thing."),
        ("Kitchen", ["take fruit"], "You can't see any such thing."),
        ("Kitchen", ["take stale food from table"], "You can't see any such thing."),
        ("Kitchen", ["open fridge", "eat fruit"], "You need to take the fruit first."),
        ("Kitchen", ["open fridge", "insert fruit into fridge"], "You need to take the fruit first."),
        ("Kitchen", ["open fridge", "take fruit", "close fridge", "insert fruit into fridge"],
         "The fridge is closed."),
        ("Kitchen", ["open fridge", "take fruit", "put fruit on fridge"],
         "Putting things on the fridge would achieve nothing."),
        ("Kitchen", ["open fridge", "drop fruit"], "You haven't got that."),
        ("Kitchen", ["open fridge", "take fruit", "take fruit"], "You already have that."),
        ("Kitchen", ["open fridge", "take fruit", "open fruit"], "It isn't something you can open."),
        ("Kitchen", ["take fridge"], "That's fixed in place."),
        ("Bedroom", ["take bowl", "eat bowl"], "That's plainly inedible."),
        ("Bedroom", ["take bowl", "insert bowl into table"], "That can't contain things."),
        ("Bedroom", ["drop bowl"], "You haven't got that."),
        ("Bedroom", ["open table"], "It isn't something you can open."),
        ("Bedroom", ["examine fridge"], "You can't see any such thing."),
        ("Kitchen", ["xyzzy"], "That's not a verb I recognise."),
        ("Kitchen", ["look around"], "That's not a verb I recognise."),
        ("Kitchen", [""], "I beg your pardon?"),
        ("Kitchen", [" \n"], "I beg your pardon?"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing_and_counts(room: str, said: list[str], reply: str):
    env = at(room, *said[:-1])
    before = env.candidates()
    line, reward, terminated, truncated, info = env.step(said[-1])
    assert line.split("\n")[0] == reply
    assert (reward, terminated, truncated, info["action_is_valid"]) == (0.0, False, False, False)
    assert info["turn"] == len(said)
    assert env.candidates() == before


@pytest.mark.parametrize("said", ["GO WEST", "  go   west  ", "go west\n", "Go\twest\n\n", "go west \n"])
def test_case_and_blanks_do_not_matter(said: str):
    assert at("Kitchen").step(said)[4]["secret"] == "Backyard"


@pytest.mark.parametrize(
    "said",
    ["go west.", "go west, take bowl", "west", "w", "go the west", "go west" + "x" * 20_000, "go w\u0435st",
     "\ud800", "take", "put bowl", "take bowl from", "insert into", "go west\x00"],
)  # fmt: skip
def test_anything_else_is_refused(said: str):
    env = at("Bedroom")
    observation, reward, terminated, _, info = env.step(said)
    assert (reward, terminated, info["action_is_valid"], info["secret"]) == (0.0, False, False, "Bedroom")
    assert listed(observation) == ("go south", "go west", "take bowl from table")


def test_containers_stay_as_they_were_left():
    env = at("Kitchen", "open fridge", "go north", "go south")
    assert "close fridge\n" in env.candidates()
    assert "open fridge." not in env.history[-1].text
    assert "take fruit from fridge\n" in env.candidates()


def test_a_thing_stays_where_it_was_put_and_can_be_taken_from_there():
    env = at("Bedroom", "take bowl", "go west", "put bowl on table", "go east", "go west")
    assert "take bowl from table\n" in env.candidates()
    assert answer(env, "take bowl from table") == "You take the bowl from the table."


def test_every_admissible_command_is_obeyed_and_changes_something():
    env = at("Living Room", "take stale food from table", "take fresh food from table")
    for command in env.candidates():
        twin = deepcopy(env)
        twin.step("look")
        changed = deepcopy(env)
        *_, info = changed.step(command)
        assert info["action_is_valid"], command
        assert changed.history[-1].text != twin.history[-1].text, command


# ---- rewards and ends ----


def test_the_game_is_won_when_the_fridge_is_closed_on_the_stale_food():
    env = at("Living Room", *WIN[:-1])
    assert sum(turn.reward for turn in env.history) == 0
    observation, reward, terminated, truncated, info = env.step(WIN[-1])
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["success"], info["stop_reason"]) == (True, "won")
    assert observation == (
        "You close the fridge.\n"
        "Your score has just gone up by one point.\n"
        "*** The End ***\n"
        "You scored 1 out of a possible 1, in 7 turns.\n"  # the engine's count begins with 1
        "You are carrying nothing.\n"
        "Admissible commands: go east, go north, go west, open fridge\n"
    )


def test_other_food_in_the_fridge_does_not_win():
    commands = ("take fresh food from table", "go west", "go west", "open fridge")
    env = at("Living Room", *commands, "insert fresh food into fridge")
    _, reward, terminated, _, info = env.step("close fridge")
    assert (reward, terminated, info["success"]) == (0.0, False, False)


def test_the_stale_food_in_the_chest_does_not_win():
    commands = ("take stale food from table", "go south", "open chest", "insert stale food into chest")
    env = at("Living Room", *commands)
    assert not env.step("close chest")[2]


def test_eating_the_stale_food_loses():
    env = at("Living Room", EAT_IT[0])
    observation, reward, terminated, truncated, info = env.step(EAT_IT[1])
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["success"], info["stop_reason"], info["action_is_valid"]) == (False, "lost", True)
    assert observation.startswith(
        "You eat the stale food. Not bad.\n*** You lost! ***\nYou scored 0 out of a possible 1, in 2 turns.\n"
    )


def test_eating_other_food_goes_on():
    assert not at("Living Room", "take fresh food from table").step("eat fresh food")[2]


def test_the_fifteenth_command_is_the_last():
    env = at("Garden", *["look"] * (STEPS - 2))
    assert not env.step("nonsense")[2]
    observation, reward, terminated, truncated, info = env.step("go south")
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["stop_reason"], info["turn"], info["secret"]) == ("turn_limit", 15, "Kitchen")
    assert listed(observation)[-1] == "open fridge"


def test_the_fifteenth_command_may_still_win():
    env = at("Living Room", *["look"] * (STEPS - len(WIN)), *WIN[:-1])
    _, reward, terminated, _, info = env.step(WIN[-1])
    assert (reward, terminated, info["stop_reason"], info["turn"]) == (1.0, True, "won", 15)


def test_the_engines_count_leaves_out_what_it_does_not_understand():
    # from 1: six commands of the game and a refused way count, three misunderstood ones do not
    said = ("xyzzy", "go north", "take moon", "", *WIN[:-1])
    assert "in 8 turns." in at("Living Room", *said).step(WIN[-1])[0]


# ---- what is told ----


def test_the_full_game_tells_the_room_and_what_is_carried():
    env = at("Bedroom", "take bowl")
    observation = env.step("go west")[0].split("\n")
    assert "the living room." in observation[0]
    assert observation[1] == "You are carrying: a bowl."


def test_the_partial_game_tells_neither():
    env = at("Bedroom", "take bowl", env=TextNavPartialEnv())
    for way in ("west", "west", "west", "north"):
        observation = env.step(f"go {way}")[0].split("\n")
        assert len(observation) == 3  # description, commands, and what follows the last newline
        assert observation[1].startswith("Admissible commands: drop bowl, go ")
    for turn in env.history[2:]:
        assert not any(room.lower() in turn.text.lower() for room in ROOMS)
    assert answer(env, "inventory") == "You are carrying: a bowl."


def test_both_games_are_the_same_but_for_what_they_tell():
    full, partial = TextNavEnv(), TextNavPartialEnv()
    for seed in range(20):
        full.reset(seed=seed)
        partial.reset(seed=seed)
        for turn in range(STEPS):
            commands = full.candidates()
            assert commands == partial.candidates()
            said = commands[(seed + 7 * turn) % len(commands)]
            if full.step(said)[1:4] != partial.step(said)[1:4]:
                pytest.fail(f"{said!r} pays differently")
            if not full._running:
                break


def test_a_description_tells_the_room_its_things_and_its_exits():
    # style 0: the first way to say each
    state = first_state(PAPER_HOUSE, ROOMS.index("Living Room"))
    things = "On the table are a stale food and a fresh food. You can go east, south and west."
    assert described(PAPER_HOUSE, state, 0, True) == f"You are in the living room. {things}"
    assert described(PAPER_HOUSE, state, 0, False) == things


def test_what_was_moved_last_is_told_first():
    env = at("Dining Room", "take coffee cup", "take plate")
    assert answer(env, "inventory") == "You are carrying: a plate and a coffee cup."
    for command in ("go west", "open fridge", "insert plate into fridge", "close fridge"):
        env.step(command)
    assert answer(env, "open fridge") == "You open the fridge, revealing a plate and a fruit."


def test_what_lies_on_the_ground_is_told():
    env = at("Garden", "go south", "open fridge", "take fruit", "go north", "drop fruit")
    assert "On the ground is a fruit." in env.step("look")[0]


def test_there_are_64_ways_to_describe_a_room_all_different():
    # 4 ways to name it, 4 to tell of a table, 4 to tell the exits
    state = first_state(PAPER_HOUSE, ROOMS.index("Bedroom"))
    assert len({described(PAPER_HOUSE, state, style, True) for style in range(STYLES)}) == 64 == STYLES
    assert len({described(PAPER_HOUSE, state, style, False) for style in range(STYLES)}) == 16


def test_the_words_are_drawn_from_the_seed_and_stay_for_the_game():
    first = at("Bedroom", seed=5).history[0].text
    assert at("Bedroom", seed=5).history[0].text == first
    assert len({at("Bedroom", seed=seed).history[0].text for seed in range(30)}) > 15
    env = at("Bedroom", seed=5)
    told = env.step("look")[0]
    env.step("go west")
    assert env.step("go east")[0] == told


# ---- options and keywords ----


@pytest.mark.parametrize("room", [*ROOMS, "living room", "LIVING ROOM"])
def test_a_game_can_begin_in_any_room(room: str):
    _, info = TextNavEnv(privileged=True).reset(seed=1, options={"room": room})
    assert info["secret"].lower() == room.lower()
    _, info = TextNavEnv(privileged=True).reset(seed=1, options={"task": 3})
    assert info["secret"] == "Living Room"


@pytest.mark.parametrize("room", ["Attic", "", "living-room", 3, ["Kitchen"]])
def test_a_room_that_there_is_not_is_shown(room: Any):
    with pytest.raises(ValueError, match="room must be one of Bedroom, Bathroom, ") as error:
        TextNavEnv().reset(options={"room": room})
    assert str(error.value).endswith(f"Backyard, got {room!r}")


def test_room_and_task_are_one_too_many_in_the_papers_house():
    with pytest.raises(ValueError, match="give `room` or `task`, not both"):
        TextNavEnv().reset(options={"room": "Kitchen", "task": 1})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rooms": 1}, "rooms must be a whole number from 2 to 20, got 1"),
        ({"rooms": 21}, "rooms must be a whole number from 2 to 20, got 21"),
        ({"rooms": 0}, "rooms must be a whole number from 2 to 20, got 0"),
        ({"rooms": 2.5}, "rooms must be a whole number from 2 to 20, got 2.5"),
        ({"rooms": "8"}, "rooms must be a whole number from 2 to 20, got '8'"),
        ({"rooms": True}, "rooms must be a whole number from 2 to 20, got True"),
        ({"objects": 0}, "objects must be a whole number from 1 to 20, got 0"),
        ({"objects": 21}, "objects must be a whole number from 1 to 20, got 21"),
        ({"objects": -1}, "objects must be a whole number from 1 to 20, got -1"),
        ({"split": "valid"}, "split must be one of train, test, got 'valid'"),
    ],
)
def test_keywords_that_make_no_house_are_shown(kwargs: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        TextNavEnv(**kwargs)


def test_compat_is_no_difference():
    games = [
        [env.reset(seed=3), *(env.step(command) for command in WIN)]
        for env in (TextNavEnv(), TextNavEnv(compat=True))
    ]
    assert games[0] == games[1]


def test_a_copy_goes_on_with_its_own_house_keeping():
    env = at("Kitchen", "open fridge", "take fruit")
    copy = deepcopy(env)
    copy.step("eat fruit")
    assert "eat fruit\n" in env.candidates()
    assert copy.house is env.house


def test_both_ids_are_registered():
    assert type(gymnasium.make("lmrlgym/TextNav-v0").unwrapped) is TextNavEnv
    assert type(gymnasium.make("lmrlgym/TextNavPartial-v0").unwrapped) is TextNavPartialEnv
