"""Chess endings: a king with one or two pieces (queens, rooks) must mate the lone king.

Rules and texts are those of chess (`lmrlgym.envs.chess`); here stand the positions. arXiv 2311.18232
(Endgames).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from numpy.random import Generator

from lmrlgym.env import Partner
from lmrlgym.envs.chess import MAX_MOVES, ChessEnv
from lmrlgym.resources import data_path
from lmrlgym.vector import vectorise

if TYPE_CHECKING:
    import chess

PIECE_SETS = ("kQK", "kQRK", "kRK", "kRRK")
"""[train task] -> what stands on the board, white's in upper case."""
SPLITS = ("train", "test")
HELD_OUT_ONE_IN = 10

SYMMETRIES = tuple(
    tuple(
        (8 * rank + file if is_upright else 8 * file + rank) ^ flip for rank in range(8) for file in range(8)
    )
    for is_upright in (True, False)
    for flip in (0, 7, 56, 63)
)
"""[turn or mirroring of the board][square] -> square, numbered from a1 = 0, b1 = 1."""


class HardPosition(NamedTuple):
    """A position of the test split; `moves_to_mate` are white's, if both sides play their best."""

    pieces: str
    fen: str
    moves_to_mate: int


@cache
def hard_positions() -> tuple[HardPosition, ...]:
    """[test task] -> position. They are drawn from the hardest tenth of each set, by moves to mate."""
    with data_path("chess_endgames", "test_positions.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            HardPosition(row["pieces"], row["fen"], int(row["moves_to_mate"])) for row in csv.DictReader(file)
        )


@cache
def _piece(symbol: str) -> chess.Piece:
    import chess

    return chess.Piece.from_symbol(symbol)


def random_position(pieces: str, rng: Generator) -> chess.Board:
    """A uniformly random legal position of `pieces`, e.g. "kQRK", white to move and not in check."""
    import chess

    men = [_piece(symbol) for symbol in pieces]
    board = chess.Board(None)
    while True:
        squares = rng.permutation(64)[: len(men)].tolist()
        board.set_piece_map(dict(zip(squares, men, strict=True)))
        if board.is_valid() and not board.is_check():
            return board


def canonical(board: chess.Board) -> str:
    """Men and squares in one way of writing for all turns and mirrorings of a position."""
    men = [(piece.symbol(), square) for square, piece in board.piece_map().items()]
    return str(min(sorted((symbol, turned[square]) for symbol, square in men) for turned in SYMMETRIES))


def is_held_out(board: chess.Board) -> bool:
    """Whether a position is kept from the train split: one in ten is, with all its turns and mirrorings."""
    return crc32(canonical(board).encode()) % HELD_OUT_ONE_IN == 0


class ChessEndgamesEnv(ChessEnv):
    """Mate the lone black king with a queen, a queen and a rook, a rook, or two rooks.

    ## Description
    Chess from an ending that white can always win. The train split draws one of four sets of pieces (`kQK`,
    `kQRK`, `kRK`, `kRRK`; white's are in upper case), then a legal position of it with white to move,
    uniformly. One position in ten, with all its turns and mirrorings, is never drawn. The test split has
    645 of those: from each set about 161 of the hardest tenth, by the moves that best play needs to mate
    (`envs_data/chess_endgames/test_positions.csv`). A partner plays black. An agent sees the newest
    position only (`context` is 1).

    ## Actions
    As in chess: a legal move in SAN, usually said with blanks between its characters: `Q e 4 +`, `K d 6`,
    `R h 8 #`. Blanks count for nothing; marks of check and mate may be left out, and squares in full (`h1h8`)
    are understood. Upper and lower case differ. Anything else is an illegal move.

    ## Observations
    The position in FEN with a blank between all its characters (FEN's own blanks become three), and a
    newline. After a legal move black has answered, unless the move ended the game; after an illegal one
    the position is the same.

    ## Rewards
    1 for the move that mates; -1 for an illegal move; else 0. Black cannot mate.

    ## Episode end
    The game ends (`terminated`) by mate (`won`), by stalemate, insufficient material (black has taken the
    last piece), seventy-five moves or fivefold repetition (`draw`), or with the action number `max_moves`,
    illegal ones counted (`turn_limit`). A partner that gives no legal move in UCI ends its game as
    `truncated` (`partner_error`).

    ## Info
    The common keys. `success` is mate by the agent. With `privileged=True`, `task` is the number of the set
    of pieces (train: 0 to 3) or of the position (test: 0 to 644), -1 if `fen` was given, and `secret` is
    None: nothing is hidden.

    ## Arguments
    - `partner`: `builtin` (a seeded alpha-beta search of depth 2); `stockfish` (version 15.1, Debian's, from
      the PATH, /usr/games or LMRLGYM_STOCKFISH, at the Elo of 1350 that the paper's 1200 came to; it
      searches to a fixed depth, so that a seed fixes the game); `random`; or a `Partner`, which reads
      `state.fen` of a query and answers in UCI.
    - `max_moves`: how many actions a game has.
    - `split`: `train` or `test`, where games without the option `fen` start.
    - `compat`: play by the 2023 release (see Differences).
    - reset options: `fen`, a legal position with white to move in which the game is not over; `task`, the
      number of a set of pieces (train) or a position (test).

    ## Differences from the paper
    The paper's test positions are not public; it calls each a mate in 15 moves or more, which only king and
    rook can need (best play mates within 10, 6, 16 and 7 moves). Ours are shipped with their exact
    distances. Its test positions are not in its training data; here also no mirror image of one is where a
    training game starts. The rest as in chess: observations end with a newline, and games end one action
    earlier than in the 2023 release, which `compat=True` restores.

    ## Versions
    - v0: first version.
    """

    instructions = (
        "Play white in a chess ending and mate the black king, which stands alone, with your king and one or "
        "two pieces. You are told the position in FEN with a blank between all characters. Answer with one "
        "legal move in standard algebraic notation, a blank between all characters, for example: Q e 4 +, "
        "K d 6 or R h 8 #. Black then moves, and you are told the new position. An illegal move costs a "
        "point and leaves the position as it is. Stalemate and the loss of your last piece end the game "
        "without a win."
    )

    def __init__(
        self,
        *,
        partner: str | Partner = "builtin",
        max_moves: int = MAX_MOVES,
        split: str = "train",
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            partner=partner,
            max_moves=max_moves,
            compat=compat,
            privileged=privileged,
            render_mode=render_mode,
        )
        if split not in SPLITS:
            raise ValueError(f"split must be {' or '.join(SPLITS)}, got {split!r}")
        self.split = split
        self.tasks = len(hard_positions() if split == "test" else PIECE_SETS)

    def _first_position(self, options: Mapping[str, Any]) -> str:
        self.task = self._drawn_task(options)
        if self.split == "test":
            return hard_positions()[self.task].fen
        while is_held_out(board := random_position(PIECE_SETS[self.task], self.np_random)):
            pass
        return board.fen()


chess_endgames_vector = vectorise(ChessEndgamesEnv)
