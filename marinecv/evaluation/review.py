"""Which images a person should look at, so that the rest is right often enough."""

import numpy as np
import pandas as pd

from marinecv.evaluation.calibration import FEWEST
from marinecv.evaluation.figures import interval_words, mean_figure
from marinecv.evaluation.intervals import wilson
from marinecv.run_records import Calibration

GOAL = 0.95
DOUBTFUL, UNLIKE = "doubtful", "unlike the training images"
SHARES = tuple(number / 10 for number in range(10))
"""Of the images looked at, in the triage curve."""


def doubts(confidence: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Return the doubt of each image, (n,) from 0 to 1: 1 minus its confidence, and 1 where it is unlike train."""
    return np.where(unlike, 1.0, 1 - np.asarray(confidence, np.float64))


def flags(confidence: np.ndarray, unlike: np.ndarray, threshold: float | None) -> np.ndarray:
    """Say which images to look at, (n,): `DOUBTFUL` below the threshold, `UNLIKE` whatever the confidence, else empty.

    The first two are as in `doubts`, the threshold is of `probability_threshold`: with None every image is looked at.
    """
    doubtful = np.full(len(unlike), True) if threshold is None else np.asarray(confidence) < threshold
    return np.select([unlike, doubtful], [UNLIKE, DOUBTFUL], "")


def probability_threshold(confidence: np.ndarray, right: np.ndarray, goal: float = GOAL) -> float | None:
    """Return the smallest confidence from which on at least the goal of the images, a share, is right.

    None where no confidence is high enough for that, or leaves fewer than `FEWEST` images to tell it by.
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
    """Say how often the rest is right once a share of the images is looked at, the most doubtful first.

    `doubt` (n,) is as of `doubts`; of equals the first come first. A row a share of `SHARES`: `share, looked_at`
    (images), `n` (the rest), its `accuracy`, and `low, high` (95%, Wilson's, which takes images for independent).
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
    """Choose from which probability on an image need not be looked at, and check it on images held out.

    `chosen`, which the thresholds are of, and `held` have confidence, whether right, and whether unlike train, (n,)
    each. Returns `goal`, `probability` (None: every image is to be looked at), and of the held images `looked_at`, `n`,
    `rest` (the accuracy of the others; None where none is left) and `curve` (rows of `triage_curve`).
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
    """Say how many images of how many are flagged, and what `Run.calibration` measured of the rest, in a sentence."""
    review, goal = calibration.review, f"{calibration.review.goal:.0%}"
    if review.probability is None:
        return (
            f"look at all {total}: on the {calibration.n_chosen} images that the threshold is chosen on, no "
            f"probability was high enough for {goal} of the rest to be right"
        )
    if looked_at == total:
        return f"look at all {total}: each is doubtful, or unlike the training images"
    rest = review.rest
    which = "it had not learned from" if calibration.unseen else "it had not learned from, but stopped by"
    lead = f"look at these {looked_at} of {total}; of the rest"
    if rest is None:
        return f"{lead} nothing is known: of {review.n} images {which} none was left to check it on"
    hoped = "at least {} should be right" if rest["value"] >= review.goal else "{} right was sought and not reached"
    measured = f"on {rest['n']} images {which}: {rest['value']:.0%}, {interval_words(rest, '.0%')}"
    return f"{lead} {hoped.format(goal)} ({measured})"
