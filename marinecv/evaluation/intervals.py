"""Confidence intervals, and the smallest significant difference of two models on n images.

Ours rather than scipy's `bootstrap` and `proportion_ci`: whole groups are resampled, and intervals are widened for few
groups. The tests compare Wilson's interval with scipy's.
"""

from math import sqrt

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtrit

LEVEL = 0.95  # confidence of every interval and test
Z = float(ndtri((1 + LEVEL) / 2))
RESAMPLES = 2000
CELLS_AT_A_TIME = 4_000_000  # of the resampled groups, 32 MB of numbers


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95% score interval (low, high) of k successes in n trials; (0, 1) for no trial.

    Raises ValueError where k is not between 0 and n. Source: Wilson (1927), without continuity correction.
    """
    if not 0 <= k <= n:
        raise ValueError(f"Expected 0 <= k <= n. Received: k={k}, n={n}.")
    if n == 0:
        return 0.0, 1.0
    low, high = _score_bounds(k / n, n, Z)
    # At the ends the bound is exactly the end; rounding must not push it past k/n.
    return (0.0 if k == 0 else low), (1.0 if k == n else high)


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """Return the 95% percentile interval (low, high) of bootstrap replicates (resamples,)."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def expanded_interval(replicates: np.ndarray, units: float) -> tuple[float, float]:
    """Return the expanded percentile interval (low, high) of bootstrap replicates (resamples,).

    Resamples of few units vary too little, by sqrt(units / (units - 1)), and need Student's distribution; the level of
    the percentiles corrects for both. `units` is the number of images or groups, of uneven ones the `effective_number`;
    fewer than two give the least and the largest replicate. Source: Hesterberg (2015), What teachers should know about
    the bootstrap.
    """
    tail = ndtr(-sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + LEVEL) / 2)) if units >= 2 else 0.0
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def fraction_interval(value: float, replicates: np.ndarray, units: float, n: int) -> tuple[float, float]:
    """Return the interval (low, high) of a metric from 0 to 1, `value` between them.

    On each side the outer one of two bounds: the expanded percentile, and Wilson's for the effective number of images,
    at most n, whose variance is that of the replicates. Percentiles alone are too narrow near 0 and 1 and for classes
    of few images, Wilson's for groups of very uneven size. tests/test_statistics_simulated.py measures the coverage.
    `replicates` and `units` are as of `expanded_interval`; fewer than two units give (0, 1).
    """
    low, high = expanded_interval(replicates, units) if units >= 2 else (0.0, 1.0)
    if units >= 2:
        spread = replicates.std() * sqrt(units / (units - 1))
        # Equal resamples do not show how groups differ: each group then counts as one image.
        images = min(n, value * (1 - value) / spread**2) if spread > 1e-9 else units
        wilson_bounds = _score_bounds(value, images, stdtrit(units - 1, (1 + LEVEL) / 2))
        low, high = min(low, wilson_bounds[0]), max(high, wilson_bounds[1])
    return float(max(0.0, min(low, value))), float(min(1.0, max(high, value)))


def with_seeds(low: float, high: float, values: np.ndarray) -> tuple[float, float]:
    """Widen the bounds of a mean over seeds, which are for other images, by the variance between its `values` (seeds,).

    Adds the half-width of Student's interval of the mean in quadrature: for other seeds too. NaN for a single seed.
    """
    mean, count = values.mean(), len(values)
    half = stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / sqrt(count) if count > 1 else np.nan
    return float(mean - np.hypot(mean - low, half)), float(mean + np.hypot(high - mean, half))


def effective_number(sizes: np.ndarray) -> float:
    """Return the effective number of groups, (sum of sizes)^2 / sum of squares. Source: Kish (1965)."""
    sizes = np.asarray(sizes, dtype=float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def resampled_sums(sums: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample groups with replacement and add up their `sums` (groups, K): (resamples, K) float64."""
    rng, groups = np.random.default_rng(seed), len(sums)
    sums, totals = np.asarray(sums, dtype=float), np.empty((resamples, sums.shape[1]))
    at_a_time = max(1, CELLS_AT_A_TIME // groups)  # bounds the memory
    for start in range(0, resamples, at_a_time):
        chunk = totals[start : start + at_a_time]
        chunk[:] = rng.multinomial(groups, np.full(groups, 1 / groups), len(chunk)) @ sums
    return totals


def bootstrap_means(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample values (n,) with replacement: the mean of each resample, (resamples,)."""
    rng = np.random.default_rng(seed)
    return np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)])


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p value of McNemar's test: binomial with 1/2 over the discordant images.

    `only_a` images are classified correctly by the first classifier alone, `only_b` by the second alone.
    """
    discordant = only_a + only_b
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))


def smallest_paired_difference(discordant: int, n: int) -> float:
    """Return the smallest difference in accuracy that is significant by McNemar's exact test on the same n images.

    `discordant` images are classified correctly by exactly one of the two. Fewer than six are never significant: then
    six are assumed. The difference is above 1 where n images cannot show any. Raises ValueError where discordant is
    not between 0 and n, or there is no image.
    """
    if n < 1 or not 0 <= discordant <= n:
        raise ValueError(f"Expected 0 <= discordant <= n and n >= 1. Received: discordant={discordant}, n={n}.")
    while mcnemar(discordant, 0) >= 1 - LEVEL:
        discordant += 1
    leads = range(discordant % 2, discordant + 1, 2)
    return next(k for k in leads if mcnemar((discordant + k) // 2, (discordant - k) // 2) < 1 - LEVEL) / n


def _score_bounds(p: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's bounds of a proportion p of n images, not always whole, z standard errors away."""
    center = (p * n + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * sqrt(p * (1 - p) * n + z**2 / 4)
    return center - half, center + half
