"""How often the 95 % intervals of `lmrlgym compare` hold the truth: python -m benchmarks.coverage"""

from __future__ import annotations

import numpy as np

from lmrlgym.analysis.statistics import interval

TRIALS = 1000


def coverage(seeds: int, trials: int = TRIALS) -> float:
    """Share of samples of `seeds` standard normal values whose interval of the mean holds 0."""
    rng = np.random.default_rng(seeds)
    return float(
        np.mean([interval([rng.normal(size=seeds)], resamples=999).holds(0.0) for _ in range(trials)])
    )


if __name__ == "__main__":
    for count in (3, 5, 10, 20):
        print(f"{count} seeds: {100 * coverage(count):.1f} %")
