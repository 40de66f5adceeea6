"""`lmrlgym eval`: any player, trained or not, scored by the protocol of an environment."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from lmrlgym.collection import evaluate, solver_of
from lmrlgym.commands.options import (
    EnvId,
    Flag,
    Keywords,
    RayAddress,
    keywords,
    made,
    output,
    parse,
    registered,
)
from lmrlgym.commands.players import Player, player_of, run_of, travelling
from lmrlgym.commands.terminal import show, table, watched
from lmrlgym.dataset import Dataset
from lmrlgym.distributed import Cluster
from lmrlgym.policies.language_model import MAX_TOKENS
from lmrlgym.references import SCORINGS, Scoring, normalise, reference
from lmrlgym.rollouts import Play, Summary, rollout, summarise
from lmrlgym.solvers import KnowsRegret
from lmrlgym.types import Seeds, Trajectory


@dataclass(frozen=True)
class EvalOptions:
    """Play the protocol of an environment with a player and print its scores."""

    env: EnvId
    """the environment's id"""
    policy: str = "random"
    """random, scripted, behaviour, best or another player of the game; human; hf:MODEL;
    http(s)://HOST/v1#MODEL; or the folder of a training run"""
    repeats: int | None = None
    """games of each task, or games in all where tasks are drawn; None: the protocol's"""
    episodes: int | None = None
    """the most games to play, spread evenly over the tasks; None: no limit"""
    parallel: int = 64
    """games played at once; a person always plays one"""
    seed: int = int(Seeds.EVALUATION)
    """seed of the first game; the next have the next seeds"""
    temperature: float | None = None
    """of a language model: 0 is greedy; None: 0, or a run's own"""
    max_tokens: int = MAX_TOKENS
    """the most tokens a hf: or http: model may use for one answer"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none, or the run's)"""
    out: Path | None = None
    """write the games there: .parquet, .jsonl or .jsonl.gz; None: they are not kept"""
    overwrite: Flag = False
    """replace OUT if it is there"""
    force: Flag = False
    """evaluate a run in another environment than its own"""
    json: Flag = False
    """print one JSON object instead of a table"""
    ray: RayAddress = None
    """play on a Ray cluster: HOST:PORT, ray://HOST:PORT, local or local:WORKERS"""
    ray_gpus: float = 0.0
    """GPUs of each worker there; 0.5 lets two share one"""


@dataclass(frozen=True)
class Result:
    """One row: what was played, how it went and what it cost."""

    env: str
    env_kwargs: Mapping[str, Any]
    policy: str
    seed: int
    summary: Summary
    scores: Mapping[Scoring, float]
    """NaN where there is none; `reasons` then says why."""
    reasons: Mapping[Scoring, str]
    regret: Regret | None
    """None unless the game's solver knows regrets."""
    measures: Mapping[str, float]
    """Means of what the game itself measures."""
    seconds: float


@dataclass(frozen=True)
class Regret:
    """What an action lost against the best one, on average over all actions of all games."""

    mean: float
    unit: str


def main(argv: Sequence[str]) -> int:
    """Evaluate one player."""
    options = parse(EvalOptions, "eval", argv)
    if options.out is not None:
        output(options.out, overwrite=options.overwrite)
    env_id, env_kwargs = registered(options.env), keywords(options.env_kwargs)
    run = run_of(options.policy)
    if run is not None:
        env_kwargs = run.checked_keywords(env_id, env_kwargs, force=options.force)
    instructions = made(env_id, env_kwargs).instructions
    player_made = partial(
        player_of, options.policy, env_id, env_kwargs, instructions, options.temperature, options.max_tokens
    )
    play: Play = rollout
    with ExitStack() as stack:
        if options.ray is None:
            player = player_made()
        else:
            cluster = Cluster(options.ray, options.ray_gpus)
            player, play = travelling(options.policy, player_made, cluster.usage), cluster.play
            stack.enter_context(cluster)
        games, seconds = _played(env_id, env_kwargs, player, options, play)
    result = _result(env_id, env_kwargs, options, games, seconds, player)
    if options.out is not None:
        Dataset(tuple(games), {"options": _plain(options), **_record(result)}).save(options.out)
    show(json.dumps(_record(result)) if options.json else table(_rows(result)))
    return 0


def _played(
    env_id: str, env_kwargs: Mapping[str, Any], player: Player, options: EvalOptions, play: Play
) -> tuple[list[Trajectory], float]:
    """The games and the seconds they took."""
    start = time.perf_counter()
    games = evaluate(
        env_id,
        player.policy,
        repeats=options.repeats,
        episodes=options.episodes,
        parallel=1 if player.is_person else options.parallel,
        seed=options.seed,
        env_kwargs=env_kwargs,
        progress=watched() and not player.is_person,
        play=play,
    )
    return games, time.perf_counter() - start


