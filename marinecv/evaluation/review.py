"""Selective prediction: which images a person should check, so that accuracy on the others reaches a goal."""

import numpy as np
import pandas as pd

from marinecv.evaluation.calibration import FEWEST
from marinecv.evaluation.figures import interval_words, mean_figure
from marinecv.evaluation.intervals import wilson
from marinecv.run_records import Calibration

GOAL = 0.95
DOUBTFUL, UNLIKE = "doubtful", "unlike the training images"
SHARES = tuple(number / 10 for number in range(10))  # checked fractions of the triage curve


def doubts(confidence: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Return the uncertainty of each image, (n,): 1 - confidence, 0 to 1, and 1 where it is out-of-distribution."""
    return np.where(unlike, 1.0, 1 - np.asarray(confidence, np.float64))


def flags(confidence: np.ndarray, unlike: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return why to check each image, (n,): `UNLIKE`, `DOUBTFUL` (below the threshold, or with None), or ""."""
    doubtful = np.full(len(unlike), True) if threshold is None else np.asarray(confidence) < threshold
    return np.select([unlike, doubtful], [UNLIKE, DOUBTFUL], "")


def probability_threshold(confidence: np.ndarray, right: np.ndarray, goal: float = GOAL) -> float | None:
    """Return the smallest confidence above which the accuracy reaches the goal, 0 to 1.

    None where no confidence does, or fewer than `FEWEST` images are above it.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    sure, hits = np.asarray(confidence)[order], np.cumsum(np.asarray(right)[order])
    kept = np.arange(1, len(sure) + 1)
    last_of_equals = np.append(sure[1:] != sure[:-1], True)[: len(sure)]
    enough = last_of_equals & (hits >= goal * kept - 1e-9) & (kept >= FEWEST)
    if not enough.any():
        return None
    return 0.0 if enough[-1] else float(sure[enough].min())


def triage_curve(doubt: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Return the selective accuracy once a fraction of the images is checked, the most uncertain first.

    `doubt` (n,) is of `doubts`. Columns, a row a fraction: `share, looked_at` (checked images), `n` (the others), their
    `accuracy`, and `low, high` (95%, Wilson's, which assumes independent images).
    """
    order = np.argsort(-np.asarray(doubt), kind="stable")
    right, rows = np.asarray(right)[order], []
    for share in SHARES:
        looked_at = int(share * len(right) + 1e-9)
        k, n = int(right[looked_at:].sum()), len(right) - looked_at
        rows.append([share, looked_at, n, k / n, *wilson(k, n)])
    return pd.DataFrame(rows, columns=["share", "looked_at", "n", "accuracy", "low", "high"])


def judge_review(
    chosen: tuple[np.ndarray, np.ndarray, np.ndarray],
    held: tuple[np.ndarray, np.ndarray, np.ndarray],
    numbers: np.ndarray | None = None,
) -> dict:
    """Choose the probability below which an image is to be checked, and measure the accuracy of the others.

    `chosen`, for the threshold, and `held`, for the measurement, are confidence, correctness and out-of-distribution,
    (n,) each. Returns `goal`, `probability` (None: check every image), and of the held images `n`, `looked_at` (to be
    checked), `rest` (accuracy of the others, None without any) and `curve` (rows of `triage_curve`).
    """
    confidence, right, unlike = chosen
    threshold = probability_threshold(confidence[~unlike], right[~unlike])
    confidence, right, unlike = held
    rest = flags(confidence, unlike, threshold) == ""
    return {
        "goal": GOAL,
        "probability": threshold,
        "n": len(rest),
        "looked_at": int((~rest).sum()),
        "rest": mean_figure(right[rest], None if numbers is None else numbers[rest]) if rest.any() else None,
        "curve": triage_curve(doubts(confidence, unlike), right).to_dict("records"),
    }


def triage_sentence(looked_at: int, total: int, calibration: Calibration) -> str:
    """Return a sentence on how many of all images are to be checked, and on the measured accuracy of the others."""
    review, goal = calibration.review, f"{calibration.review.goal:.0%}"
    if review.probability is None:
        return (
            f"check all {total}: on the {calibration.n_chosen} images that the threshold is chosen on, no probability "
            f"gave an accuracy of {goal}"
        )
    if looked_at == total:
        return f"check all {total}: each is doubtful, or unlike the training images"
    rest = review.rest
    which = "not trained on" if calibration.unseen else "not trained on, but used for early stopping"
    lead = f"check these {looked_at} of {total}; the accuracy of the others"
    if rest is None:
        return f"{lead} is unknown: none of {review.n} images {which} was left to measure it"
    goal = f"should be at least {goal}" if rest["value"] >= review.goal else f"did not reach {goal}"
    return f"{lead} {goal} (on {rest['n']} images {which}: {rest['value']:.0%}, {interval_words(rest, '.0%')})"
