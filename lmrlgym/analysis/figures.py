"""The figures of a report, drawn by matplotlib (extra `compare`): curves, profiles, costs."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from lmrlgym.analysis.compare import COSTS
from lmrlgym.analysis.runs import Run, Unfinished
from lmrlgym.analysis.statistics import interval, performance_profile
from lmrlgym.references import reference

Setups = Mapping[str, Mapping[int, Run]]
"""Setup -> its runs by seed, of one environment."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#555555")
_MARKERS = "osD^vPX*"
_RESAMPLES = 999
_PANELS_A_LINE = 4


class Figure(NamedTuple):
    """One picture."""

    name: str
    """For its file."""
    caption: str
    png: bytes


class _Style(NamedTuple):
    color: str
    marker: str


def styles(setups: Sequence[str]) -> dict[str, _Style]:
    """One colour and one marker a setup, the same in every figure."""
    return {
        setup: _Style(_COLOURS[i % len(_COLOURS)], _MARKERS[(i // len(_COLOURS) + i) % len(_MARKERS)])
        for i, setup in enumerate(setups)
    }


def curves(
    environment: str, setups: Setups, unfinished: Sequence[Unfinished], looks: Mapping[str, _Style]
) -> Figure:
    """Mean return against gradient steps, with bands across seeds; every seed is a thin line."""
    figure, axes = _new(7.6, 4.4)
    span = _last_step(setups, unfinished)
    for number, (setup, runs) in enumerate(setups.items()):
        _curve(axes, list(runs.values()), looks[setup])
        means = np.array([run.mean for run in runs.values()])
        final = interval([means], resamples=_RESAMPLES)
        at = max(run.result["gradient_steps"] for run in runs.values()) + 0.02 * span * (number + 1)
        _with_ends(axes, at, final, looks[setup], f"{setup} (n = {len(runs)})")
    for left in unfinished:
        name = f"{left.label} {left.seed}, no result"
        axes.plot(*_columns(_points(left.log)), ":", color="#777777", lw=1.2, marker="x", ms=5, label=name)
    some = next((run for runs in setups.values() for run in runs.values()), None)
    if some is not None:
        _anchors(axes, some)
    axes.set_xlabel("gradient steps")
    axes.set_ylabel("mean return of a game")
    axes.set_title(_short(environment), fontsize=10)
    _legend(figure, axes)
    caption = (
        "Mean return on validation seeds (where none were played: of the games played in learning) against "
        "gradient steps. Thick: mean over the training seeds; band: its 95 % interval; thin: single seeds; "
        "dotted with crosses: runs without a result. Markers with bars, right of the last step: the final "
        "evaluation."
    )
    return _drawn(figure, f"curves-{_file(environment)}", caption)


def _curve(axes: Any, runs: Sequence[Run], look: _Style) -> None:
    found = [dict(_points(run.curve or run.played)) for run in runs]
    for points in found:
        axes.plot(*_columns(sorted(points.items())), color=look.color, lw=0.8, alpha=0.35)
    steps = sorted(set.intersection(*(set(points) for points in found)))
    if not steps:
        return
    spread = [
        interval([np.array([points[step] for points in found])], resamples=_RESAMPLES) for step in steps
    ]
    axes.plot(steps, [one.value for one in spread], color=look.color, lw=2.2)
    lows, highs = [one.low for one in spread], [one.high for one in spread]
    if not np.isnan(lows).all():
        axes.fill_between(steps, lows, highs, color=look.color, alpha=0.15, lw=0)


def _points(records: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """(gradient steps, mean return) of the validations; without any, of the games played in learning."""
    kinds = ("validation", "rollout")
    by_kind = {
        kind: [
            (float(r["gradient_steps"]), float(r["return_mean"]))
            for r in records
            if r.get("kind") == kind and r.get("return_mean") is not None
        ]
        for kind in kinds
    }
    return by_kind["validation"] or by_kind["rollout"]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _last_step(setups: Setups, unfinished: Sequence[Unfinished]) -> float:
    ends = [float(run.result["gradient_steps"]) for runs in setups.values() for run in runs.values()]
    ends += [x for left in unfinished for x, _ in _points(left.log)]
    return max([1.0, *ends])


def _with_ends(axes: Any, x: float, found: Any, look: _Style, label: str) -> None:
    low, high = (0.0, 0.0) if math.isnan(found.low) else (found.value - found.low, found.high - found.value)
    ends = [[max(0.0, low)], [max(0.0, high)]]
    axes.errorbar([x], [found.value], yerr=ends, color=look.color, marker=look.marker, capsize=3, label=label)


def _anchors(axes: Any, run: Run) -> None:
    """What random play and the best get."""
    try:
        known = reference(run.env_id, **run.env_kwargs)
    except (ValueError, gymnasium.error.Error):
        return
    lines = (("random play", known.random, ":"), (f"best ({known.kind})", known.best, "--"))
    for name, value, dashes in lines:
        axes.axhline(value, color="#999999", ls=dashes, lw=1, label=f"{name}, {value:.1f}", zorder=0)


def profiles(named: Mapping[str, Setups], looks: Mapping[str, _Style]) -> Figure | None:
    """Performance profiles over the environments in which all setups have runs; None without scores."""
    setups = list(dict.fromkeys(setup for found in named.values() for setup in found))
    common = [found for found in named.values() if set(found) == set(setups)]
    scores = {setup: [[run.score() for run in found[setup].values()] for found in common] for setup in setups}
    scored = [i for i in range(len(common)) if all(_are_numbers(strata[i]) for strata in scores.values())]
    if not scored:
        return None
    values = {setup: [np.array(strata[i], float) for i in scored] for setup, strata in scores.items()}
    every = np.concatenate([each for strata in values.values() for each in strata])
    thresholds = np.linspace(min(0.0, every.min()) - 2, max(100.0, every.max()) + 2, 401)
    figure, axes = _new(7.6, 4.0)
    for setup, strata in values.items():
        found = performance_profile(strata, thresholds)
        look = looks[setup]
        axes.step(thresholds, found.share, color=look.color, lw=2, label=setup, where="post")
        axes.fill_between(thresholds, found.low, found.high, color=look.color, alpha=0.15, lw=0, step="post")
    axes.set_xlabel("score x (0: random play, 100: the best known)")
    axes.set_ylabel("share of runs with a score above x")
    axes.set_ylim(-0.03, 1.03)
    _legend(figure, axes)
    caption = (
        f"Performance profiles (arXiv 2108.13264) over {len(scored)} environment{'s' * (len(scored) != 1)} "
        "in which all these agents have runs, one score a training seed; bands: pointwise 95 % bootstrap "
        "over seeds, stratified by environment. Higher is better."
    )
    return _drawn(figure, "profiles", caption)


def _are_numbers(scores: Sequence[float | None]) -> bool:
    return all(score is not None and math.isfinite(score) for score in scores)


def costs(environment: str, setups: Setups, looks: Mapping[str, _Style]) -> Figure | None:
    """Return against each cost, one point a run; None if the logs tell no cost."""
    shown = {name: key for name, key in COSTS.items() if any(x > 0 for x, *_ in _spent(setups, key))}
    if not shown:
        return None
    lines = math.ceil(len(shown) / _PANELS_A_LINE)
    figure, panels = _new(11.4, 2.7 * lines + 0.5, lines, min(len(shown), _PANELS_A_LINE))
    flat = np.atleast_1d(panels).ravel()
    for axes, (name, key) in zip(flat, shown.items(), strict=False):
        for x, y, setup in _spent(setups, key):
            axes.plot([x], [y], ls="", color=looks[setup].color, marker=looks[setup].marker, ms=6, alpha=0.8)
        values = [x for x, *_ in _spent(setups, key)]
        if min(values) > 0 and max(values) / min(values) >= 10:
            axes.set_xscale("log")
        else:
            _plain_ticks(axes, values)
        axes.set_xlabel(name)
    for axes in flat[len(shown) :]:
        axes.set_visible(False)
    for axes in flat[::_PANELS_A_LINE]:
        axes.set_ylabel("mean return")
    _setups_legend(figure, setups, looks)
    nothing = [name for name in COSTS if name not in shown]
    left_out = f" Not shown, as no run logged any: {', '.join(nothing)}." if nothing else ""
    caption = (
        f"{environment}: mean return of the final evaluation against what training cost, one point a run. "
        f"The evaluation and the cloned policy that a run starts from are not counted.{left_out}"
    )
    return _drawn(figure, f"costs-{_file(environment)}", caption)


def _spent(setups: Setups, key: str) -> list[tuple[float, float, str]]:
    """(cost, mean return, setup) of every run whose log tells the cost."""
    scale = 1e6 if key.endswith("bytes") else 1
    return [
        (float(run.result[key]) / scale, run.mean, setup)
        for setup, runs in setups.items()
        for run in runs.values()
        if run.result.get(key) is not None
    ]


def _plain_ticks(axes: Any, values: Sequence[float]) -> None:
    """Few numbers, written short: 20k and not 20000.0."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=all(x == int(x) for x in values)))
    if max(values) >= 1000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _setups_legend(figure: Any, setups: Setups, looks: Mapping[str, _Style]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="", color=looks[setup].color, marker=looks[setup].marker, label=_short(setup))
        for setup in setups
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)


def _new(width: float, height: float, lines: int = 1, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True)
    for axes in np.atleast_1d(panels).ravel():
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        names = [_short(label) for label in labels]
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)


def _short(text: str) -> str:
    """A dollar begins mathematics in matplotlib; a long name breaks the picture."""
    return text[:60].replace("$", r"\$")


def _drawn(figure: Any, name: str, caption: str) -> Figure:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130, metadata={"Software": None})
    return Figure(name, caption, file.getvalue())


def _file(text: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_=." else "-" for letter in text)
    return "-".join(part for part in kept.removeprefix("lmrlgym-").split("-") if part)[:80]


def all_figures(named: Mapping[str, Setups], unfinished: Sequence[Unfinished]) -> Iterator[Figure]:
    """Every figure that these runs give."""
    looks = styles(list(dict.fromkeys(setup for found in named.values() for setup in found)))
    environments = dict.fromkeys([*named, *(left.environment for left in unfinished if left.environment)])
    for environment in environments:
        left = [each for each in unfinished if each.environment == environment]
        yield curves(environment, named.get(environment, {}), left, looks)
    profile = profiles(named, looks) if named else None
    if profile is not None:
        yield profile
    for environment, setups in named.items():
        cost = costs(environment, setups, looks)
        if cost is not None:
            yield cost
