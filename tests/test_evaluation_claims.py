"""What follows from the claims of the five reports."""

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from five_reports import claims
from five_reports.claims import smallest_difference
from scipy.stats import norm
from sklearn.metrics import f1_score

from marinecv.models.cnn import cnn


@pytest.mark.parametrize(("classes", "images"), [(2, 1), (2, 4), (3, 2), (4, 2)])
def test_the_lowest_macro_f1_is_that_of_all_confusions(classes, images):
    rows = [row for row in product(range(images + 1), repeat=classes) if sum(row) == images]
    lowest = {}
    for counts in product(rows, repeat=classes):
        right = sum(counts[c][c] for c in range(classes))
        f1 = sum(2 * counts[c][c] / (images + sum(row[c] for row in counts)) for c in range(classes)) / classes
        lowest[right] = min(f1, lowest.get(right, 1.0))
    assert [claims.lowest_macro_f1(classes, images, right) for right in lowest] == pytest.approx(list(lowest.values()))
    with pytest.raises(ValueError, match="3 classes of 2 images, 7 right"):
        claims.lowest_macro_f1(3, 2, 7)


def test_the_largest_class_holds_at_least_the_fraction_that_both_scores_need():
    supports = (6, 3, 1)
    for hits in product(range(7), range(4), range(2)):
        accuracy, recall = sum(hits) / 10, sum(h / s for h, s in zip(hits, supports, strict=True)) / 3
        assert claims.largest_class_at_least(f"{accuracy:.4f}", f"{recall:.4f}", 3) <= 0.6 + 1e-9
    assert claims.largest_class_at_least("0.6000", "0.3333", 3) == pytest.approx(0.6, abs=1e-3)
    assert claims.largest_class_at_least("0.5", "0.9", 4) == 0.25


def test_batch_averages_are_macro_averages_of_one_batch_and_shrink_in_the_order_of_classes():
    true, predicted = claims.spread_errors(classes=5, images=8, right=22)
    assert (true == predicted).sum() == 22 and set(np.bincount(true[true == predicted])) == {4, 5}
    averages = claims.batch_averages(true, predicted, 40)
    assert averages["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    true, predicted = claims.spread_errors(20, 25, 303)
    mixed = np.random.default_rng(1).permutation(500)
    in_order, shuffled = (claims.batch_averages(true[o], predicted[o], 64) for o in (slice(None), mixed))
    assert max(in_order.values()) < 0.25 < 0.5 < min(shuffled.values())
    # The first batch has the classes 0 (recall 1/2) and 2 (never right), the second class 1 alone.
    by_hand = claims.batch_averages(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 2)
    assert by_hand["macro_recall"] == pytest.approx((0.25 + 1) / 2)
    assert by_hand["macro_precision"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize(("p", "n", "models"), [(0.7, 4, 3), (0.25, 3, 2), (0.9, 5, 1)])
def test_the_expected_best_is_that_of_all_outcomes(p, n, models):
    chance = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    expected = sum(max(ks) / n * np.prod([chance[k] for k in ks]) for ks in product(range(n + 1), repeat=models))
    assert claims.expected_best(p, n, models) == pytest.approx(expected)


@pytest.mark.parametrize(("p", "n", "other_n"), [(0.748, 127, 127), (0.873, 63, 63), (0.3, 223, 50), (1.0, 63, 63)])
def test_smallest_difference_is_just_significant(p, n, other_n):
    difference = smallest_difference(p, n, other_n)
    other = p - difference if p > 0.5 else p + difference
    pooled = (p * n + other * other_n) / (n + other_n)
    z = abs(p - other) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    assert z == pytest.approx(norm.ppf(0.975)) and difference == pytest.approx(smallest_difference(1 - p, n, other_n))
    for wrong, said in (((1.2, 10), "p=1.2"), ((0.5, 0, 10), "n=0"), ((0.5, 10, 0), "other_n=0")):
        with pytest.raises(ValueError, match=said):
            smallest_difference(*wrong)


def test_two_scores_are_apart_where_separate_samples_are_and_never_with_fewer_than_six_images():
    assert {claims.distinguishable_by_chance(100, 100 - lead, 223) for lead in range(6)} == {claims.NEAR}
    assert claims.distinguishable_by_chance(100, 94, 223) == claims.BETWEEN
    for better, worse in ((b, w) for b in range(64) for w in range(b)):
        if (word := claims.distinguishable_by_chance(better, worse, 63)) != claims.NEAR:
            pooled = (better + worse) / 126
            z = (better - worse) / 63 / np.sqrt(2 * pooled * (1 - pooled) / 63)
            assert (word == claims.FAR) == (z >= 1.959963984540054)


def test_gains_are_found_rounded_or_truncated_and_equal_rows_share_a_place():
    figures = {"a": "0.606", "b": "0.444", "c": "0.540", "d": "0.606"}
    assert claims.find_gains(36, figures) == [("a", "b"), ("d", "b")]
    assert claims.find_gains(21, figures) == [("c", "b")] and claims.find_gains(22, figures) == [("c", "b")]
    assert claims.find_gains(0, figures) == [("a", "d"), ("d", "a")]
    assert [claims.place_of(name, figures) for name in figures] == [1, 4, 3, 1]


CURVES = {
    "flat": [1.0] * 12,
    "creeping": [1 - 1e-6 * epoch for epoch in range(12)],
    "falls, then rises": [1, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1, 1, 1],
}


def test_behind_a_shorter_early_stop_the_rate_falls_on_a_creeping_curve_alone():
    assert claims.reductions(CURVES["flat"], 5, 4) == [] and claims.reductions(CURVES["falls, then rises"], 5, 4) == []
    assert claims.reductions(CURVES["creeping"], 5, 4) == [6, 11] and claims.reductions(CURVES["flat"], 4, 5) == [5]


@pytest.mark.parametrize(
    ("kernels", "padding", "pools"), [((3, 3), None, (2, 3)), ((6, 6), 1, (2, 2)), ((5, 4), 0, (3, 1))]
)
def test_the_sides_of_maps_are_those_of_the_network(kernels, padding, pools):
    model = cnn((41, 41, 3), 2, filters=(2, 3), kernels=kernels, pools=pools, padding=padding)
    maps = [layer.output.shape[1] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert claims.map_sides(41, kernels, padding, pools) == maps
