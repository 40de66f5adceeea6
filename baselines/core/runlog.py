"""What a run tells: log.jsonl, its curves in TensorBoard, and what it has used."""

from __future__ import annotations

import importlib
import itertools
import json
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.core.algorithm import Metrics
from baselines.core.store import plain, replacing_text
from baselines.core.tokens import Encoder
from lmrlgym import Trajectory, summarise


def origin() -> dict[str, str]:
    """Where a run was made: the commit of the checkout it runs from ("+": changed), and the processor."""
    root = str(Path(__file__).parents[2])

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", root, *arguments], capture_output=True, text=True, check=False
            )
        except OSError:  # no git
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    # An installed package may lie inside somebody else's checkout.
    own = git("ls-files", "--error-unmatch", __file__)
    commit = git("rev-parse", "--short=12", "HEAD") if own else ""
    changed = git("status", "--porcelain", "--untracked-files=no", "lmrlgym", "baselines") if own else ""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "commit": (commit or "none") + ("+" if changed else ""),
        "machine": names[0] if names else platform.machine(),
    }


Tracker = Callable[[Path, dict[str, Any]], object]
"""Gets the run's folder and every record of its log, JSON values, as it is written."""


def find_tracker(path: str) -> Tracker | None:
    """The function at "package.module:name"; None for "". Raises `ValueError` if there is none."""
    if not path:
        return None
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"a tracker is package.module:function, got {path!r}")
    try:
        found = vars(importlib.import_module(module)).get(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"no tracker {path!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"{module} holds no function {name!r} to track with")
    tracker: Tracker = found
    return tracker


@dataclass
class Counters:
    """What a run has used so far."""

    seconds: float = 0.0
    environment_steps: int = 0
    agent_tokens: int = 0
    partner_tokens: int = 0
    prompt_tokens: int = 0

    def add(self, games: Sequence[Trajectory], encoder: Encoder) -> None:
        """Count games that were played."""
        summary = summarise(games)
        self.environment_steps += sum(turn.is_action for game in games for turn in game.turns)
        self.agent_tokens += summary.agent_tokens
        self.partner_tokens += summary.partner_tokens
        self.prompt_tokens += sum(prompt_tokens(game, encoder) for game in games)


def prompt_tokens(game: Trajectory, encoder: Encoder) -> int:
    """The tokens that the agent read in a game: the visible conversation, once an utterance."""
    lengths = [len(encoder.turn(turn)) for turn in game.turns]
    behind = [0, *itertools.accumulate(lengths)]
    context = encoder.context or len(lengths)
    return sum(behind[i] - behind[max(0, i - context)] for i, turn in enumerate(game.turns) if turn.is_action)


class Log:
    """log.jsonl, TensorBoard and the user's tracker.

    Step metrics are averaged over a round, which is what resuming keeps.
    """

    def __init__(self, folder: Path, keep: int, tracker: Tracker | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "log.jsonl"
        self._tracker = tracker
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        with replacing_text(self.path) as file:
            file.writelines(line + "\n" for line in lines if _holds_still(line, keep))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=keep + 1)
        self._waiting: list[Metrics] = []

    def step(self, metrics: Metrics) -> None:
        """Metrics of one gradient step."""
        self._waiting.append(metrics)

    def flush(self, gradient_steps: int) -> Metrics:
        """Write the mean of the waiting step metrics."""
        waiting, self._waiting = self._waiting, []
        means = {key: sum(m[key] for m in waiting) / len(waiting) for key in (waiting[0] if waiting else {})}
        self.write("step", gradient_steps, means)
        return means

    def write(self, kind: str, gradient_steps: int, values: Mapping[str, Any]) -> None:
        """One line, and its numbers as curves."""
        record = plain({"kind": kind, "gradient_steps": gradient_steps, **values})
        with self.path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._board.add_scalar(f"{kind}/{key}", value, gradient_steps)
        if self._tracker is not None:
            self._tracker(self.path.parent, record)

    def close(self) -> None:
        """Write what TensorBoard holds back."""
        self._board.close()


class NoLog:
    """The log of a process that does not write."""

    def step(self, metrics: Metrics) -> None:
        """As `Log`."""

    def flush(self, gradient_steps: int) -> Metrics:
        """As `Log`, of nothing."""
        return {}

    def write(self, kind: str, gradient_steps: int, values: Mapping[str, Any]) -> None:
        """As `Log`."""

    def close(self) -> None:
        """As `Log`."""


def _holds_still(line: str, keep: int) -> bool:
    """Whether a line of a log belongs to what a checkpoint after `keep` gradient steps knows of."""
    try:
        record = json.loads(line)
    except ValueError:  # the run was killed while it wrote
        return False
    if record["kind"] in ("rollout", "result"):  # written after the checkpoint of their step
        return bool(record["gradient_steps"] < keep and record["kind"] == "rollout")
    return bool(record["gradient_steps"] <= keep)
