"""`lmrlgym doctor`: whether everything is there and fits together, one line a check."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal, NamedTuple

import gymnasium

import lmrlgym
from lmrlgym.commands.agents import agents, missing
from lmrlgym.commands.options import game_ids, parse, registered
from lmrlgym.commands.terminal import show
from lmrlgym.partners.uci import Engine
from lmrlgym.resources import data_folder
from lmrlgym.testing import check_env, require

_FOR_DEVELOPERS = "dev"
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?([^;]*)(?:;\s*extra\s*==\s*['\"]([^'\"]+)['\"])?")
_BOUND = re.compile(r"(>=|<)\s*([\d.]+)")
_NO_AGENTS = "pip install 'lmrlgym[baselines]'"


@dataclass(frozen=True)
class DoctorOptions:
    """Check the installation, the environments and a base; exit code 1 if a check failed.

    What is absent is no failure: the line says what would bring it.
    """

    base: str = ""
    """the base to check: a shipped one, smollm2-135m, a folder or a Hugging Face name; "": the one that
    `lmrlgym train` takes unless told otherwise"""
    env: str = ""
    """the environment to check; "": all that are registered"""
    device: str = "auto"
    """cpu, cuda, ... ; auto: the GPU if there is one"""
    dtype: str = "auto"
    """of the base: float32, bfloat16; auto: bfloat16 on a GPU, else float32"""


class Finding(NamedTuple):
    """What one check found."""

    state: Literal["ok", "failed", "absent"]
    name: str
    what: str


class Absent(Exception):
    """Something optional is not there; the message says what would bring it."""


def main(argv: Sequence[str]) -> int:
    """Print one line a check; 1 if one failed."""
    options = parse(DoctorOptions, "doctor", argv)
    env_ids = [registered(options.env)] if options.env else game_ids()
    failed = 0
    for finding in _findings(options, env_ids):
        show(f"{finding.state:<6}  {finding.name}: {' '.join(finding.what.split())}")
        failed += finding.state == "failed"
    return 1 if failed else 0


def _findings(options: DoctorOptions, env_ids: Sequence[str]) -> Iterator[Finding]:
    yield _found("lmrlgym", _package)
    yield from _installed()
    yield _found("GPU", _gpu)
    yield _found("stockfish", _stockfish)
    playable: list[str] = []
    yield _found("environments", lambda: _environments(env_ids, playable))
    yield from _agents(options, playable)


def _found(name: str, check: Callable[[], str]) -> Finding:
    """What `check` says: its answer, or why it failed."""
    try:
        return Finding("ok", name, check())
    except Absent as absence:
        return Finding("absent", name, str(absence))
    except AssertionError as failure:
        return Finding("failed", name, str(failure))
    except Exception as error:
        # Whatever breaks under examination is what was looked for, and the other checks go on.
        return Finding("failed", name, f"{type(error).__name__}: {error}")


# ---- what is installed ----


def _package() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{lmrlgym.__version__} in {lmrlgym.__path__[0]}, Python {python}, data in {data_folder()}"


def _installed() -> Iterator[Finding]:
    """One line for what is always needed, one for each extra but that of developers."""
    needed = _needed()
    if not needed:
        yield Finding("absent", "packages", "lmrlgym was not installed by pip, which knows what it needs")
    for extra in sorted(needed.keys() - {_FOR_DEVELOPERS}):
        name = f"extra {extra}" if extra else "packages"
        yield _found(name, lambda extra=extra: _versions(extra, needed[extra]))  # type: ignore[misc]


def _needed() -> dict[str, list[tuple[str, str]]]:
    """Extra ("": always) -> (package, versions that fit)."""
    try:
        lines = metadata.requires("lmrlgym") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        if fit := _REQUIREMENT.match(line):
            found.setdefault(fit[3] or "", []).append((fit[1], fit[2].strip()))
    return found


def _versions(extra: str, packages: Sequence[tuple[str, str]]) -> str:
    """The versions found. Raises `Absent` where a package of an extra is missing."""
    install = f"pip install 'lmrlgym{f'[{extra}]' if extra else ''}'"
    found = {name: _version(name) for name, _ in packages}
    gone = [name for name, version in found.items() if version is None]
    if gone and extra:
        raise Absent(f"{', '.join(gone)} not installed: {install}")
    require(not gone, f"{', '.join(gone)} not installed: {install}")
    for name, bounds in packages:
        version = found[name] or ""
        require(_fits(version, bounds), f"{name} {version} is installed, {bounds} is needed: {install} -U")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, bounds: str) -> bool:
    """Whether a version is within bounds such as ">=2.1,<3"; only its leading numbers count."""
    own = _numbers(version)
    return all(
        own >= _numbers(bound) if sign == ">=" else own < _numbers(bound)
        for sign, bound in _BOUND.findall(bounds)
    )


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:  # 2.0 is 2
        numbers.pop()
    return tuple(numbers)


def _gpu() -> str:
    if missing():
        raise Absent(f"torch is not installed, which would say: {_NO_AGENTS}")
    import torch

    if not torch.cuda.is_available():
        there = "nvidia-smi is here, so there may be one: install a torch that is built for it"
        none = there if shutil.which("nvidia-smi") else "agents learn and play on the CPU"
        raise Absent(f"torch {torch.__version__} finds none; {none}")
    ones = torch.ones(64, 64, device="cuda")
    require(float((ones @ ones).sum()) == 64**3, "a product of matrices comes out wrong on it")
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    cards = ", ".join(f"{one.name}, {one.total_memory / 2**30:.0f} GiB" for one in found)
    return f"{cards}, torch {torch.__version__}"


def _stockfish() -> str:
    """The engine's own name for itself."""
    try:
        from lmrlgym.partners.chess import stockfish_program
    except ImportError as error:
        raise Absent("only for chess, which needs the extra: pip install 'lmrlgym[chess]'") from error
    try:
        program = stockfish_program()
    except FileNotFoundError as error:
        raise Absent(f"only for partner=stockfish: {error}") from error
    engine = Engine(program, guard_seconds=10.0)
    try:
        lines = engine.ask(["uci"], "uciok")
    finally:
        engine.kill()
    names = [line.removeprefix("id name ") for line in lines if line.startswith("id name ")]
    return f"{names[0] if names else 'an engine without a name'} ({program})"


