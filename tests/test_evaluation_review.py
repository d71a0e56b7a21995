"""What to look at, and how often the rest is right."""

from types import SimpleNamespace

import numpy as np
import pytest

from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.review import (
    DOUBTFUL,
    UNLIKE,
    doubts,
    flags,
    judge_review,
    probability_threshold,
    triage_curve,
    triage_sentence,
)

KNOWN = np.zeros(100, bool)


def honest(n, seed=0):
    """Confidences that are exactly right."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n)
    return confidence, rng.random(n) < confidence, np.zeros(n, bool)


def test_the_threshold_is_the_smallest_that_reaches_the_goal():
    confidence, right, _ = honest(300)
    threshold = probability_threshold(confidence, right)
    assert right[confidence >= threshold].mean() >= 0.95
    lower = np.unique(confidence[confidence < threshold])
    assert all(right[confidence >= value].mean() < 0.95 for value in lower)


def test_nothing_is_doubtful_where_nearly_all_are_right():
    confidence = np.linspace(0.4, 1, 40)
    right = np.arange(40) != 3
    assert probability_threshold(confidence, right) == 0
    assert (flags(confidence, np.zeros(40, bool), 0.0) == "").all()


@pytest.mark.parametrize(("n", "right"), [(40, 0), (9, 9), (0, 0)])
def test_no_threshold_where_none_reaches_the_goal_on_ten_images(n, right):
    assert probability_threshold(np.linspace(0, 1, n), np.arange(n) < right) is None
    assert (flags(np.ones(3), np.array([False, True, False]), None) == [DOUBTFUL, UNLIKE, DOUBTFUL]).all()


def test_images_of_one_confidence_are_kept_or_flagged_together():
    confidence = np.repeat([0.9, 0.5], 20)
    right = np.concatenate([np.arange(20) < 18, np.arange(20) < 20])  # the better ones come second
    assert probability_threshold(confidence, right) == 0
    assert probability_threshold(confidence, right, goal=0.96) is None


def test_doubt_is_what_confidence_lacks_and_1_where_nothing_like_it_was_seen():
    unlike = np.array([False, True, False])
    assert doubts(np.array([0.9, 0.99, 0.4]), unlike).tolist() == pytest.approx([0.1, 1, 0.6])
    assert flags(np.array([0.9, 0.99, 0.4]), unlike, 0.5).tolist() == ["", UNLIKE, DOUBTFUL]


def test_more_is_flagged_the_higher_the_threshold():
    confidence = honest(100)[0]
    flagged = [set(np.flatnonzero(flags(confidence, KNOWN, threshold))) for threshold in (0, 0.4, 0.8, 1.1)]
    assert flagged[0] < flagged[1] < flagged[2] < flagged[3] and len(flagged[3]) == 100


def test_the_curve_begins_with_all_images_and_goes_through_the_most_doubtful_first():
    doubt, right = np.arange(10)[::-1] / 10, np.arange(10) >= 3  # the three most doubtful are wrong
    curve = triage_curve(doubt, right)
    assert curve["accuracy"].tolist() == pytest.approx([7 / 10, 7 / 9, 7 / 8, 1, 1, 1, 1, 1, 1, 1])
    assert curve["looked_at"].tolist() == list(range(10))
    assert (curve["low"][0], curve["high"][0]) == wilson(7, 10)


def test_with_honest_confidence_the_rest_gets_better_the_more_is_looked_at():
    confidence, right, unlike = honest(20_000)
    curve = triage_curve(doubts(confidence, unlike), right)
    assert curve["accuracy"].is_monotonic_increasing and curve["looked_at"].is_monotonic_increasing


def test_the_threshold_of_one_part_is_checked_on_the_other():
    found = judge_review(honest(20_000, 1), honest(20_000, 2))
    confidence, right, _ = honest(20_000, 2)
    kept = confidence >= found["probability"]
    assert found["looked_at"] == (~kept).sum() and found["n"] == 20_000
    assert found["rest"]["value"] == right[kept].mean() == pytest.approx(0.95, abs=0.01)


def test_images_unlike_the_training_images_choose_no_threshold_and_are_flagged():
    confidence, right = np.full(40, 0.8), np.arange(40) < 20
    chosen = confidence, right, np.arange(40) >= 20  # the wrong ones are unlike
    found = judge_review(chosen, chosen)
    assert found["probability"] == 0 and found["looked_at"] == 20 and found["rest"]["value"] == 1


def test_related_images_widen_the_interval_of_the_rest():
    confidence, right, unlike = (np.repeat(part, 5) for part in honest(100, 1))
    numbers = np.repeat(np.arange(100), 5)
    alone = judge_review(honest(2000), (confidence, right, unlike))["rest"]
    grouped = judge_review(honest(2000), (confidence, right, unlike), numbers)["rest"]
    assert grouped["value"] == alone["value"] and "groups" in grouped and grouped["low"] < alone["low"]


def calibration(unseen=True, **review):
    rest = {"value": 0.97, "low": 0.88, "high": 0.99, "n": 42}
    review = {"goal": 0.95, "probability": 0.7, "n": 50, "rest": rest} | review
    return SimpleNamespace(n_chosen=60, unseen=unseen, review=SimpleNamespace(**review))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            calibration(),
            "look at these 31 of 200; of the rest at least 95% should be right (on 42 images it had not learned from: "
            "97%, 95% CI 88% to 99%)",
        ),
        (
            calibration(unseen=False, rest={"value": 0.9, "low": 0.7, "high": 0.98, "n": 20}),
            "look at these 31 of 200; of the rest 95% right was sought and not reached (on 20 images it had not "
            "learned from, but stopped by: 90%, 95% CI 70% to 98%)",
        ),
        (
            calibration(rest=None),
            "look at these 31 of 200; of the rest nothing is known: of 50 images it had not learned from none was left "
            "to check it on",
        ),
        (
            calibration(probability=None),
            "look at all 200: on the 60 images that the threshold is chosen on, no probability was high enough for 95% "
            "of the rest to be right",
        ),
    ],
)
def test_the_sentence_says_what_was_measured(known, said):
    assert triage_sentence(31, 200, known) == said


def test_where_nothing_is_left_nothing_is_checked():
    known = calibration(rest=None)
    assert judge_review(honest(300), (np.full(12, 0.1), np.ones(12, bool), np.zeros(12, bool)))["rest"] is None
    assert "none was left" in triage_sentence(11, 12, known)
    assert triage_sentence(12, 12, known) == "look at all 12: each is doubtful, or unlike the training images"
