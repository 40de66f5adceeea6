"""Players of chess as white: `random`, `builtin`, `mixed` (the paper's data) and `expert`.

arXiv 2311.18232 (Chess): its data were played by a Stockfish whose Elo was drawn from 800 to 1600. All but
`random` and `builtin` need Stockfish. They read the newest position only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from lmrlgym.env import Partner, Query, Reply
from lmrlgym.envs.chess import MAX_MOVES, ChessState, engine, read_position, spoken_move
from lmrlgym.types import Action, History

WEAKEST_WHITE, STRONGEST_WHITE = 800, 1600
"""The Elo of the data's white; Stockfish plays everything below 1350 as 1350."""


class RandomPlayer:
    """Says each legal move equally often."""

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            _random_move(read_position(history[-1].text), rng) if history else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def distribution(self, history: History) -> dict[str, float]:
        import chess

        board = chess.Board(read_position(history[-1].text))
        moves = list(board.legal_moves)
        return {spoken_move(board.san(move)): 1 / len(moves) for move in moves}


def _random_move(fen: str, rng: Generator) -> Action:
    import chess

    board = chess.Board(fen)
    moves = list(board.legal_moves)
    drawn = moves[int(rng.integers(len(moves)))]
    return Action(spoken_move(board.san(drawn)), log_prob=-math.log(len(moves)))


class EnginePlayer:
    """Lets an engine play white."""

    def __init__(self, engine: Partner) -> None:
        self.engine = engine

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            engine_move(self.engine, read_position(history[-1].text), rng) if history else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]


class MixedPlayer:
    """Stockfish, in each game of a strength drawn from `weakest` to `strongest`."""

    def __init__(self, weakest: int = WEAKEST_WHITE, strongest: int = STRONGEST_WHITE) -> None:
        self.weakest = weakest
        self.strongest = strongest
        # One is made here, to complain at once if there is no Stockfish.
        self._engines = {strongest: engine("stockfish", elo=strongest)}

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            engine_move(self._engine_of(self.elo(rng)), read_position(history[-1].text), rng)
            if history
            else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def _engine_of(self, elo: int) -> Partner:
        if elo not in self._engines:
            self._engines[elo] = engine("stockfish", elo=elo)
        return self._engines[elo]

    def elo(self, rng: Generator) -> int:
        """Of the game with this stream: drawn from the stream's seed, so the same all game long."""
        drawn = np.random.default_rng(rng.bit_generator.seed_seq.generate_state(4))
        return int(drawn.integers(self.weakest, self.strongest, endpoint=True))


def engine_move(player: Partner, fen: str, rng: Generator) -> Action:
    """What `player` moves in the position, as an agent says it. Raises `RuntimeError` if it fails."""
    import chess

    (said,) = player.reply([Query((), ChessState(fen), rng)])
    if isinstance(said, Reply) and said.error:
        raise RuntimeError(f"the engine that plays white failed: {said.error}")
    board = chess.Board(fen)
    move = board.parse_uci(said.text if isinstance(said, Reply) else said)
    return Action(spoken_move(board.san(move)))


Player = RandomPlayer | EnginePlayer | MixedPlayer


def _level(make_player: Callable[[], Player]) -> Callable[..., Player]:
    def make(
        *,
        partner: str | Partner = "builtin",
        max_moves: int = MAX_MOVES,
        compat: bool = False,
        privileged: bool = False,
    ) -> Player:
        return make_player()

    return make


LEVELS = {
    "random": _level(RandomPlayer),
    "builtin": _level(lambda: EnginePlayer(engine("builtin"))),
    "mixed": _level(MixedPlayer),
    "expert": _level(lambda: EnginePlayer(engine("stockfish", elo=None))),
}
"""Name -> the environment's keywords -> player."""
