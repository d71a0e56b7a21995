"""Which images to check, and the accuracy of the others."""

from types import SimpleNamespace

import numpy as np
import pytest

from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.selective import (
    DOUBTFUL,
    OUT_OF_DISTRIBUTION,
    evaluate_review,
    probability_threshold,
    review_flags,
    review_sentence,
    selective_accuracy_curve,
    uncertainties,
)


def calibrated_scores(n, seed=0):
    """Confidences that are perfectly calibrated."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n)
    return confidence, rng.random(n) < confidence, np.zeros(n, bool)


def test_the_threshold_is_the_smallest_that_reaches_the_goal():
    confidence, right, _ = calibrated_scores(300)
    threshold = probability_threshold(confidence, right)
    assert right[confidence >= threshold].mean() >= 0.95
    lower = np.unique(confidence[confidence < threshold])
    assert all(right[confidence >= value].mean() < 0.95 for value in lower)
    assert probability_threshold(np.linspace(0.4, 1, 40), np.arange(40) != 3) == 0
    # Images of one confidence are kept or flagged together, though the better ones come second.
    ties, right = np.repeat([0.9, 0.5], 20), np.concatenate([np.arange(20) < 18, np.arange(20) < 20])
    assert probability_threshold(ties, right) == 0 and probability_threshold(ties, right, goal=0.96) is None


@pytest.mark.parametrize(("n", "right"), [(40, 0), (9, 9), (0, 0)])
def test_no_threshold_where_none_reaches_the_goal_on_ten_images(n, right):
    assert probability_threshold(np.linspace(0, 1, n), np.arange(n) < right) is None
    flags = review_flags(np.ones(3), np.array([False, True, False]), None)
    assert flags.tolist() == [DOUBTFUL, OUT_OF_DISTRIBUTION, DOUBTFUL]


def test_out_of_distribution_images_are_fully_uncertain_and_a_higher_threshold_flags_more():
    confidence, unlike = np.array([0.9, 0.99, 0.4]), np.array([False, True, False])
    assert uncertainties(confidence, unlike).tolist() == pytest.approx([0.1, 1, 0.6])
    assert review_flags(confidence, unlike, 0.5).tolist() == ["", OUT_OF_DISTRIBUTION, DOUBTFUL]
    confidence, _, unlike = calibrated_scores(100)
    flagged = [set(np.flatnonzero(review_flags(confidence, unlike, threshold))) for threshold in (0, 0.4, 0.8, 1.1)]
    assert flagged[0] < flagged[1] < flagged[2] < flagged[3] and len(flagged[3]) == 100


def test_the_curve_begins_with_all_images_and_leaves_out_the_most_uncertain_first():
    doubt, right = np.arange(10)[::-1] / 10, np.arange(10) >= 3  # the three most uncertain are wrong
    curve = selective_accuracy_curve(doubt, right)
    assert curve["accuracy"].tolist() == pytest.approx([7 / 10, 7 / 9, 7 / 8, 1, 1, 1, 1, 1, 1, 1])
    assert curve["reviewed"].tolist() == list(range(10))
    assert (curve["low"][0], curve["high"][0]) == wilson(7, 10)
    confidence, right, unlike = calibrated_scores(20_000)
    assert selective_accuracy_curve(uncertainties(confidence, unlike), right)["accuracy"].is_monotonic_increasing


def test_the_threshold_of_one_part_is_measured_on_the_other():
    found = evaluate_review(calibrated_scores(20_000, 1), calibrated_scores(20_000, 2))
    confidence, right, _ = calibrated_scores(20_000, 2)
    kept = confidence >= found["probability"]
    assert found["reviewed"] == (~kept).sum() and found["n"] == 20_000
    assert found["unflagged"]["value"] == right[kept].mean() == pytest.approx(0.95, abs=0.01)


def test_images_unlike_the_training_images_choose_no_threshold_and_are_flagged():
    confidence, right = np.full(40, 0.8), np.arange(40) < 20
    chosen = confidence, right, np.arange(40) >= 20  # the wrong ones are unlike
    found = evaluate_review(chosen, chosen)
    assert found["probability"] == 0 and found["reviewed"] == 20 and found["unflagged"]["value"] == 1


def test_related_images_widen_the_interval_of_the_rest():
    confidence, right, unlike = (np.repeat(part, 5) for part in calibrated_scores(100, 1))
    numbers = np.repeat(np.arange(100), 5)
    alone = evaluate_review(calibrated_scores(2000), (confidence, right, unlike))["unflagged"]
    grouped = evaluate_review(calibrated_scores(2000), (confidence, right, unlike), numbers)["unflagged"]
    assert grouped["value"] == alone["value"] and "groups" in grouped and grouped["low"] < alone["low"]
    doubtful = np.full(12, 0.1), np.ones(12, bool), np.zeros(12, bool)
    assert evaluate_review(calibrated_scores(300), doubtful)["unflagged"] is None


def calibration(unseen=True, **review):
    unflagged = {"value": 0.97, "low": 0.88, "high": 0.99, "n": 42}
    review = {"goal": 0.95, "probability": 0.7, "n": 50, "unflagged": unflagged} | review
    return SimpleNamespace(n_chosen=60, unseen=unseen, review=SimpleNamespace(**review))


LOW = {"value": 0.9, "low": 0.7, "high": 0.98, "n": 20}


@pytest.mark.parametrize(
    ("known", "flagged", "said"),
    [
        (calibration(), 31, ["check these 31 of 200", "others reached 95%", "42 images", "97%, 95% CI 88% to 99%"]),
        (calibration(unseen=False, unflagged=LOW), 31, ["did not reach 95%", "20 images", "choose the model", "90%"]),
        (calibration(unflagged=None), 31, ["check these 31 of 200", "is unknown: none of 50 images"]),
        (calibration(probability=None), 31, ["check all 200: on the 60 images"]),
        (calibration(unflagged=None), 200, ["check all 200: each is doubtful"]),
    ],
)
def test_the_sentence_says_what_was_measured(known, flagged, said):
    assert all(part in review_sentence(flagged, 200, known) for part in said)
