"""Intervals and tests for few training seeds; scipy does the work (extra `compare`).

Intervals are bootstrap intervals over seeds, stratified by environment: BCa below 20 values in a
stratum, else percentile. With few values bootstrap intervals are too narrow by sqrt((n - 1) / n) and
the normal's tail instead of Student's; the levels are widened for that (Hesterberg 2015, The American
Statistician 69(4), sec. 3.3: the expanded percentile interval):

    alpha' / 2 = Phi(-sqrt(n / (n - 1)) t_{alpha / 2, n - 1})
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

Values = np.ndarray
Method = Literal["BCa", "percentile"]
Statistic = Callable[..., Any]
BCA_BELOW = 20
RESAMPLES = 4999
EXACT_SEEDS = 13
"""Up to so many pairs all signs are tried (8,192); above, 9,999 drawn ones."""


class Interval(NamedTuple):
    """A statistic with its 95 % interval; NaN ends where one value says nothing of the spread."""

    value: float
    low: float
    high: float

    def holds(self, number: float) -> bool:
        """Whether `number` is inside, or the ends are not known."""
        return not (self.low > number or self.high < number)


def mean(*strata: Values, axis: int = -1) -> Any:
    """The mean of all values."""
    return np.concatenate(strata, axis=axis).mean(axis=axis)


def interquartile_mean(*strata: Values, axis: int = -1) -> Any:
    """The mean without the lowest and the highest quarter of all values."""
    from scipy.stats import trim_mean

    return trim_mean(np.concatenate(strata, axis=axis), 0.25, axis=axis)


def probability_of_improvement(a: Values, b: Values, axis: int = -1) -> Any:
    """P(a > b) + P(a = b) / 2 over all pairs."""
    a, b = np.moveaxis(np.asarray(a), axis, -1), np.moveaxis(np.asarray(b), axis, -1)
    return (0.5 * (1 + np.sign(a[..., :, None] - b[..., None, :]))).mean(axis=(-2, -1))


def interval(
    strata: Sequence[Values],
    statistic: Statistic = mean,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    method: Method | None = None,
    expanded: bool = True,
    resamples: int = RESAMPLES,
) -> Interval:
    """`statistic` of `strata` with its bootstrap interval; each stratum is resampled on its own.

    `method` None is BCa below 20 values in the smallest stratum. `expanded` widens the levels as the
    module says. The same values give the same interval.
    """
    from scipy.stats import bootstrap, norm, t

    strata = [np.asarray(each, float) for each in strata]
    value = float(statistic(*strata))
    count = min(len(each) for each in strata)
    if count < 2:
        return Interval(value, math.nan, math.nan)
    if all(np.ptp(each) == 0 for each in strata):
        return Interval(value, value, value)
    if expanded:
        tail = norm.cdf(math.sqrt(count / (count - 1)) * t.ppf((1 - confidence) / 2, count - 1))
        confidence = float(1 - 2 * tail)
    chosen = method or ("BCa" if count < BCA_BELOW else "percentile")
    low, high = _bootstrapped(bootstrap, strata, statistic, seed, confidence, chosen, resamples)
    if math.isnan(low) or math.isnan(high):  # BCa where the jackknife or all resamples agree
        low, high = _bootstrapped(bootstrap, strata, statistic, seed, confidence, "percentile", resamples)
    return Interval(value, low, high)


def _bootstrapped(
    bootstrap: Any,
    strata: Sequence[Values],
    statistic: Statistic,
    seed: int,
    confidence: float,
    method: Method,
    resamples: int,
) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate BCa warns and gives NaN, which is handled
        found = bootstrap(
            strata, statistic, n_resamples=resamples, confidence_level=confidence, method=method,
            vectorized=True, rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


class Profile(NamedTuple):
    """Shares of scores above each threshold, with pointwise 95 % bands; NaN bands of single seeds."""

    share: Values
    low: Values
    high: Values


def performance_profile(strata: Sequence[Values], thresholds: Values, seed: int = 0) -> Profile:
    """The share of scores (one stratum an environment, one score a seed) above each threshold.

    Bands are percentiles of 2,000 bootstraps over seeds, stratified (arXiv 2108.13264, sec. 4.2).
    """
    strata, thresholds = [np.asarray(each, float) for each in strata], np.asarray(thresholds, float)
    share = _above(np.concatenate(strata)[None], thresholds)[0]
    if min(map(len, strata)) < 2:
        nothing = np.full(len(thresholds), math.nan)
        return Profile(share, nothing, nothing)
    rng = np.random.default_rng(seed)
    drawn = [each[rng.integers(len(each), size=(2_000, len(each)))] for each in strata]
    low, high = np.percentile(_above(np.concatenate(drawn, axis=1), thresholds), [2.5, 97.5], axis=0)
    return Profile(share, low, high)


def _above(scores: Values, thresholds: Values) -> Values:
    """(K, n) scores -> (K, T) shares above the thresholds."""
    return np.stack([(scores > threshold).mean(axis=1) for threshold in thresholds], axis=1)


def paired_p_value(differences: Values, seed: int = 0) -> float:
    """Two-sided sign-flip permutation test of mean 0: exact up to `EXACT_SEEDS` pairs; NaN for none."""
    from scipy.stats import permutation_test

    differences = np.asarray(differences, float)
    if not len(differences):
        return math.nan
    if not differences.any() or len(differences) == 1:
        return 1.0
    drawn = 2 ** len(differences) if len(differences) <= EXACT_SEEDS else 9_999
    found = permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, axis=-1,
        n_resamples=drawn if len(differences) > EXACT_SEEDS else np.inf, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def smallest_p_value(pairs: int) -> float:
    """What `paired_p_value` gives when all differences have one sign."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_needed(tests: int, alpha: float = 0.05) -> int:
    """The fewest pairs whose smallest p-value can pass `alpha` after Holm's correction for `tests` tests."""
    return math.ceil(1 + math.log2(tests / alpha) - 1e-12)


