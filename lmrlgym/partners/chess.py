"""Chess partners: `random`, `builtin` (a small alpha-beta search) and `stockfish`.

Each reads the position from the state of the query and answers in UCI, for whichever side is to move; its
draws come from the query's random stream and it keeps nothing from one query to the next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from numpy.random import Generator

from lmrlgym.env import Query, Reply
from lmrlgym.partners import uci

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
    board: chess.Board = query.state.board()
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
        board = query.state.board()
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
            elif piece == 1 and (origin - target) % 8:  # en passant: the pawn taken stands one rank further
                gain += table[1][target ^ 8 ^ other_flip]
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


# ---- stockfish ----

WEAKEST, STRONGEST = 1350, 2850
"""The range of Stockfish 15.1's UCI_Elo. The paper's 1200 lies below it and was played as 1350."""
_CHOICES = 4
"""Among so many of its best moves a limited Stockfish chooses."""
_NODES = 10_000
_SETTINGS = ("setoption name Threads value 1", "setoption name Hash value 1")
"""Said once: setting the threads takes ten times as long as a move. So few nodes need no more memory."""
_PAWN, _CENTIPAWNS = 126, 3.61
"""Stockfish 15.1's own units: a pawn in the middle game, and a hundredth of what it tells as a pawn."""
_MATE_VALUE = 32_000
_DEBIAN_PROGRAM = "/usr/games/stockfish"
"""Debian installs games where the superuser's PATH does not look."""


class StockfishPartner:
    """Stockfish on one thread, its memory cleared before every move: a move depends on nothing before it.

    `elo` is its strength, None its full strength; below `WEAKEST` it plays as `WEAKEST`. A search
    ends after `nodes`, and a limited one (UCI_LimitStrength) at the depth at which Stockfish chooses.

    Of itself a limited Stockfish chooses among its four best moves with numbers seeded by the clock.
    Here the same choice, by the same formula, draws from the game's stream: as strong, and a seed
    fixes the game. An engine silent for `guard_seconds` counts as hung, a partner's error.
    """

    def __init__(
        self,
        elo: float | None = WEAKEST,
        nodes: int = _NODES,
        guard_seconds: float = uci.GUARD_SECONDS,
    ) -> None:
        if elo is not None and not 0 <= elo <= STRONGEST:
            raise ValueError(f"elo must be from 0 to {STRONGEST} or None, got {elo!r}")
        if nodes < 1:
            raise ValueError(f"nodes must be at least 1, got {nodes!r}")
        self.elo = None if elo is None else max(elo, WEAKEST)
        self.nodes = nodes
        self.guard_seconds = guard_seconds
        self.program = stockfish_program()

    def reply(self, queries: Sequence[Query]) -> list[str | Reply]:
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> str | Reply:
        # Stockfish 15.1's skill level from 0 to 20; it makes its choice at depth 1 + level.
        skill = 20.0 if self.elo is None else ((self.elo - 1346.6) / 143.4) ** (1 / 0.806)
        limits = f"nodes {self.nodes}" if self.elo is None else f"depth {1 + int(skill)} nodes {self.nodes}"
        commands = [
            f"setoption name MultiPV value {1 if self.elo is None else _CHOICES}",
            f"setoption name UCI_LimitStrength value {'false' if self.elo is None else 'true'}",
            *([] if self.elo is None else [f"setoption name UCI_Elo value {int(self.elo)}"]),
            "ucinewgame",
            f"position fen {query.state.fen}",
            f"go {limits}",
        ]
        try:
            lines = uci.ask(
                self.program, commands, "bestmove", settings=_SETTINGS, guard_seconds=self.guard_seconds
            )
        except uci.EngineError as error:
            return Reply("", error=str(error))
        choices = {} if self.elo is None else _choices(lines)
        return _chosen(choices, skill, query.rng) if choices else lines[-1].split(" ")[1]


def _choices(lines: Sequence[str]) -> dict[int, tuple[str, int]]:
    """Rank -> (move, value in Stockfish's own units), as last told in `info` lines."""
    found: dict[int, tuple[str, int]] = {}
    for line in lines:
        words = line.split(" ")
        if words[0] == "info" and "multipv" in words and "pv" in words and "score" in words:
            kind, number = words[words.index("score") + 1 :][:2]
            value = float(number)
            if kind == "mate":
                value = _MATE_VALUE - 2 * value + 1 if value > 0 else -_MATE_VALUE - 2 * value
            else:
                value *= _CENTIPAWNS
            found[int(words[words.index("multipv") + 1])] = (words[words.index("pv") + 1], round(value))
    return found


def _chosen(choices: Mapping[int, tuple[str, int]], skill: float, rng: Generator) -> str:
    """Stockfish's choice (`Skill::pick_best` of 15.1): values rise by chance and by how far they lag."""
    values = [choices[rank] for rank in sorted(choices)]
    top = values[0][1]
    spread, weakness = min(top - values[-1][1], _PAWN), 120 - 2 * skill
    best, highest = "", -2 * _MATE_VALUE
    for move, value in values:
        raised = value + int((weakness * (top - value) + spread * int(rng.integers(int(weakness)))) / 128)
        if raised >= highest:
            best, highest = move, raised
    return best


def stockfish_program() -> str:
    """The path of Stockfish. Raises `FileNotFoundError` naming the package if there is none."""
    named = os.environ.get("LMRLGYM_STOCKFISH", "")
    found = shutil.which(named or "stockfish") or (None if named else shutil.which(_DEBIAN_PROGRAM))
    if found is None:
        where = f"LMRLGYM_STOCKFISH is {named!r}" if named else f"not on the PATH, not {_DEBIAN_PROGRAM}"
        raise FileNotFoundError(
            f"stockfish was not found ({where}): install the package stockfish (apt-get install stockfish), "
            "or name the program in LMRLGYM_STOCKFISH"
        )
    return found
