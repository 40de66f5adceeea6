"""What the verbs read from a command line: their options, an environment, its keywords, a file to write."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from inspect import Parameter, signature
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, TypeVar

import gymnasium
import tyro
from gymnasium.envs.registration import load_env_creator

from lmrlgym.dataset import SUFFIXES
from lmrlgym.env import TextEnv

Options = TypeVar("Options")

EnvId = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV")]
Keywords = Annotated[
    tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE|JSON")
]
"""Keywords as typed: any number of `key=value` or JSON objects, the option given once or often."""
Flag = tyro.conf.FlagCreatePairsOff[bool]
RayAddress = Annotated[str | None, tyro.conf.arg(metavar="ADDRESS|local")]
"""Where to play or train (see `lmrlgym.distributed.Cluster`); None: in this process."""


def parse(options: type[Options], verb: str, argv: Sequence[str]) -> Options:
    """`argv` as the dataclass `options`. Raises `ValueError` with one line for what does not fit."""
    complaint = io.StringIO()
    # What tyro frames with, and whether in colour, depends on standard output: let it be no terminal.
    no_terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(no_terminal), contextlib.redirect_stderr(complaint):
            return tyro.cli(options, prog=f"lmrlgym {verb}", args=list(argv))
    except SystemExit as stop:
        if not stop.code:  # the help page, which belongs on the real output
            return tyro.cli(options, prog=f"lmrlgym {verb}", args=list(argv))
        raise ValueError(f"{_one_line(complaint.getvalue())} (see lmrlgym {verb} --help)") from None


def _one_line(boxed: str) -> str:
    """What tyro's framed message says before its first rule, and the option it thinks was meant."""
    lines = [line.strip("│ ") for line in boxed.splitlines() if line.startswith("│")]
    said = takewhile(lambda line: not line or set(line) != {"─"}, lines)
    _, _, meant = " ".join(lines).partition("Perhaps you meant: ")
    hint = f"; did you mean {meant.split()[0].rstrip(',')}?" if meant else ""
    return f"{' '.join(' '.join(said).split())}{hint}"


def keywords(given: Sequence[Sequence[str]], option: str = "--env-kwargs") -> dict[str, Any]:
    """The keywords that were typed. A value is JSON where it reads as JSON, else the text itself."""
    found: dict[str, Any] = {}
    for word in (word for group in given for word in group):
        for key, value in _keywords_of(word, option).items():
            if key in found:
                raise ValueError(f"{option} names {key!r} twice")
            found[key] = value
    return found


def _keywords_of(word: str, option: str) -> Mapping[str, Any]:
    if word.lstrip().startswith("{"):
        try:
            found: Mapping[str, Any] = json.loads(word)
        except json.JSONDecodeError as error:
            raise ValueError(f"{option} is not JSON ({error}): {word!r}") from error
        return found
    key, equals, value = word.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"{option} wants key=value or a JSON object, got {word!r}")
    try:
        return {key: json.loads(value)}
    except json.JSONDecodeError:
        return {key: value}


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist, with the closest ones that do."""
    names = list(known)
    by_lower = {n.lower(): n for n in names} | {n.lower().rpartition("/")[2]: n for n in names}
    close = get_close_matches(name.lower(), by_lower, n=6, cutoff=0.5)
    nearest = list(dict.fromkeys(by_lower[n] for n in close))[:3]
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are: {', '.join(names) or 'none'}"
    return ValueError(f"no {what} {name!r}; {hint}")


def game_ids() -> list[str]:
    """The ids of this package's environments."""
    return sorted(env_id for env_id, spec in gymnasium.registry.items() if spec.namespace == "lmrlgym")


def registered(env_id: str) -> str:
    """`env_id` if it is registered; "module:id" imports the module first, as in `gymnasium.make`.

    Raises `ValueError` with the closest ids otherwise.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        try:
            import_module(module)
        except ImportError as error:
            raise ValueError(f"no module {module!r} to import for {env_id!r}: {error}") from error
    if name not in gymnasium.registry:
        raise unknown("environment", name, game_ids())
    return name


def made(env_id: str, env_kwargs: Mapping[str, Any]) -> TextEnv:
    """One game of the registered `env_id`. Raises `ValueError` for keywords that it does not take."""
    _check_keywords(env_id, env_kwargs)
    env = gymnasium.make(env_id, disable_env_checker=True, **env_kwargs).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{env_id} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    return env


def _check_keywords(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a keyword that the environment's constructor does not name."""
    entry_point = gymnasium.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    parameters = signature(creator).parameters if creator is not None else {}
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in env_kwargs:
        if name not in parameters:
            raise unknown(f"{env_id} keyword", name, parameters)


def output(path: Path, *, overwrite: bool) -> Path:
    """`path` if games may be written there. Raises `ValueError` before any work is done if not."""
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"a file of games ends in {', '.join(SUFFIXES)}, got {path.name!r}")
    if path.exists() and not (overwrite and path.is_file()):
        raise ValueError(f"{path} is there already; --overwrite replaces a file")
    return path


def checked_file(path: Path | None) -> Path | None:
    """`path` if a file may be written there. Raises `ValueError` before any work is done if not."""
    if path is not None and path.is_dir():
        raise ValueError(f"{path} is a folder, not a file to write to")
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
    return path
