"""`lmrlgym swap`: agents scored with partners that they were not trained with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lmrlgym.collection import evaluate
from lmrlgym.commands.options import EnvId, Flag, Keywords, keywords, made, parse, registered
from lmrlgym.commands.players import player_of, run_of
from lmrlgym.commands.terminal import show, table, watched
from lmrlgym.policies.language_model import MAX_TOKENS
from lmrlgym.resources import replacing
from lmrlgym.rollouts import Summary, summarise
from lmrlgym.types import Seeds


@dataclass(frozen=True)
class SwapOptions:
    """Score every agent with every partner, on the same games."""

    env: EnvId
    """the environment's id"""
    agents: tuple[str, ...] = ("mixed",)
    """one row each: the folders of training runs, or other players as `lmrlgym eval` names them"""
    partners: tuple[str, ...] = ("scripted",)
    """one column each: scripted, hf:MODEL or http(s)://HOST/v1#MODEL"""
    episodes: int = 200
    """games of each pair"""
    parallel: int = 64
    """games played at once"""
    seed: int = int(Seeds.EVALUATION)
    """seed of the first game; the next have the next seeds"""
    temperature: float | None = None
    """of the agents that are language models: 0 is greedy; None: 0, or a run's own"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none)"""
    out: Path | None = None
    """write the JSON object there; None: it is not kept"""
    json: Flag = False
    """print one JSON object instead of a table"""


class Pair(NamedTuple):
    """One cell: an agent, with whom it was trained ("" if that is not known), and with whom it played."""

    agent: str
    trained_with: str
    partner: str
    summary: Summary


def main(argv: Sequence[str]) -> int:
    """Play all pairs."""
    options = parse(SwapOptions, "swap", argv)
    env_id, env_kwargs = registered(options.env), keywords(options.env_kwargs)
    pairs = [
        _played(env_id, {**env_kwargs, "partner": partner}, agent, options)
        for agent in options.agents
        for partner in options.partners
    ]
    record = {
        "env": env_id,
        "env_kwargs": env_kwargs,
        "seed": options.seed,
        "episodes": options.episodes,
        "pairs": [{**pair._asdict(), "summary": _plain(pair.summary)} for pair in pairs],
    }
    if options.out is not None:
        with replacing(options.out) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(json.dumps(record) if options.json else table(_rows(pairs, options.partners)))
    return 0


def _played(env_id: str, env_kwargs: Mapping[str, Any], agent: str, options: SwapOptions) -> Pair:
    run = run_of(agent)
    if run is not None and run.env_id != env_id:
        raise ValueError(f"{agent} was trained on {run.env_id}, not {env_id}")
    trained_with = str(run.env_kwargs.get("partner", "scripted")) if run is not None else ""
    instructions = made(env_id, env_kwargs).instructions
    player = player_of(agent, env_id, env_kwargs, instructions, options.temperature, MAX_TOKENS)
    games = evaluate(
        env_id, player.policy, repeats=options.episodes, episodes=options.episodes, seed=options.seed,
        parallel=options.parallel, env_kwargs=env_kwargs, progress=watched(),
    )  # fmt: skip
    return Pair(agent, trained_with, env_kwargs["partner"], summarise(games))


def _plain(summary: Summary) -> dict[str, Any]:
    """JSON knows no NaN: null where no game was finished."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in summary._asdict().items()
    }


def _rows(pairs: Sequence[Pair], partners: Sequence[str]) -> list[list[str]]:
    """One row an agent, one column a partner: mean return with its interval, and success."""
    rows = [["agent", "trained with", *partners]]
    for start in range(0, len(pairs), len(partners)):
        row = pairs[start : start + len(partners)]
        rows.append([row[0].agent, row[0].trained_with or "-", *(_cell(pair.summary) for pair in row)])
    return rows


def _cell(summary: Summary) -> str:
    interval = f"[{summary.return_low:.2f}, {summary.return_high:.2f}]"
    failed = f", {summary.partner_errors} failed" if summary.partner_errors else ""
    return f"{summary.return_mean:.2f} {interval} {100 * summary.success:.0f} %{failed}"
