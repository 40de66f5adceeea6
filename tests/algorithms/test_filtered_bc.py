"""Filtered behaviour cloning: which games are kept."""

from __future__ import annotations

import pytest

from baselines import filtered_bc
from baselines.core.model import Base
from baselines.testing import small_config, started
from lmrlgym import Trajectory, Turn


def game(earned: float, name: str = "x", success: bool = False, text: str = "go\n") -> Trajectory:
    turns = (Turn(f"{name}\n", False), Turn(text, True, earned))
    return Trajectory("a/game-v0", {}, turns, True, False, info={"success": success})


def names(games: list[Trajectory]) -> list[str]:
    return [each.turns[0].text.strip() for each in games]


def test_the_best_returns_are_kept_best_first() -> None:
    games = [game(earned, name) for earned, name in ((-3, "a"), (-1, "b"), (-2, "c"), (-4, "d"))]
    assert names(filtered_bc.best_games(games, 0.5)) == ["b", "c"]


def test_won_games_come_before_better_paid_ones_that_were_not() -> None:
    # a maze that was cut after a move cost less than one that was solved in ten
    games = [game(-1, "cut"), game(-9, "won", success=True), game(-5, "won better", success=True)]
    assert names(filtered_bc.best_games(games, 1.0)) == ["won better", "won", "cut"]


def test_ties_are_cut_exactly_in_order_where_a_quantile_would_keep_them_all() -> None:
    games = [game(-1, name) for name in "abcdefghij"]
    assert names(filtered_bc.best_games(games, 0.3)) == ["a", "b", "c"]


def test_at_least_one_game_is_kept_and_at_most_all() -> None:
    games = [game(-2, "a"), game(-1, "b")]
    assert names(filtered_bc.best_games(games, 0.01)) == ["b"]
    assert names(filtered_bc.best_games(games, 1.0)) == ["b", "a"]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\], got {fraction}"):
        filtered_bc.best_games([game(0)], fraction)


def test_only_the_best_games_are_learned_from(base: Base) -> None:
    config = small_config(filtered_bc.FilteredBC, fraction=0.25)
    algorithm = started(filtered_bc.FilteredBC, base, config)
    (kept,) = algorithm.prepare([game(-3), game(-2), game(-1, "best"), game(-4)])
    assert base.tokenizer.decode(kept.ids) == "best\ngo\n"


def test_the_best_of_those_in_which_something_was_said(base: Base) -> None:
    config = small_config(filtered_bc.FilteredBC, fraction=0.5)
    algorithm = started(filtered_bc.FilteredBC, base, config)
    (kept,) = algorithm.prepare([game(9, text=""), game(-1, "said"), game(-2, "worse")])
    assert base.tokenizer.decode(kept.ids) == "said\ngo\n"
