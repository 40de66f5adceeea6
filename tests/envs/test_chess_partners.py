"""How the chess partners choose their moves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import chess
import gymnasium
import numpy as np
import pytest

from lmrlgym import Query, Reply, rollout
from lmrlgym.collection import policy_named
from lmrlgym.envs.chess import ChessEnv, ChessState
from lmrlgym.partners import chess as partners
from lmrlgym.partners.chess import BuiltinPartner, RandomPartner, StockfishPartner, stockfish_program
from lmrlgym.policies.chess import EnginePlayer
from tests.engines import ANSWERS, fake_engine, needs_stockfish

ID = "lmrlgym/Chess-v0"
EN_PASSANT = "6k1/8/8/3pP3/8/8/6P1/6K1 w - d6 0 1"


def query(fen: str, seed: int = 0) -> Query:
    return Query((), ChessState(fen), np.random.default_rng(seed))


def moves(partner: Any, fen: str, draws: int = 1) -> list[str]:
    """What `partner` answers in a position, from one stream."""
    asked = query(fen)
    return [reply.text if isinstance(reply, Reply) else reply for reply in partner.reply([asked] * draws)]


def mirrored(fen: str) -> str:
    return chess.Board(fen).mirror().fen()


def test_a_partner_gets_the_board_that_its_fen_tells():
    # After c4 the pawn on b4 might take in passing, but its king would then be in check by the rook.
    asked = []

    class Asks:
        def reply(self, queries: Any) -> list[str]:
            asked.extend(query.state for query in queries)
            return ["a4b3"]

    env = ChessEnv(partner=Asks())
    env.reset(options={"fen": "8/8/8/8/kp5R/8/2P5/4K3 w - - 0 1"})
    env.step("c 4\n")
    (state,) = asked
    assert state.fen == "8/8/8/8/kpP4R/8/8/4K3 b - - 0 1"
    read = chess.Board(state.fen)
    assert list(state.board().generate_pseudo_legal_moves()) == list(read.generate_pseudo_legal_moves())
    assert ChessState(state.fen).board() == read == state.board()


# ---- random ----


def test_the_random_partner_plays_each_legal_move_equally_often():
    # White's king is in check by the rook on e1's file: of its moves d1, d2, f1, f2 are legal.
    fen = "4r2k/8/8/8/8/8/8/4K3 w - - 0 1"
    count = Counter(moves(RandomPartner(), fen, draws=800))
    assert set(count) == {"e1d1", "e1d2", "e1f1", "e1f2"}
    # 200 each, standard deviation sqrt(800 * 1/4 * 3/4) = 12.2
    assert all(abs(times - 200) < 4 * 12.2 for times in count.values())


def test_the_same_stream_gives_the_same_moves():
    for partner in (RandomPartner(), BuiltinPartner()):
        assert moves(partner, chess.STARTING_FEN, 8) == moves(partner, chess.STARTING_FEN, 8)
        assert len(set(moves(partner, chess.STARTING_FEN, 10))) > 1


@pytest.mark.parametrize("partner", [RandomPartner(), BuiltinPartner()])
def test_without_a_legal_move_there_is_nothing_to_answer(partner: Any):
    with pytest.raises(ValueError, match="there is no legal move in"):
        moves(partner, "7k/5Q2/6K1/8/8/8/8/8 b - - 0 1")


# ---- builtin ----


@pytest.mark.parametrize(
    ("fen", "move"),
    [
        ("6k1/5ppp/8/8/8/8/8/R6K w - - 0 1", "a1a8"),  # mate in one
        ("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", "e4d5"),  # an unprotected queen
        ("4k3/8/2p5/3p4/8/8/3Q4/3RK3 w - - 0 1", None),  # d5 is protected: the queen does not take it
        (EN_PASSANT, "e5d6"),  # en passant wins a pawn
        ("8/P6k/8/8/8/8/8/7K w - - 0 1", "a7a8q"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_builtin_partner_sees_what_a_move_wins(fen: str, move: str | None, turned: bool):
    said = set(moves(BuiltinPartner(), mirrored(fen) if turned else fen, 10))
    if move is None:
        assert not said & {"d2d5", "d7d4"}
    else:
        wanted = chess.Move.from_uci(move)
        if turned:
            wanted = chess.Move(wanted.from_square ^ 56, wanted.to_square ^ 56, wanted.promotion)
        assert said == {wanted.uci()}


def test_the_builtin_partner_does_not_let_itself_be_mated_at_once_if_it_can_help_it():
    # Black's rook must stay on the last rank: else Ra8 is mate.
    fen = "1r4k1/5ppp/8/8/8/8/5PPP/R5K1 b - - 0 1"
    board = chess.Board(fen)
    for move in set(moves(BuiltinPartner(margin=10_000), fen, 20)):
        board.push_uci(move)
        assert not any(
            board.gives_check(answer) and after(board, answer).is_checkmate() for answer in board.legal_moves
        )
        board.pop()


def after(board: chess.Board, move: chess.Move) -> chess.Board:
    copied = board.copy(stack=False)
    copied.push(move)
    return copied


def plain_value(board: chess.Board, move: chess.Move, table: Any) -> int:
    """What `move` is worth by the definition: the standing after the best answer to it."""

    def standing(position: chess.Board) -> int:
        total = 0
        for square, piece in position.piece_map().items():
            worth = table[piece.piece_type][square if piece.color else square ^ 56]
            total += worth if piece.color == board.turn else -worth
        return total

    after_move = after(board, move)
    values = []
    for answer in after_move.legal_moves:
        value = standing(after(after_move, answer))
        taken = after_move.piece_at(answer.to_square)
        if taken and after_move.is_attacked_by(board.turn, answer.to_square):
            value += partners._WORTH[after_move.piece_type_at(answer.from_square) or 0]
        values.append(value)
    if values:
        return min(values)
    return 100_001 if after_move.is_check() else 0


def some_positions(count: int) -> list[chess.Board]:
    """Positions of random games, from any phase and for either side."""
    rng = np.random.default_rng(3)
    found = []
    while len(found) < count:
        board = chess.Board()
        for _ in range(int(rng.integers(4, 90))):
            if board.is_game_over():
                break
            legal = list(board.legal_moves)
            board.push(legal[int(rng.integers(len(legal)))])
        if not board.is_game_over():
            found.append(board)
    return found


def test_the_search_values_moves_as_a_search_without_pruning_does():
    for board in (*some_positions(5), chess.Board(EN_PASSANT), chess.Board(EN_PASSANT).mirror()):
        search = partners._Search(board)
        found = search.values(depth=2, margin=20)
        plain = {move: plain_value(board, move, search.table) for move in board.legal_moves}
        best = max(plain.values())
        assert set(found) == set(plain)
        for move, value in plain.items():
            if value >= best - 20:
                assert found[move] == value, (board.fen(), move)
            else:
                assert found[move] < best - 20


@pytest.mark.parametrize(("depth", "margin"), [(0, 12), (2, -1)])
def test_a_search_of_no_depth_or_a_negative_margin_is_refused(depth: int, margin: int):
    with pytest.raises(ValueError, match="depth must be at least 1 and margin at least 0, got"):
        BuiltinPartner(depth, margin)


def test_the_builtin_partner_wins_against_random_play():
    games = rollout(ID, policy_named("random", ID), 2, seed=1)
    assert [game.info["stop_reason"] for game in games] == ["lost"] * 2


# ---- stockfish ----


def test_the_choice_of_a_limited_stockfish_is_by_its_own_formula():
    class Draws:
        """A stream of known numbers; each is asked for below 120 - 2 * level."""

        def __init__(self, *numbers: int) -> None:
            self.numbers = list(numbers)

        def integers(self, high: int) -> int:
            assert high == 120
            return self.numbers.pop(0)

    choices = {1: ("a2a3", 50), 2: ("b2b3", 10), 3: ("c2c3", -10), 4: ("d2d3", -30)}
    # level 0: weakness 120, spread min(50 + 30, 126) = 80; raised = value + (120 * lag + 80 * draw) / 128
    # a: 50 + 80 * 64 / 128 = 90;  b: 10 + (4800 + 80 * 100) / 128 = 110;  c: -10 + (7200 + 0) / 128 = 46;
    # d: -30 + (9600 + 80 * 100) / 128 = 107
    assert partners._chosen(choices, 0.0, Draws(64, 100, 0, 100)) == "b2b3"  # type: ignore[arg-type]
    # d: -30 + (9600 + 80 * 105) / 128 = 110 ties with b, and the later one wins
    assert partners._chosen(choices, 0.0, Draws(64, 100, 0, 105)) == "d2d3"  # type: ignore[arg-type]


def test_what_stockfish_tells_is_read_in_its_own_units():
    lines = [
        "info depth 1 seldepth 1 multipv 1 score cp 40 nodes 61 pv e2e4",
        "info depth 2 seldepth 2 multipv 1 score cp 100 nodes 99 pv d2d4 d7d5",
        "info depth 2 seldepth 2 multipv 2 score mate 2 nodes 99 pv g1f3",
        "info depth 2 seldepth 2 multipv 3 score mate -1 nodes 99 pv f2f3",
        "info string nothing",
        "bestmove d2d4 ponder d7d5",
    ]
    # 361 to the pawn; a mate in 2 is 3 plies away, to be mated in 1 is 2 plies away
    assert partners._choices(lines) == {1: ("d2d4", 361), 2: ("g1f3", 31_997), 3: ("f2f3", -31_998)}


@pytest.mark.parametrize("settings", [{"elo": -1}, {"elo": 3000}, {"nodes": 0}])
def test_a_strength_or_search_that_cannot_be_is_refused(settings: dict[str, int]):
    with pytest.raises(ValueError, match=r"(elo|nodes) must be .*, got"):
        StockfishPartner(**settings)  # type: ignore[arg-type]


def test_the_program_named_by_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = fake_engine(tmp_path, ANSWERS)
    monkeypatch.setenv("LMRLGYM_STOCKFISH", program)
    assert stockfish_program() == program


def test_stockfish_is_found_where_debian_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = fake_engine(tmp_path, ANSWERS)
    monkeypatch.delenv("LMRLGYM_STOCKFISH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(partners, "_DEBIAN_PROGRAM", program)
    assert stockfish_program() == program


@pytest.mark.parametrize("named", ["", "/there/is/none"])
def test_a_missing_stockfish_is_an_error_that_names_the_package(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LMRLGYM_STOCKFISH", named)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(partners, "_DEBIAN_PROGRAM", str(tmp_path / "stockfish"))
    with pytest.raises(FileNotFoundError, match="apt-get install stockfish") as error:
        gymnasium.make(ID, partner="stockfish")
    assert named in str(error.value)


@needs_stockfish()
def test_below_its_range_stockfish_plays_as_the_weakest():
    fen = "r1bqkbnr/pppp1ppp/2n5/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3"
    assert StockfishPartner(elo=800).elo == 1350
    assert moves(StockfishPartner(elo=800), fen, 20) == moves(StockfishPartner(), fen, 20)
    assert len(set(moves(StockfishPartner(), fen, 20))) > 1
    assert len(set(moves(StockfishPartner(elo=None), fen, 3))) == 1


@needs_stockfish()
def test_stockfish_finds_a_mate_in_two():
    # one rook takes the seventh rank, the other mates on the eighth
    (move,) = moves(StockfishPartner(elo=None), "7k/8/8/8/8/8/R7/1R4K1 w - - 0 1")
    assert move in ("a2a7", "b1b7")


@needs_stockfish()
def test_a_seed_fixes_a_game_with_stockfish_however_many_are_played_at_once():
    policy, settings = policy_named("random", ID), {"partner": "stockfish", "max_moves": 12}
    alone = rollout(ID, policy, 6, seed=3, env_kwargs=settings)
    assert alone == rollout(ID, policy, 6, seed=3, parallel=4, env_kwargs=settings)
    assert len({game.turns for game in alone}) == 6


@needs_stockfish()
def test_a_game_is_the_same_whatever_was_played_before_it():
    env = ChessEnv(partner="stockfish")

    def talk(seed: int) -> list[str]:
        told = [env.reset(seed=seed)[0]]
        return [*told, *(env.step(move)[0] for move in ("e 4", "d 3", "N f 3", "B e 2"))]

    first = talk(7)
    talk(8)
    assert talk(7) == first


@needs_stockfish()
@pytest.mark.slow
def test_more_elo_is_stronger():
    def score(elo: float | None) -> float:
        player = EnginePlayer(StockfishPartner(elo=elo))
        games = rollout(ID, player, 40, seed=5, parallel=8, env_kwargs={"partner": "stockfish"})
        return float(np.mean([game.total_reward for game in games]))

    # equals have a mean return of 0 with a standard deviation of at most 1 / sqrt(40) = .16
    assert abs(score(1350)) < 0.4
    # 350 points are a mean return of .76 by the formula of ratings, which Stockfish fits to longer games
    assert score(1700) > 0.4
    assert score(None) > 0.9
