"""Prediction sets hold the true class as often as they state, and are those of mapie."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from marinecv.evaluation.conformal import coverage_range, prediction_sets, set_threshold


def drawn(rng, n, classes=5):
    """Badly calibrated probabilities of a poor classifier, and true classes."""
    true = rng.integers(0, classes, n)
    probabilities = rng.dirichlet(np.full(classes, 0.3), n)
    probabilities[np.arange(n), true] += rng.random(n)
    return probabilities / probabilities.sum(axis=1, keepdims=True), true


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are its probabilities."""

    classes_ = np.arange(5)

    def fit(self, x, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


@pytest.mark.parametrize(("n", "coverage"), [(20, 0.9), (57, 0.9), (200, 0.8)])
def test_sets_are_those_of_mapie_and_always_have_the_most_probable_class(n, coverage):
    rng = np.random.default_rng(n)
    probabilities, true = drawn(rng, n)
    new = drawn(rng, 500)[0]
    theirs = SplitConformalClassifier(Given(), confidence_level=coverage, conformity_score="lac", prefit=True)
    expected = theirs.conformalize(probabilities, true).predict_set(new)[1][:, :, 0]
    found = prediction_sets(new, set_threshold(probabilities, true, coverage))
    np.testing.assert_array_equal(found, expected | np.eye(5, dtype=bool)[new.argmax(axis=1)])


@pytest.mark.parametrize("n", [20, 57])
def test_over_1000_simulated_sets_the_coverage_is_what_theory_says(n):
    rng, covered, naive = np.random.default_rng(n), [], []
    for _ in range(1000):
        probabilities, true = drawn(rng, n)
        uncorrected = np.quantile(1 - probabilities[np.arange(n), true], 0.9)
        threshold = set_threshold(probabilities, true)
        probabilities, true = drawn(rng, 200)
        covered.append(prediction_sets(probabilities, threshold)[np.arange(200), true].mean())
        naive.append((1 - probabilities <= uncorrected)[np.arange(200), true].mean())
    error = 3 * np.std(covered) / np.sqrt(1000)
    assert 0.9 - error <= np.mean(covered) <= 0.9 + 1 / (n + 1) + error
    assert np.mean(naive) < 0.9


def test_the_threshold_and_its_sets_by_hand():
    probabilities = np.column_stack([np.arange(1, 10) / 10, 1 - np.arange(1, 10) / 10])
    assert set_threshold(probabilities, np.zeros(9, int), 0.9) == pytest.approx(0.9)  # the ninth of nine
    assert set_threshold(probabilities, np.zeros(9, int), 0.5) == pytest.approx(0.5)  # the fifth
    inside = prediction_sets(np.array([[0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [1, 0, 0]]), 0.5)
    assert inside.tolist() == [[True, False, False]] * 3


@pytest.mark.parametrize("n", [20, 57, 400])
def test_the_coverage_of_one_calibration_set_lies_in_its_range_95_times_of_100(n):
    thresholds = np.sort(np.random.default_rng(n).random((2000, n)), axis=1)  # uniform scores are their own coverage
    low, high = coverage_range(n)
    rank = round(set_threshold(np.column_stack([1 - np.arange(1, n + 1) / n] * 2), np.zeros(n, int)) * n)
    inside = (low <= thresholds[:, rank - 1]) & (thresholds[:, rank - 1] <= high)
    assert 0.93 <= inside.mean() <= 0.97 and low < 0.9 < high
    assert coverage_range(20) == pytest.approx((0.751, 0.988), abs=1e-3)


@pytest.mark.parametrize(
    ("n", "coverage", "least"), [(8, 0.9, "9 images"), (0, 0.9, "9 images"), (50, 1.0, "infinitely"), (9, 0, "above 0")]
)
def test_too_few_images_for_a_coverage_are_refused(n, coverage, least):
    for refuse in (
        lambda: set_threshold(np.full((n, 2), 0.5), np.zeros(n, int), coverage),
        lambda: coverage_range(n, coverage),
    ):
        with pytest.raises(ValueError, match=f"{n} images cannot state a coverage of {coverage}.*{least}"):
            refuse()
