"""Answer "unknown": thresholds at which at most a chosen fraction of images of known classes is lost."""

import math

import numpy as np

from marinecv.run_records import Calibration
from marinecv.runs import Run

UNKNOWN = "unknown"


def unknown_thresholds(confidence: np.ndarray, distance: np.ndarray | None, fraction: float) -> tuple[float, float]:
    """Return the confidence below which, and the distance to train above which, an image is unknown.

    Both lie at the same rank of the images given, as far out as loses at most `fraction` (0 to 1) of known images: by
    the rank of a new image among n others, that are floor(fraction * (n + 1)) of these n, less one for each threshold,
    which is one of them. Source: split conformal prediction, Vovk et al. (2005); tolerance regions, Wald (1943).

    Args:
        confidence: (n,) probability of the predicted class of images that the model has not seen.
        distance: (n,) their distances to train; None where a run has none.
        fraction: of known images that may be answered "unknown".
    Raises:
        ValueError: there are too few images for the fraction.
    """
    confidence, n, scores = np.asarray(confidence, np.float64), len(confidence), 1 if distance is None else 2
    distance = np.zeros(n) if distance is None else np.asarray(distance, np.float64)
    allowed = math.floor(fraction * (n + 1) + 1e-9) - scores
    if allowed < 0:
        raise ValueError(
            f"unknown={fraction:g} needs {math.ceil(scores / fraction) - 1} calibration images or more; the run has "
            f"{n}. Expected a larger fraction, or a run that was trained with more validation images."
        )
    found = -math.inf, math.inf
    for least, most in zip(np.sort(confidence)[: allowed + 1], np.sort(distance)[::-1][: allowed + 1], strict=True):
        if is_unknown(confidence, distance, (least, most)).sum() > allowed:
            break
        found = float(least), float(most)
    return found


def is_unknown(confidence: np.ndarray, distance: np.ndarray, thresholds: tuple[float, float]) -> np.ndarray:
    """Return (n,) bool: whether each image is below the confidence or above the distance of `unknown_thresholds`."""
    return (confidence < thresholds[0]) | (distance > thresholds[1])


def thresholds_of(run: Run, calibration: Calibration | None, fraction: float) -> tuple[float, float]:
    """Return `unknown_thresholds` on the calibration images of a run.

    Raises ValueError for a wrong fraction, or where the run has no such images, or a class "unknown" of its own.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ValueError(f"Expected unknown to be a fraction between 0 and 1. Received: unknown={fraction!r}.")
    if UNKNOWN in run.class_names:
        raise ValueError(f'{run.folder} has a class "{UNKNOWN}" of its own. Leave out unknown=.')
    if calibration is None or calibration.held_out is None:
        reason = calibration.reason if calibration else "it has no calibration.json"
        raise ValueError(
            f"unknown={fraction:g} needs calibration images, and {run.folder} has none: {reason or 'none were kept'}. "
            "Expected a run of 60 or more validation images; or leave out unknown=."
        )
    return unknown_thresholds(calibration.held_out.confidence, calibration.held_out.distance, fraction)
