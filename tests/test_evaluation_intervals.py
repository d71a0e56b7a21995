"""Intervals and smallest differences, compared with scipy and with tests of significance."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from marinecv.evaluation import intervals
from marinecv.evaluation.intervals import (
    bootstrap_means,
    effective_number,
    expanded_interval,
    fraction_interval,
    mcnemar,
    percentile_interval,
    resampled_sums,
    smallest_paired_difference,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (95, 127), (55, 63), (1, 1)])
def test_wilson_equals_scipys(k, n):
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-14)
    assert wilson(k, n)[0] <= k / n <= wilson(k, n)[1] and wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (lambda: wilson(6, 5), "k=6, n=5"),
        (lambda: smallest_paired_difference(4, 3), "discordant=4, n=3"),
        (lambda: smallest_paired_difference(-1, 3), "discordant=-1"),
        (lambda: smallest_paired_difference(0, 0), "n=0"),
    ],
)
def test_impossible_counts_are_refused(refuse, said):
    with pytest.raises(ValueError, match=said):
        refuse()


def test_mcnemar_is_exact():
    assert mcnemar(0, 0) == 1 and mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(2, 9) == mcnemar(9, 2) == pytest.approx(binomtest(2, 11).pvalue)


@pytest.mark.parametrize("discordant", [6, 7, 20, 41])
def test_smallest_paired_difference_is_just_significant(discordant):
    lead = round(smallest_paired_difference(discordant, 100) * 100)
    ahead, behind = (discordant + lead) // 2, (discordant - lead) // 2
    assert mcnemar(ahead, behind) < 0.05 <= mcnemar(ahead - 1, behind + 1)
    assert smallest_paired_difference(0, 127) == smallest_paired_difference(5, 127) == 6 / 127
    assert smallest_paired_difference(0, 3) == 2  # three images cannot show any difference


def test_bootstrap_of_a_mean_finds_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = percentile_interval(bootstrap_means(values, seed=0))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


NORMAL = norm.ppf(np.arange(1, 20000) / 20000)  # replicates of which every percentile is known


@pytest.mark.parametrize("units", [5, 20, 60])
def test_the_expanded_interval_of_few_units_is_students_and_of_many_that_of_percentiles(units):
    wide = t.ppf(0.975, units - 1) * np.sqrt(units / (units - 1))
    low, high = expanded_interval(NORMAL, units)
    assert -low == pytest.approx(high) and high == pytest.approx(min(wide, NORMAL[-1]), rel=0.01)
    assert expanded_interval(NORMAL, 1e6) == pytest.approx(percentile_interval(NORMAL), abs=1e-4)


def test_fewer_than_two_units_bound_no_fraction_and_an_error_by_the_replicates():
    replicates = np.array([0.4, 0.5, 0.7])
    assert expanded_interval(replicates, 1.5) == (0.4, 0.7)
    assert fraction_interval(0.5, replicates, 1.5, 10) == (0, 1)


@pytest.mark.parametrize("k", [0, 3, 60, 63])
def test_a_fraction_of_single_images_is_bounded_about_as_wilson_does(k):
    replicates = np.random.default_rng(0).binomial(63, k / 63, 4000) / 63
    low, high = fraction_interval(k / 63, replicates, 63, 63)
    assert 0 <= low <= k / 63 <= high <= 1
    assert (low, high) == pytest.approx(wilson(k, 63), abs=0.02)


def test_a_fraction_of_groups_that_differ_much_has_a_far_wider_interval():
    groups = np.repeat([0.0, 1.0], 12)[:, None] * 10  # each wholly right or wholly wrong
    replicates = resampled_sums(groups, seed=0)[:, 0] / 240
    low, high = fraction_interval(0.5, replicates, 24, 240)
    assert high - low > 3 * np.subtract(*wilson(120, 240)[::-1]) - 0.02
    assert fraction_interval(1.0, np.ones(2000), 24, 240)[0] < wilson(240, 240)[0]
    assert effective_number([5, 5, 5, 5]) == 4 and effective_number([97, 1, 1, 1]) == pytest.approx(1.06, abs=0.01)


def test_resamples_add_up_whole_groups_however_many_are_drawn_at_a_time(monkeypatch):
    sums = np.array([[1, 10], [2, 20], [4, 40]])
    drawn = resampled_sums(sums, seed=3, resamples=500)
    assert drawn.shape == (500, 2) and (drawn[:, 1] == 10 * drawn[:, 0]).all()
    assert set(drawn[:, 0]) == {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    monkeypatch.setattr(intervals, "CELLS_AT_A_TIME", 3 * 8)
    assert resampled_sums(sums, seed=3, resamples=500).tolist() == drawn.tolist()
