"""The console script: `lmrlgym VERB ...`. Only the module of the chosen verb is imported.

Exit codes: 0 it went well, 1 a replay diverged or a check of doctor failed, 2 a wrong input (one line on
stderr says what), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

VERBS = {
    "doctor": "check the installation, the environments and a base",
    "list": "the environments and the shipped datasets",
    "show": "the page, instructions and references of an environment, or the card of a dataset",
    "play": "play an environment yourself",
    "collect": "make a dataset with a scripted player",
    "train": "train an agent",
    "train-partner": "teach a language model to play the partner of a dialogue game",
    "eval": "score a player by the protocol of an environment",
    "swap": "score agents with partners that they were not trained with",
    "audit": "say how far the partner of a dialogue game can be trusted",
    "audit-critic": "compare the Q and V of a trained agent with the exact ones",
    "replay": "play stored games again and compare",
    "demo": "train and compare the five agents on the maze",
    "sweep": "train every algorithm on every environment with every seed",
    "ope": "estimate from a dataset what a player would earn",
    "compare": "whether one agent is better than another, by training seeds",
    "report": "a page on runs: scores, comparisons, curves, costs and transcripts",
}
"""verb -> what it does; its module is `lmrlgym.commands.<verb>` (`_` for `-`): `main(argv) -> exit code`."""

TRACEBACK_VARIABLE = "LMRLGYM_TRACEBACK"
WRONG_INPUT, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: that of the process) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except (KeyboardInterrupt, EOFError):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        return _exit_code(stop)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE) or not isinstance(error, _wrong_inputs()):
            raise
        return _refuse(str(error) or type(error).__name__)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0
    verb, *rest = arguments
    if verb == "--version":
        from lmrlgym import __version__

        sys.stdout.write(f"lmrlgym {__version__}\n")
        return 0
    if verb not in VERBS:
        from lmrlgym.commands.options import unknown

        raise unknown("verb", verb, VERBS)
    for stream in (sys.stdout, sys.stderr):
        _survive_any_text(stream)
    if "" not in sys.path and os.getcwd() not in sys.path:
        # As with `python -m`: a user's own algorithms and games lie in the folder he stands in.
        sys.path.insert(0, os.getcwd())
    code: int = import_module(f"lmrlgym.commands.{verb.replace('-', '_')}").main(rest)
    return code


def _usage() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "".join(f"  {verb:<{width}}{what}\n" for verb, what in VERBS.items())
    return (
        "usage: lmrlgym VERB ...\n\nThe Gymnasium of multi-turn language reinforcement learning.\n\n"
        f"{verbs}\nlmrlgym VERB --help shows every option and default; lmrlgym --version the version.\n"
        f"A wrong input is one line and exit code 2; {TRACEBACK_VARIABLE}=1 shows where it was found.\n"
    )


def _survive_any_text(stream: object) -> None:
    """A terminal that cannot show a character gets a question mark instead of ending the program."""
    import io

    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _wrong_inputs() -> tuple[type[Exception], ...]:
    """What a user can cause; anything else is a fault of the program and keeps its traceback."""
    import gymnasium

    return (ValueError, OSError, ImportError, gymnasium.error.Error)


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    return _refuse(stop.code)


def _refuse(message: str) -> int:
    """Say what is wrong in one line, whatever the message looks like."""
    from lmrlgym.person import printable

    sys.stderr.write(f"lmrlgym: {' '.join(printable(message).split())}\n")
    return WRONG_INPUT
