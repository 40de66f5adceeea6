"""The endings' data, references and protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chess
import pytest

from lmrlgym import Dataset
from lmrlgym.commands.players import TrainedRun
from lmrlgym.envs.chess import read_position
from lmrlgym.envs.chess_endgames import is_held_out
from lmrlgym.policies.chess_endgames import EndgamePlayer
from lmrlgym.references import Protocol, normalise, protocol, reference
from lmrlgym.resources import data_path, read_json

ID = "lmrlgym/ChessEndgames-v0"
TEST = {"split": "test"}
SETS = ("random-v0", "mixed-v0", "expert-v0")


def card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json("chess_endgames", f"{name}.card.json")
    return found


@pytest.fixture(scope="module", params=SETS)
def data(request: pytest.FixtureRequest) -> Dataset:
    return Dataset.load(f"chess_endgames/{request.param}")


def test_no_shipped_game_starts_where_the_test_split_does(data: Dataset):
    for game in data[:500]:
        assert not is_held_out(chess.Board(read_position(game.turns[0].text)))


def test_nobody_plays_an_illegal_move_or_meets_the_turn_limit(data: Dataset):
    assert {reward for game in data for reward in game.rewards} == {0.0, 1.0}
    assert {game.info["stop_reason"] for game in data} <= {"won", "draw"}


def test_the_mixed_data_are_as_the_paper_says():
    # the paper: success .59, return .586 (.492), length 11.9 (12.0)
    mixed = card("mixed-v0")
    assert abs(mixed["success"] - 0.59) <= 0.03
    assert mixed["return_mean"] == mixed["success"]
    assert 10 < mixed["length_mean"] < 14
    assert 9 < mixed["length_std"] < 14


def test_the_best_player_of_the_data_always_wins():
    assert card("expert-v0")["success"] == 1.0


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_at_most_two_megabytes(name: str):
    assert data_path("chess_endgames", f"{name}.parquet").stat().st_size <= 2_000_000


def test_players_of_no_probability_are_refused():
    with pytest.raises(ValueError, match="skill must be in"):
        EndgamePlayer(1.5)


# ---- references ----


def test_the_protocol_of_the_test_split_is_each_position_once():
    assert protocol(ID, **TEST) == Protocol(True, 1)
    assert protocol(ID, **TEST, partner="random") == Protocol(True, 1)
    assert protocol(ID) == Protocol(False, 1024)
    assert protocol(ID, partner="random") == Protocol(False, 1024)


@pytest.mark.parametrize("env_kwargs", [{}, TEST, {"compat": True}, TEST | {"partner": "stockfish"}])
def test_best_play_always_wins_and_random_play_hardly_ever(env_kwargs: dict[str, object]):
    known = reference(ID, **env_kwargs)
    assert (known.best, known.kind) == (1.0, "exact")
    assert known.levels["expert"] == 1.0
    assert known.random < 0.1 < known.levels["mixed"] < 1.0
    assert normalise(ID, 1.0, **env_kwargs) == 100


def test_the_papers_scale_is_that_of_its_opponent():
    assert normalise(ID, 0.586, "lmrl2023", **TEST, partner="stockfish") == 50
    assert "Stockfish" in reference(ID, **TEST).lmrl2023_reason


def test_scores_against_an_engine_need_no_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LMRLGYM_STOCKFISH", "/there/is/none")
    assert normalise(ID, 1.0, **TEST, partner="stockfish") == 100


def test_a_run_trained_on_one_split_may_be_played_on_the_other():
    run = TrainedRun(Path("run"), ID, {"max_moves": 50})
    assert run.checked_keywords(ID, TEST, force=False) == {"max_moves": 50, "split": "test"}
    assert run.checked_keywords(ID, {}, force=False) == {"max_moves": 50}
    with pytest.raises(ValueError, match="was trained with"):
        run.checked_keywords(ID, {"max_moves": 9, **TEST}, force=False)
