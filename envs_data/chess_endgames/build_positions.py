"""Makes test_positions.csv of this folder: `python envs_data/chess_endgames/build_positions.py` (a minute).

Each set's positions come from its hardest tenth: all positions that the environment may draw, equally
likely, in the order of their exact moves to mate, equals at random. Of that tenth those are drawn that the
train split holds out, no two of them turns or mirrorings of each other.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.random import Generator

from lmrlgym.envs.chess_endgames import PIECE_SETS, HardPosition, canonical, is_held_out, random_position
from lmrlgym.resources import replacing
from lmrlgym.solvers.chess_endgames import TRIANGLE, moves_to_mate, table

COUNTS = dict(zip(PIECE_SETS, (162, 161, 161, 161), strict=True))
SEED = 645
HARDEST = 0.1


def share_by_distance(pieces: str) -> np.ndarray:
    """[moves to mate] -> how likely a random position of `pieces` is that far from mate."""
    found = table(pieces.strip("kK"))
    # The triangle stands for all squares of black's king: four for each on its diagonal, else eight.
    weights = [4 if square % 9 == 0 else 8 for square in TRIANGLE]
    counts = sum(
        weight * np.bincount(white[legal], minlength=32)
        for weight, white, legal in zip(weights, found.white, found.legal_white, strict=True)
    )
    return np.asarray(counts / np.sum(counts))


def chances(pieces: str) -> np.ndarray:
    """[moves to mate] -> the part of such positions that is in the hardest tenth."""
    share = share_by_distance(pieces)
    harder = share[::-1].cumsum()[::-1] - share
    return np.clip((HARDEST - harder) / np.maximum(share, 1e-12), 0, 1)


def drawn(pieces: str, count: int, rng: Generator) -> list[HardPosition]:
    """`count` different positions, the hardest first."""
    kept = chances(pieces)
    found: dict[str, HardPosition] = {}
    while len(found) < count:
        board = random_position(pieces, rng)
        if is_held_out(board):
            distance = moves_to_mate(board)
            assert distance is not None, board.fen()
            if rng.random() < kept[distance]:
                found.setdefault(canonical(board), HardPosition(pieces, board.fen(), distance))
    return sorted(found.values(), key=lambda position: -position.moves_to_mate)


def main() -> None:
    rng = np.random.default_rng(SEED)
    rows = [position for pieces, count in COUNTS.items() for position in drawn(pieces, count, rng)]
    with (
        replacing(Path(__file__).parent / "test_positions.csv") as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HardPosition._fields)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
