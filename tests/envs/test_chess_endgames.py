"""The endings: positions and their symmetries, the two splits, options, and the rules that end a game."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import chess
import numpy as np
import pytest

from lmrlgym.env import Query
from lmrlgym.envs.chess import read_position, spoken_position
from lmrlgym.envs.chess_endgames import (
    PIECE_SETS,
    SYMMETRIES,
    ChessEndgamesEnv,
    canonical,
    hard_positions,
    is_held_out,
    random_position,
)


class Says:
    """A partner that plays these moves in order."""

    def __init__(self, *moves: str) -> None:
        self.moves = list(moves)

    def reply(self, queries: list[Query]) -> list[str]:
        return [self.moves.pop(0) for _ in queries]


def at(fen: str, *replies: str, **kwargs: object) -> ChessEndgamesEnv:
    env = ChessEndgamesEnv(partner=Says(*replies), **kwargs)  # type: ignore[arg-type]
    env.reset(seed=0, options={"fen": fen})
    return env


def men(board: chess.Board) -> list[str]:
    return sorted(piece.symbol() for piece in board.piece_map().values())


# ---- positions ----


def test_the_symmetries_are_eight_and_keep_neighbours():
    assert len(set(SYMMETRIES)) == 8
    assert SYMMETRIES[0] == tuple(range(64))
    for turned in SYMMETRIES:
        assert sorted(turned) == list(range(64))
        for a, b in ((0, 1), (0, 8), (0, 9), (27, 36), (62, 55)):
            assert chess.square_distance(turned[a], turned[b]) == 1


@pytest.mark.parametrize("pieces", PIECE_SETS)
def test_a_random_position_is_legal_with_white_to_move(pieces: str):
    rng = np.random.default_rng(3)
    for _ in range(50):
        board = random_position(pieces, rng)
        assert men(board) == sorted(pieces)
        assert board.turn
        assert board.is_valid()
        assert not board.was_into_check()
        assert board.fen().endswith(" w - - 0 1")


def test_random_positions_are_uniform():
    # Of 1,000 drawn, black's king stands on every square about 1000 / 64 = 15.6 times; corners and edges are
    # likelier than the middle, where more of white's squares would check it.
    rng = np.random.default_rng(5)
    squares = Counter(random_position("kQK", rng).king(chess.BLACK) for _ in range(1_000))
    assert len(squares) == 64
    assert max(squares.values()) < 45


def test_all_turns_and_mirrorings_of_a_position_are_one():
    board = random_position("kQRK", np.random.default_rng(1))
    for turned in SYMMETRIES:
        other = chess.Board(None)
        other.set_piece_map({turned[square]: piece for square, piece in board.piece_map().items()})
        assert canonical(other) == canonical(board)
        assert is_held_out(other) == is_held_out(board)


def test_different_positions_are_different():
    # black king a1, white king c2, queen d4 or d5: no turn of the board makes one of the other
    here, there = (chess.Board(f"8/8/8/{ranks}/8/2K5/k7 w - - 0 1") for ranks in ("8/3Q4", "3Q4/8"))
    assert canonical(here) != canonical(there)


def test_one_position_in_ten_is_held_out():
    rng = np.random.default_rng(2)
    held_out = sum(is_held_out(random_position("kRRK", rng)) for _ in range(2_000))
    assert 150 < held_out < 250


# ---- splits ----


def test_the_train_split_draws_every_set_and_nothing_that_is_held_out():
    env, sets = ChessEndgamesEnv(partner="random"), Counter()
    for seed in range(400):
        observation, _ = env.reset(seed=seed)
        board = chess.Board(read_position(observation))
        assert men(board) == sorted(PIECE_SETS[env.task])
        assert not is_held_out(board)
        sets[env.task] += 1
    assert sorted(sets) == [0, 1, 2, 3]
    assert min(sets.values()) > 70


def test_the_test_split_has_645_positions_of_which_no_two_are_alike():
    positions = hard_positions()
    assert Counter(position.pieces for position in positions) == {
        "kQK": 162,
        "kQRK": 161,
        "kRK": 161,
        "kRRK": 161,
    }
    assert len({canonical(chess.Board(position.fen)) for position in positions}) == 645


def test_test_positions_are_legal_and_held_out():
    for position in hard_positions():
        board = chess.Board(position.fen)
        assert men(board) == sorted(position.pieces)
        assert board.is_valid()
        assert board.turn
        assert is_held_out(board)


def test_a_task_of_the_test_split_is_a_position_and_of_the_train_split_a_set_of_pieces():
    env = ChessEndgamesEnv(partner="random", split="test")
    assert env.tasks == 645
    for task in (0, 300, 644):
        assert env.reset(options={"task": task})[0] == spoken_position(hard_positions()[task].fen)
    train = ChessEndgamesEnv(partner="random")
    assert train.tasks == 4
    observation, _ = train.reset(seed=1, options={"task": 3})
    assert men(chess.Board(read_position(observation))) == sorted("kRRK")


def test_a_seed_decides_the_position():
    env = ChessEndgamesEnv(partner="random")
    first = env.reset(seed=9)[0]
    assert env.reset(seed=10)[0] != first
    assert env.reset(seed=9)[0] == first
    copy = deepcopy(env)
    assert env.reset()[0] == copy.reset()[0]


# ---- options ----


@pytest.mark.parametrize(
    "fen", ["", "nonsense", 7, "8/8/8/8/8/8/8/8 w - - 0 1", "k7/8/8/8/8/8/8/KQ6 b - - 0 1"]
)
def test_a_wrong_fen_is_shown(fen: object):
    with pytest.raises(ValueError, match="fen") as caught:
        ChessEndgamesEnv(partner="random").reset(options={"fen": fen})
    assert repr(fen) in str(caught.value)


def test_a_wrong_split_is_shown():
    with pytest.raises(ValueError, match="split must be train or test, got 'validation'"):
        ChessEndgamesEnv(split="validation")


def test_a_position_is_given_by_fen_or_by_task():
    with pytest.raises(ValueError, match="not both"):
        ChessEndgamesEnv(partner="random").reset(options={"fen": "k7/8/2K5/8/8/8/8/7Q w - - 0 1", "task": 1})


def test_a_given_position_is_no_task():
    env = at("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1", privileged=True)
    assert env.task == -1


# ---- rules ----


def test_mate_wins():
    env = at("4k3/8/4K3/8/8/8/8/7R w - - 0 1")
    _, reward, terminated, truncated, info = env.step("R h 8 #\n")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["success"]
    assert info["stop_reason"] == "won"


def test_stalemate_is_a_draw():
    _, reward, terminated, _, info = at("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1").step("Q f 7")
    assert (reward, terminated, info["stop_reason"], info["success"]) == (0.0, True, "draw", False)


def test_losing_the_last_piece_is_a_draw():
    _, reward, terminated, _, info = at("7k/8/8/8/8/8/8/K5Q1 w - - 0 1", "h8g7").step("Qg7+")
    assert (reward, terminated, info["stop_reason"]) == (0.0, True, "draw")


def test_losing_one_of_two_pieces_is_not_the_end():
    # the rook on a2 does not guard g7
    env = at("7k/8/8/8/8/8/R7/K5Q1 w - - 0 1", "h8g7")
    observation, reward, terminated, *_ = env.step("Qg7+")
    assert observation == spoken_position("8/6k1/8/8/8/8/R7/K7 w - - 0 2")
    assert (reward, terminated) == (0.0, False)


def test_an_illegal_move_costs_a_point_and_changes_nothing():
    env = at("4k3/8/4K3/8/8/8/8/7R w - - 0 1")
    told = env.history[-1].text
    observation, reward, terminated, _, info = env.step("R a 5")
    assert (observation, reward, terminated) == (told, -1.0, False)
    assert not info["action_is_valid"]


@pytest.mark.parametrize(("compat", "actions"), [(False, 2), (True, 3)])
def test_the_turn_limit_comes_one_action_later_in_2023(compat: bool, actions: int):
    env = at("4k3/8/4K3/8/8/8/8/7R w - - 0 1", max_moves=2, compat=compat)
    ends = [env.step("nonsense")[2:5:2] for _ in range(actions)]
    assert [terminated for terminated, _ in ends] == [False] * (actions - 1) + [True]
    assert ends[-1][1]["stop_reason"] == "turn_limit"


def test_an_agent_sees_the_newest_position_only():
    assert ChessEndgamesEnv.context == 1
