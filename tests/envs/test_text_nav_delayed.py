"""The dataset for delayed reward: one early choice decides, and is paid nine commands later."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lmrlgym import Dataset, Trajectory, collect, policy_named
from lmrlgym.envs.text_nav import PAPER_HOUSE, State, command_in
from lmrlgym.policies.text_nav import DECOY, TOUR, WANTED
from lmrlgym.solvers.text_nav import solver

NAME, ENV = "text_nav/delayed-v0", "lmrlgym/TextNav-v0"
CHOICES = (f"take {WANTED} from table", f"take {DECOY} from table")


@cache
def data() -> Dataset:
    return Dataset.load(NAME)


def said(game: Trajectory) -> list[str]:
    return [command_in(turn.text) for turn in game.turns if turn.is_action]


def chosen_at(game: Trajectory) -> int:
    return next(i for i, command in enumerate(said(game)) if command in CHOICES)


def test_the_choice_alone_decides_and_is_even():
    assert all(game.info["success"] == (CHOICES[0] in said(game)) for game in data())
    assert all(len(set(said(game)) & set(CHOICES)) == 1 for game in data())
    # 1,000 throws of a coin: 500 with a deviation of 15.8.
    assert data().card["success"] == pytest.approx(0.5, abs=3 * 0.0158)


def test_the_only_reward_comes_nine_commands_after_the_choice():
    assert len(TOUR) == 9
    for game in data():
        rewards = [turn.reward for turn in game.turns if turn.is_action]
        at = chosen_at(game)
        assert at <= 3  # the garden and the backyard are three ways off
        assert np.flatnonzero(rewards).tolist() == ([at + 9] if game.info["success"] else [])


def test_games_that_are_lost_look_the_same_until_then():
    done = {WANTED: set(), DECOY: set()}
    for game in data():
        at = chosen_at(game)
        thing = WANTED if said(game)[at] == CHOICES[0] else DECOY
        done[thing].add(tuple(c.replace(thing, "it") for c in said(game)[at + 1 : at + 10]))
    assert done[WANTED] == done[DECOY] == {tuple(c.format("it") for c in TOUR)}


def test_every_game_comes_to_its_own_end_and_could_have_been_won():
    assert {game.info["stop_reason"] for game in data()} == {"won", "turn_limit"}
    firsts = {game.turns[0].text: game for game in data()}.values()
    assert {solver().value(game.turns[:1]) for game in firsts} == {1.0}
    begun = Counter(solver().game(game.turns[:1])[1][0].room for game in data())
    # Each of eight rooms as likely: 125 of 1,000 with a deviation of 10.5.
    assert len(begun) == 8
    assert all(abs(count - 125) <= 4 * 10.5 for count in begun.values())


def test_credit_needs_at_least_six_backups_in_the_graph_of_the_data():
    # State (without the order of things) -> command -> what the data show to follow. From the table it is
    # two ways to the kitchen, and three commands there: the choice and five more. The tour is not needed.
    seen: dict[State, dict[str, tuple[float, State | None]]] = {}
    for game in data():
        _, states = solver().game(game.turns[:-1])
        states = [state._replace(recent=()) for state in states[: len(said(game))]]
        paid = [turn.reward for turn in game.turns if turn.is_action]
        for (state, after), command, reward in zip(pairwise([*states, None]), said(game), paid, strict=True):
            seen.setdefault(state, {})[command] = reward, after
    values: dict[State | None, float] = dict.fromkeys((None, *seen), 0.0)
    at_table = [state for state, known in seen.items() if set(CHOICES) <= known.keys()]
    assert [PAPER_HOUSE.rooms[state.room] for state in at_table] == ["Living Room"]

    def worth(command: str) -> float:
        reward, after = seen[at_table[0]][command]
        return reward + values[after]

    gaps = []
    for _ in range(12):
        gaps.append(worth(CHOICES[0]) - worth(CHOICES[1]))
        values |= {
            state: max(reward + values[after] for reward, after in known.values())
            for state, known in seen.items()
        }
    # After no more than four sweeps both are worth nothing; from the fifth on, all of it hangs on the choice.
    assert gaps == [0.0] * 5 + [1.0] * 7


def test_it_is_what_its_player_makes():
    assert list(collect(ENV, "delayed", 20)) == list(data())[:20]


def test_the_tour_is_one_of_the_papers_house():
    with pytest.raises(ValueError, match="the tour is one of the paper's house"):
        policy_named("delayed", ENV, rooms=4)
