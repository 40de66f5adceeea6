"""What the statistics of `lmrlgym compare` promise, by simulation: python -m benchmarks.coverage [--trials N]

How often the 95 % intervals of mean and interquartile mean hold the truth, where seeds are normal,
and where a run is a seed's own mean plus the mean of its games; how often a true gap as large as the
predicted detectable one is found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from lmrlgym.analysis.statistics import (
    Statistic,
    detectable_gap,
    interquartile_mean,
    interval,
    mean,
    paired_p_value,
)

TRIALS = 1000
SEEDS = (3, 5, 6, 10, 20)
GAMES = 25
"""Games a run in the nested case; their spread is `SPREAD` times that between seeds."""
SPREAD = 4.0
Runs = Callable[[np.random.Generator, int], np.ndarray]
"""(rng, seeds) -> the mean of each seed's games; the truth is 0."""


def normal_seeds(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Standard normal means."""
    return rng.normal(size=seeds)


def nested_seeds(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Standard normal seeds, each seen through the mean of its noisy games."""
    games = rng.normal(scale=SPREAD, size=(seeds, GAMES))
    means: np.ndarray = rng.normal(size=seeds) + games.mean(axis=1)
    return means


def coverage(
    seeds: int, trials: int = TRIALS, runs: Runs = normal_seeds, statistic: Statistic = mean
) -> float:
    """Share of samples of `seeds` runs whose interval of `statistic` holds 0."""
    rng = np.random.default_rng(seeds)
    return float(
        np.mean([interval([runs(rng, seeds)], statistic, resamples=999).holds(0.0) for _ in range(trials)])
    )


def power(seeds: int, trials: int = TRIALS, runs: Runs = normal_seeds) -> tuple[float, float]:
    """(the gap predicted to be found with .8, the share of samples with that gap that are found).

    The prediction is the root mean square of `detectable_gap` over samples: a single one knows the spread
    of a few seeds only, and only its square is right on average. Found is what names a winner: a permutation
    p of at most .05 and an interval without 0.
    """
    rng = np.random.default_rng(seeds + 100)
    gaps = np.array([detectable_gap(_differences(rng, seeds, runs)) for _ in range(trials)])
    gap = float(np.sqrt((gaps**2).mean()))
    found = 0
    for _ in range(trials):
        differences = gap + _differences(rng, seeds, runs)
        found += paired_p_value(differences) <= 0.05 and not interval([differences], resamples=999).holds(0.0)
    return gap, found / trials


def _differences(rng: np.random.Generator, seeds: int, runs: Runs) -> np.ndarray:
    difference: np.ndarray = runs(rng, seeds) - runs(rng, seeds)
    return difference


def main() -> None:
    """Print the table of docs/compare.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help="samples of each number")
    trials = parser.parse_args().trials
    print(
        "| seeds | mean, normal | IQM, normal | mean, nested | IQM, nested "
        "| gap | power | nested gap | power |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for seeds in SEEDS:
        held = [
            f"{100 * coverage(seeds, trials, runs, statistic):.1f} %"
            for runs in (normal_seeds, nested_seeds)
            for statistic in (mean, interquartile_mean)
        ]
        found = [power(seeds, trials, runs) if seeds > 5 else None for runs in (normal_seeds, nested_seeds)]
        cells = [
            cell for one in found for cell in ((f"{one[0]:.2f}", f"{one[1]:.2f}") if one else ("-", "-"))
        ]
        print(f"| {' | '.join([str(seeds), *held, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
