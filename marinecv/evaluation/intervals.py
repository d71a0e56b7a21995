"""What n images can show: intervals of a figure, and the smallest difference between two."""

from math import sqrt

import numpy as np
from scipy.special import ndtr, stdtrit
from scipy.stats import binomtest, norm

LEVEL = 0.95  # confidence of every interval and test
Z = float(norm.ppf((1 + LEVEL) / 2))
RESAMPLES = 2000
CELLS_AT_A_TIME = 4_000_000  # of the resampled groups, 32 MB of numbers


def wilson(k: int, n: int) -> tuple[float, float]:
    """Bound a proportion of k successes in n trials by Wilson's score interval: (low, high), k/n between them.

    0 trials bound nothing and give (0, 1). Raises ValueError where k is not between 0 and n. Source: Wilson (1927),
    without continuity correction.
    """
    if not 0 <= k <= n:
        raise ValueError(f"Expected 0 <= k <= n. Received: k={k}, n={n}.")
    if n == 0:
        return 0.0, 1.0
    low, high = _score_bounds(k / n, n, Z)
    # At the ends the bound is exactly the end; rounding must not push it past k/n.
    return (0.0 if k == 0 else low), (1.0 if k == n else high)


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """Bound a figure by the percentiles of its bootstrap replicates, (resamples,): (low, high) in its unit."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def expanded_interval(replicates: np.ndarray, units: float) -> tuple[float, float]:
    """Bound a figure by percentiles of its bootstrap replicates, further out the fewer units were resampled.

    Resamples of few units vary too little by the factor sqrt(units / (units - 1)), and ask for Student's distribution:
    both are made good in the level of the percentiles. `units` are images or groups, uneven ones as `effective_number`
    counts them; of fewer than two the bounds are the least and the largest replicate. Source: Hesterberg (2015), What
    teachers should know about the bootstrap, the expanded percentile interval.
    """
    tail = ndtr(-sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + LEVEL) / 2)) if units >= 2 else 0.0
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def share_interval(value: float, replicates: np.ndarray, units: float, n: int) -> tuple[float, float]:
    """Bound a figure from 0 to 1 by its bootstrap replicates: (low, high), each 0 to 1, the value between.

    On either side the outer one of two bounds: the expanded percentile, and Wilson's at as many images as would by
    themselves vary like the replicates do, at most the n behind the value. Percentiles alone are too narrow near 0 and
    1 and where a class has few images, the other where groups are of very uneven size;
    tests/test_statistics_simulated.py measures how often the two together hold the truth. `units` is as of
    `expanded_interval`; fewer than two bound nothing and give (0, 1).
    """
    low, high = expanded_interval(replicates, units) if units >= 2 else (0.0, 1.0)
    if units >= 2:
        spread = replicates.std() * sqrt(units / (units - 1))
        # Resamples that are all alike say nothing of how far groups differ: each then counts as one image.
        images = min(n, value * (1 - value) / spread**2) if spread > 1e-9 else units
        wilsons = _score_bounds(value, images, stdtrit(units - 1, (1 + LEVEL) / 2))
        low, high = min(low, wilsons[0]), max(high, wilsons[1])
    return float(max(0.0, min(low, value))), float(min(1.0, max(high, value)))


def effective_number(sizes: np.ndarray) -> float:
    """Return how many groups of one size would say as much as these: (sum of sizes)^2 / sum of squares.

    Source: Kish (1965), Survey sampling.
    """
    sizes = np.asarray(sizes, dtype=float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def resampled_sums(sums: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample groups with replacement and add up each resample, some resamples at a time to bound the memory.

    `sums` (groups, K) is what the images of each group come to. Returns (resamples, K) float64.
    """
    rng, groups = np.random.default_rng(seed), len(sums)
    sums, found = np.asarray(sums, dtype=float), np.empty((resamples, sums.shape[1]))
    at_a_time = max(1, CELLS_AT_A_TIME // groups)
    for start in range(0, resamples, at_a_time):
        part = found[start : start + at_a_time]
        part[:] = rng.multinomial(groups, np.full(groups, 1 / groups), len(part)) @ sums
    return found


def bootstrap_means(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample images, one number each, with replacement and average each resample: (resamples,) means."""
    rng = np.random.default_rng(seed)
    return np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)])


def smallest_difference(p: float, n: int, other_n: int | None = None) -> float:
    """Return the smallest difference from p that two separate samples of these sizes could show.

    The convention: a two-sided z test of two proportions, pooled under the null, p observed on n images and p plus or
    minus the difference on `other_n` (None takes n). The difference is taken towards 1/2, where the test asks for more,
    so nothing smaller is significant on either side. Above max(p, 1 - p) no outcome at all would be significant. Power
    is not included: a true difference of this size is found about half the time. For two sets of predictions on the
    same images use `smallest_paired_difference`. Raises ValueError where p is no proportion, or a sample is empty.
    """
    other_n = n if other_n is None else other_n
    if not 0 <= p <= 1 or n < 1 or other_n < 1:
        raise ValueError(f"Expected p from 0 to 1 and at least one image. Received: p={p}, n={n}, other_n={other_n}.")
    p = max(p, 1 - p)
    weight = other_n / (n + other_n)
    spread = Z**2 * (1 / n + 1 / other_n)
    # difference^2 = spread * pooled * (1 - pooled) with pooled = p - weight * difference: a quadratic, larger root.
    a = 1 + spread * weight**2
    b = -spread * weight * (2 * p - 1)
    c = -spread * p * (1 - p)
    return (-b + sqrt(b**2 - 4 * a * c)) / (2 * a)


def mcnemar(only_a: int, only_b: int) -> float:
    """Test whether two classifiers err equally often on the same images.

    `only_a` images only the first has right, `only_b` only the second. Returns the exact two-sided p value (binomial
    with 1/2 over the discordant images).
    """
    discordant = only_a + only_b
    return float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def smallest_paired_difference(discordant: int, n: int) -> float:
    """Return the smallest difference in accuracy that McNemar's exact test could show on the same n images.

    Discordant are images that exactly one of the two has right. Below six not even a clean sweep is significant at
    0.95; then the count is raised until one is. The difference is above 1 where n images cannot show any. Raises
    ValueError where discordant is not between 0 and n, or there is no image.
    """
    if n < 1 or not 0 <= discordant <= n:
        raise ValueError(f"Expected 0 <= discordant <= n and n >= 1. Received: discordant={discordant}, n={n}.")
    while mcnemar(discordant, 0) >= 1 - LEVEL:
        discordant += 1
    leads = range(discordant % 2, discordant + 1, 2)
    return next(k for k in leads if mcnemar((discordant + k) // 2, (discordant - k) // 2) < 1 - LEVEL) / n


def _score_bounds(p: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's bounds of a proportion p of n, which need not be whole, z standard errors away."""
    centre = (p * n + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * sqrt(p * (1 - p) * n + z**2 / 4)
    return centre - half, centre + half
