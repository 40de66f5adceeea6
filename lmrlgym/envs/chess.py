"""Chess as white against an engine, in spaced FEN and SAN.

Rules and texts: arXiv 2311.18232 (Chess). python-chess (the extra "chess") knows the rules of chess; it is
imported when a game is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmrlgym.env import Partner, PartnerEnv, Query, Reply, Response
from lmrlgym.partners.chess import (
    BuiltinPartner,
    RandomPartner,
    StockfishPartner,
    require_python_chess,
)
from lmrlgym.types import History
from lmrlgym.vector import vectorise

if TYPE_CHECKING:
    import chess

WIN_REWARD, LOSS_REWARD, ILLEGAL_REWARD = 1.0, -1.0, -1.0
MAX_MOVES = 400


@dataclass(frozen=True, slots=True)
class ChessState:
    """What a partner knows: the position, its side to move.

    `position` is a FEN, or a board that nobody changes: writing and reading FEN takes longer than a move.
    """

    position: str | chess.Board

    @property
    def fen(self) -> str:
        """The position in FEN."""
        return self.position if isinstance(self.position, str) else self.position.fen()

    def board(self) -> chess.Board:
        """The position on a new board, as if read from its FEN."""
        import chess

        return chess.Board(self.position) if isinstance(self.position, str) else _alone(self.position)


def _alone(board: chess.Board) -> chess.Board:
    """A copy of `board` that knows what its FEN tells: no moves before, en passant only where it is legal."""
    copy = board.copy(stack=False)
    if copy.ep_square is not None and not copy.has_legal_en_passant():
        copy.ep_square = None
    return copy


ENGINES: Mapping[str, Callable[..., Partner]] = {
    "builtin": BuiltinPartner,
    "stockfish": StockfishPartner,
    "random": RandomPartner,
}


def engine(name: str, **settings: Any) -> Partner:
    """The engine of that name, which plays either side. Raises `ValueError` for an unknown name."""
    if name not in ENGINES:
        raise ValueError(f"partner must be {', '.join(ENGINES)} or a Partner, got {name!r}")
    return ENGINES[name](**settings)


def spoken_move(san: str) -> str:
    """How a move is said: "Qxf7#" is "Q x f 7 #" and a newline."""
    return " ".join(san) + "\n"


def read_move(text: str) -> str:
    """The SAN in what was said: blanks count for nothing."""
    return text.replace(" ", "").strip()


def spoken_position(fen: str) -> str:
    """How a position is told: a blank between all characters, so that FEN's own blanks are three."""
    return " ".join(fen) + "\n"


def read_position(text: str) -> str:
    """The FEN in a text of `spoken_position`, with or without the newline."""
    return text.strip("\n")[::2]


def legal_move(board: chess.Board, text: str) -> chess.Move | None:
    """The legal move that `text` says; None if it says none, or the null move."""
    try:
        move = board.parse_san(read_move(text))
    except ValueError:
        return None
    return move if move else None


def is_drawn(board: chess.Board) -> bool:
    """Whether the game is over without a mate, though there are legal moves."""
    # A fivefold repetition needs sixteen moves in which nothing is taken and no pawn moves.
    clock = board.halfmove_clock
    return (
        board.is_insufficient_material() or clock >= 150 or (clock >= 16 and board.is_fivefold_repetition())
    )


def start_board(fen: Any) -> chess.Board:
    """The board of a position in which white can play. Raises `ValueError` for anything else."""
    import chess

    try:
        if not isinstance(fen, str):
            raise ValueError("not a text")
        board = chess.Board(fen)
    except ValueError as error:
        raise ValueError(f"fen must be a position in FEN, got {fen!r} ({error})") from error
    if not board.is_valid() or not board.turn:
        raise ValueError(f"fen must be a legal position with white to move, got {fen!r}")
    if board.is_game_over():
        raise ValueError(f"fen must be a position in which the game is not over, got {fen!r}")
    return board


