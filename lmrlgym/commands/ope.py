"""`lmrlgym ope`: what a player would earn, from games that others played."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from lmrlgym.analysis.ope import (
    FITTED_Q,
    Coverage,
    Estimate,
    Logged,
    Tables,
    behaviour_log_probs,
    coverage,
    estimates,
    logged,
    player_log_probs,
)
from lmrlgym.collection import policy_named
from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import checked_file, made, parse, registered
from lmrlgym.commands.players import TrainedRun, run_of
from lmrlgym.commands.terminal import show, table, watched
from lmrlgym.dataset import Dataset
from lmrlgym.policies import KnowsDistribution
from lmrlgym.resources import replacing
from lmrlgym.types import Trajectory

_MOSTLY = 0.9
"""Below this share of what the player says in its tables, fitted Q evaluation has no interval."""


@dataclass(frozen=True)
class OpeOptions:
    """Estimate from a dataset what a player would earn, without playing."""

    player: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the folder of a training run, or a scripted player of the game (random, mixed, expert, best ...)"""
    data: str
    """the games: a shipped dataset or a file; their behaviour log-probabilities are needed"""
    json: Path | None = None
    """write everything there as JSON too"""
    games: int | None = None
    """the first so many games of the data; None: all"""
    gamma: float = 1.0
    """discount per utterance"""
    sweeps: int | None = None
    """fits of Q, which look so many utterances ahead; None: the longest game of the data"""
    temperature: float | None = None
    """of a run's sampling; None: its own"""
    resamples: int = 2000
    """bootstrap samples; a tenth as many refit Q"""
    seed: int = 0
    """of the bootstrap"""


@dataclass(frozen=True)
class Result:
    """What was evaluated and what came out."""

    player: str
    data: str
    sha256: str
    env: str
    env_kwargs: Mapping[str, Any]
    gamma: float
    estimates: tuple[Estimate, ...]
    coverage: Coverage
    held: float
    """Share of the player's utterances that the tables of fitted Q evaluation hold."""
    notes: tuple[str, ...]


