"""Distances to mate against published maxima, python-chess, a plain search and Stockfish; and regret."""

from __future__ import annotations

import json
from collections.abc import Sequence

import chess
import chess.engine
import numpy as np
import pytest
from numpy.random import Generator

from lmrlgym import Turn, rollout
from lmrlgym.collection import SolverPolicy
from lmrlgym.commands.eval import main
from lmrlgym.env import Query
from lmrlgym.envs.chess import spoken_position
from lmrlgym.envs.chess_endgames import ChessEndgamesEnv, hard_positions, random_position
from lmrlgym.partners.chess import stockfish_program
from lmrlgym.solvers.chess_endgames import NEVER, distances_after, moves_to_mate, solver, table
from tests.engines import needs_stockfish

ID = "lmrlgym/ChessEndgames-v0"
four_men = pytest.mark.slow
THREE, FOUR = ("kQK", "kRK"), ("kQRK", "kRRK")
EVERY = [*THREE, *(pytest.param(pieces, marks=four_men) for pieces in FOUR)]


def seen(fen: str) -> tuple[Turn, ...]:
    return (Turn(spoken_position(fen), False),)


MATE_IN_ONE = "4k3/8/4K3/8/8/8/8/7R w - - 0 1"
QUEEN_MATES = "7k/8/6K1/8/8/8/8/5Q2 w - - 0 1"


# ---- distances ----


@pytest.mark.parametrize(
    ("pieces", "longest"),
    # the longest mates are published in every collection of endgame tables
    [("Q", 10), ("R", 16), pytest.param("QR", 6, marks=four_men), pytest.param("RR", 7, marks=four_men)],
)
def test_the_longest_mates_are_the_published_ones_and_white_always_wins(pieces: str, longest: int):
    found = table(pieces)
    assert found.white[found.legal_white].max() == longest
    assert (found.white[~found.legal_white] == NEVER).all()


def random_board(pieces: str, rng: Generator) -> chess.Board:
    """A position with either side to move, with white's men anywhere."""
    board = random_position(pieces, rng)
    if rng.random() < 0.5:
        moves = list(board.legal_moves)
        board.push(moves[int(rng.integers(len(moves)))])
    return board


def one_move_ahead(board: chess.Board) -> int | None:
    """The distance by python-chess's moves and ends, and the distances after them."""
    if board.is_checkmate():
        return 0
    after = []
    for move in board.legal_moves:
        board.push(move)
        after.append(None if board.is_insufficient_material() else moves_to_mate(board))
        board.pop()
    if board.turn:
        mates = [distance for distance in after if distance is not None]
        return 1 + min(mates) if mates else None
    known = [distance for distance in after if distance is not None]
    return max(known) if known and len(known) == len(after) else None


@pytest.mark.parametrize("pieces", EVERY)
def test_distances_agree_with_those_one_move_ahead(pieces: str):
    # By induction over the distance this is what a distance to mate is.
    rng = np.random.default_rng(11)
    for _ in range(300 if pieces in THREE else 2_000):
        board = random_board(pieces, rng)
        assert moves_to_mate(board) == one_move_ahead(board), board.fen()


def mates_within(board: chess.Board, moves: int) -> bool:
    """Whether white, to move, can force mate in so many moves: plain search."""
    return moves > 0 and any(_loses_after(board, move, moves) for move in board.legal_moves)


def _loses_after(board: chess.Board, move: chess.Move, moves: int) -> bool:
    board.push(move)
    answers = list(board.legal_moves)
    lost = board.is_checkmate() if not answers else moves > 1
    for answer in answers if lost else ():
        board.push(answer)
        lost = lost and mates_within(board, moves - 1)
        board.pop()
    board.pop()
    return lost


@pytest.mark.parametrize("pieces", EVERY)
def test_short_mates_are_those_a_plain_search_finds(pieces: str):
    rng = np.random.default_rng(12)
    short = 0
    for _ in range(150):
        board = random_position(pieces, rng)
        distance = moves_to_mate(board)
        assert distance is not None
        assert mates_within(board, 1) == (distance == 1)
        if distance <= 3:
            assert mates_within(board, 2) == (distance <= 2)
        short += distance <= 2
    assert short


@needs_stockfish()
@pytest.mark.slow
@pytest.mark.parametrize("pieces", [*THREE, *FOUR])
def test_stockfish_finds_the_same_mates(pieces: str):
    rng = np.random.default_rng(13)
    with chess.engine.SimpleEngine.popen_uci(stockfish_program()) as engine:
        checked = 0
        while checked < 25:
            board = random_position(pieces, rng)
            distance = moves_to_mate(board)
            assert distance is not None
            if distance <= 3:
                # What it tells is proven, but may be longer than need be unless a short mate is asked for.
                limit = chess.engine.Limit(mate=distance, nodes=10_000_000)
                found = engine.analyse(board, limit, game=object())
                assert found["score"].white().mate() == distance, board.fen()
                checked += 1


@pytest.mark.parametrize(
    "fen",
    [
        MATE_IN_ONE,
        "7R/8/8/8/8/4K3/8/4k3 w - - 0 1",
        "7R/8/8/k1K5/8/8/8/8 w - - 0 1",
        "8/8/8/5K1k/8/8/8/R7 w - - 0 1",
    ],
)
def test_a_mate_in_one_is_one_on_every_edge(fen: str):
    assert moves_to_mate(chess.Board(fen)) == 1


