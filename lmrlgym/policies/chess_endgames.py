"""Players of the endings: `random`, `mixed` (the recipe of the paper's data) and `expert`.

arXiv 2311.18232 (Endgames): its data mix random legal moves with an engine's best moves (38 % of all),
against Stockfish; 59 % of the games were won, and a game had 11.9 moves (deviation 12.0). Here the best
move is that of the exact tables (`lmrlgym.solvers.chess_endgames`), one of them uniformly where there are
several, and it is played with the probability with which as many games are won against the partner
`builtin`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from numpy.random import Generator

from lmrlgym.env import Partner
from lmrlgym.envs.chess import MAX_MOVES, read_position, spoken_move
from lmrlgym.solvers.chess_endgames import distances_after
from lmrlgym.types import Action, History

if TYPE_CHECKING:
    import chess

MIXED_SKILL = 0.47


class EndgamePlayer:
    """Plays a move that mates soonest with probability `skill`, else any legal move, each uniformly.

    Where no move mates any more all moves are equally good.
    """

    def __init__(self, skill: float) -> None:
        if not 0 <= skill <= 1:
            raise ValueError(f"skill must be in [0, 1], got {skill}")
        self.skill = skill

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._move(history, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]

    def _move(self, history: History, rng: Generator) -> Action:
        import chess

        board = chess.Board(read_position(history[-1].text))
        legal = list(board.legal_moves)
        best = self._best(board) if self.skill else legal
        choice = best if rng.random() < self.skill else legal
        move = choice[int(rng.integers(len(choice)))]
        probability = (1 - self.skill) / len(legal) + (self.skill / len(best) if move in best else 0.0)
        return Action(spoken_move(board.san(move)), log_prob=math.log(probability))

    def distribution(self, history: History) -> dict[str, float]:
        import chess

        board = chess.Board(read_position(history[-1].text))
        legal = list(board.legal_moves)
        best = self._best(board) if self.skill else legal
        share = (1 - self.skill) / len(legal)
        chances = {move: share + self.skill / len(best) * (move in best) for move in legal}
        return {spoken_move(board.san(move)): chance for move, chance in chances.items() if chance > 0}

    def _best(self, board: chess.Board) -> list[chess.Move]:
        """The moves that mate soonest; all legal ones if none does."""
        distances = distances_after(board)
        mating = [distance for distance in distances.values() if distance is not None]
        soonest = min(mating, default=None)
        return [move for move, distance in distances.items() if distance == soonest]


def _level(skill: float) -> Callable[..., EndgamePlayer]:
    def make(
        *,
        partner: str | Partner = "builtin",
        max_moves: int = MAX_MOVES,
        split: str = "train",
        compat: bool = False,
        privileged: bool = False,
    ) -> EndgamePlayer:
        return EndgamePlayer(skill)

    return make


LEVELS = {"random": _level(0.0), "mixed": _level(MIXED_SKILL), "expert": _level(1.0)}
"""Name -> the environment's keywords -> player."""