def main(argv: Sequence[str]) -> int:
    """Evaluate one player from one dataset."""
    options = parse(OpeOptions, "ope", argv)
    if options.games is not None and options.games < 2:
        raise ValueError(f"--games must be at least 2, got {options.games}")
    if not 0 < options.gamma <= 1:
        raise ValueError(f"--gamma must be in (0, 1], got {options.gamma}")
    if options.resamples < 1:
        raise ValueError(f"--resamples must be at least 1, got {options.resamples}")
    if options.temperature is not None and options.temperature < 0:
        raise ValueError(f"--temperature must be 0 or more, got {options.temperature}")
    checked_file(options.json)
    run = run_of(options.player)
    if run is None and options.temperature is not None:
        raise ValueError(f"--temperature is that of a run's sampling, and {options.player!r} is no run")
    data = Dataset.load(options.data)
    spoken = (game for game in data if any(turn.is_action for turn in game.turns))
    games = [game for game in spoken if game.info.get("stop_reason") != "partner_error"][: options.games]
    result = _evaluated(options, run, data, games)
    if options.json is not None:
        with replacing(options.json) as path:
            path.write_text(json.dumps(_record(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    show(_text(result))
    return 0


def _evaluated(
    options: OpeOptions, run: TrainedRun | None, data: Dataset, games: Sequence[Trajectory]
) -> Result:
    env_id, env_kwargs = _game(options.data, games)
    behaviour_log_probs(games)  # complains before any work is done
    context = made(env_id, env_kwargs).context
    log_probs, notes = _log_probs(options, run, env_id, env_kwargs, context, games)
    rows, found, held = _estimates(options, games, log_probs, context)
    truncated = sum(not game.terminated for game in games) / len(games)
    if truncated:
        notes.append(
            f"{100 * truncated:.0f} % of the games were cut: the first four count what was earned until then"
        )
    sure = coverage(found, truncated, options.gamma)
    notes += (
        [] if sure.effective >= 10 else ["fewer than 10 effective games: the weighted numbers mean little"]
    )
    if held < _MOSTLY:
        notes.append(
            f"the tables hold {100 * held:.0f} % of what the player says, the rest has the mean of its "
            "depth; fitted Q evaluation has no interval: it would not tell that error"
        )
    return Result(
        options.player, options.data, str(data.card.get("sha256", "")), env_id, env_kwargs, options.gamma,
        tuple(rows), sure, held, tuple(notes),
    )  # fmt: skip


def _game(name: str, games: Sequence[Trajectory]) -> tuple[str, dict[str, Any]]:
    """Id and keywords of all games. Raises `ValueError` where there are several, or none."""
    found = {(game.env_id, json.dumps(dict(game.env_kwargs), sort_keys=True)) for game in games}
    if len(found) != 1:
        kinds = ", ".join(f"{env_id} {keywords}" for env_id, keywords in sorted(found)) or "nothing"
        raise ValueError(f"{name} must hold games of one environment, it holds {kinds}")
    ((env_id, keywords),) = found
    return registered(env_id), json.loads(keywords)


def _log_probs(
    options: OpeOptions,
    run: TrainedRun | None,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    context: int | None,
    games: Sequence[Trajectory],
) -> tuple[list[np.ndarray], list[str]]:
    """How likely the player is to say what was said, game by game, and what is to be known of that."""
    if run is not None:
        if env_id != run.env_id:
            raise ValueError(
                f"{run.folder} was trained on {run.env_id}, {options.data} are games of {env_id}"
            )
        run.checked_keywords(env_id, env_kwargs, force=False)
        scored = agents("off_policy").scored(run.folder, games, options.temperature, progress=watched())
        share = f"{100 * scored.uncommon:.2f} % of the run's own utterances were spelt in other tokens"
        notes = [] if math.isnan(scored.uncommon) else [f"{share} than those whose probability is used here"]
        return scored.log_probs, notes
    try:
        player = policy_named(options.player, env_id, **env_kwargs)
    except ValueError as error:
        raise ValueError(f"{error}; or the folder of a training run, which holds a run.json") from error
    if not isinstance(player, KnowsDistribution):
        raise ValueError(
            f"the player {options.player!r} of {env_id} cannot tell how likely its utterances are"
        )
    return player_log_probs(games, player.distribution, context), []


def _estimates(
    options: OpeOptions,
    games: Sequence[Trajectory],
    log_probs: Sequence[np.ndarray],
    context: int | None,
) -> tuple[list[Estimate], list[Logged], float]:
    """Every estimate, the games they are made of, and what the tables hold."""
    tables = Tables(games, log_probs, context, gamma=options.gamma, sweeps=options.sweeps)
    found = logged(games, log_probs, tables.values())
    rows = estimates(found, gamma=options.gamma, resamples=options.resamples, seed=options.seed)
    held = tables.known()
    low = high = math.nan
    if held >= _MOSTLY:
        low, high = tables.interval(max(2, options.resamples // 10), options.seed)
    rows = [row._replace(low=low, high=high) if row.name == FITTED_Q else row for row in rows]
    return rows, found, held


def _text(result: Result) -> str:
    sure = result.coverage
    rows = [["ESTIMATOR", "MEAN RETURN", "EFFECTIVE GAMES"]]
    rows += [[one.name, _spelt(one), _number(one.effective, "-", ".1f")] for one in result.estimates]
    facts = [
        ["player", result.player],
        ["data", f"{result.data}, {sure.games} games, mean return {sure.data_mean:.2f}"],
        ["environment", f"{result.env} {json.dumps(dict(result.env_kwargs)) if result.env_kwargs else ''}"],
        ["mean weight", f"{sure.mean_weight:.3g} (1 where the data hold all that the player says)"],
    ]
    return "\n\n".join([table(facts), table(rows), *result.notes])


def _spelt(one: Estimate) -> str:
    ends = "" if math.isnan(one.low) else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{_number(one.value, '-', '.2f')}{ends}"


def _number(value: float, otherwise: str, form: str) -> str:
    return format(value, form) if math.isfinite(value) else otherwise


def _record(result: Result) -> dict[str, Any]:
    """As JSON values; what is not a number is null."""
    record = asdict(result)
    record["estimates"] = [one._asdict() for one in result.estimates]
    record["coverage"] = result.coverage._asdict()
    plain: dict[str, Any] = json.loads(json.dumps(record), parse_constant=lambda name: None)
    return plain
