"""Solve the head of a network to convergence: logistic regression on the pooled features of its frozen layers."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from marinecv.console import Log
from marinecv.data.groups import groups_of
from marinecv.data.splits.partition import class_by_class, partition_groups
from marinecv.features.cache import AugmentedViews, open_part
from marinecv.inputs.spec import Augmentation, ImageSpec

PENALTIES = (1e-3, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""Values of `Training.head_l2` that are compared, the strongest first."""
FOLDS = 5
MAX_ITERATIONS = 2000
ABSENT_CLASS_LOGIT = -30.0
VIEWS = (AugmentedViews(), AugmentedViews(Augmentation(flip=1.0)))
"""An image as it is, and its mirror image."""


def pooled_features(
    extractor: keras.Model,
    rows: pd.DataFrame,
    pixels: np.ndarray,
    spec: ImageSpec,
    *,
    mirrored: bool,
    chosen: np.ndarray | None = None,
    log: Log,
) -> np.ndarray:
    """Return what a network gives for images and, if asked, for their mirror images: float32 `(views, n, values)`.

    `extractor` maps pixels in [0, 255] to pooled features, which are kept in the feature cache; pixels are row i for
    row i of the usable `rows`, of which `chosen` are the positions of some.
    """
    chosen = np.arange(len(rows)) if chosen is None else chosen
    caches = [open_part(extractor, rows, [pixels], chosen, spec, views, log=log) for views in VIEWS[: 1 + mirrored]]
    return np.stack([cache.arrays[0][cache.places] for cache in caches])


def pooled_widths(extractor: keras.Model) -> list[int]:
    """Return the numbers of values that each pooling of a network gives, see `backbone_features`."""
    last = extractor.layers[-1]
    return [tensor.shape[-1] for tensor in keras.tree.flatten(last.input if last.name == "pooled" else last.output)]


def solve_head(
    features: np.ndarray, labels: np.ndarray, num_classes: int, l2: float, *, widths: Sequence[int], balanced=False
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression; return its kernel `(values, classes)` and bias `(classes,)`.

    They take the features as they are. It minimizes the mean log loss plus `l2 / 2` times the squared kernel, on
    centered features whose blocks, of `widths` values each, have a mean squared length of 1: one `l2` suits every
    network.

    Args:
        features: `(views, n, values)`; each view of an image is an example.
        labels: class indices `(n,)`; a class without any is never predicted.
        num_classes: number of outputs.
        l2: the penalty.
        widths: number of values of each block.
        balanced: weigh each class by the inverse of its frequency.
    """
    center, scale = _scaling(features[0], widths)
    with threadpool_limits(1), without_warnings():  # threads change the order of sums
        [head] = _path((features - center) / scale, labels, [l2], balanced, tolerance=1e-6)
    kernel, bias = _dense(head, num_classes)
    return kernel / scale[:, None], bias - (center / scale) @ kernel


def cross_validate_head(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    folds: np.ndarray,
    penalties: Sequence[float] = PENALTIES,
    *,
    widths: Sequence[int],
    balanced: bool = False,
) -> np.ndarray:
    """Return the probabilities of each image by heads fitted to the other folds: `(penalties, n, classes)`.

    `folds` are numbers `(n,)`; other arguments are those of `solve_head`. Views beside the first only train.
    """
    center, scale = _scaling(features[0], widths)
    features = (features - center) / scale
    probabilities = np.empty((len(penalties), len(labels), num_classes), np.float32)

    def predict(fold: int) -> None:
        train, held_out = folds != fold, folds == fold
        for number, head in enumerate(_path(features[:, train], labels[train], penalties, balanced)):
            kernel, bias = _dense(head, num_classes)
            probabilities[number, held_out] = softmax(features[0, held_out] @ kernel + bias, axis=1)

    with threadpool_limits(1), without_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(predict, np.unique(folds)))
    return probabilities


def fold_numbers(rows: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the number of the fold of each row, from 0: whole groups, or by class where groups do not allow it.

    An image without a group is one. Groups do not allow it if a class would be in one fold alone; a class of one image
    is, in any case.
    """
    rows, rng = rows.reset_index(drop=True), np.random.default_rng(seed)
    rows = rows.assign(group=groups_of(rows))
    if (groups := rows["group"].nunique()) > 1:
        folds = partition_groups(rows, rng, [1 / min(FOLDS, groups)] * min(FOLDS, groups))
        spread = folds.groupby(rows["class_name"]).nunique() > 1
        if spread[rows["class_name"].value_counts() > 1].all():
            return folds.to_numpy()
    order = class_by_class(rows, rng)
    return pd.Series(np.arange(len(rows)) % min(FOLDS, len(rows)), index=order).sort_index().to_numpy()


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the log loss of each image in nats, `(n,)`, of probabilities `(n, classes)`."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))


def _scaling(features: np.ndarray, widths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each feature and the scale of its block."""
    center = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    blocks = np.split((features - center) ** 2, np.cumsum(widths)[:-1], axis=1)
    scales = [max(float(np.sqrt(block.sum(axis=1).mean())), 1e-6) for block in blocks]
    return center, np.repeat(scales, widths).astype(np.float32)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Hide warnings of scikit-learn: of many classes for few images, and of a fit that is stopped before its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def _path(
    features: np.ndarray, labels: np.ndarray, penalties: Sequence[float], balanced: bool, tolerance: float = 1e-4
) -> list:
    """Fit a head for each penalty, each from the one before: `(classes present, kernel, bias)`."""
    examples, targets = features.reshape(-1, features.shape[-1]), np.tile(labels, len(features))
    if (classes := np.unique(targets)).size == 1:  # nothing to fit
        return [(classes, np.zeros((examples.shape[1], 1)), np.zeros(1))] * len(penalties)
    weight = "balanced" if balanced else None
    regression = LogisticRegression(max_iter=MAX_ITERATIONS, tol=tolerance, warm_start=True, class_weight=weight)
    heads, is_binary = [], len(classes) == 2
    for l2 in penalties:
        # The one logit of two classes becomes minus and plus its half, whose squares sum to half of its own.
        regression.set_params(C=(1 + is_binary) / (l2 * len(targets))).fit(examples, targets)
        kernel, bias = regression.coef_.T.copy(), regression.intercept_.copy()
        if is_binary:
            kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
        heads.append((classes, kernel, bias))
    return heads


def _dense(head: tuple, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias over all classes."""
    classes, kernel, bias = head
    whole, biases = np.zeros((len(kernel), num_classes)), np.full(num_classes, ABSENT_CLASS_LOGIT)
    whole[:, classes], biases[classes] = kernel, bias
    return whole, biases
