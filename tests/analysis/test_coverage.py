"""What the statistics of `compare` promise, by simulation (`python -m benchmarks.coverage`)."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from benchmarks.coverage import GAMES, SPREAD, coverage, nested_seeds, normal_seeds, power
from lmrlgym.analysis.statistics import interquartile_mean


def test_a_nested_run_spreads_as_its_seed_and_its_games_together():
    means = nested_seeds(np.random.default_rng(0), 20_000)
    # the variance of a sample variance is 2 v^2 / n: a deviation of one in a hundred
    assert means.var() == pytest.approx(1 + SPREAD**2 / GAMES, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [None, interquartile_mean], ids=["mean", "iqm"])
@pytest.mark.parametrize("runs", [normal_seeds, nested_seeds])
def test_twenty_seeds_are_covered_as_promised(runs, statistic):
    arguments = {} if statistic is None else {"statistic": statistic}
    # of 1,000, a share of .95 has a deviation of .007
    assert 0.92 <= coverage(20, 1000, runs, **arguments) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("runs", [normal_seeds, nested_seeds])
def test_the_predicted_gap_is_found_with_the_predicted_power(runs):
    _, found = power(10, 200, runs)
    # of 200, a share of .8 has a deviation of .028
    assert 0.72 <= found <= 0.88
