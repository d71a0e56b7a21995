"""Prediction sets: the classes that cannot be ruled out, so that the true one is among them as often as stated."""

from math import ceil

import numpy as np
from scipy.stats import beta

from marinecv.evaluation.predictions import with_truth

COVERAGE = 0.9
FEWEST = 20
"""Images held out, below which no coverage is stated."""
MEANING = "marginal: over images like those of validation, not class by class"


def set_threshold(probabilities: np.ndarray, true: np.ndarray, coverage: float = COVERAGE) -> float:
    """Return the largest `1 - p` that a class of a prediction set may have, by split conformal prediction.

    Args:
        probabilities: (n, C) of images that neither the network, nor its early stopping, nor its temperature has seen.
        true: (n,) number of the true class of each.
        coverage: share of new images like these whose set is to hold the true class, 0 to 1.
    Returns:
        The `ceil((n + 1) * coverage)`-th smallest `1 - p` of the true classes. The classes up to it hold the true one
        of a new image with at least that coverage on average over what might have been held out, and with at most
        1 / (n + 1) more where no two are equal. Of one part held out `coverage_range` says how far it may be off.
    Raises:
        ValueError: there are too few images for that coverage, or `true` is no class of each.
    Source: Vovk et al. (2005); Angelopoulos and Bates (2021), https://arxiv.org/abs/2107.07511, section 1.
    """
    n = len(true)
    place = _place(n, coverage)
    probabilities, true = with_truth(probabilities, true)
    scores = 1 - probabilities[np.arange(n), true]
    return float(np.sort(scores)[place - 1])


def coverage_range(n: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """Return between which bounds the coverage of a threshold from n images lies, of 95 in 100 such parts held out.

    Args:
        n: images that `set_threshold` was given.
        coverage: as there.
    Returns:
        (low, high), 0 to 1: quantiles of the beta distribution that the coverage of the classes up to the threshold
        follows. A set has the most probable class besides, so it may cover more.
    Raises:
        ValueError: as `set_threshold`.
    Source: Vovk (2012), Conditional validity of inductive conformal predictors, https://arxiv.org/abs/1209.2673.
    Example:
        >>> print("{:.2f} to {:.2f}".format(*coverage_range(100, coverage=0.9)))
        0.84 to 0.95
    """
    place = _place(n, coverage)
    low, high = beta.ppf([0.025, 0.975], place, n + 1 - place)
    return float(low), float(high)


def prediction_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return which classes are in the set of each image, (n, C) bool.

    The most probable class always is: where a network is right more often than the coverage asks, the threshold alone
    would leave sets empty. With it a set covers as much or more.

    Args:
        probabilities: (n, C), calibrated as those that gave the threshold.
        threshold: what `set_threshold` gave.
    Example:
        >>> prediction_sets(np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), threshold=0.7).tolist()
        [[True, True, False], [False, True, True]]
    """
    probabilities = np.asarray(probabilities, np.float64)
    most = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return (1 - probabilities <= threshold) | most


def _place(n: int, coverage: float) -> int:
    place = ceil((n + 1) * coverage - 1e-9)  # 0.9 * 70 is 63.000000000000007 where 63 is meant
    if not 1 <= place <= n:
        raise ValueError(
            f"{n} images cannot state a coverage of {coverage}. Expected a coverage above 0 and at least "
            f"{ceil(coverage / (1 - coverage) - 1e-9) if coverage < 1 else 'endlessly many'} images."
        )
    return place
