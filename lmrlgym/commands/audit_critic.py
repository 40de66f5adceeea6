"""`lmrlgym audit-critic`: a learned Q or V against the exact one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import tyro

from lmrlgym.analysis.critic import CriticAudit, Measured, Target, audit_critic
from lmrlgym.collection import SolverPolicy, evaluate, policy_named, solver_of
from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import checked_file, parse
from lmrlgym.commands.players import TrainedRun, run_of
from lmrlgym.commands.terminal import show, table
from lmrlgym.dataset import Dataset
from lmrlgym.policies import DataPlayer
from lmrlgym.rollouts import Policy
from lmrlgym.types import Seeds, Trajectory

_EVALUATION = "evaluation.parquet"
_GAMES = 100


@dataclass(frozen=True)
class AuditCriticOptions:
    """Compare the Q and V of a trained agent with what playing on really pays."""

    run: tyro.conf.Positional[Path]
    """the folder of a training run"""
    target: Literal["auto", "best", "data", "agent"] = "auto"
    """whose return is the truth: best play's, the data's player's, the agent's own; auto: the one that the
    algorithm estimates"""
    games: str = ""
    """games whose decisions are looked at, a shipped name or a file; "": the run's evaluation, or 100
    games on evaluation seeds where it kept none"""
    states: int = 100
    """the most distinct decisions"""
    repeats: int = 32
    """games played on from each where chance decides"""
    seed: int = 0
    """of the choice of decisions and of the games played on"""
    json: Path | None = None
    """write everything there as JSON too"""


def main(argv: Sequence[str]) -> int:
    """Print the tables."""
    options = parse(AuditCriticOptions, "audit-critic", argv)
    if find_spec("scipy") is None:
        raise ImportError("audit-critic needs scipy: pip install 'lmrlgym[compare]'")
    if options.states < 1 or options.repeats < 2:
        raise ValueError(
            f"states must be at least 1 and repeats at least 2, got {options.states} and {options.repeats}"
        )
    checked_file(options.json)
    run = run_of(str(options.run))
    if run is None:
        raise ValueError(f"{options.run} holds no run: no run.json in it")
    algorithm = agents("run").load_algorithm(options.run)
    critic = agents("critic").Critic(algorithm)
    target: Target = critic.values_of if options.target == "auto" else options.target
    player, played_as, who = _player(target, run, algorithm)
    games = _games(options, run, algorithm)
    solver = solver_of(run.env_id, **run.env_kwargs)
    found = audit_critic(
        critic, player, target, games, played_as=played_as, states=options.states,
        repeats=options.repeats, seed=options.seed,
        solved=None if solver is None else lambda history: list(solver.q(history)),
    )  # fmt: skip
    facts = {
        "run": str(options.run),
        "environment": run.env_id,
        "env_kwargs": dict(run.env_kwargs),
        "target": target,
        "truth": who,
        "how": found.how,
        "gamma": critic.gamma,
        "decisions": found.places,
    }
    if options.json is not None:
        record = json.dumps({**facts, **_record(found)}, indent=1, allow_nan=False)
        options.json.write_text(f"{record}\n", encoding="utf-8")
    show(_text(facts, found))
    return 0


def _player(target: Target, run: TrainedRun, algorithm: Any) -> tuple[Policy, str, str]:
    """(who plays on, the id it plays in, what that is)."""
    if target == "agent":
        return algorithm.policy(), run.env_id, "the return of the agent itself"
    if target == "best":
        solver = solver_of(run.env_id, **run.env_kwargs)
        if solver is None:
            raise ValueError(f"{run.env_id} has no solver: --target data or agent")
        return SolverPolicy(solver), run.env_id, "the return of the solver's best play"
    data = json.loads((run.folder / "run.json").read_text(encoding="utf-8")).get("data") or {}
    level = Dataset.load(data["name"]).card.get("level") if "name" in data else None
    if not level:
        raise ValueError(f"the data of {run.folder} do not say who played them: --target best or agent")
    player = policy_named(level, run.env_id, **run.env_kwargs)
    played_as = player.played_as(run.env_id) if isinstance(player, DataPlayer) else run.env_id
    return player, played_as, f"the return of the data's player ({level}), playing every game to its own end"


def _games(options: AuditCriticOptions, run: TrainedRun, algorithm: Any) -> Sequence[Trajectory]:
    kept = run.folder / _EVALUATION
    if options.games or kept.is_file():
        games = Dataset.load(options.games or kept)
        others = {game.env_id for game in games} - {run.env_id}
        if others:
            raise ValueError(
                f"{options.games} holds games of {', '.join(sorted(others))}, not of {run.env_id}"
            )
        return games
    return evaluate(
        run.env_id, algorithm.policy(), episodes=_GAMES, seed=Seeds.EVALUATION, env_kwargs=run.env_kwargs
    )


def _record(found: CriticAudit) -> dict[str, Any]:
    """JSON knows no NaN: null where there is no number."""
    levels = {}
    for name, level in found.levels.items():
        levels[name] = {
            "cases": level.cases,
            "bias": _number(level.bias.value),
            "bias_low": _number(level.bias.low),
            "bias_high": _number(level.bias.high),
            "rmse": level.rmse,
            "noise": _number(level.noise),
            "spearman": _number(level.spearman),
            "calibration": [
                {"cases": cases, "critic": said, "exact": exact} for cases, said, exact in level.calibration
            ],
        }
    within = {name: {"spearman": mean, "states": count} for name, (mean, count) in found.within.items()}
    return {"levels": levels, "within_a_state": within}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(facts: dict[str, Any], found: CriticAudit) -> str:
    rows = [["LEVEL", "CASES", "BIAS", "RMSE", "NOISE", "SPEARMAN"]]
    rows += [_row(name, level) for name, level in found.levels.items()]
    within = [["ACTIONS OF ONE STATE", "SPEARMAN", "STATES"]]
    within += [[name, f"{mean:.2f}", str(count)] for name, (mean, count) in found.within.items()]
    bins = [["CALIBRATION", "CASES", "CRITIC", "EXACT"]]
    for name, level in found.levels.items():
        bins += [[name, str(n), f"{said:.2f}", f"{exact:.2f}"] for n, said, exact in level.calibration]
    parts = [table([[name, str(fact)] for name, fact in facts.items()]), table(rows)]
    return "\n\n".join([*parts, *([table(within)] if found.within else []), table(bins)])


def _row(name: str, level: Measured) -> list[str]:
    bias = f"{level.bias.value:+.2f} [{level.bias.low:+.2f}, {level.bias.high:+.2f}]"
    spearman = "-" if math.isnan(level.spearman) else f"{level.spearman:.2f}"
    return [name, str(level.cases), bias, f"{level.rmse:.2f}", f"{level.noise:.2f}", spearman]