def _result(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    options: EvalOptions,
    games: Sequence[Trajectory],
    seconds: float,
    player: Player,
) -> Result:
    summary = summarise(games)
    if player.usage is not None:
        # Text that lost its ids still cost its tokens.
        summary = summary._replace(agent_tokens=player.usage.completion_tokens)
    scores, reasons = {}, {}
    for scoring in SCORINGS:
        scores[scoring], reasons[scoring] = _score(env_id, env_kwargs, summary.return_mean, scoring)
    return Result(
        env_id, env_kwargs, options.policy, options.seed, summary, scores, reasons,
        _regret(env_id, env_kwargs, games), _measures(env_id, env_kwargs, games), seconds,
    )  # fmt: skip


def _regret(env_id: str, env_kwargs: Mapping[str, Any], games: Sequence[Trajectory]) -> Regret | None:
    """By the game's solver, if there is one that knows regrets."""
    best = solver_of(env_id, **env_kwargs)
    if not isinstance(best, KnowsRegret):
        return None
    regrets = [
        best.regret(game.turns[:i], turn.text)
        for game in games
        for i, turn in enumerate(game.turns)
        if turn.is_action
    ]
    return Regret(sum(regrets) / len(regrets), best.regret_unit)


def _measures(env_id: str, env_kwargs: Mapping[str, Any], games: Sequence[Trajectory]) -> dict[str, float]:
    """Means over the games that their partner did not break."""
    env = made(env_id, env_kwargs)
    found = [env.measures(game.turns) for game in games if game.info["stop_reason"] != "partner_error"]
    return {name: fmean(of_game[name] for of_game in found) for name in (found[0] if found else {})}


def _score(
    env_id: str, env_kwargs: Mapping[str, Any], mean_return: float, scoring: Scoring
) -> tuple[float, str]:
    """The score, or NaN and why there is none."""
    try:
        score = normalise(env_id, mean_return, scoring, **env_kwargs)
        known = reference(env_id, **env_kwargs)
    except ValueError as error:
        return math.nan, str(error)
    if not math.isnan(score):
        return score, f"100 is {known.kind}" if scoring == "optimal" else ""
    return score, known.lmrl2023_reason if scoring == "lmrl2023" else "there is no finished game"


def _rows(result: Result) -> list[list[str]]:
    """The table: one fact a line."""
    summary = result.summary
    keywords_given = f" {json.dumps(dict(result.env_kwargs))}" if result.env_kwargs else ""
    return [
        ["environment", f"{result.env}{keywords_given}"],
        ["policy", result.policy],
        ["games", f"{summary.episodes}, seeds from {result.seed}"],
        ["mean return", f"{summary.return_mean:.2f} [{summary.return_low:.2f}, {summary.return_high:.2f}]"],
        ["success", f"{100 * summary.success:.1f} %"],
        ["mean length", f"{summary.length:.1f} turns"],
        *([["mean regret", f"{result.regret.mean:.2f} {result.regret.unit}"]] if result.regret else []),
        *([name.replace("_", " "), f"{mean:.2f}"] for name, mean in result.measures.items()),
        *([f"score {name}", _spelt(result.scores[name], result.reasons[name])] for name in SCORINGS),
        ["agent tokens", str(summary.agent_tokens)],
        ["partner tokens", str(summary.partner_tokens)],
        ["partner errors", str(summary.partner_errors)],
        ["seconds", f"{result.seconds:.1f}"],
    ]


def _spelt(score: float, reason: str) -> str:
    number = "-" if math.isnan(score) else f"{score:.1f}"
    return f"{number} ({reason})" if reason else number


def _record(result: Result) -> dict[str, Any]:
    """The same facts for a machine; what is not a number is null."""
    record = {
        "env": result.env,
        "env_kwargs": dict(result.env_kwargs),
        "policy": result.policy,
        "seed": result.seed,
        **result.summary._asdict(),
        **({"regret_mean": result.regret.mean, "regret_unit": result.regret.unit} if result.regret else {}),
        **result.measures,
        **{f"score_{name}": score for name, score in result.scores.items()},
        **{f"score_{name}_note": reason for name, reason in result.reasons.items()},
        "seconds": round(result.seconds, 3),
    }
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in record.items()}


def _plain(options: EvalOptions) -> dict[str, Any]:
    """The options as JSON values."""
    return {**asdict(replace(options, out=None)), "out": str(options.out)}
