"""Is A better than B? The training seed is replicated; its games are nested in it.

Every setup has one mean return a training seed. Two setups are compared on the seeds both have, game by game:
the difference of a seed is the mean over the games (task, seed) that both played. What is estimated is the
mean over training seeds on the games of the environment's protocol, which are the same for all.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from typing import Any

import numpy as np

from lmrlgym.analysis.runs import Run
from lmrlgym.analysis.statistics import (
    Interval,
    detectable_gap,
    holm,
    interquartile_mean,
    interval,
    paired_p_value,
    pairs_needed,
    probability_of_improvement,
    smallest_p_value,
)

ALPHA = 0.05
MOST_PARTNER_ERRORS = 0.01
COSTS = {
    "prompt tokens": "prompt_tokens",
    "agent tokens": "agent_tokens",
    "partner tokens": "partner_tokens",
    "trained tokens": "trained_tokens",
    "environment steps": "environment_steps",
    "gradient steps": "gradient_steps",
    "seconds": "seconds",
    "peak memory MB": "peak_memory_bytes",
}
"""What is printed -> its name in a result; of training, evaluation left out."""


@dataclass(frozen=True)
class Row:
    """One setup in one environment."""

    environment: str
    setup: str
    seeds: tuple[int, ...]
    games: int
    mean: Interval
    iqm: Interval
    score: float | None
    """`optimal`, of the mean."""
    paper_score: float | None
    """`lmrl2023`, of the mean."""
    kind: str
    """What a score of 100 is."""
    costs: Mapping[str, float | None]
    """Means over the seeds; None where a log does not tell."""
    tokens_to_90: float | None
    """Tokens that gradient steps learned from until a validation scored 90; None: never, or not logged."""
    single_run: bool


@dataclass(frozen=True)
class Verdict:
    """Two setups in one environment."""

    environment: str
    a: str
    b: str
    seeds: tuple[int, ...]
    difference: Interval
    """Mean of a - b over the seeds both have."""
    improvement: Interval
    """P(a > b)."""
    p_value: float
    adjusted: float
    detectable: float
    """The gap these seeds and games find with probability .8; infinite where no gap can pass."""
    share_of_games: float
    """Share of the spread between seeds that more games would take away; NaN where it is not known."""
    winner: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Rows and verdicts, and the score over all environments of each setup that ran in all."""

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    overall: Mapping[str, Interval] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """As JSON values; what is not a number is null."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def compare(runs: Sequence[Run]) -> Comparison:
    """All setups with each other, environment by environment.

    Raises `ValueError` for no runs, runs of several versions of an environment, of other data, scoring
    or games, more than one run of a setup and seed, or partners that broke more than 1 % of the games.
    """
    if not runs:
        raise ValueError("there is no run with a result to compare")
    _check_versions(runs)
    named = grouped(runs)
    for name, setups in named.items():
        _check_same(name, [run for seeds in setups.values() for run in seeds.values()])
    rows = [_row(name, setup, found) for name, setups in named.items() for setup, found in setups.items()]
    return Comparison(tuple(rows), tuple(_verdicts(named)), _overall(named))


def grouped(runs: Sequence[Run]) -> dict[str, dict[str, dict[int, Run]]]:
    """Environment -> setup, as it is called -> its runs by seed. Raises `ValueError` for two of one seed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.environment, []).append(run)
    return {name: _by_setup(group) for name, group in groups.items()}


def _check_versions(runs: Sequence[Run]) -> None:
    versions: dict[str, Run] = {}
    for run in runs:
        name = run.env_id.rpartition("-v")[0]
        other = versions.setdefault(name, run)
        if other.env_id != run.env_id:
            raise ValueError(
                f"runs of different versions of an environment: {other.env_id} in {other.folder}, "
                f"{run.env_id} in {run.folder}"
            )