def holm(p_values: Sequence[float]) -> list[float]:
    """The adjusted p-values of Holm's step-down method, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def detectable_gap(differences: Values, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true gap that `paired_p_value` at `alpha` finds with `power`, for normal differences.

    NaN below two pairs; infinite where no gap can pass.
    """
    differences = np.asarray(differences, float)
    count = len(differences)
    if count < 2:
        return math.nan
    if smallest_p_value(count) > alpha:
        return math.inf
    shift = _shift_of_signs if count <= _SIMULATED_PAIRS else _shift_of_t
    return float(differences.std(ddof=1)) * shift(count, alpha, power)


_SIMULATED_PAIRS = 10
"""Up to so many pairs the permutation test is blunter than the t test: six find a gap only if all agree."""
_SAMPLES = 4000


@lru_cache(maxsize=256)
def _shift_of_t(count: int, alpha: float, power: float) -> float:
    """The gap in standard deviations that a paired t test finds with `power`."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    edge = t.ppf(1 - alpha / 2, count - 1)

    def missing(shift: float) -> float:
        return float(nct.sf(edge, count - 1, shift) - power)  # the far side adds next to nothing

    return float(brentq(missing, 1e-6, edge + 20.0)) / math.sqrt(count)


@lru_cache(maxsize=256)
def _shift_of_signs(count: int, alpha: float, power: float) -> float:
    """The same for the sign-flip test, by simulation; half of all signs, as the others mirror them."""
    noise = np.random.default_rng(0).normal(size=(_SAMPLES, count))
    signs = np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=count - 1)])
    flipped, one = noise @ signs.T, signs.sum(axis=1)
    low, high = 0.0, 20.0
    for _ in range(20):
        shift = (low + high) / 2
        sums = np.abs(flipped + shift * one)
        p_values = (sums >= sums[:, :1] * (1 - 1e-9)).mean(axis=1)
        is_enough = float((p_values <= alpha).mean()) >= power
        low, high = (low, shift) if is_enough else (shift, high)
    return high