def test_bare_kings_and_stalemate_have_no_mate():
    assert moves_to_mate(chess.Board("k7/8/8/8/8/8/8/K7 w - - 0 1")) is None
    assert moves_to_mate(chess.Board("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1")) is None


def test_other_men_are_refused():
    with pytest.raises(ValueError, match="the solver knows kQK, kQRK, kRK, kRRK and kK, got"):
        moves_to_mate(chess.Board())


@pytest.mark.parametrize("pieces", EVERY)
def test_shipped_distances_are_exact(pieces: str):
    for position in hard_positions():
        if position.pieces == pieces:
            assert moves_to_mate(chess.Board(position.fen)) == position.moves_to_mate


@pytest.mark.parametrize("pieces", EVERY)
def test_shipped_positions_are_of_the_hardest_tenth(pieces: str):
    # counted over the whole table; black's king on the diagonal of the triangle stands for half as many
    found = table(pieces.strip("kK"))
    weight = np.array([4, 8, 8, 8, 4, 8, 8, 4, 8, 4])
    least = min(p.moves_to_mate for p in hard_positions() if p.pieces == pieces)
    legal = found.legal_white.reshape(10, -1)
    white = found.white.reshape(10, -1)
    share = [
        ((legal & (white >= distance)).sum(axis=1) @ weight) / (legal.sum(axis=1) @ weight)
        for distance in (least, least + 1)
    ]
    assert share[0] >= 0.1 > share[1]


# ---- best play ----


class BestDefence:
    """Plays black so that mate comes as late as it can."""

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [self._move(chess.Board(query.state.fen)) for query in queries]

    def _move(self, board: chess.Board) -> str:
        def distance(move: chess.Move) -> int:
            after = board.copy(stack=False)
            after.push(move)
            found = moves_to_mate(after)
            return 99 if found is None else found

        return max(board.legal_moves, key=distance).uci()


@pytest.mark.parametrize("pieces", EVERY)
def test_best_play_mates_in_exactly_the_distance_against_the_best_defence(pieces: str):
    tasks = [i for i, position in enumerate(hard_positions()) if position.pieces == pieces][::20]
    game = ChessEndgamesEnv(partner=BestDefence(), split="test")
    for task in tasks:
        game.reset(options={"task": task})
        info = {"stop_reason": ""}
        while not info["stop_reason"]:
            *_, info = game.step(solver().best(game.history))
        assert info["success"]
        assert info["turn"] == hard_positions()[task].moves_to_mate


def test_best_play_wins_by_the_turn_limit_or_not_at_all():
    # mate in one: worth 1 while an action is left
    once = solver(max_moves=1)
    start = seen(MATE_IN_ONE)
    assert once.value(start) == 1.0
    assert once.best(start) == "R h 8 #\n"
    spent = (*start, Turn("nonsense\n", True, -1.0), *start)
    assert once.value(spent) == 0.0
    assert solver(max_moves=1, compat=True).value(spent) == 1.0


def test_action_values_are_of_legal_moves_and_0_where_the_win_is_gone():
    values = solver().q(seen(QUEEN_MATES))
    assert set(values) == {
        f"{' '.join(chess.Board(QUEEN_MATES).san(move))}\n" for move in chess.Board(QUEEN_MATES).legal_moves
    }
    assert values["Q f 8 #\n"] == 1.0
    assert values["Q f 7\n"] == 0.0  # stalemate


# ---- regret ----


def test_regret_is_the_moves_to_mate_that_are_lost():
    best = solver()
    here = seen(QUEEN_MATES)  # mate in one
    assert best.regret(here, "Q f 8 #\n") == 0
    assert best.regret(here, "Qf8") == 0
    assert best.regret(here, "nonsense\n") == 1  # the same position, a move later
    assert best.regret(here, "Q f 7\n") == 49  # stalemate counts 50, the best was 1
    slow = min(d for d in distances_after(chess.Board(QUEEN_MATES)).values() if d is not None and d > 1)
    move = next(m for m, d in distances_after(chess.Board(QUEEN_MATES)).items() if d == slow)
    assert best.regret(here, chess.Board(QUEEN_MATES).san(move)) == slow - 1


def evaluated(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert main([ID, "--json", "--episodes", "1", "--env-kwargs", "split=test", *options]) == 0
    record: dict[str, object] = json.loads(capsys.readouterr().out)
    return record


def test_eval_reports_the_mean_regret_of_all_actions(capsys: pytest.CaptureFixture[str]):
    record = evaluated(capsys, "--policy", "best")
    assert (record["regret_mean"], record["regret_unit"], record["success"]) == (0.0, "moves to mate", 1.0)
    assert evaluated(capsys, "--policy", "random")["regret_mean"] > 0  # type: ignore[operator]


def test_eval_of_a_game_without_regrets_says_nothing_of_them(capsys: pytest.CaptureFixture[str]):
    assert main(["lmrlgym/Maze-v0", "--json", "--episodes", "1"]) == 0
    assert "regret_mean" not in json.loads(capsys.readouterr().out)


def test_the_best_player_wins_games_of_the_train_split():
    games = rollout(ID, SolverPolicy(solver()), tasks=[0, 2], seed=1)
    assert [game.total_reward for game in games] == [1.0, 1.0]
