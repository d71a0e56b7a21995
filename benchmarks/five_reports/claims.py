"""Consequences of a report's claims: averages, the best of several models, curves, callbacks and shapes."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import sqrt

import numpy as np
from five_reports.bounds import WAYS, printed_bounds
from scipy.stats import binom
from sklearn.metrics import precision_recall_fscore_support

from marinecv.evaluation.intervals import LEVEL, Z, mcnemar

MIN_DELTA = 1e-4  # of Keras' `ReduceLROnPlateau`, by default
FAR, NEAR, BETWEEN = "distinguishable", "not distinguishable", "open"


def lowest_macro_f1(classes: int, images: int, right: int) -> float:
    """Return the lowest macro F1 that goes with an accuracy, where all classes have as many images.

    The worst case gives all its hits to as few classes as possible, and spreads its errors over those.

    Args:
        classes: how many, at least two.
        images: a class.
        right: images that are right, of classes times images.

    Raises:
        ValueError: there are fewer than two classes, or more images right than there are.
    """
    if classes < 2 or not 0 <= right <= classes * images:
        raise ValueError(
            "Expected at least two classes and no more images right than there are. "
            f"Received: {classes} classes of {images} images, {right} right."
        )
    full, rest = divmod(right, images)
    hits = [images] * full + [rest] * bool(rest)
    errors, alarms = classes * images - right, [0] * len(hits)
    # No class takes its own errors, which is why a class in part right has room for fewer false alarms.
    room = [errors - (images - hit) for hit in hits]
    for _ in range(errors):
        drops = [
            _f1(hit, images, alarm) - _f1(hit, images, alarm + 1) if alarm < most else -1.0
            for hit, alarm, most in zip(hits, alarms, room, strict=True)
        ]
        if not drops or max(drops) < 0:
            break
        alarms[int(np.argmax(drops))] += 1
    return sum(_f1(hit, images, alarm) for hit, alarm in zip(hits, alarms, strict=True)) / classes


def largest_class_at_least(accuracy: str, macro_recall: str, classes: int) -> float:
    """Return the share of all images that the largest class must have, for both figures to be true of one set.

    Accuracy is the classes' recall weighted by their share, so it is at most the largest share times the sum of the
    recalls. Where all classes have as many images the two figures are one.

    Args:
        accuracy: a fraction as printed.
        macro_recall: a fraction as printed.
        classes: how many.

    Returns:
        A share; 1 / classes where nothing follows, above 1 where no set of images gives both.
    """
    least = min(printed_bounds(accuracy)[way][0] for way in WAYS)
    most = max(printed_bounds(macro_recall)[way][1] for way in WAYS)
    return float(max(least / (most * classes), Fraction(1, classes)))


def spread_errors(classes: int, images: int, right: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and predictions of a classifier that errs equally in all classes, to any other class equally.

    Returns:
        (n,), (n,) class numbers, in the order of the classes.
    """
    true = np.repeat(np.arange(classes), images)
    place = np.tile(np.arange(images), classes)
    is_right = np.isin(np.arange(len(true)), np.lexsort((true, place))[:right])
    elsewhere = (true + np.random.default_rng(seed).integers(1, classes, len(true))) % classes
    return true, np.where(is_right, true, elsewhere)


def batch_averages(true: np.ndarray, predicted: np.ndarray, batch_size: int) -> dict[str, float]:
    """Average the macro figures of batches: what a training loop prints that scores batch by batch.

    Each batch knows only the classes in its own truth or predictions. With one batch of all images these are the
    macro figures themselves.

    Args:
        true: (n,) class numbers.
        predicted: (n,) class numbers.
        batch_size: images a batch, in the order given.

    Returns:
        `macro_precision`, `macro_recall`, `macro_f1`.
    """
    of_batches = [
        precision_recall_fscore_support(
            true[at : at + batch_size], predicted[at : at + batch_size], average="macro", zero_division=0
        )[:3]
        for at in range(0, len(true), batch_size)
    ]
    return dict(zip(("macro_precision", "macro_recall", "macro_f1"), np.mean(of_batches, axis=0).tolist(), strict=True))


def expected_best(p: float, n: int, models: int) -> float:
    """Return the accuracy that the best of several equally good models is expected to show, by chance alone.

    Exact for models that err independently: the mean of the largest of binomial counts. Models of one family err on
    the same images, so they show less.

    Args:
        p: the accuracy that each of them has in truth, 0 to 1.
        n: images.
        models: how many are compared.
    """
    return float(np.sum(1 - binom.cdf(np.arange(n), n, p) ** models) / n)


