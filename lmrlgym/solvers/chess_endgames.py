"""Exact distances to mate for a king with one or two pieces (queens, rooks) against the lone king.

Retrograde analysis in numpy. Let B(p) be the moves white still needs in a position p with black to
move, and W(p) with white to move; both are infinite where black can save himself:

    W(p) = 1 + min over white's moves of B(after),    B(p) = max over black's moves of W(after),

B = 0 where black is mated, B = inf in a stalemate and W = inf once the last piece is taken; a black move that
takes one of two pieces leads into the table of the other. The tables are filled by rising distance: the
positions of W = n are those not filled yet from which some move reaches B = n - 1.

Black's king is turned by one of the eight symmetries of the board into the triangle a1-d1-d4, so that a
table is (10, 64, 64) or (10, 64, 64, 64): black's king, white's king, the pieces. Squares are numbered 0
(a1), 1 (b1), ..., 63 (h8), as in python-chess. White never takes anything and never leaves the table; a
sliding piece's moves in one direction are one pass over the ranks or files of a table, all positions at
once.

Every legal position of these endings with white to move is won, so the best return is 1 wherever enough moves
are left, and says nothing of how good a move is. What a move loses (`regret`) is told in moves to mate. The
tables know nothing of fivefold repetition and of 75 moves without a mate, which best play, done within 16
moves, does not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from lmrlgym.env import Partner
from lmrlgym.envs.chess import MAX_MOVES, WIN_REWARD, legal_move, read_position, spoken_move
from lmrlgym.envs.chess_endgames import SYMMETRIES
from lmrlgym.types import History

if TYPE_CHECKING:
    import chess

Bools = np.ndarray
"""An array of bool, shaped like a table or like one black king's part of it."""
NEVER = 255
"""In a table: no mate can be forced, or the position is not legal."""
MISSED_MATE = 50
"""The distance that regret counts with once a win is thrown away: after so many moves players call a draw."""
_QUEEN_STEPS = tuple((rank, file) for rank in (-1, 0, 1) for file in (-1, 0, 1) if rank or file)
_STEPS = {"Q": _QUEEN_STEPS, "R": tuple(step for step in _QUEEN_STEPS if 0 in step)}
"""Piece -> the (rank, file) steps in which it slides."""
TRIANGLE = tuple(8 * rank + file for rank in range(4) for file in range(rank, 4))


def _turned_into_triangle() -> tuple[tuple[int, np.ndarray], ...]:
    """[square] -> (its place in the triangle, [square] -> where the same turn takes that square)."""
    turns = [np.array(symmetry) for symmetry in SYMMETRIES]
    return tuple(
        next((TRIANGLE.index(turn[square]), turn) for turn in turns if turn[square] in TRIANGLE)
        for square in range(64)
    )


_TURNED = _turned_into_triangle()
_RANK, _FILE = np.divmod(np.arange(64), 8)
_NEAR = np.maximum(abs(_RANK[:, None] - _RANK), abs(_FILE[:, None] - _FILE)) <= 1
"""[square, square] -> whether a king on one touches the other, or they are the same."""
_TOUCHES = _NEAR & ~np.eye(64, dtype=bool)


def _lines() -> tuple[dict[str, Bools], Bools]:
    """(piece -> [from, to] if it goes there on an empty board, [from, to, square] if that lies between)."""
    goes = {piece: np.zeros((64, 64), bool) for piece in _STEPS}
    between = np.zeros((64, 64, 64), bool)
    for start in range(64):
        for step in _QUEEN_STEPS:
            passed: list[int] = []
            rank, file = start // 8 + step[0], start % 8 + step[1]
            while 0 <= rank < 8 and 0 <= file < 8:
                square = 8 * rank + file
                between[start, square, passed] = True
                for piece, steps in _STEPS.items():
                    goes[piece][start, square] |= step in steps
                passed.append(square)
                rank, file = rank + step[0], file + step[1]
    return goes, between


_GOES, _BETWEEN = _lines()


