"""Chess: the rules with scripted partners, bad options, and partners that break the rules."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import chess
import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st

import lmrlgym
from lmrlgym import Reply
from lmrlgym.commands.eval import main
from lmrlgym.envs.chess import ChessEnv, read_move, read_position, spoken_move, spoken_position
from tests.engines import Scripted

START = (
    "r n b q k b n r / p p p p p p p p / 8 / 8 / 8 / 8 / P P P P P P P P / R N B Q K B N R   "
    "w   K Q k q   -   0   1\n"
)
Step = tuple[str, float, bool, bool, dict[str, Any]]


def game(*answers: str, fen: str | None = None, **kwargs: Any) -> ChessEnv:
    """A game, begun, whose partner says `answers`."""
    env = ChessEnv(partner=Scripted(*answers), **kwargs)
    env.reset(seed=0, options={} if fen is None else {"fen": fen})
    return env


def after(env: ChessEnv, *actions: str) -> Step:
    """The last of the answers to `actions`; none before it ends the game."""
    for action in actions[:-1]:
        assert env.step(action)[2:4] == (False, False)
    return env.step(actions[-1])


def outcome(step: Step) -> tuple[float, bool, bool, str]:
    """(reward, terminated, truncated, stop reason)"""
    return (*step[1:4], step[4]["stop_reason"])


# ---- texts ----


def test_positions_are_told_with_a_blank_between_all_characters():
    assert ChessEnv(partner="random").reset(seed=0)[0] == START
    assert read_position(START) == chess.STARTING_FEN
    assert read_position(START.removesuffix("\n")) == chess.STARTING_FEN


def test_moves_are_said_with_a_blank_between_all_characters():
    assert spoken_move("Qxf7#") == "Q x f 7 #\n"
    assert read_move(" Q x f 7 # \n") == "Qxf7#"


def test_after_a_legal_move_the_partner_has_answered():
    told, *rest, info = game("e7e5").step("e 4\n")
    assert told == spoken_position("rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2")
    assert rest == [0.0, False, False]
    assert (info["action_is_valid"], info["stop_reason"], info["success"]) == (True, "", False)
    assert info["partner_usage"]["calls"] == 1


def test_an_agent_sees_the_newest_position_only():
    env = game("e7e5")
    env.step("e 4\n")
    (seen,) = lmrlgym.visible(env.history, env.context)
    assert seen.text.startswith("r n b q k b n r / p p p p 1 p p p")


def test_the_partner_is_told_the_position_with_black_to_move():
    env = game("e7e5")
    env.step("e 4\n")
    (query,) = env.partner.queries  # type: ignore[attr-defined]
    assert query.state.fen == "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


# ---- what is a move ----

CASTLING = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"


@pytest.mark.parametrize(
    ("fen", "said", "made"),
    [
        (None, "e4", "e2e4"),
        (None, "e 4", "e2e4"),
        (None, "  e  4 \n", "e2e4"),
        (None, "e2e4\n", "e2e4"),
        (None, "g1f3", "g1f3"),
        (None, "N g 1 - f 3", "g1f3"),
        (CASTLING, "O - O\n", "e1g1"),
        (CASTLING, "0 - 0 - 0\n", "e1c1"),
        (CASTLING, "O-O+", "e1g1"),
        # a knight alone cannot mate and would end the game: hence the pawn
        ("7k/1P6/8/8/8/8/P7/K7 w - - 0 1", "b 8 = N", "b7b8n"),
        ("7k/1P6/8/8/8/8/8/K7 w - - 0 1", "b8Q", "b7b8q"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e x d 6", "e5d6"),
        ("4k3/8/8/8/8/8/8/R3K2R w - - 0 1", "R a 8", "a1a8"),  # check need not be said
    ],
)
def test_a_move_may_be_said_in_many_ways(fen: str | None, said: str, made: str):
    env = game("0000", fen=fen)
    env.step(said)
    board = chess.Board(fen or chess.STARTING_FEN)
    board.push_uci(made)
    assert env.partner.queries[0].state.fen == board.fen()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fen", "said"),
    [
        *[
            (None, text)
            for text in ("", "\n", "e5", "E 4", "n f 3", "Ke2", "e9", "e 4 e 5", "move e4", "♙e4")
        ],
        *[(None, text) for text in ("--", "0000", "Z0", "@@@@", "e2e2")],
        (CASTLING, "o-o"),
        ("4k3/8/8/8/8/8/4r3/R3K2R w KQ - 0 1", "O-O"),  # in check
        ("4k3/8/8/8/8/8/8/R3K2R w - - 0 1", "O-O"),  # lost the right
        ("4k3/8/8/8/8/8/8/R3K2R w - - 0 1", "Rd1h1"),
        ("4k3/8/8/8/4r3/8/4B3/4K3 w - - 0 1", "B d 3"),  # pinned
        ("4k3/8/8/8/8/N3N3/8/4K3 w - - 0 1", "N c 4"),  # which of the two?
        ("7k/1P6/8/8/8/8/8/K7 w - - 0 1", "b 8"),  # into what?
    ],
)
@pytest.mark.parametrize("compat", [False, True])
def test_anything_else_is_illegal_costs_one_and_changes_nothing(fen: str | None, said: str, compat: bool):
    env = game("e7e5", fen=fen, compat=compat)
    told, reward, terminated, truncated, info = env.step(said)
    assert told == env.history[0].text
    assert (reward, terminated, truncated) == (-1.0, False, False)
    assert (info["action_is_valid"], info["success"], info["partner_usage"]["calls"]) == (False, False, 0)
    assert env.candidates() == game(fen=fen).candidates()


def test_candidates_are_the_legal_moves_as_they_are_said():
    assert set(game().candidates()) == {spoken_move(f"{f}{r}") for f in "abcdefgh" for r in "34"} | {
        spoken_move(f"N{square}") for square in ("a3", "c3", "f3", "h3")
    }
    assert "Q h 8 #\n" in game(fen="4k3/8/4K3/8/8/8/8/7Q w - - 0 1").candidates()


@given(st.lists(st.integers(0, 200), max_size=40))
@settings(max_examples=30, deadline=None)
def test_every_candidate_of_any_game_is_legal(choices: list[int]):
    env = ChessEnv(partner="random", max_moves=60)
    env.reset(seed=len(choices))
    for choice in choices:
        legal = env.candidates()
        *_, terminated, truncated, info = env.step(legal[choice % len(legal)])
        assert info["action_is_valid"]
        assert not truncated
        if terminated:
            break


# ---- rewards and ends ----


def test_mate_by_the_agent_wins_one():
    step = after(game("e7e5", "b8c6", "g8f6"), "e 4", "Q h 5", "B c 4", "Q x f 7 #")
    assert outcome(step) == (1.0, True, False, "won")
    assert step[4]["success"]
    # the position after the mate, black to move
    assert "   b   K Q k q" in step[0]


def test_mate_by_the_partner_costs_one():
    step = after(game("e7e5", "d8h4"), "f 3", "g 4")
    assert outcome(step) == (-1.0, True, False, "lost")
    assert not step[4]["success"]


def test_stalemate_is_a_draw_for_either_side():
    assert outcome(game(fen="7k/8/6K1/8/8/8/8/5Q2 w - - 0 1").step("Q f 7")) == (0.0, True, False, "draw")
    by_black = game("b4b3", fen="8/8/8/8/1pk5/p7/8/1K6 w - - 0 1")
    assert outcome(by_black.step("K a 1")) == (0.0, False, False, "")
    # white: king a1 against pawns a2 and b3 and the king on c3
    stale = game("a3a2", fen="8/8/8/8/8/p1k5/8/1K6 w - - 0 1")
    assert outcome(stale.step("K a 1"))[:1] == (0.0,)


def test_bare_kings_are_a_draw():
    step = game("h8g7", fen="7k/8/8/8/8/8/8/K5Q1 w - - 0 1").step("Q g 7 +")
    assert outcome(step) == (0.0, True, False, "draw")


def test_the_game_is_drawn_after_seventy_five_moves_and_not_after_fifty():
    # the clock counts the moves of both sides: 100 after fifty, 150 after seventy-five
    fifty = game("e8e7", fen="4k3/8/8/8/8/8/8/R3K3 w - - 99 80")
    assert outcome(fifty.step("K d 2")) == (0.0, False, False, "")
    by_white = game("e8e7", fen="4k3/8/8/8/8/8/8/R3K3 w - - 149 100")
    assert outcome(by_white.step("K d 2")) == (0.0, True, False, "draw")
    by_black = game("e8e7", fen="4k3/8/8/8/8/8/8/R3K3 w - - 148 100")
    assert outcome(by_black.step("K d 2")) == (0.0, True, False, "draw")


def test_mate_on_the_hundred_and_fiftieth_move_is_mate():
    step = game(fen="4k3/8/4K3/8/8/8/8/7R w - - 149 100").step("R h 8 #")
    assert outcome(step) == (1.0, True, False, "won")


def test_the_fifth_repetition_is_a_draw_and_the_third_is_not():
    env = game(*["g8f6", "f6g8"] * 8)
    shuffle = ["N f 3", "N g 1"] * 8
    # The start comes back with every second move: for the fifth time after the eighth.
    assert outcome(after(env, *shuffle[:8])) == (0.0, True, False, "draw")


def test_repetitions_before_a_pawn_move_do_not_count_after_it():
    env = game(*["g8f6", "f6g8"] * 3, "e7e5", *["g8f6", "f6g8"] * 4)
    back = ["N f 3", "N g 1"]
    step = after(env, *back * 3, "e 4", *back * 4)
    assert outcome(step) == (0.0, True, False, "draw")


@pytest.mark.parametrize(("compat", "actions"), [(False, 3), (True, 4)])
def test_the_last_action_is_played_and_ends_the_game(compat: bool, actions: int):
    env = game("e7e5", "b8c6", "g8f6", "f8c5", max_moves=3, compat=compat)
    step = after(env, *["e 4", "N f 3", "nonsense", "N c 3"][:actions])
    assert outcome(step)[1:] == (True, False, "turn_limit")
    assert step[4]["turn"] == actions
    with pytest.raises(ResetNeeded):
        env.step("d 4")


def test_illegal_moves_alone_cost_400_and_401_in_compat():
    for compat, worst in ((False, -400.0), (True, -401.0)):
        env = game(compat=compat)
        total, over = 0.0, False
        while not over:
            _, reward, over, _, _ = env.step("e5")
            total += reward
        assert total == worst


def test_a_mate_with_the_last_action_is_a_win():
    step = game(fen="4k3/8/4K3/8/8/8/8/7R w - - 0 1", max_moves=1).step("R h 8 #")
    assert outcome(step) == (1.0, True, False, "won")


# ---- measures ----


def test_the_share_of_illegal_moves_leaves_the_last_action_out():
    # two of four actions are illegal; the last one loses
    env = game("e7e5", "d8h4")
    after(env, "f 3", "nonsense", "e 5", "g 4")
    assert env.measures(env.history) == {"percent_illegal": 50.0}
    # of three illegal actions the last ends the game and does not count
    env = game(max_moves=3)
    after(env, "x", "y", "z")
    assert env.measures(env.history)["percent_illegal"] == pytest.approx(200 / 3)


def test_eval_reports_victories_illegal_moves_and_length(capsys: pytest.CaptureFixture[str]):
    command = ["lmrlgym/Chess-v0", "--episodes", "2", "--env-kwargs", "max_moves=3", "partner=random"]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["success"], record["percent_illegal"], record["length"]) == (0.0, 0.0, 3.0)
    assert main(command) == 0
    assert "percent illegal" in capsys.readouterr().out


# ---- options and keywords ----


def test_a_game_can_start_from_a_position():
    fen = "4k3/8/8/8/8/8/8/R3K2R w KQ - 5 20"
    env = ChessEnv(partner="random", privileged=True)
    told, info = env.reset(options={"fen": fen})
    assert told == spoken_position(fen)
    assert (info["task"], info["secret"]) == (-1, None)
    assert env.reset(options={"task": 0})[1]["task"] == 0


@pytest.mark.parametrize(
    "fen",
    [
        "", "e4", "not a position", 7, b"8/8", ["8"], "9/8/8/8/8/8/8/8 w - - 0 1",
        "8/8/8/8/8/8/8/8 w - - 0 1",  # no kings
        "4k3/8/8/8/8/8/8/4K2R b - - 0 1",  # black to move
        "4k3/8/8/8/8/8/8/4RK2 w - - 0 1",  # black is in check already
        "4k3/8/8/8/8/8/8/4K3 w KQ - 0 1",  # rights without rooks
        "4k3/8/8/8/8/8/8/4K3 w - - 0 1",  # drawn
        "rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3",  # mated
        "4k3/8/8/8/8/8/8/R3K3 w - - 150 100",
        "4k3/8/8/8/8/8/8/R3K3 w - - -1 1",
    ],
)  # fmt: skip
def test_a_wrong_position_is_a_value_error_that_shows_it(fen: Any):
    env = ChessEnv(partner="random")
    with pytest.raises(ValueError, match="fen must be") as error:
        env.reset(options={"fen": fen})
    assert repr(fen) in str(error.value)


def test_position_and_task_exclude_each_other():
    with pytest.raises(ValueError, match="not both"):
        ChessEnv(partner="random").reset(options={"fen": CASTLING, "task": 0})


@pytest.mark.parametrize("max_moves", [0, -1, 1.5, "10", True, None])
def test_a_wrong_number_of_moves_is_shown(max_moves: Any):
    with pytest.raises(ValueError, match="max_moves must be a positive whole number, got"):
        ChessEnv(max_moves=max_moves)


def test_an_unknown_partner_is_shown_with_those_there_are():
    with pytest.raises(
        ValueError, match="partner must be builtin, stockfish, random or a Partner, got 'fritz'"
    ):
        ChessEnv(partner="fritz")


# ---- partners that break the rules ----


@pytest.mark.parametrize(
    "answer", ["", "e5", "e7e4", "e2e4", "0000", "resign", "e7e5 e2e4", "\x00", "é" * 99]
)
@pytest.mark.parametrize("compat", [False, True])
def test_an_answer_that_is_no_legal_move_in_uci_is_a_partner_error(answer: str, compat: bool):
    env = game(answer, compat=compat)
    assert outcome(env.step("e 4")) == (0.0, False, True, "partner_error")
    assert env.candidates() == ()
    with pytest.raises(ResetNeeded):
        env.step("d 4")
    assert env.reset()[0] == START


def test_a_partner_that_raises_or_gives_up_is_a_partner_error():
    assert outcome(game().step("e 4"))[1:] == (False, True, "partner_error")
    assert outcome(game(Reply("e7e5", error="no time")).step("e 4"))[1:] == (False, True, "partner_error")  # type: ignore[arg-type]


def test_an_answer_may_have_blanks_around_it():
    assert outcome(game(" e7e5\n").step("e 4")) == (0.0, False, False, "")


# ---- copies, and the extra ----


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_remembers_repetitions(copied: Any):
    env = ChessEnv(partner=Shuffles())
    env.reset(seed=0)
    after(env, *["N f 3", "N g 1"] * 3)
    twin = copied(env)
    for each in (env, twin):
        assert outcome(after(each, "N f 3", "N g 1")) == (0.0, True, False, "draw")


class Shuffles:
    """A partner that moves its king's knight out and back."""

    def reply(self, queries: Any) -> list[str]:
        return ["g8f6" if "bnr" in query.state.fen else "f6g8" for query in queries]


def test_importing_the_suite_does_not_import_python_chess():
    script = "import lmrlgym, lmrlgym.envs.chess, lmrlgym.policies.chess, sys; print('chess' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "chess", None)
    with pytest.raises(ImportError, match=r'pip install "lmrlgym\[chess\]"'):
        gymnasium.make("lmrlgym/Chess-v0")
