"""Engine processes: one that dies or hangs ends its own game only, and none outlives the interpreter."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lmrlgym import Query, Reply, rollout
from lmrlgym.envs.chess import ChessEnv, ChessState, chess_vector
from lmrlgym.partners import uci
from lmrlgym.partners.chess import StockfishPartner, stockfish_program
from tests.engines import ANSWERS, DIES, HANGS, STAYS, fake_engine, needs_stockfish

AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
DIES_AFTER_E4 = f'case "$position" in *4P3*) {DIES};; *) {ANSWERS};; esac'


@pytest.fixture(autouse=True)
def no_engines_left():
    yield
    uci.end_engines()


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes an engine the one that is found."""

    def make(on_go: str, at_end: str = "", guard_seconds: float = 120.0) -> StockfishPartner:
        monkeypatch.setenv("LMRLGYM_STOCKFISH", fake_engine(tmp_path, on_go, at_end))
        return StockfishPartner(guard_seconds=guard_seconds)

    return make


def has_ended(pid: int, seconds: float = 20.0) -> bool:
    """Whether the process ends within `seconds`."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], seconds)[0])
    finally:
        os.close(watched)


# ---- partner errors ----


def test_an_engine_that_answers_is_believed(use):
    env = ChessEnv(partner=use(ANSWERS))
    env.reset(seed=0)
    assert env.step("e 4")[0].startswith("r n b q k b n r / p p p p 1 p p p / 8 / 4 p 3 / 4 P 3 /")


def test_an_engine_that_dies_ends_its_game(use):
    env = ChessEnv(partner=use(DIES))
    env.reset(seed=0)
    *_, reward, terminated, truncated, info = env.step("e 4")
    assert (reward, terminated, truncated, info["stop_reason"]) == (0.0, False, True, "partner_error")


def test_an_engine_that_hangs_ends_its_game_and_is_ended(use):
    partner = use(HANGS, guard_seconds=1.0)
    env = ChessEnv(partner=partner)
    env.reset(seed=0)
    uci.ask(partner.program, ["isready"], "readyok", settings=(), guard_seconds=1.0)
    *_, truncated, info = env.step("e 4")
    assert (truncated, info["stop_reason"]) == (True, "partner_error")
    assert len(uci.engines()) == 1  # the one asked above, whose settings differ


def test_the_reason_says_what_the_engine_did(use):
    query = Query((), ChessState(AFTER_E4), np.random.default_rng(0))
    (died,) = use(DIES).reply([query])
    assert isinstance(died, Reply)
    assert "engine ended" in died.error
    (hung,) = use(HANGS, guard_seconds=0.5).reply([query])
    assert isinstance(hung, Reply)
    assert "silent for 0.5 seconds" in hung.error


def test_the_other_games_of_a_batch_go_on(use):
    games = chess_vector(num_envs=3, partner=use(DIES_AFTER_E4))
    games.reset(seed=0)
    told, _, terminated, truncated, info = games.step(["d 3\n", "e 4\n", "a 3\n"])
    assert truncated.tolist() == [False, True, False]
    assert not terminated.any()
    assert list(info["stop_reason"]) == ["", "partner_error", ""]
    assert [text.startswith("r n b q k b n r / p p p p 1 p p p") for text in told] == [True, False, True]


def test_a_killed_engine_costs_one_game_and_the_next_has_a_new_one(use):
    env = ChessEnv(partner=use(ANSWERS))
    env.reset(seed=0)
    env.step("e 4")
    (engine,) = uci.engines()
    os.kill(engine.pid, signal.SIGKILL)
    assert env.step("d 4")[4]["stop_reason"] == "partner_error"
    env.reset(seed=0)
    assert env.step("e 4")[4]["stop_reason"] == ""
    assert uci.engines() != [engine]


def test_the_pipe_of_a_killed_engine_is_closed_by_who_reads_it_alone(use):
    # Else its number could become the next engine's, which would lose an answer to the old reader.
    partner = use("sleep 3 & echo started")  # what it leaves behind holds the pipe open
    engine = uci.Engine(partner.program)
    engine.ask(["go"], "started")
    engine.kill()
    pipe = engine._process.stdout
    assert pipe is not None
    assert not pipe.closed
    until = time.monotonic() + 60
    while not pipe.closed and time.monotonic() < until:
        time.sleep(0.05)
    assert pipe.closed


class KillsOnce:
    """Plays e4, d4 and so on, and kills the engine before its third move."""

    def __init__(self) -> None:
        self.calls = 0

    def act(self, histories, rngs):
        self.calls += 1
        if self.calls == 3:
            os.kill(uci.engines()[0].pid, signal.SIGKILL)
        return ["e 4" if "4 P 3" not in history[-1].text else "nonsense" for history in histories]


def test_a_rollout_plays_the_game_of_a_killed_engine_once_more(use):
    use(
        'case "$position" in *"4P3/8/PPPP1PPP/RNBQKBNR b"*) echo bestmove e7e5;; *) echo bestmove a7a6;; esac'
    )
    games = rollout("lmrlgym/Chess-v0", KillsOnce(), 1, env_kwargs={"partner": "stockfish", "max_moves": 2})
    assert [game.info["stop_reason"] for game in games] == ["turn_limit"]


def test_a_program_that_cannot_be_started_is_a_partner_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "engine"
    program.write_text("no program at all", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("LMRLGYM_STOCKFISH", str(program))
    env = ChessEnv(partner="stockfish")
    env.reset(seed=0)
    assert env.step("e 4")[4]["stop_reason"] == "partner_error"


@needs_stockfish()
def test_stockfish_itself_killed_in_a_search_is_a_partner_error():
    (partner, query) = (
        StockfishPartner(elo=None, nodes=10**12),
        Query((), ChessState(AFTER_E4), np.random.default_rng(0)),
    )
    uci.ask(partner.program, ["isready"], "readyok", settings=("setoption name Hash value 1",))
    # Started here, so that the thread that asks does not own it.
    uci.end_engines()
    said: list[object] = []
    asking = threading.Thread(target=lambda: said.extend(partner.reply([query])))
    asking.start()
    while not uci.engines():
        asking.join(0.01)
    os.kill(uci.engines()[0].pid, signal.SIGKILL)
    asking.join(20)
    (reply,) = said
    assert isinstance(reply, Reply)
    assert "ended" in reply.error


# ---- no engine outlives the interpreter ----

_SCRIPT = """
import os, signal, sys
from lmrlgym.partners import uci
program, end = sys.argv[1:]
uci.ask(program, ["isready"], "readyok")
(engine,) = uci.engines()
engine._say(["position startpos", "go infinite"])
print(engine.pid, flush=True)
if end == "raises":
    raise RuntimeError("no")