class EndgameTable:
    """The distances of one ending: `pieces` are white's besides the king, "Q", "R", "QR" or "RR".

    `white` and `black` hold W and B (NEVER: infinite or not a legal position): uint8, one axis for black's
    king in the triangle, one for white's king, one for each piece.
    """

    def __init__(self, pieces: str) -> None:
        self.pieces = pieces
        self._shape = (len(TRIANGLE), *(64,) * (1 + len(pieces)))
        apart = self._apart()
        kings_apart = ~_NEAR[list(TRIANGLE)].reshape(len(TRIANGLE), 64, *(1,) * len(pieces))
        legal_black = apart & kings_apart
        check = np.stack([self._attacked(king) for king in TRIANGLE])
        self.white = np.full(self._shape, NEVER, np.uint8)
        self.black = np.full(self._shape, NEVER, np.uint8)
        self.legal_white = legal_black & ~check
        """Whether white may be to move here: black's king is not in check."""
        self._flights = [
            [
                (target, legal_black[i] & self._is_safe(target))
                for target in np.flatnonzero(_TOUCHES[king]).tolist()
            ]
            for i, king in enumerate(TRIANGLE)
        ]
        can_move = np.stack([np.any([legal for _, legal in flights], axis=0) for flights in self._flights])
        mated = legal_black & check & ~can_move
        self.black[mated] = 0
        self._fill(mated, legal_black & can_move, apart)

    def _fill(self, lost: Bools, alive: Bools, apart: Bools) -> None:
        """Fill both tables by rising distance; `lost` are the mates, `alive` where black has a move."""
        moves, last = 0, max((int(_finite(other.white).max()) for other in self._after_capture()), default=0)
        while lost.any() or moves <= last:
            moves += 1
            won = self._can_reach(lost, apart) & self.legal_white & (self.white == NEVER)
            self.white[won] = moves
            lost = self._must_lose(moves) & alive & (self.black == NEVER)
            self.black[lost] = moves

    def _after_capture(self) -> list[EndgameTable]:
        """[piece taken] -> the table of what is left; none where nothing is."""
        return [table(other) for other in reversed(self.pieces)] if len(self.pieces) == 2 else []

    def _axis(self, axis: int, values: np.ndarray) -> np.ndarray:
        """(64,) values that go by one man, to broadcast over one black king's part of a table."""
        return values.reshape([64 if i == axis else 1 for i in range(1 + len(self.pieces))])

    def _pair(self, axis: int, other: int, values: np.ndarray) -> np.ndarray:
        """The same for (64, 64) values that go by two men."""
        values = values if axis < other else values.T
        return values.reshape([64 if i in (axis, other) else 1 for i in range(1 + len(self.pieces))])

    def _apart(self) -> Bools:
        """Whether all men stand on different squares."""
        apart = np.ones(self._shape, bool)
        for i, king in enumerate(TRIANGLE):
            for axis in range(1 + len(self.pieces)):
                apart[i] &= self._axis(axis, np.arange(64) != king)
            for pair in combinations(range(1 + len(self.pieces)), 2):
                apart[i] &= self._pair(*pair, ~np.eye(64, dtype=bool))
        return apart

    def _attacked(self, square: int) -> Bools:
        """Whether a white piece attacks `square`, white's king left out, black's out of the way."""
        attacked = np.zeros(self._shape[1:], bool)
        for axis, piece in enumerate(self.pieces, start=1):
            reaches = np.broadcast_to(self._axis(axis, _GOES[piece][:, square]), attacked.shape)
            for other in range(1 + len(self.pieces)):
                if other != axis:
                    reaches = reaches & ~self._pair(axis, other, _BETWEEN[:, square])
            attacked |= reaches
        return attacked

    def _is_safe(self, square: int) -> Bools:
        """Whether black's king may go to `square`, taking what stands there."""
        safe: Bools = ~self._attacked(square) & self._axis(0, ~_NEAR[square])
        return safe

    def _can_reach(self, target: Bools, apart: Bools) -> Bools:
        """From where some move of white's leads into `target`."""
        found = np.zeros(self._shape, bool)
        for axis, piece in enumerate(("K", *self.pieces), start=1):
            split = (*self._shape[:axis], 8, 8, *self._shape[axis + 1 :])
            on_board = [
                np.moveaxis(x.reshape(split), (axis, axis + 1), (0, 1)) for x in (found, target, apart)
            ]
            for step in _QUEEN_STEPS if piece == "K" else _STEPS[piece]:
                _slide(on_board[0], on_board[1], on_board[2], step, is_far=piece != "K")
        return found

    def _must_lose(self, moves: int) -> Bools:
        """Where each move of black's leads to a W of at most `moves`."""
        lost = np.ones(self._shape, bool)
        for i, flights in enumerate(self._flights):
            for square, legal in flights:
                lost[i] &= ~legal | self._won_at(square, moves)
        return lost

    def _won_at(self, square: int, moves: int) -> Bools:
        """[white's men] -> whether W is at most `moves` once black's king is on `square`."""
        place, turn = _TURNED[square]
        won: Bools = self.white[place][np.ix_(*[turn] * (1 + len(self.pieces)))] <= moves
        for taken, other in enumerate(self._after_capture()):
            won[(slice(None),) * (1 + taken) + (square,)] = other._won_at(square, moves)
        return won

    def distance(self, black_king: int, white_men: Sequence[int], *, white_to_move: bool) -> int | None:
        """Moves to mate; `white_men` are the squares of the king and of `pieces`, in order. None: no mate."""
        place, turn = _TURNED[black_king]
        found = (self.white if white_to_move else self.black)[(place, *turn[list(white_men)])]
        return None if found == NEVER else int(found)


