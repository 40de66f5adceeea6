"""Reference values and scores; the maze's are worked out here by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lmrlgym import Dataset, evaluate, normalise, policy_named, reference, summarise
from lmrlgym.envs.maze import ACTIONS, GOALS, LAYOUTS, world
from lmrlgym.references import protocol, why_no_score
from lmrlgym.resources import read_json

FULL, PARTIAL = "lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0"


def played(env_id: str, name: str, repeats: int, **env_kwargs: str) -> float:
    player = policy_named(name, env_id, **env_kwargs)
    return summarise(evaluate(env_id, player, repeats=repeats, env_kwargs=env_kwargs)).return_mean


def blind_return(probabilities: list[float]) -> float:
    """The mean over the starts of a player that ignores what it sees: powers of its transition matrix."""
    here = world("double_t", GOALS["double_t"])
    starts = list(here.starts)
    matrix = np.zeros((len(here.cells), len(here.cells)))
    for cell in starts:
        for move, near in enumerate(here.neighbours[cell]):
            matrix[cell, near] += probabilities[move]
    alive = np.full(len(starts), 1 / len(starts)) @ np.eye(len(here.cells))[starts]
    total = 0.0
    for _ in range(100):
        after = alive @ matrix
        won = after[here.goal]
        total -= alive[starts].sum() - won
        after[here.goal] = 0.0
        alive = after
    return float(total)


def test_the_best_maze_play_is_the_mean_shortest_way_less_its_free_last_move() -> None:
    # breadth first from the goal, cell by cell, over the drawing of the maze
    free = {(r, c) for r, row in enumerate(LAYOUTS["double_t"]) for c, mark in enumerate(row) if mark == "0"}
    distance, edge = {(8, 6): 0}, [(8, 6)]
    for r, c in edge:
        for near in ((r, c - 1), (r, c + 1), (r - 1, c), (r + 1, c)):
            if near in free and near not in distance:
                distance[near] = distance[(r, c)] + 1
                edge.append(near)
    mean = -sum(d - 1 for cell, d in distance.items() if cell != (8, 6)) / 25
    assert reference(FULL).best == pytest.approx(mean)
    assert round(mean, 2) == -6.84
    assert reference(FULL).kind == "exact"


def test_the_best_partial_maze_play_earns_what_it_is_said_to() -> None:
    # the play is deterministic, so one game a start gives its exact mean
    assert played(PARTIAL, "best", 1) == pytest.approx(reference(PARTIAL).best) == pytest.approx(-7.24)


def test_random_maze_play_is_exact() -> None:
    assert reference(FULL).random == pytest.approx(blind_return([0.25] * 4))
    assert reference(PARTIAL).random == pytest.approx(reference(FULL).random)


def test_the_behaviour_is_the_frequency_of_each_move_in_the_data() -> None:
    said = [t.text for game in Dataset.load("maze/mixed-v0") for t in game.turns if t.is_action]
    expected = blind_return([said.count(action) / len(said) for action in ACTIONS])
    assert reference(FULL).behaviour_played == pytest.approx(expected)


def test_the_behaviour_scores_about_fifty() -> None:
    assert abs(normalise(FULL, played(FULL, "behaviour", 8), "lmrl2023") - 50) <= 5
    assert abs(normalise(FULL, reference(FULL).behaviour_played or math.nan, "lmrl2023") - 50) <= 5


def test_the_data_mean_is_that_of_the_shipped_data() -> None:
    for env_id, name in ((FULL, "maze/mixed-v0"), (PARTIAL, "maze/partial-mixed-v0")):
        returns = [game.total_reward for game in Dataset.load(name)]
        assert reference(env_id).data_mean == pytest.approx(sum(returns) / len(returns), abs=1e-6)


def test_the_levels_are_what_the_players_earn() -> None:
    found = reference(FULL).levels
    assert found["expert"] == pytest.approx(played(FULL, "expert", 1))
    games = evaluate(FULL, policy_named("mixed", FULL), repeats=16)
    summary = summarise(games)
    assert summary.return_low < found["mixed"] < summary.return_high


def test_optimal_scoring_is_linear_from_random_to_best() -> None:
    found = reference(FULL)
    assert normalise(FULL, found.random) == 0
    assert normalise(FULL, found.best) == 100
    assert normalise(FULL, (found.random + found.best) / 2) == pytest.approx(50)


@pytest.mark.parametrize(
    ("env_id", "mean_return", "score"),
    [
        (FULL, -101, 0),
        (FULL, -92, 25),  # half of 18 above the minimum
        (FULL, -83, 50),
        (FULL, -6.84, 100),
        (FULL, -6.97, 99.9147),  # the paper's ILQL: 50 + 50 * 76.03 / 76.16
        (FULL, -401, -833.3333),  # not clipped: 50 * -300 / 18
        (PARTIAL, -25.75, 100),
        (PARTIAL, -52.9, 76.2882),  # the paper's ILQL: 50 + 50 * 30.1 / 57.25
    ],
)
def test_the_paper_scores_by_two_slopes(env_id: str, mean_return: float, score: float) -> None:
    assert normalise(env_id, mean_return, "lmrl2023") == pytest.approx(score, abs=1e-3)


def test_another_layout_is_not_the_papers_but_has_an_optimum() -> None:
    assert math.isnan(normalise(FULL, -5, "lmrl2023", layout="umaze"))
    assert "double_t" in why_no_score(FULL, "lmrl2023", layout="umaze")
    assert normalise(FULL, reference(FULL, layout="umaze").best, layout="umaze") == 100


def test_a_configuration_without_references_has_no_score_and_says_why() -> None:
    assert math.isnan(normalise(FULL, -5, max_moves=7))
    assert "max_moves" in why_no_score(FULL, max_moves=7)
    with pytest.raises(ValueError, match="no references for lmrlgym/Maze-v0"):
        reference(FULL, max_moves=7)


def test_defaults_and_neutral_keywords_name_the_same_configuration() -> None:
    assert reference(FULL, layout="double_t", privileged=True) == reference(FULL)
    assert reference(FULL, compat=True) != reference(FULL)


def test_an_unknown_scoring_is_named() -> None:
    with pytest.raises(ValueError, match="got 'paper'"):
        normalise(FULL, -5, "paper")  # type: ignore[arg-type]


@pytest.mark.parametrize("env_id", [FULL, PARTIAL])
def test_every_configuration_of_the_file_is_found_again(env_id: str) -> None:
    entries = read_json("maze", "references.json")[env_id]
    assert {entry["env_kwargs"].get("layout", "double_t") for entry in entries} == set(LAYOUTS)
    for entry in entries:
        found = reference(env_id, **entry["env_kwargs"])
        assert found.best == entry["best"]["value"]
        assert found.random < found.best


def test_the_maze_is_evaluated_from_every_start() -> None:
    assert protocol(FULL).plays_every_task
    assert protocol(FULL).repeats == 32
