"""A table of measurements: its rows, how a row is measured, and how the table is kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("gymnasium", "numpy", "torch", "transformers", "peft", "trl")
"""What a number may depend on."""


class Row(NamedTuple):
    """One line of the table; `value` and `baseline` are medians, `ratio` the median of their quotients."""

    name: str
    value: float
    unit: str
    baseline: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def __str__(self) -> str:
        digits = 3 if self.unit == "s" else 1 if self.unit == "MiB" else 0
        measured = f"{self.value:>12,.{digits}f} {self.unit:8}{self.baseline:>12,.{digits}f}"
        return f"{self.name:42}{measured}{self.ratio:>9.3f}  {self.ratio_low:.3f} .. {self.ratio_high:.3f}"


HEADER = f"{'what':42}{'median':>12} {'unit':8}{'baseline':>12}{'ratio':>9}  lowest .. highest"
Timed = Callable[[], float]
"""A measurement: steps a second, or seconds."""


def row(name: str, unit: str, measure: Timed, baseline: Timed, repeats: int) -> Row:
    """Measure and baseline by turns, `repeats` times, after a warm-up of both that does not count."""
    measure(), baseline()
    return row_of(name, unit, [(measure(), baseline()) for _ in range(repeats)])


def row_of(name: str, unit: str, pairs: Sequence[tuple[float, float]]) -> Row:
    """The row of pairs (measured, baseline), each taken one right after the other."""
    ratios = [value / base for value, base in pairs]
    return Row(
        name,
        statistics.median(value for value, _ in pairs),
        unit,
        statistics.median(base for _, base in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def cpu_seconds() -> float:
    """Seconds the process has computed: what waits for a core of a shared machine does not count.

    The same as the time on the clock for one busy thread on a machine of its own.
    """
    return time.process_time()


def machine() -> str:
    """Processor, cores, system and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    known = "".join(f", {name} {found}" for name in PACKAGES if (found := _version(name)))
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}{known}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The checkout's commit, with a plus if files that count were changed; "none" outside a checkout."""
    root = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    is_changed = git("status", "--porcelain", "--untracked-files=no", "lmrlgym", "baselines", "benchmarks")
    return (git("rev-parse", "--short=12", "HEAD") or "none") + ("+" if is_changed else "")


def title(repeats: int) -> str:
    """What stands above a table."""
    return f"{machine()}\ncommit {commit()}, {repeats} repeats"


def write(path: Path, rows: Sequence[Row]) -> None:
    """Beside it first, then renamed, so that a table is whole or not there."""
    record = {"machine": machine(), "commit": commit(), "rows": [one._asdict() for one in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