# ---- the environments ----


def _environments(env_ids: Sequence[str], playable: list[str]) -> str:
    """Hold every environment to its contract; those that keep it are added to `playable`."""
    lacking: list[str] = []
    broken: list[str] = []
    for env_id in env_ids:
        try:
            check_env(gymnasium.make(env_id, disable_env_checker=True))
        except ImportError as error:
            lacking.append(f"{env_id}: {error}")
        except Exception as error:
            broken.append(f"{env_id}: {type(error).__name__}: {error}")
        else:
            playable.append(env_id)
    require(not broken, "; ".join(broken))
    if not playable:
        raise Absent("; ".join(lacking))
    without = f", not to be played here: {'; '.join(lacking)}" if lacking else ""
    named = playable[0] if len(playable) == 1 else f"{len(playable)} of {len(env_ids)}"
    return f"{named} {'keeps' if len(playable) == 1 else 'keep'} the contract{without}"


# ---- a base ----


def _agents(options: DoctorOptions, env_ids: Sequence[str]) -> Iterator[Finding]:
    """The checks of a base; raises `ValueError` for a name that is none."""
    if missing():
        yield Finding("absent", "base", f"{', '.join(missing())} not installed: {_NO_AGENTS}")
        return
    examined = agents("doctor").Examination(options.base, env_ids, options.device, options.dtype)
    yield _found("base", examined.describe)
    if not env_ids:
        yield Finding("absent", "games", "no environment can be played, so the base cannot be checked")
        return
    played = _found("games", examined.play)
    yield played
    if played.state != "ok":
        return
    yield _found("tokens in = tokens trained", examined.tokens)
    yield _found("masks cover the agent's tokens", examined.masks)
    yield _found("adapter off = base", examined.adapters)
    yield _found("rollout = trainer log-probs", examined.log_probs)