class ChessEnv(PartnerEnv):
    """Play chess as white, one move at a time, against an engine.

    ## Description
    A full game of chess from the usual position (or from the option `fen`). The agent is white; a
    partner plays black. An agent sees the newest position only (`context` is 1): it holds all that
    matters but repetitions.

    ## Actions
    A legal move in SAN, usually said with blanks between its characters: `e 4`, `N f 3`, `O - O`,
    `Q x f 7 #`, `b 8 = Q`. Blanks count for nothing; marks of check and mate may be left out, `0-0` is
    castling, and squares in full (`e2e4`, `g1f3`) are understood; a promotion names its piece. Upper and
    lower case differ. Anything else is an illegal move: ambiguous, leaving the king in check, the null
    move, no move at all.

    ## Observations
    The position in FEN with a blank between all its characters (FEN's own blanks become three), and a
    newline. After a legal move black has answered, unless the move ended the game; after an illegal one
    the position is the same.

    ## Rewards
    1 for the move that mates; -1 for a move that black answers with mate; -1 for an illegal move; else 0.

    ## Episode end
    The game ends (`terminated`) by mate (`won`, `lost`), by stalemate, insufficient material,
    seventy-five moves or fivefold repetition (`draw`; nobody claims the fifty-move or threefold rule), or
    with the action number `max_moves`, illegal ones counted (`turn_limit`). A partner that gives no
    legal move in UCI ends its game as `truncated` (`partner_error`).

    ## Info
    The common keys. `success` is mate by the agent. With `privileged=True`, `task` is 0 (-1 if `fen` was
    given) and `secret` is None: nothing is hidden.

    ## Arguments
    - `partner`: `builtin` (a seeded alpha-beta search of depth 2); `stockfish` (version 15.1, Debian's, from
      the PATH, /usr/games or LMRLGYM_STOCKFISH, at the Elo of 1350 that the paper's 1200 came to; it
      searches to a fixed depth, so that a seed fixes the game); `random`; or a `Partner`, which reads
      `state.fen` of a query and answers in UCI.
    - `max_moves`: how many actions a game has.
    - `compat`: play by the 2023 release (see Differences).
    - reset options: `fen`, a legal position with white to move in which the game is not over.

    ## Differences from the paper
    Observations end with a newline, which the 2023 release shows to models in its data only. Its games
    end one action later, with the first beyond `max_moves`, which `compat=True` restores. An engine that
    failed cost the agent -1 there and left the game unplayable; here, in both modes, the game is
    `truncated`.

    ## Versions
    - v0: first version.
    """

    own_options = ("fen",)
    context = 1
    instructions = (
        "Play chess as white and mate black. You are told the position in FEN with a blank between all "
        "characters. Answer with one legal move in standard algebraic notation, a blank between all "
        "characters, for example: e 4, N f 3, O - O, Q x f 7 # or b 8 = Q. Black then moves, and you are "
        "told the new position. An illegal move costs a point and leaves the position as it is."
    )

    def __init__(
        self,
        *,
        partner: str | Partner = "builtin",
        max_moves: int = MAX_MOVES,
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        require_python_chess()
        super().__init__(
            partner=engine(partner) if isinstance(partner, str) else partner,
            compat=compat,
            privileged=privileged,
            render_mode=render_mode,
        )
        if isinstance(max_moves, bool) or not isinstance(max_moves, int) or max_moves < 1:
            raise ValueError(f"max_moves must be a positive whole number, got {max_moves!r}")
        self._last_turn = max_moves + 1 if compat else max_moves
        self._board: chess.Board
        self._told = ""

    def _start(self, options: Mapping[str, Any]) -> str:
        if options.get("fen") is None:
            fen = self._first_position(options)
        elif options.get("task") is not None:
            raise ValueError("give `fen` or `task`, not both")
        else:
            fen, self.task = options["fen"], -1
        self._board = start_board(fen)
        self._told = spoken_position(self._board.fen())
        return self._told

    def _first_position(self, options: Mapping[str, Any]) -> str:
        """The FEN of a new game whose options name none; sets `self.task`."""
        import chess

        self.task = self._drawn_task(options)
        return chess.STARTING_FEN

    def _ask(self, action: str) -> Query | Response:
        move = legal_move(self._board, action)
        if move is None:
            return self._answer(ILLEGAL_REWARD, action_is_valid=False)
        return self._moved(move, WIN_REWARD, "won") or Query(
            self.history, ChessState(_alone(self._board)), self.np_random
        )

    def _heard(self, reply: Reply) -> Response:
        import chess

        try:
            move = self._board.parse_uci(reply.text.strip())
        except ValueError:
            move = chess.Move.null()
        if not move:
            return self._partner_failed(f"no legal move in UCI: {reply.text!r} in {self._board.fen()}")
        answer = self._moved(move, LOSS_REWARD, "lost")
        if answer is None:
            self._told = spoken_position(self._board.fen())
            answer = self._answer()
        return answer

    def _moved(self, move: chess.Move, mate_reward: float, mate_reason: str) -> Response | None:
        """Make `move`; what the agent is told if that ends the game."""
        board = self._board
        board.push(move)
        if board.halfmove_clock == 0:
            board.clear_stack()  # no position before this can come back
        if any(board.generate_legal_moves()):
            if not is_drawn(board):
                return None
            is_mate = False
        else:
            is_mate = board.is_check()
        self._told = spoken_position(board.fen())
        return self._answer(mate_reward if is_mate else 0.0, stop_reason=mate_reason if is_mate else "draw")

    def _answer(
        self, reward: float = 0.0, *, action_is_valid: bool = True, stop_reason: str = ""
    ) -> Response:
        if not stop_reason and self._turn + 1 >= self._last_turn:
            stop_reason = "turn_limit"
        return Response(
            self._told, reward, bool(stop_reason), False, stop_reason == "won", action_is_valid, stop_reason
        )

    def candidates(self) -> tuple[str, ...]:
        """White's legal moves as they are said; none while a failed partner's move is missing."""
        board = self._board
        return tuple(spoken_move(board.san(move)) for move in board.legal_moves) if board.turn else ()

    def measures(self, history: History) -> dict[str, float]:
        """`percent_illegal`: how many of 100 actions were illegal; as in the paper, the last one never is."""
        paid = [turn.reward for turn in history if turn.is_action]
        return {"percent_illegal": 100 * paid[:-1].count(ILLEGAL_REWARD) / len(paid)}


chess_vector = vectorise(ChessEnv)
