"""Text-Nav's solver and players: exact against a search through all states, and the recipe of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.random import Generator

from lmrlgym import TextEnv, collect, rollout, summarise
from lmrlgym.collection import policy_named, solver_of
from lmrlgym.envs.text_nav import (
    PAPER_HOUSE,
    House,
    State,
    TextNavEnv,
    admissible,
    first_state,
    house_of,
    is_lost,
    is_won,
    obey,
    view,
)
from lmrlgym.envs.text_nav_houses import shortest_game
from lmrlgym.policies.text_nav import HalfPlayer, is_near
from lmrlgym.solvers.text_nav import TextNavSolver, steps_to_win
from lmrlgym.types import Action, History

IDS = ("lmrlgym/TextNav-v0", "lmrlgym/TextNavPartial-v0")
ROOM = {name: number for number, name in enumerate(PAPER_HOUSE.rooms)}


def started(room: str, *said: str, env_id: str = IDS[0]) -> TextEnv:
    env = gymnasium.make(env_id).unwrapped
    assert isinstance(env, TextEnv)
    env.reset(seed=0, options={"room": room})
    for command in said:
        env.step(command)
    return env


def played(player: HalfPlayer, history: History, seed: int = 0) -> Action:
    [said] = player.act([history], [np.random.default_rng(seed)])
    assert isinstance(said, Action)
    return said


# ---- exact values ----


def searched(house: House) -> dict[State, float]:
    """Every state that can be reached -> the fewest commands that win, by search through all of them."""
    states = [first_state(house, room) for room in range(len(house.rooms))]
    before: dict[State, list[State]] = {state: [] for state in states}
    for state in states:  # grows
        if is_won(house, state) or is_lost(house, state):
            continue
        for command in admissible(house, view(house, state)):
            after = obey(house, state, command).state._replace(recent=())
            if after not in before:
                before[after] = []
                states.append(after)
            before[after].append(state)
    found: dict[State, float] = {state: 0 for state in states if is_won(house, state)}
    frontier = list(found)
    for state in frontier:  # grows
        for earlier in before[state]:
            if earlier not in found:
                found[earlier] = found[state] + 1
                frontier.append(earlier)
    return {state: found.get(state, math.inf) for state in states}


SMALL_HOUSES = {
    "paper, one thing": replace(PAPER_HOUSE, things=PAPER_HOUSE.things[:1]),
    "paper, with bowl": replace(PAPER_HOUSE, things=PAPER_HOUSE.things[0:3:2]),
    **{f"generated {n}": house_of(3 + n % 2, 1 + n % 2, "train", n) for n in range(8)},
}


@pytest.mark.parametrize("name", SMALL_HOUSES)
def test_the_fewest_commands_are_those_that_a_search_through_all_states_finds(name: str):
    house = SMALL_HOUSES[name]
    found = searched(house)
    assert len(found) > 20
    assert {state: steps_to_win(house, state) for state in found} == found


def test_the_thing_may_be_anywhere():
    # in the closed chest of the office; the player stands in the living room, one room away from it:
    # go, open, take, back, two rooms, then open, insert, close
    chest = PAPER_HOUSE.place_in(3)
    state = first_state(PAPER_HOUSE, ROOM["Living Room"])
    assert steps_to_win(PAPER_HOUSE, state._replace(places=(chest, *state.places[1:]))) == 1 + 2 + 3 + 3


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(
    ("room", "shortest"),
    [
        ("Living Room", 6), ("Bedroom", 7), ("Office", 7), ("Dining Room", 7), ("Bathroom", 8),
        ("Kitchen", 8), ("Garden", 9), ("Backyard", 9),
    ],
)  # fmt: skip
def test_the_shortest_games_are_as_long_as_the_paper_house_makes_them(env_id: str, room: str, shortest: int):
    [game] = rollout(env_id, policy_named("best", env_id), 1, tasks=[ROOM[room]])
    assert [turn.reward for turn in game.turns if turn.is_action] == [0.0] * (shortest - 1) + [1.0]


def test_a_game_is_won_as_long_as_the_commands_left_suffice():
    # from the backyard 9 are needed, of 15: six may be wasted, the seventh loses the game
    solver = TextNavSolver()
    wasted = ["look"] * 6
    assert solver.value(started("Backyard", *wasted).history) == 1.0
    assert solver.value(started("Backyard", *wasted, "xyzzy").history) == 0.0


def test_q_tells_which_commands_still_win():
    # The living room needs 6; after 9 wasted commands every detour loses.
    values = TextNavSolver().q(started("Living Room", *["look"] * 9).history)
    assert values == {
        "go east\n": 0.0,
        "go south\n": 0.0,
        "go west\n": 0.0,
        "take fresh food from table\n": 0.0,
        "take stale food from table\n": 1.0,
    }


def test_eating_the_thing_is_worth_nothing():
    values = TextNavSolver().q(started("Living Room", "take stale food from table").history)
    assert values.pop("eat stale food\n") == 0.0
    assert set(values.values()) == {1.0}


def test_closing_the_fridge_earns_the_reward():
    env = started(
        "Living Room", "take stale food from table", "go west", "go west", "open fridge",
        "insert stale food into fridge",
    )  # fmt: skip
    assert TextNavSolver().best(env.history) == "close fridge\n"
    assert env.step("close fridge\n")[1] == 1.0


def test_the_best_play_wins_every_generated_house_in_the_fewest_commands():
    kwargs = {"rooms": 4, "objects": 2, "split": "test"}
    games = rollout(IDS[1], policy_named("best", IDS[1], **kwargs), 30, seed=3, parallel=8, env_kwargs=kwargs)
    env = TextNavEnv(**kwargs)
    for game in games:
        env.reset(seed=game.seed)
        assert game.info["success"]
        assert len(game.turns) // 2 == shortest_game(env.house)


def test_a_room_given_as_an_option_is_recognised_by_its_name():
    kwargs = {"rooms": 4, "objects": 2}
    solver = solver_of(IDS[0], **kwargs)
    env = TextNavEnv(rooms=4, objects=2)
    assert isinstance(solver, TextNavSolver)
    for task in range(20):
        for room in house_of(4, 2, "train", task).rooms:
            env.reset(seed=task, options={"task": task, "room": room})
            house, [state] = solver.game(env.history)
            assert (house, house.rooms[state.room]) == (env.house, room)


def test_histories_of_other_houses_are_refused():
    with pytest.raises(ValueError, match="no house of these keywords begins with 'Your objective"):
        TextNavSolver(rooms=4, objects=2).value(started("Garden").history)
    with pytest.raises(ValueError, match="no house of these keywords begins with ''"):
        TextNavSolver().value(())


# ---- players ----


def test_random_play_says_each_listed_command_equally_often():
    player = policy_named("random", IDS[1])
    history = started("Garden", "go south", env_id=IDS[1]).history  # east, north, west, open fridge
    said = [player.act([history], [np.random.default_rng(seed)])[0] for seed in range(400)]
    texts = [action.text for action in said if isinstance(action, Action)]
    for command in ("go east\n", "go north\n", "go west\n", "open fridge\n"):
        assert 60 < texts.count(command) < 140  # 100 expected, deviation 8.7
    assert {action.log_prob for action in said if isinstance(action, Action)} == {-math.log(4)}


def test_expert_play_is_certain_of_what_it_says():
    [said] = policy_named("expert", IDS[0]).act([started("Garden").history], [np.random.default_rng(0)])
    assert said == Action("go south\n", log_prob=0.0)


def test_half_of_the_rooms_is_near():
    near = [name for name, number in ROOM.items() if is_near(PAPER_HOUSE, number)]
    assert sorted(near) == ["Bedroom", "Dining Room", "Kitchen", "Living Room"]


def probability(player: HalfPlayer, history: History, command: str) -> float:
    """How likely `command` is, by its log-probability in a game that draws it."""
    for seed in range(500):
        said = played(player, history, seed)
        if said.text == f"{command}\n":
            assert said.log_prob is not None
            return math.exp(said.log_prob)
    return 0.0


def test_what_mixed_play_says_first_depends_on_its_half():
    # Kitchen: east is best, and known with probability .26; else one of east, north, west, open fridge.
    player = HalfPlayer(TextNavSolver(), near_share=0.26)
    history = started("Kitchen").history
    assert probability(player, history, "go east") == pytest.approx(0.26 + 0.74 / 4)
    assert probability(player, history, "open fridge") == pytest.approx(0.74 / 4)


def test_what_mixed_play_says_next_depends_on_what_its_commands_told_of_its_half():
    player = HalfPlayer(TextNavSolver(), near_share=0.26)
    # North is not the way: it does not know the near half, so it knows the garden.
    assert probability(player, started("Kitchen", "go north").history, "go south") == pytest.approx(1)
    # East is the way: near with .26 / (.26 + .74 / 4). Dining room: east, west, coffee cup, plate.
    near = 0.26 / (0.26 + 0.74 / 4)
    history = started("Kitchen", "go east").history
    assert probability(player, history, "go east") == pytest.approx(near + (1 - near) / 4)
    assert probability(player, history, "take plate from table") == pytest.approx((1 - near) / 4)


def test_mixed_play_makes_the_games_of_two_players_who_know_one_half_each():
    for game in collect(IDS[0], "mixed", 15):
        likely = {True: 0.26, False: 0.74}
        for near in likely:
            likely[near] *= math.prod(chances(game.turns, near))
        told = sum(turn.log_prob or 0.0 for turn in game.turns if turn.is_action)
        assert math.exp(told) == pytest.approx(sum(likely.values()))


def chances(turns: History, near: bool) -> list[float]:
    """How likely a player that knows one half says each of its commands."""
    solver, found = TextNavSolver(), []
    for i in range(1, len(turns), 2):
        house, states = solver.game(turns[:i])
        if is_near(house, states[-1].room) == near:
            found.append(float(solver.best(turns[:i]) == turns[i].text))
        else:
            found.append(1 / len(admissible(house, view(house, states[-1]))))
    return found


def test_mixed_play_goes_on_after_anothers_commands():
    # From the kitchen nobody says "xyzzy"; and who waits in the garden knows nothing.
    player = HalfPlayer(TextNavSolver(), near_share=0.0)
    history = started("Kitchen", "xyzzy", "go north", "look").history
    assert played(player, history) == Action("go south\n", log_prob=0.0)


def test_mixed_play_wins_a_quarter_of_its_games():
    # .26 * .993 + .74 * .0002 = .258; deviation of 200 games .031
    summary = summarise(collect(IDS[0], "mixed", 200))
    assert summary.success == pytest.approx(0.258, abs=0.09)


@pytest.mark.parametrize("level", ["random", "mixed", "expert"])
@pytest.mark.parametrize("kwargs", [{}, {"rooms": 4, "objects": 2, "split": "test"}])
def test_players_say_admissible_commands_only_in_both_games(level: str, kwargs: dict[str, Any]):
    for env_id in IDS:
        for game in rollout(env_id, policy_named(level, env_id, **kwargs), 4, env_kwargs=kwargs):
            listed = [turn.text.splitlines()[-1] for turn in game.turns if not turn.is_action]
            said = [turn.text.strip() for turn in game.turns if turn.is_action]
            assert all(
                command in told.split(": ")[1].split(", ")
                for told, command in zip(listed, said, strict=False)
            )


def test_idle_places_get_nothing():
    rngs: Sequence[Generator] = [np.random.default_rng(0)]
    for level in ("random", "mixed", "expert"):
        assert policy_named(level, IDS[0]).act([()], rngs) == [""]


def test_shares_outside_0_and_1_are_refused():
    with pytest.raises(ValueError, match=r"near_share must be in \[0, 1\], got 1.5"):
        HalfPlayer(TextNavSolver(), 1.5)