def distinguishable_by_chance(better: int, worse: int, n: int) -> str:
    """Return whether two printed scores on the same n images differ significantly, without the predictions.

    Args:
        better: images that one has right.
        worse: images that the other has right.
        n: images.

    Returns:
        `NEAR` where not even the most favorable case (the worse has nothing right that the better has not) is
        significant by McNemar's exact test; `FAR` where a test of separate samples is, which needs more wherever the
        two tend to err on the same images; else `BETWEEN`: it depends on which images they are.
    """
    if mcnemar(better - worse, 0) >= 1 - LEVEL:
        return NEAR
    # From the one further from 1/2 `smallest_difference` looks towards the other, and is exact.
    return FAR if (better - worse) / n >= smallest_difference(max(better, n - worse) / n, n) else BETWEEN


def smallest_difference(p: float, n: int, other_n: int | None = None) -> float:
    """Return the smallest difference from a proportion p that is significant between two separate samples.

    By a two-sided pooled z test of two proportions at 0.95: p on n images, p plus or minus the difference on `other_n`
    (None takes n). The difference is towards 1/2, where the test needs more; above max(p, 1 - p) no outcome is
    significant. A true difference of this size is found about half the time. Raises ValueError where p is no
    proportion, or a sample is empty.
    """
    other_n = n if other_n is None else other_n
    if not 0 <= p <= 1 or n < 1 or other_n < 1:
        raise ValueError(f"Expected p from 0 to 1 and at least one image. Received: p={p}, n={n}, other_n={other_n}.")
    p = max(p, 1 - p)
    weight = other_n / (n + other_n)
    spread = Z**2 * (1 / n + 1 / other_n)
    # difference^2 = spread * pooled * (1 - pooled) with pooled = p - weight * difference: a quadratic, larger root.
    a = 1 + spread * weight**2
    b = -spread * weight * (2 * p - 1)
    c = -spread * p * (1 - p)
    return (-b + sqrt(b**2 - 4 * a * c)) / (2 * a)


def find_gains(percent: int, figures: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find which rows are some percent better than which, in proportion, rounded or truncated.

    Args:
        percent: the gain as printed in words.
        figures: fractions as printed, by row.

    Returns:
        Pairs of rows, the better one first.
    """
    ratios = {(a, b): Fraction(figures[a]) / Fraction(figures[b]) for a in figures for b in figures if a != b}
    return [pair for pair, ratio in ratios.items() if Fraction(-1, 2) <= 100 * (ratio - 1) - percent < 1]


def place_of(name: str, figures: Mapping[str, str]) -> int:
    """Return the place of a row, 1 for the highest figure; rows that are equal share a place."""
    return 1 + sum(Fraction(figure) > Fraction(figures[name]) for figure in figures.values())


def reductions(
    losses: Sequence[float], reduce_patience: int, stop_patience: int, min_delta: float = MIN_DELTA
) -> list[int]:
    """Replay a curve under Keras' `EarlyStopping` and `ReduceLROnPlateau`, both on the loss, as they are by default.

    Progress is any fall for `EarlyStopping`, and one of more than `min_delta` for `ReduceLROnPlateau`.

    Args:
        losses: one an epoch.
        reduce_patience: of `ReduceLROnPlateau`.
        stop_patience: of `EarlyStopping`.
        min_delta: of `ReduceLROnPlateau`.

    Returns:
        The epochs, counted from 1, after which the rate falls and another epoch uses it.
    """
    epochs, lowest, noted, idle, waiting = [], np.inf, np.inf, 0, 0
    for epoch, loss in enumerate(losses, 1):
        idle = 0 if loss < lowest else idle + 1
        waiting = 0 if loss < noted - min_delta else waiting + 1
        lowest, noted = min(lowest, loss), loss if not waiting else noted
        if idle >= stop_patience or epoch == len(losses):
            break
        if waiting >= reduce_patience:
            epochs.append(epoch)
            waiting = 0
    return epochs


def map_sides(side: int, kernels: Sequence[int], padding: int | None, pools: Sequence[int]) -> list[int]:
    """Return the side of a square map after each convolution and each pooling, in pixels.

    Args:
        side: of the image.
        kernels: of the convolutions, stride 1.
        padding: zeros on each side; None keeps the size.
        pools: side and stride of the pooling behind each convolution; what does not fill a cell is left out.
    """
    sides = []
    for kernel, pool in zip(kernels, pools, strict=True):
        side = side if padding is None else side + 2 * padding - kernel + 1
        sides += [side, side := side // pool]
    return sides


def _f1(hits: int, images: int, alarms: int) -> float:
    return 2 * hits / (images + hits + alarms) if hits else 0.0