def _check_same(name: str, runs: Sequence[Run]) -> None:
    """Refuse what cannot be compared, with the two values."""
    first = runs[0]
    for run in runs[1:]:
        facts = {
            "data (sha256)": (first.data, run.data) if first.data and run.data else ("", ""),
            "scoring": (first.result.get("references"), run.result.get("references")),
        }
        for what, (one, other) in facts.items():
            if one != other:
                raise ValueError(
                    f"{name}: runs of different {what}: {one} in {first.folder}, {other} in {run.folder}"
                )
        if run.planned != first.planned:
            raise ValueError(
                f"{name}: runs scored on different games: {_games(first)} in {first.folder}, "
                f"{_games(run)} in {run.folder}"
            )
    for run in runs:
        broken = 1 - len(run.returns) / max(1, len(run.planned))
        if broken > MOST_PARTNER_ERRORS:
            raise ValueError(
                f"{run.folder}: partners broke {100 * broken:.1f} % of the games, at most 1 % may be"
            )


def _games(run: Run) -> str:
    seeds = [seed for _, seed in run.planned]
    return f"{len(seeds)} games, seeds {min(seeds, default=0)} to {max(seeds, default=0)}"


def _by_setup(runs: Sequence[Run]) -> dict[str, dict[int, Run]]:
    """Setup, as it is called -> its runs by seed. Options are named where they tell setups apart."""
    by_label: dict[str, list[Run]] = {}
    for run in runs:
        by_label.setdefault(run.label, []).append(run)
    found: dict[str, dict[int, Run]] = {}
    for label, group in by_label.items():
        setups = _setups(group)
        differing = [key for key in sorted(setups[0]) if len({repr(setup[key]) for setup in setups}) > 1]
        for run, setup in zip(group, setups, strict=True):
            told = ", ".join(f"{key}={str(setup[key])[:24]}" for key in differing)
            seeds = found.setdefault(f"{label} ({told})" if told else label, {})
            if run.seed in seeds:
                raise ValueError(
                    f"two runs of {label} with seed {run.seed}: {seeds[run.seed].folder} and {run.folder}"
                )
            seeds[run.seed] = run
    return found


