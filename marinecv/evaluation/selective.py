"""Selective prediction: which images a person should check, so that accuracy on the others reaches a goal."""

import numpy as np
import pandas as pd

from marinecv.evaluation.calibration import MIN_HELD_OUT_IMAGES
from marinecv.evaluation.estimates import interval_text, mean_estimate
from marinecv.evaluation.intervals import wilson
from marinecv.run_records import Calibration

GOAL = 0.95
DOUBTFUL, OUT_OF_DISTRIBUTION = "doubtful", "unlike the training images"
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
CHECKED_FRACTIONS = tuple(number / 10 for number in range(10))  # of `selective_accuracy_curve`


def uncertainties(confidence: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Return the uncertainty of each image, (n,): 1 - confidence, 0 to 1, and 1 where it is out-of-distribution."""
    return np.where(unlike, 1.0, 1 - np.asarray(confidence, np.float64))


def review_flags(confidence: np.ndarray, unlike: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return why to check each image, (n,): `OUT_OF_DISTRIBUTION`, `DOUBTFUL` (below the threshold, or None), or ""."""
    doubtful = np.full(len(unlike), True) if threshold is None else np.asarray(confidence) < threshold
    return np.select([unlike, doubtful], [OUT_OF_DISTRIBUTION, DOUBTFUL], "")


def probability_threshold(confidence: np.ndarray, right: np.ndarray, goal: float = GOAL) -> float | None:
    """Return the smallest confidence above which the accuracy reaches the goal, 0 to 1.

    None where no confidence does, or fewer than `MIN_HELD_OUT_IMAGES` images are above it.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    confidences, hits = np.asarray(confidence)[order], np.cumsum(np.asarray(right)[order])
    num_kept = np.arange(1, len(confidences) + 1)
    last_of_equals = np.append(confidences[1:] != confidences[:-1], True)[: len(confidences)]
    enough = last_of_equals & (hits >= goal * num_kept - 1e-9) & (num_kept >= MIN_HELD_OUT_IMAGES)
    if not enough.any():
        return None
    return 0.0 if enough[-1] else float(confidences[enough].min())


def selective_accuracy_curve(doubt: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Return the selective accuracy once a fraction of the images is checked, the most uncertain first.

    `doubt` (n,) is of `uncertainties`. Columns, a row a fraction: `fraction, reviewed` (checked images), `n` (the
    others), their `accuracy`, and `low, high` (95%, Wilson's, which assumes independent images).
    """
    order = np.argsort(-np.asarray(doubt), kind="stable")
    right, rows = np.asarray(right)[order], []
    for fraction in CHECKED_FRACTIONS:
        reviewed = int(fraction * len(right) + 1e-9)
        k, n = int(right[reviewed:].sum()), len(right) - reviewed
        rows.append([fraction, reviewed, n, k / n, *wilson(k, n)])
    return pd.DataFrame(rows, columns=["fraction", "reviewed", "n", "accuracy", "low", "high"])


def threshold_table(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Return what is classified at each threshold of the confidence (n,), from 0 to 1 in steps of 0.01.

    Columns: `threshold`, `n` (images with at least that confidence), `reviewed` (the others), and of the `n` images
    `accuracy, low, high` (95%, Wilson's, which assumes independent images); NaN where there is none.
    """
    rows = []
    for threshold in np.arange(101) / 100:
        kept = np.asarray(right)[np.asarray(confidence) >= threshold]
        k, n = int(kept.sum()), len(kept)
        rows.append([threshold, n, len(right) - n, *((k / n, *wilson(k, n)) if n else [np.nan] * 3)])
    return pd.DataFrame(rows, columns=["threshold", "n", "reviewed", "accuracy", "low", "high"])


def evaluate_review(chosen: Arrays, evaluation: Arrays, numbers: np.ndarray | None = None) -> dict:
    """Choose the probability below which an image is to be checked, and measure the accuracy of the others.

    `chosen`, for the threshold, and `evaluation`, for the measurement, are confidence, correctness and
    out-of-distribution, (n,) each. Returns `goal`, `probability` (None: check every image), and of the held images `n`,
    `reviewed` (to be checked), `unflagged` (accuracy of the others, None without any) and `curve` (rows of
    `selective_accuracy_curve`).
    """
    confidence, right, unlike = chosen
    threshold = probability_threshold(confidence[~unlike], right[~unlike])
    confidence, right, unlike = evaluation
    is_kept = review_flags(confidence, unlike, threshold) == ""
    unflagged = mean_estimate(right[is_kept], None if numbers is None else numbers[is_kept]) if is_kept.any() else None
    return {
        "goal": GOAL,
        "probability": threshold,
        "n": len(is_kept),
        "reviewed": int((~is_kept).sum()),
        "unflagged": unflagged,
        "curve": selective_accuracy_curve(uncertainties(confidence, unlike), right).to_dict("records"),
    }


def review_sentence(reviewed: int, total: int, calibration: Calibration) -> str:
    """Return a sentence on how many of all images are to be checked, and on the measured accuracy of the others."""
    review, goal = calibration.review, f"{calibration.review.goal:.0%}"
    if review.probability is None:
        return (
            f"check all {total}: on the {calibration.n_chosen} images that the threshold is chosen on, no probability "
            f"gave an accuracy of {goal}"
        )
    if reviewed == total:
        return f"check all {total}: each is doubtful, or unlike the training images"
    unflagged = review.unflagged
    which = "not trained on" if calibration.unseen else "not trained on, but used to choose the model"
    lead = f"check these {reviewed} of {total}; the accuracy of the others"
    if unflagged is None:
        return f"{lead} is unknown: none of {review.n} images {which} was left to measure it"
    reached = "reached" if unflagged["value"] >= review.goal else "did not reach"
    measured = f"{unflagged['value']:.0%}, {interval_text(unflagged, '.0%')}"
    return f"{lead} {reached} {goal} (on {unflagged['n']} images {which}: {measured}; no promise for others)"
