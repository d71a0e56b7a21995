from math import sqrt

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from marinecv.evaluation.intervals import (
    bootstrap_means,
    mcnemar,
    percentile_interval,
    smallest_difference,
    smallest_paired_difference,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (95, 127), (55, 63), (1, 1)])
def test_wilson_equals_scipys(k, n):
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-14)
    assert wilson(k, n)[0] <= k / n <= wilson(k, n)[1]


def test_no_trial_bounds_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ValueError, match="Received: k=6, n=5"):
        wilson(6, 5)


def z_test(p, n, other_p, other_n):
    pooled = (p * n + other_p * other_n) / (n + other_n)
    return abs(p - other_p) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))


@pytest.mark.parametrize(("p", "n", "other_n"), [(0.748, 127, 127), (0.873, 63, 63), (0.3, 223, 50), (1.0, 63, 63)])
def test_smallest_difference_is_just_significant(p, n, other_n):
    difference = smallest_difference(p, n, other_n)
    towards_half = p - difference if p > 0.5 else p + difference
    assert z_test(p, n, towards_half, other_n) == pytest.approx(norm.ppf(0.975))


def test_smallest_difference_shrinks_with_n_and_is_symmetric():
    assert smallest_difference(0.7, 100) > smallest_difference(0.7, 1000)
    assert smallest_difference(0.7, 100) == pytest.approx(smallest_difference(0.3, 100))


@pytest.mark.parametrize(("p", "n", "other_n"), [(1.2, 10, 10), (0.5, 0, 10), (0.5, 10, 0)])
def test_smallest_difference_of_nonsense_is_refused(p, n, other_n):
    with pytest.raises(ValueError, match="Expected p from 0 to 1 and at least one image"):
        smallest_difference(p, n, other_n)


def test_mcnemar_is_exact():
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(2, 9) == mcnemar(9, 2) == pytest.approx(binomtest(2, 11).pvalue)


@pytest.mark.parametrize("discordant", [6, 7, 20, 41])
def test_smallest_paired_difference_is_just_significant(discordant):
    lead = round(smallest_paired_difference(discordant, 100) * 100)
    ahead, behind = (discordant + lead) // 2, (discordant - lead) // 2
    assert mcnemar(ahead, behind) < 0.05 <= mcnemar(ahead - 1, behind + 1)


def test_fewer_than_six_discordant_images_show_nothing():
    assert smallest_paired_difference(0, 127) == smallest_paired_difference(5, 127) == 6 / 127
    assert smallest_paired_difference(0, 3) == 2  # three images cannot show any difference


@pytest.mark.parametrize(("discordant", "n"), [(4, 3), (-1, 3), (0, 0)])
def test_smallest_paired_difference_of_nonsense_is_refused(discordant, n):
    with pytest.raises(ValueError, match="Expected 0 <= discordant <= n"):
        smallest_paired_difference(discordant, n)


def test_bootstrap_of_a_mean_finds_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = percentile_interval(bootstrap_means(values, seed=0))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_means(values, seed=0).tolist() == bootstrap_means(values, seed=0).tolist()
