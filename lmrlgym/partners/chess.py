"""Chess partners: `random`, `builtin` (a small alpha-beta search) and `stockfish`.

Each reads the position from `state.fen` of the query and answers in UCI, for whichever side is to move; its
draws come from the query's random stream and it keeps nothing from one query to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lmrlgym.env import Partner, Query

if TYPE_CHECKING:
    import chess


def require_python_chess() -> None:
    """Raise `ImportError` naming the extra unless python-chess can be imported."""
    try:
        import chess
    except ImportError as error:
        raise ImportError(f'chess needs the extra: pip install "lmrlgym[chess]" ({error})') from error
    assert chess.STARTING_FEN


class RandomPartner:
    """Plays each legal move equally often."""

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [_random_move(query) for query in queries]


def _random_move(query: Query) -> str:
    import chess

    board = chess.Board(query.state.fen)
    moves = list(board.generate_pseudo_legal_moves())
    # Drawing again where a king is left in check is uniform over the legal moves, and makes no list of them.
    while moves:
        drawn = int(query.rng.integers(len(moves)))
        if board.is_legal(moves[drawn]):
            return moves[drawn].uci()
        moves[drawn] = moves[-1]
        moves.pop()
    raise ValueError(f"there is no legal move in {query.state.fen!r}")


# ---- builtin ----

_MATE = 100_000
_ENDGAME_BELOW = 2_600
"""From this much material without pawns (both sides, centipawns) downwards, kings go to the centre."""
_WORTH = (0, 100, 310, 330, 500, 920, 0)
"""[piece type of python-chess] -> centipawns."""


def _placement(piece: int, square: int, is_endgame: bool) -> int:
    """Centipawns for a piece of the side that moves up the board, standing on `square`."""
    rank, file = divmod(square, 8)
    central = 3 - max(abs(2 * rank - 7), abs(2 * file - 7)) // 2  # 0 on the edge, 3 in the middle
    middle_file = 3 - abs(2 * file - 7) // 2
    if piece == 1:
        return (rank - 1) * (12 if is_endgame else 4 + 3 * middle_file)
    if piece == 6:
        return 12 * central if is_endgame else -14 * rank - 6 * middle_file
    return (0, 0, 14, 9, 2, 4)[piece] * central + (15 if piece == 4 and rank == 6 else 0)


_TABLES = tuple(
    tuple(
        tuple(_WORTH[piece] + (_placement(piece, square, is_endgame) if piece else 0) for square in range(64))
        for piece in range(7)
    )
    for is_endgame in (False, True)
)
"""[endgame][piece type][square as its owner sees it] -> centipawns."""


class BuiltinPartner:
    """Alpha-beta search to `depth` plies over material and placement.

    Among the moves at most `margin` centipawns worse than the best it draws one, so that games
    differ; it avoids a drawn move that lets itself be mated at once. On the last ply a capture of a
    defended piece counts as an exchange, and mates by that ply are not seen.
    """

    def __init__(self, depth: int = 2, margin: int = 12) -> None:
        if depth < 1 or margin < 0:
            raise ValueError(f"depth must be at least 1 and margin at least 0, got {depth} and {margin}")
        self.depth = depth
        self.margin = margin

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [self._move(query) for query in queries]

    def _move(self, query: Query) -> str:
        import chess

        board = chess.Board(query.state.fen)
        search = _Search(board)
        values = search.values(self.depth, self.margin)
        if not values:
            raise ValueError(f"there is no legal move in {query.state.fen!r}")
        first = ""
        while values:
            top = max(values.values())
            close = [move for move, value in values.items() if value >= top - self.margin]
            drawn = close[int(query.rng.integers(len(close)))]
            first = first or drawn.uci()
            if not search.allows_mate(drawn):
                return drawn.uci()
            del values[drawn]
        return first


class _Search:
    """Values of positions reached from `board`, for the side to move, in centipawns."""

    def __init__(self, board: chess.Board) -> None:
        import chess

        self.board = board
        pieces = board.piece_map()
        heavy = sum(_WORTH[p.piece_type] for p in pieces.values() if p.piece_type != chess.PAWN)
        self.table = _TABLES[heavy < _ENDGAME_BELOW]
        self.start = 0
        for square, piece in pieces.items():
            worth = self.table[piece.piece_type][square if piece.color else square ^ 56]
            self.start += worth if piece.color == board.turn else -worth

    def values(self, depth: int, margin: int) -> dict[chess.Move, int]:
        """Legal move -> its value; exact within `margin` of the best, else a bound that is not higher."""
        best = -2 * _MATE
        values: dict[chess.Move, int] = {}
        for gain, move in self._gains():
            if self.board.is_legal(move):
                value = self._after(move, gain, depth, self.start, best - margin - 1, 2 * _MATE)
                values[move] = value
                best = max(best, value)
        return values

    def _after(self, move: chess.Move, gain: int, depth: int, score: int, alpha: int, beta: int) -> int:
        """The value of `move` to the side that makes it."""
        self.board.push(move)
        value = -self._value(depth - 1, -(score + gain), -beta, -alpha)
        self.board.pop()
        return value

    def _value(self, depth: int, score: int, alpha: int, beta: int) -> int:
        """Of the position on the board, worth `score` as it stands, to the side to move."""
        if depth == 0:
            return score if any(self.board.generate_legal_moves()) else self._end(depth)
        best = -2 * _MATE
        for gain, move in self._gains(is_last=depth == 1):
            if not self.board.is_legal(move):
                continue
            if depth == 1:  # sorted by gain: the first legal one is the best
                return score + gain
            best = max(best, self._after(move, gain, depth, score, max(alpha, best), beta))
            if best >= beta:
                break
        return best if best > -2 * _MATE else self._end(depth)

    def _end(self, depth: int) -> int:
        """No legal move: mated, the worse the sooner, or stalemate."""
        return -_MATE - depth if self.board.is_check() else 0

    def _gains(self, is_last: bool = False) -> list[tuple[int, chess.Move]]:
        """What each pseudo-legal move adds at once, the most first."""
        board, table = self.board, self.table
        flip, other_flip = (0, 56) if board.turn else (56, 0)
        piece_at, theirs = board.piece_type_at, board.occupied_co[not board.turn]
        gains = []
        for move in board.generate_pseudo_legal_moves():
            origin, target = move.from_square, move.to_square
            piece = piece_at(origin) or 0
            gain = table[move.promotion or piece][target ^ flip] - table[piece][origin ^ flip]
            if theirs >> target & 1:
                gain += table[piece_at(target) or 0][target ^ other_flip]
                if is_last and board.is_attacked_by(not board.turn, target):
                    gain -= _WORTH[piece]
            elif piece == 1 and (origin - target) % 8:  # en passant
                gain += _WORTH[1]
            gains.append((gain, move))
        gains.sort(key=_first, reverse=True)
        return gains

    def allows_mate(self, move: chess.Move) -> bool:
        """Whether the answer to `move` can be mate."""
        board = self.board
        board.push(move)
        answers = [answer for answer in board.generate_legal_moves() if board.gives_check(answer)]
        is_mate = False
        for answer in answers:
            board.push(answer)
            is_mate = is_mate or not any(board.generate_legal_moves())
            board.pop()
        board.pop()
        return is_mate


def _first(pair: tuple[int, chess.Move]) -> int:
    return pair[0]


PARTNERS: Mapping[str, Callable[[], Partner]] = {"builtin": BuiltinPartner, "random": RandomPartner}
"""Name -> what makes the partner."""


def partner_named(partner: str | Partner) -> Partner:
    """The partner of that name, or `partner` itself. Raises `ValueError` for an unknown name."""
    if not isinstance(partner, str):
        return partner
    if partner not in PARTNERS:
        raise ValueError(f"partner must be {', '.join(PARTNERS)} or a Partner, got {partner!r}")
    return PARTNERS[partner]()
