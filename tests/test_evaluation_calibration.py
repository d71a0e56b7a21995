"""The temperature, compared with scikit-learn's, calibration errors, and prediction sets, compared with mapie's."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn
from mapie.classification import SplitConformalClassifier
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV

from marinecv.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_HELD_OUT_IMAGES,
    MIN_TEMPERATURE,
    calibrated,
    calibration_error,
    cross_validated_loss,
    error_of_perfect_calibration,
    evaluate_temperature,
    fit_temperature,
    reliability_table,
    temperature_sentence,
)
from marinecv.evaluation.conformal import coverage_range, prediction_sets, set_threshold
from marinecv.evaluation.estimates import has_interval, mean_estimate
from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.selective import review_sentence

NAMES = ("crab", "eel", "ray", "shark")


def simulated(n, factor=1.0, seed=0):
    """Classes drawn from exactly the probabilities whose logits a network gives `factor` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, len(NAMES)))
    chances = softmax(logits, axis=1)
    true = (rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return softmax(factor * logits, axis=1).astype(np.float32), true


def table(probabilities, true, split="validation"):
    ids = [f"{number}.jpg" for number in range(len(true))]
    return make_table(ids, [split] * len(true), [NAMES[i] for i in true], probabilities, NAMES)


class AsGiven(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are its logits or probabilities."""

    def __init__(self, num_classes=4):
        self.num_classes = num_classes
        self.classes_ = np.arange(num_classes)

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)

    decision_function = predict_proba


@pytest.mark.skipif(tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8), reason="has no temperature")
@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_the_temperature_and_its_probabilities_are_scikit_learns(factor):
    from sklearn.frozen import FrozenEstimator

    probabilities, true = simulated(5000, factor)
    logits = np.log(probabilities.astype(float))
    theirs = CalibratedClassifierCV(FrozenEstimator(AsGiven()), method="temperature").fit(logits, true)
    temperature = fit_temperature(probabilities, true)
    assert 1 / theirs.calibrated_classifiers_[0].calibrators[0].beta_ == pytest.approx(temperature, rel=1e-3)
    np.testing.assert_allclose(calibrated(probabilities, temperature), theirs.predict_proba(logits), atol=1e-3)
    assert fit_temperature(*simulated(20_000, factor)) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("temperature", [MIN_TEMPERATURE, 0.7, 3, MAX_TEMPERATURE])
def test_it_is_the_softmax_of_divided_logits_and_the_most_probable_class_stays(temperature):
    near = np.float32([[0.25000003, 0.25, 0.25, 0.24999997], [1, 0, 0, 0], [0, 0.5, 0.5, 0]])
    probabilities = np.concatenate([simulated(500)[0], near])
    scaled = calibrated(probabilities, temperature)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    logits = np.random.default_rng(0).normal(0, 1, (50, 4))
    np.testing.assert_allclose(calibrated(softmax(logits, axis=1), 1.7), softmax(logits / 1.7, axis=1), atol=1e-12)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="a temperature above 0"):
        calibrated(np.full((1, 2), 0.5), temperature)


def test_images_that_are_all_right_wrong_or_of_one_class_give_a_finite_temperature():
    probabilities = simulated(400)[0]
    right = probabilities.argmax(axis=1)
    many, few = fit_temperature(probabilities, right), fit_temperature(probabilities[:5], right[:5])
    assert MIN_TEMPERATURE < many < few < 1
    assert MIN_TEMPERATURE < fit_temperature(probabilities, np.zeros(400, int)) < MAX_TEMPERATURE
    certain = np.eye(4)[[0, 1, 2, 3] * 5]
    assert MIN_TEMPERATURE <= fit_temperature(certain, certain.argmax(axis=1)) < 1
    assert fit_temperature(certain, (certain.argmax(axis=1) + 1) % 4) == pytest.approx(MAX_TEMPERATURE, rel=1e-3)


def test_the_calibration_error_by_hand_and_from_the_reliability_table():
    assert calibration_error(np.full(5, 0.8), np.array([1, 1, 1, 1, 0])) == pytest.approx(0)
    # Two bins: three images with 0.9, of which one is right, and one with 0.4 that is right.
    confidence, right = np.array([0.9, 0.9, 0.9, 0.4]), np.array([0, 1, 0, 1])
    assert calibration_error(confidence, right) == pytest.approx((3 * abs(0.9 - 1 / 3) + abs(0.4 - 1)) / 4)
    assert calibration_error(confidence, right, bins=1) == pytest.approx(abs(confidence.mean() - 0.5))
    assert list(reliability_table(np.array([1 / 15, 1 / 15 + 1e-6, 1.0]), np.ones(3))["bin"]) == [1, 2, 15]
    probabilities, true = simulated(300, 2.0)
    confidence, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == true
    rows = reliability_table(confidence, right)
    assert rows["n"].sum() == 300 and (rows["n"] > 0).all()
    error = (rows["n"] * (rows["accuracy"] - rows["confidence"]).abs()).sum() / 300
    assert error == pytest.approx(calibration_error(confidence, right))
    bounds = [wilson(round(row.accuracy * row.n), row.n) for row in rows.itertuples()]
    assert [*zip(rows["low"], rows["high"], strict=True)] == bounds


def test_the_error_of_perfect_probabilities_falls_with_n():
    few, many = error_of_perfect_calibration(np.full(20, 0.8)), error_of_perfect_calibration(np.full(20_000, 0.8))
    # The mean of |K/20 - 0.8| over a binomial K, by its normal approximation sqrt(2/pi) sd.
    assert few == pytest.approx(np.sqrt(2 / np.pi) * np.sqrt(0.8 * 0.2 / 20), rel=0.15)
    assert many < 0.005


def record(found):
    """`Run.calibration` of the same, as far as sentences read it."""
    parts = {name: SimpleNamespace(**found[name]) for name in ("cross_validated", "ece", "review") if name in found}
    return SimpleNamespace(**found | parts)


def test_an_overconfident_network_is_better_after_than_before():
    chosen, evaluation = simulated(2000, 3, 1), table(*simulated(1000, 3, 2))
    found, metrics = evaluate_temperature(table(*chosen), evaluation), classification_metrics(evaluation)
    assert found["temperature"] == fit_temperature(*chosen) == pytest.approx(3, rel=0.1) and found["reason"] == ""
    assert (found["n_chosen"], found["n_calibration"]) == (2000, 1000)
    assert found["ece"]["after"] < 0.05 < 0.1 < found["ece"]["before"]
    before, after = found["log_loss"]["before"], found["log_loss"]["after"]
    assert after["high"] < before["low"] and before["value"] == pytest.approx(metrics["log_loss"]["value"])
    assert found["accuracy"]["value"] == metrics["accuracy"]["value"]
    losses, sentence = found["cross_validated"], temperature_sentence(record(found))
    assert "2000" in sentence and f"from {losses['before']:.3f} to {losses['after']:.3f}" in sentence


def test_the_temperature_of_a_calibrated_network_stays_1():
    found = evaluate_temperature(table(*simulated(42, 1, 1)), table(*simulated(42, 1, 2)))
    assert found["temperature"] == 1 and not found["reason"]
    assert found["cross_validated"]["after"] >= found["cross_validated"]["before"]
    assert found["log_loss"]["before"] == pytest.approx(found["log_loss"]["after"], abs=1e-6)
    assert f"(ECE {found['ece']['before']:.3f}, n=42)" in temperature_sentence(record(found))


def test_a_cross_validated_loss_is_that_of_temperatures_fitted_on_other_images_and_groups_stay_whole():
    probabilities, true = simulated(2000, 3)

    def loss(rows, temperature):
        return -np.log(calibrated(probabilities[rows], temperature))[np.arange(len(rows)), true[rows]].mean()

    every = np.arange(2000)
    assert cross_validated_loss(probabilities, true) == pytest.approx(loss(every, 3), rel=0.01)
    halves = [every[::2], every[1::2]]  # each is scaled by the temperature of the other
    by_hand = [loss(halves[i], fit_temperature(probabilities[halves[1 - i]], true[halves[1 - i]])) for i in (0, 1)]
    assert cross_validated_loss(probabilities, true, every % 2) == pytest.approx(np.mean(by_hand))
    assert cross_validated_loss(probabilities, true, np.zeros(2000, int)) == pytest.approx(loss(every, 1))
    copies = np.arange(40).repeat(5)  # copies of an image in other folds leak its class
    copied = probabilities[copies], true[copies]
    assert cross_validated_loss(*copied, copies) > cross_validated_loss(*copied)


def test_images_in_groups_widen_the_intervals_and_groups_of_one_change_nothing():
    chosen, evaluation = table(*simulated(100, 2, 1)), table(*simulated(120, 2, 2))
    same = pd.concat([evaluation] * 6, ignore_index=True).assign(image_id=[f"{number}" for number in range(720)])
    twins = dict(zip(same["image_id"], [number % 120 for number in range(720)], strict=True)) | {"0.jpg": ""}
    assert evaluate_temperature(chosen, evaluation) == evaluate_temperature(chosen, evaluation, groups={"0.jpg": "a"})
    by_group, by_image = evaluate_temperature(chosen, same, groups=twins), evaluate_temperature(chosen, same)
    for name in ("before", "after"):
        widths = [found["log_loss"][name]["high"] - found["log_loss"][name]["low"] for found in (by_group, by_image)]
        assert widths[0] > 2 * widths[1]
    assert by_group["accuracy"]["groups"] == 120 and "groups" not in by_image["accuracy"]


@pytest.mark.parametrize("n", [0, 1, MIN_HELD_OUT_IMAGES - 1])
def test_of_too_few_images_nothing_is_measured(n):
    found = evaluate_temperature(table(*simulated(30)), table(*simulated(30)).iloc[:n])
    assert found["temperature"] == 1 and f"({n}, expected {MIN_HELD_OUT_IMAGES} at least)" in found["reason"]
    assert found["ece"] is found["log_loss"] is found["reliability"] is found["accuracy"] is None


def test_a_mean_of_few_groups_has_no_interval_in_a_review_either():
    values = np.arange(40) % 4 > 0
    for of in (values, values.astype(float)):
        figure = mean_estimate(of, np.arange(40) % 2)
        assert figure["low"] is None and figure["groups"] == 2 and figure["value"] == 0.75
        by_image = mean_estimate(of)
        assert (figure["by_image"]["low"], figure["by_image"]["high"]) == (by_image["low"], by_image["high"])
        assert has_interval(by_image) and not has_interval(figure) and not has_interval(figure | {"low": np.nan})
    found = {"review": {"goal": 0.95, "probability": 0.7, "n": 50, "unflagged": figure}, "unseen": True, "n_chosen": 9}
    assert review_sentence(1, 9, record(found)).endswith(
        "75%, from 2 groups of related images: no interval; no promise for others)"
    )


def drawn(rng, n, classes=5):
    """Badly calibrated probabilities of a poor classifier, and true classes."""
    true = rng.integers(0, classes, n)
    probabilities = rng.dirichlet(np.full(classes, 0.3), n)
    probabilities[np.arange(n), true] += rng.random(n)
    return probabilities / probabilities.sum(axis=1, keepdims=True), true


@pytest.mark.parametrize(("n", "coverage"), [(20, 0.9), (57, 0.9), (200, 0.8)])
def test_sets_are_those_of_mapie_and_always_have_the_most_probable_class(n, coverage):
    rng = np.random.default_rng(n)
    probabilities, true = drawn(rng, n)
    new = drawn(rng, 500)[0]
    theirs = SplitConformalClassifier(AsGiven(5), confidence_level=coverage, conformity_score="lac", prefit=True)
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
    with pytest.raises(ValueError, match=f"{n} images cannot state a coverage of {coverage}.*{least}"):
        set_threshold(np.full((n, 2), 0.5), np.zeros(n, int), coverage)
    with pytest.raises(ValueError, match=f"a coverage of {coverage}"):
        coverage_range(n, coverage)