def _slide(found: Bools, target: Bools, apart: Bools, step: tuple[int, int], *, is_far: bool) -> None:
    """Mark in `found` from where a man reaches `target` in direction `step`; all have ranks, files first."""
    rank_step, file_step = step
    here = slice(max(0, -file_step), 8 - max(0, file_step))
    there = slice(max(0, file_step), 8 - max(0, -file_step))
    reach = np.zeros_like(found)
    if rank_step:
        for rank in range(8)[::-rank_step]:
            if 0 <= (ahead := rank + rank_step) < 8:
                goal = target[ahead, there] | reach[ahead, there] if is_far else target[ahead, there]
                reach[rank, here] = goal & apart[ahead, there]
    else:
        for file in range(8)[::-file_step]:
            if 0 <= (ahead := file + file_step) < 8:
                goal = target[:, ahead] | reach[:, ahead] if is_far else target[:, ahead]
                reach[:, file] = goal & apart[:, ahead]
    found |= reach


def _finite(distances: np.ndarray) -> np.ndarray:
    finite: np.ndarray = distances[distances != NEVER]
    return finite


@cache
def table(pieces: str) -> EndgameTable:
    """The table of `pieces` ("Q", "R", "QR", "RR"), built when first asked for."""
    return EndgameTable(pieces)


class EndgameSolver:
    """Values, best moves and regrets in the four endings and what is left of them after a capture.

    A history may be its newest position alone; the moves it shows are those taken to be spent. Raises
    `ValueError` for a position with other men.
    """

    regret_unit = "moves to mate"

    def __init__(self, max_moves: int = MAX_MOVES, *, compat: bool = False) -> None:
        self._moves = max_moves + 1 if compat else max_moves

    def value(self, history: History) -> float:
        """The return of best play from here on: 1 if mate can be forced in the moves left, else 0."""
        return max(self.q(history).values())

    def q(self, history: History) -> dict[str, float]:
        """Each legal move's return, if best play by both sides follows."""
        left = self._moves - sum(turn.is_action for turn in history)
        return {
            action: WIN_REWARD if distance is not None and distance <= left else 0.0
            for action, distance in self.distances(history).items()
        }

    def best(self, history: History) -> str:
        """A legal move that mates soonest; the first of them in the order of `candidates()`."""
        distances = self.distances(history)
        return min(distances, key=lambda action: _counted(distances[action]))

    def distances(self, history: History) -> dict[str, int | None]:
        """Legal move, as it is said -> the moves to mate, itself included; None if it gives the win away."""
        board = _board(history)
        return {spoken_move(board.san(move)): distance for move, distance in distances_after(board).items()}

    def moves_to_mate(self, history: History) -> int | None:
        """The moves that best play needs from here; None if it cannot mate."""
        return moves_to_mate(_board(history))

    def regret(self, history: History, action: str) -> float:
        """The moves to mate that `action` loses against the best move.

        An illegal move loses one. A move after which there is no mate counts as if there were `MISSED_MATE`.
        """
        board = _board(history)
        best = moves_to_mate(board)
        if best is None:
            return 0.0
        move = legal_move(board, action)
        return 1.0 if move is None else float(_counted(distances_after(board)[move]) - best)


def _counted(distance: int | None) -> int:
    return MISSED_MATE if distance is None else distance


def _board(history: History) -> chess.Board:
    import chess

    return chess.Board(read_position(history[-1].text))


def moves_to_mate(board: chess.Board) -> int | None:
    """The moves that white still makes until mate, if both sides play their best; None: no mate."""
    pieces, black_king, men = _men(board)
    return table(pieces).distance(black_king, men, white_to_move=board.turn) if pieces else None


def distances_after(board: chess.Board) -> dict[chess.Move, int | None]:
    """White's legal moves -> the moves to mate, this one included; None where there is no mate."""
    pieces, black_king, men = _men(board)
    found: dict[chess.Move, int | None] = {}
    for move in board.legal_moves:
        after = [move.to_square if square == move.from_square else square for square in men]
        left = table(pieces).distance(black_king, after, white_to_move=False) if pieces else None
        found[move] = None if left is None else left + 1
    return found


def _men(board: chess.Board) -> tuple[str, int, list[int]]:
    """(white's pieces, black's king, the squares of white's king and of those pieces)."""
    queens, rooks = (list(board.pieces(piece, True)) for piece in (5, 4))
    pieces, black, white = "Q" * len(queens) + "R" * len(rooks), board.king(False), board.king(True)
    is_known = pieces in ("", "Q", "R", "QR", "RR") and board.occupied.bit_count() == 2 + len(pieces)
    if black is None or white is None or not is_known:
        raise ValueError(f"the solver knows kQK, kQRK, kRK, kRRK and kK, got {board.fen()!r}")
    return pieces, black, [white, *queens, *rooks]


def solver(
    env_id: str = "lmrlgym/ChessEndgames-v0",
    *,
    partner: str | Partner = "builtin",
    max_moves: int = MAX_MOVES,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> EndgameSolver:
    """The best play of `env_id` made with these keywords, against any partner."""
    return EndgameSolver(max_moves, compat=compat)
