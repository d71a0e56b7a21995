"""Prediction sets by split conformal prediction.

Ours rather than mapie's, which wants a scikit-learn estimator and would be a dependency for 20 lines; the tests
compare both.
"""

from math import ceil

import numpy as np
from scipy.special import betaincinv

COVERAGE = 0.9
MIN_IMAGES_FOR_COVERAGE = 20
"""Calibration images, below which no coverage is stated."""
MEANING = "marginal: over images like those of validation, not class by class"


def set_threshold(probabilities: np.ndarray, true: np.ndarray, coverage: float = COVERAGE) -> float:
    """Return the largest `1 - p` that a class in a prediction set may have.

    The guarantee: on average over calibration sets, the sets of new images hold the true class with a probability of
    at least `coverage`, and without ties at most 1 / (n + 1) more. `coverage_range` bounds a single calibration set.

    Args:
        probabilities: (n, C) of images that neither training, early stopping nor temperature scaling has used.
        true: (n,) index of the true class of each image.
        coverage: fraction of new images whose set is to hold the true class, 0 to 1.
    Returns:
        The `ceil((n + 1) * coverage)`-th smallest `1 - p` of the true classes.
    Raises:
        ValueError: there are too few images for that coverage.
    Source: Vovk et al. (2005); Angelopoulos and Bates (2021), https://arxiv.org/abs/2107.07511, section 1.
    """
    rank = _rank(len(true), coverage)
    scores = 1 - np.asarray(probabilities, np.float64)[np.arange(len(true)), true]
    return float(np.sort(scores)[rank - 1])


def coverage_range(n: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """Return (low, high), the 95% range of the coverage that a threshold from n calibration images has, 0 to 1.

    The coverage of the classes up to the threshold follows a beta distribution. A set also has the most probable class,
    so it may cover more. ValueError as `set_threshold`.

        >>> print("{:.2f} to {:.2f}".format(*coverage_range(100, coverage=0.9)))
        0.84 to 0.95

    Source: Vovk (2012), Conditional validity of inductive conformal predictors, https://arxiv.org/abs/1209.2673.
    """
    rank = _rank(n, coverage)
    low, high = betaincinv(rank, n + 1 - rank, [0.025, 0.975])
    return float(low), float(high)


def prediction_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return which classes are in the set of each image, (n, C) bool: those up to the threshold of `set_threshold`.

    The most probable class is always in it: where accuracy is above the coverage, the threshold alone leaves sets
    empty. `probabilities` (n, C) are calibrated like those that gave the threshold.

        >>> prediction_sets(np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), threshold=0.7).tolist()
        [[True, True, False], [False, True, True]]
    """
    probabilities = np.asarray(probabilities, np.float64)
    most_probable = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return (1 - probabilities <= threshold) | most_probable


def _rank(n: int, coverage: float) -> int:
    rank = ceil((n + 1) * coverage - 1e-9)  # 0.9 * 70 is 63.000000000000007 where 63 is meant
    if not 1 <= rank <= n:
        least = ceil(coverage / (1 - coverage) - 1e-9) if coverage < 1 else "infinitely many"
        raise ValueError(
            f"{n} images cannot state a coverage of {coverage}. Expected a coverage above 0 and {least} images or more."
        )
    return rank
