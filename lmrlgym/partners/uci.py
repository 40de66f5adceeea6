"""Chess engines as processes: one of each program in a process, started when first asked.

An engine that dies, or hangs for longer than its guard allows, is an `EngineError`; the next question
starts a new one. Engines end with the interpreter, however it ends: they read the end of their input, and
where util-linux's `setpriv` is at hand the kernel kills even a hung one.
"""

from __future__ import annotations

import atexit
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

GUARD_SECONDS = 60.0
"""How long an engine may be silent. No search comes near it: time never decides a move."""


class EngineError(RuntimeError):
    """An engine died, hung or could not be started."""


class Engine:
    """One engine process, spoken to in UCI by one thread at a time; `settings` are said to it once."""

    def __init__(
        self, program: str, settings: Sequence[str] = (), guard_seconds: float = GUARD_SECONDS
    ) -> None:
        self._name = os.path.basename(program)
        self._guard = guard_seconds
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [*_killed_with_us(), program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            raise EngineError(f"{self._name} cannot be started: {error}") from error
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.ask(["uci"], "uciok")
            self.ask([*settings, "isready"], "readyok")
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, commands: Sequence[str], last: str) -> list[str]:
        """Say `commands`; the lines of the answer, up to the one that begins with `last`."""
        with self._lock:
            self._say(commands)
            heard: list[str] = []
            deadline = time.monotonic() + self._guard
            while not heard or heard[-1].split(" ")[0] != last:
                try:
                    line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    raise EngineError(f"{self._name} was silent for {self._guard:g} seconds") from None
                if line is None:
                    raise EngineError(f"{self._name} ended")
                heard.append(line)
            return heard

    def _say(self, commands: Sequence[str]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        except OSError as error:
            raise EngineError(f"{self._name} ended ({error})") from error

    def _listen(self) -> None:
        """Queue every line that the engine says, and None at its end."""
        assert self._process.stdout is not None
        unfinished = b""
        try:
            while said := self._process.stdout.read(1 << 16):
                *lines, unfinished = (unfinished + said).split(b"\n")
                for line in lines:
                    self._lines.put(line.decode("utf-8", "replace").strip())
        except OSError:
            pass
        # Closed by nobody else: the next engine's pipe may get its number, and be read in its place.
        self._process.stdout.close()
        self._lines.put(None)

    def kill(self) -> None:
        """End the process at once and wait for it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def forget(self) -> None:
        """In a forked process: let go of the parent's engine without disturbing it."""
        self._process.returncode = 0  # it is not our child
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@cache
def _setpriv() -> tuple[str, ...]:
    """What stands before a program that is to die with the thread that started it; () if unknown."""
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    command = (program or "", "--pdeathsig", "KILL")
    if program is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        return ()  # busybox has another setpriv
    return command


def _killed_with_us() -> tuple[str, ...]:
    # Another thread may end before the interpreter does, and would take the engine with it.
    return _setpriv() if threading.current_thread() is threading.main_thread() else ()


class _Key(NamedTuple):
    """What makes one engine of a process another than the next."""

    program: str
    settings: tuple[str, ...]
    guard_seconds: float


_ENGINES: dict[_Key, Engine] = {}
"""This process's engines."""
_STARTING = threading.Lock()


def ask(
    program: str,
    commands: Sequence[str],
    last: str,
    *,
    settings: Sequence[str] = (),
    guard_seconds: float = GUARD_SECONDS,
) -> list[str]:
    """What this process's engine `program` answers, up to the line that begins with `last`.

    It is started when first asked with these settings. One that fails is ended, for an `EngineError`;
    the next call starts anew.
    """
    key = _Key(program, tuple(settings), guard_seconds)
    with _STARTING:
        engine = _ENGINES.get(key)
        if engine is None:
            engine = _ENGINES[key] = Engine(*key)
    try:
        return engine.ask(commands, last)
    except BaseException:  # an interrupted one would answer the last question to the next
        with _STARTING:
            if _ENGINES.get(key) is engine:
                del _ENGINES[key]
        engine.kill()
        raise


def engines() -> list[Engine]:
    """The engines that this process has started and that have not failed."""
    return list(_ENGINES.values())


def end_engines() -> None:
    """End every engine of this process; the next question starts a new one."""
    while _ENGINES:
        _ENGINES.popitem()[1].kill()


def _forget_engines() -> None:
    global _STARTING
    _STARTING = threading.Lock()
    while _ENGINES:
        _ENGINES.popitem()[1].forget()


atexit.register(end_engines)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_engines)