if end != "returns":
    os.kill(os.getpid(), signal.Signals[end])
"""


def engine_of_an_ended_process(program: str, end: str) -> int:
    """The pid of the engine, searching, of an interpreter that has ended so."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, program, end], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return int(done.stdout)


ENDS = ("returns", "raises", "SIGTERM", "SIGKILL")


@needs_stockfish()
@pytest.mark.parametrize("end", ENDS)
def test_stockfish_ends_with_its_interpreter_however_that_ends(end: str):
    assert has_ended(engine_of_an_ended_process(stockfish_program(), end))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not installed")
@pytest.mark.parametrize("end", ENDS)
def test_so_does_an_engine_that_hangs(end: str, tmp_path: Path):
    assert has_ended(engine_of_an_ended_process(fake_engine(tmp_path, HANGS, STAYS), end))


def test_a_forked_process_has_engines_of_its_own(use):
    partner = use(ANSWERS)
    query = Query((), ChessState(AFTER_E4), np.random.default_rng(0))
    assert partner.reply([query]) == ["e7e5"]
    (engine,) = uci.engines()
    child = os.fork()
    if child == 0:
        is_right = not uci.engines() and partner.reply([query]) == ["e7e5"]
        uci.end_engines()
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert partner.reply([query]) == ["e7e5"]
    assert uci.engines() == [engine]
