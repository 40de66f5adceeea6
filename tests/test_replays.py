"""Playing stored games again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from lmrlgym import Dataset, Divergence, Turn, collect, replay
from lmrlgym.dataset import shipped_names
from lmrlgym.resources import data_path
from tests.engines import needs_stockfish

GAME = collect("lmrlgym/Maze-v0", "random", 1, seed=5)[0]


def test_a_game_played_again_is_the_same() -> None:
    assert replay(GAME) is None


def test_a_cut_game_is_played_up_to_its_cut() -> None:
    assert replay(replace(GAME, turns=GAME.turns[:5], terminated=False, truncated=True, info={})) is None


def test_another_text_is_found() -> None:
    turns = (*GAME.turns[:2], Turn("Here I am\n", False), *GAME.turns[3:])
    assert replay(replace(GAME, turns=turns)) == Divergence(2, "text", "Here I am\n", GAME.turns[2].text)


def test_another_reward_is_found() -> None:
    turns = (GAME.turns[0], GAME.turns[1]._replace(reward=0.5), *GAME.turns[2:])
    assert replay(replace(GAME, turns=turns)) == Divergence(1, "reward", 0.5, -1.0)


def test_another_seed_is_found() -> None:
    seeds = (replay(replace(GAME, seed=seed)) for seed in range(6, 12))
    assert any(found is not None and found.turn == 0 for found in seeds)


def test_a_game_that_goes_on_is_no_ended_game() -> None:
    short = replace(GAME, turns=GAME.turns[:5])
    assert replay(short) == Divergence(4, "terminated", True, False)
    unended = replace(short, terminated=False, truncated=False)
    assert replay(unended) == Divergence(4, "truncated", False, "still running")


def test_actions_after_the_end_are_found() -> None:
    longer = replace(GAME, turns=(*GAME.turns, Turn("move up\n", True, -1.0)))
    assert replay(longer) == Divergence(len(GAME.turns), "length", len(GAME.turns) + 1, len(GAME.turns))


def test_a_game_without_a_seed_cannot_be_played_again() -> None:
    with pytest.raises(ValueError, match="no seed"):
        replay(replace(GAME, seed=None))


def is_long(name: str) -> bool:
    """Whether playing again takes long: an engine moves, or thousands of games are long."""
    return name.startswith(("chess", "guess_my_city"))


def played_by(names: Iterable[str]) -> list[Any]:
    """The parameters `names`; games against Stockfish need the version that played them."""

    def marks(name: str) -> list[pytest.MarkDecorator]:
        card = json.loads(data_path(f"{name}.card.json").read_text(encoding="utf-8"))
        return [needs_stockfish()] if card["env_kwargs"].get("partner") == "stockfish" else []

    return [pytest.param(name, marks=marks(name)) for name in names]


@pytest.mark.parametrize("name", played_by(shipped_names()))
def test_every_shipped_game_can_be_played_again(name: str) -> None:
    games = Dataset.load(name)[:: 60 if is_long(name) else 1]
    assert [t.seed for t in games if replay(t) is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", played_by(filter(is_long, shipped_names())))
def test_so_can_all_long_ones(name: str) -> None:
    assert [t.seed for t in Dataset.load(name) if replay(t) is not None] == []
