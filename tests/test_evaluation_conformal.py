"""Prediction sets hold the true class as often as they say."""

import numpy as np
import pytest

from marinecv.evaluation.calibration import fit_temperature
from marinecv.evaluation.conformal import coverage_range, prediction_sets, set_threshold


def drawn(rng, n, classes=5):
    """A poor network: its probabilities know little of the true class, and are badly calibrated."""
    true = rng.integers(0, classes, n)
    probabilities = rng.dirichlet(np.full(classes, 0.3), n)
    probabilities[np.arange(n), true] += rng.random(n)
    return probabilities / probabilities.sum(axis=1, keepdims=True), true


@pytest.mark.parametrize("n", [20, 39, 57])
def test_over_1000_simulated_sets_the_coverage_is_what_theory_says(n):
    rng, covered = np.random.default_rng(n), []
    for _ in range(1000):
        threshold = set_threshold(*drawn(rng, n))
        probabilities, true = drawn(rng, 200)
        covered.append(prediction_sets(probabilities, threshold)[np.arange(200), true].mean())
    error = 3 * np.std(covered) / np.sqrt(1000)
    assert 0.9 - error <= np.mean(covered) <= 0.9 + 1 / (n + 1) + error


def test_without_the_correction_for_n_the_coverage_is_too_low():
    rng, covered = np.random.default_rng(0), []
    for _ in range(1000):
        probabilities, true = drawn(rng, 20)
        naive = np.quantile(1 - probabilities[np.arange(20), true], 0.9)
        probabilities, true = drawn(rng, 200)
        covered.append((1 - probabilities <= naive)[np.arange(200), true].mean())
    assert np.mean(covered) < 0.9 - 3 * np.std(covered) / np.sqrt(1000)


def test_the_threshold_by_hand():
    probabilities = np.column_stack([np.arange(1, 10) / 10, 1 - np.arange(1, 10) / 10])
    assert set_threshold(probabilities, np.zeros(9, int), 0.9) == pytest.approx(0.9)  # the ninth of nine
    assert set_threshold(probabilities, np.zeros(9, int), 0.5) == pytest.approx(0.5)  # the fifth


def test_a_set_has_the_classes_up_to_the_threshold_and_always_the_most_probable_one():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [1, 0, 0]])
    inside = prediction_sets(probabilities, 0.5)
    assert inside.tolist() == [[True, False, False], [True, False, False], [True, False, False]]


def test_where_the_network_is_right_more_often_than_asked_its_sets_are_too():
    rng = np.random.default_rng(0)
    true, confidence = rng.integers(0, 2, 4000), rng.uniform(0.9, 1, 4000)
    probabilities = np.column_stack([confidence, 1 - confidence])
    probabilities[true == 1] = probabilities[true == 1, ::-1]
    inside = prediction_sets(probabilities, set_threshold(probabilities, true))
    assert (inside.sum(axis=1) == 1).all() and inside[np.arange(4000), true].all()


@pytest.mark.parametrize("n", [20, 57, 400])
def test_the_coverage_of_one_part_held_out_lies_in_its_range_95_times_of_100(n):
    thresholds = np.sort(np.random.default_rng(n).random((2000, n)), axis=1)  # of even scores each is its own coverage
    low, high = coverage_range(n)
    place = round(set_threshold(np.column_stack([1 - np.arange(1, n + 1) / n] * 2), np.zeros(n, int)) * n)
    inside = (low <= thresholds[:, place - 1]) & (thresholds[:, place - 1] <= high)
    assert 0.93 <= inside.mean() <= 0.97 and low < 0.9 < high


def test_the_more_is_held_out_the_nearer_is_the_coverage():
    assert coverage_range(20) == pytest.approx((0.751, 0.988), abs=1e-3)
    assert coverage_range(1000)[0] > 0.87


def test_a_set_grows_with_the_threshold():
    probabilities = drawn(np.random.default_rng(0), 50)[0]
    assert (prediction_sets(probabilities, 0.6) <= prediction_sets(probabilities, 0.8)).all()
    assert prediction_sets(probabilities, 1.0).all()


@pytest.mark.parametrize(
    ("n", "coverage", "least"),
    [(8, 0.9, "at least 9"), (0, 0.9, "at least 9"), (50, 1.0, "endlessly many"), (9, 0, "above 0")],
)
def test_too_few_images_for_a_coverage_are_refused(n, coverage, least):
    with pytest.raises(ValueError, match=f"{n} images cannot state a coverage of {coverage}. .*{least}"):
        set_threshold(np.full((n, 2), 0.5), np.zeros(n, int), coverage)
    with pytest.raises(ValueError, match=f"{n} images cannot state"):
        coverage_range(n, coverage)


@pytest.mark.parametrize("true", [[0, 1], [0, 1, -1], [0, 1, 3], ["a", "b", "c"], [0.0, 1.0, 2.0]])
@pytest.mark.parametrize("fit", [set_threshold, fit_temperature])
def test_true_classes_that_are_no_columns_are_refused(fit, true):
    with pytest.raises(ValueError, match="Expected true to be the number of a class"):
        fit(np.eye(3), np.array(true), *([0.5] if fit is set_threshold else []))
