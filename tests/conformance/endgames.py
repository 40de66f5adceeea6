"""The endgame cases: positions that the 2023 generator drew, held against our rule of what may be drawn.

They come from numpy's global stream of the original, and ours are drawn from the game's own, so that what
is asserted is what the cases tell of a position, and that a game starts from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chess
import numpy as np

from lmrlgym.envs.chess import spoken_position
from lmrlgym.envs.chess_endgames import ChessEndgamesEnv, random_position

Case = dict[str, Any]


def properties(board: chess.Board) -> Case:
    """What a case tells of a position besides its FEN."""
    return {"white_to_move": board.turn, "valid": board.is_valid(), "in_check": board.is_check()}


def men(board: chess.Board) -> list[str]:
    return sorted(piece.symbol() for piece in board.piece_map().values())


def position(case: Case) -> None:
    """The original's position and ours have the same men and properties, and the same fields after them."""
    expected, pieces = case["outputs"], case["inputs"]["pieces"]
    theirs, ours = chess.Board(expected["fen"]), random_position(pieces, np.random.default_rng(0))
    for board in (theirs, ours):
        assert men(board) == sorted(pieces)
        assert properties(board).items() <= expected.items()
        assert board.fen().endswith(" w - - 0 1")
    told, _ = ChessEndgamesEnv(partner="random").reset(seed=0, options={"fen": expected["fen"]})
    assert told == spoken_position(expected["fen"])


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    # the same positions are not wanted from another random stream: the rule is
    "endgames-002": ("clean", position),
    "endgames-004": ("clean", position),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {}
"""Case -> why nothing asserts it."""