def _setups(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The options of each run. One that a run is too old to know has its default; None if that is unknown."""
    keys = {key for run in runs for key in run.setup}
    is_old = any(keys - run.setup.keys() for run in runs)
    defaults = {key: _defaults(runs[0].algorithm).get(key) for key in keys} if is_old else {}
    return [{**defaults, **run.setup} for run in runs]


@cache
def _defaults(algorithm: str) -> dict[str, Any]:
    """Option -> its default, as JSON has it; none if there is no such algorithm here."""
    from lmrlgym.commands.agents import agents

    try:
        kinds = (agents("run").Training, agents("registry").find_algorithm(algorithm).Config)
    except (ImportError, ValueError):
        return {}
    options = (option for kind in kinds for option in fields(kind) if option.default is not MISSING)
    return {option.name: json.loads(json.dumps(option.default, default=str)) for option in options}


def _row(environment: str, setup: str, runs: Mapping[int, Run]) -> Row:
    some = next(iter(runs.values()))
    means = np.array([run.mean for run in runs.values()])
    paper = [run.result.get("score_lmrl2023") for run in runs.values()]
    return Row(
        environment, setup, tuple(sorted(runs)), len(some.planned),
        interval([means]), interval([means], interquartile_mean), some.score_at(float(means.mean())),
        None if None in paper else float(np.mean(np.array(paper, float))),
        (some.result.get("references") or {}).get("kind", ""),
        {name: _cost(key, runs) for name, key in COSTS.items()},
        _tokens_to_90(runs), len(runs) == 1,
    )  # fmt: skip


def _cost(key: str, runs: Mapping[int, Run]) -> float | None:
    used = [run.result.get(key) for run in runs.values()]
    scale = 1e6 if key.endswith("bytes") else 1
    return None if None in used else float(np.mean(np.array(used, float))) / scale


def _tokens_to_90(runs: Mapping[int, Run]) -> float | None:
    """Mean over the seeds; None if one never got there."""
    found: list[float] = []
    for run in runs.values():
        reached = (
            float(record["used_trained_tokens"])
            for record in run.curve
            if "used_trained_tokens" in record and (run.score_at(record["return_mean"]) or 0.0) >= 90
        )
        first = next(reached, None)
        if first is None:
            return None
        found.append(first)
    return float(np.mean(found))


def _verdicts(named: Mapping[str, Mapping[str, Mapping[int, Run]]]) -> list[Verdict]:
    """Every pair of setups in every environment; Holm's correction runs over the environments of a pair."""
    setups = list(dict.fromkeys(setup for found in named.values() for setup in found))
    verdicts: list[Verdict] = []
    for a, b in itertools.combinations(setups, 2):
        both = {name: found for name, found in named.items() if a in found and b in found}
        drafts = [_draft(name, a, b, found[a], found[b], len(both)) for name, found in both.items()]
        adjusted = holm([one.p_value for one in drafts])
        verdicts += [
            _decided(replace(draft, adjusted=p), len(drafts))
            for draft, p in zip(drafts, adjusted, strict=True)
        ]
    return verdicts


def _draft(
    environment: str, a: str, b: str, runs_a: Mapping[int, Run], runs_b: Mapping[int, Run], tests: int
) -> Verdict:
    seeds = sorted(runs_a.keys() & runs_b.keys())
    pairs = [(runs_a[seed].returns, runs_b[seed].returns) for seed in seeds]
    by_game = [np.array([x[key] - y[key] for key in sorted(x.keys() & y.keys())]) for x, y in pairs]
    differences = np.array([each.mean() for each in by_game])
    means_a, means_b = (np.array([run.mean for run in runs.values()]) for runs in (runs_a, runs_b))
    can_pass = smallest_p_value(len(seeds)) * tests <= ALPHA
    none = Interval(math.nan, math.nan, math.nan)
    return Verdict(
        environment, a, b, tuple(seeds),
        interval([differences]) if seeds else none,
        interval([means_a, means_b], probability_of_improvement),
        paired_p_value(differences) if seeds else 1.0, math.nan,
        detectable_gap(differences, alpha=ALPHA / tests) if can_pass else math.inf,
        _share_of_games(differences, by_game), "", "",
    )  # fmt: skip


def _share_of_games(differences: np.ndarray, by_game: Sequence[np.ndarray]) -> float:
    if len(differences) < 2 or min(len(each) for each in by_game) < 2 or not np.ptp(differences):
        return math.nan
    within = float(np.mean([each.var(ddof=1) / len(each) for each in by_game]))
    return min(1.0, within / float(differences.var(ddof=1)))


def _decided(draft: Verdict, tests: int) -> Verdict:
    """Name a winner, or say why none is."""
    count, difference = len(draft.seeds), draft.difference
    needed = pairs_needed(tests)
    if smallest_p_value(count) * tests > ALPHA:
        reason = (
            f"undecided: {count} paired seed{'s' * (count != 1)} cannot pass {ALPHA} "
            f"(the smallest p is {smallest_p_value(count):.4f}{f' x {tests} environments' * (tests > 1)}); "
            f"{needed} could"
        )
        return replace(draft, reason=reason)
    if difference.holds(0.0):
        return replace(draft, reason="undecided: the interval of the difference holds 0")
    if draft.adjusted > ALPHA:
        return replace(draft, reason=f"undecided: p is {draft.adjusted:.3f} after Holm's correction")
    winner = draft.a if difference.value > 0 else draft.b
    return replace(draft, winner=winner, reason=f"{winner} is better")


def _overall(named: Mapping[str, Mapping[str, Mapping[int, Run]]]) -> dict[str, Interval]:
    """IQM of `optimal` scores over all environments and seeds, stratified by environment."""
    found: dict[str, Interval] = {}
    if len(named) < 2:
        return found
    for setup in set.intersection(*(set(setups) for setups in named.values())):
        strata = [[run.score() for run in setups[setup].values()] for setups in named.values()]
        if not any(score is None for scores in strata for score in scores):
            found[setup] = interval([np.array(scores, float) for scores in strata], interquartile_mean)
    return dict(sorted(found.items()))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Interval):
        return {name: _plain(number) for name, number in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
