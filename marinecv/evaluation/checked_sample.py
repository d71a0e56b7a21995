"""How good a model is on a batch of images of which a person checked a stratified random sample.

Strata are the predicted classes, of known sizes. The batch itself is estimated, and images are drawn one by one: so
the intervals hold however alike the images of an event are, and a batch that is checked whole gives exact values.
Sources: Cochran (1977), chapter 5; Olofsson et al. (2014); prediction-powered: Angelopoulos et al. (2023); a
prior divided among parts: Berger, Bernardo and Sun (2015).
"""

import numpy as np
import pandas as pd

from marinecv.evaluation.intervals import RESAMPLES, percentile_interval
from marinecv.evaluation.predictions import PREFIX

Array = np.ndarray
MIN_CHECKED = 10  # images, below which nothing is estimated of a class
MIN_ERROR = 0.05  # fraction, for the allocation: no stratum is taken to be better, whatever the model says
PRIOR = 0.75  # images right and wrong, added; of 0.5 (Jeffreys) to 1 it comes closest to 0.95 for all true rates
LOOKS = range(50, 10**9, 25)  # numbers of answers after which an interval may end the checking
ESTIMATE_COLUMNS = ["quantity", "class_name", "camera", "value", "low", "high", "n_checked", "N", "method"]
ACCURACY, PRECISION, RECALL, COUNT = "accuracy", "precision", "recall", "count"
STRATIFIED, POWERED, EXACT = "stratified", "stratified, prediction-powered", "all checked"
NONE = "cannot be estimated"


def draw_sample(predictions: pd.DataFrame, check: int, seed: int = 0) -> pd.DataFrame:
    """Draw a stratified random sample of images to check, in an order of which every beginning is one, too.

    A stratum is a predicted class. Each gets `MIN_CHECKED` images (fewer only where that would take more than two
    thirds of all), the others go where they lower the variance of the accuracy most: by N_h sqrt(p_h (1 - p_h)), with
    p_h the mean probability of the predicted class (Neyman). Strata take turns by their sizes, as fixed in advance.

    Args:
        predictions: one row an image: `predicted_class` and its `probability`.
        check: number of images; a smaller table is taken whole.
        seed: of the draw.
    Returns:
        The rows that are drawn, in the order to check.
    """
    strata, sizes = np.unique(predictions["predicted_class"].to_numpy(str), return_counts=True, return_inverse=True)[1:]
    error = np.maximum(1 - np.bincount(strata, predictions["probability"]) / sizes, MIN_ERROR)
    counts = allocate(sizes, sizes * np.sqrt(error * (1 - error)), check)
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of each image in its stratum
    turn = (rank + 0.5) / np.repeat(np.maximum(counts, 1), sizes)
    drawn = rank < np.repeat(counts, sizes)
    return predictions.iloc[by_stratum[drawn][np.argsort(turn[drawn], kind="stable")]]


def allocate(sizes: Array, shares: Array, check: int) -> Array:
    """Return how many images of each stratum to check, (strata,) int: at least a minimum, then by `shares`."""
    if check >= sizes.sum():
        return sizes
    counts = np.minimum(sizes, min(MIN_CHECKED, 2 * check // (3 * len(sizes))))
    for _ in range(check - counts.sum()):
        counts[np.argmax(np.where(counts < sizes, shares / (counts + 1), -1))] += 1
    return counts


def accuracy(predictions: pd.DataFrame, answers: pd.DataFrame) -> dict:
    """Return the row of the accuracy, as of `estimates`.

    The estimate is prediction-powered: the probability p of the predicted class, known of all images, corrects for the
    images that happened to be drawn, by lambda (mean p of the others - mean p of the checked) in each stratum. Lambda,
    from 0 to 1, is the one of all strata that lowers the variance most (PPI++). It always is, by this rule.
    """
    names, predicted, true, is_checked = _columns(predictions, answers)
    hits, counts, sizes = _counts(names, predicted, true)
    right, p = (predicted == true)[is_checked].astype(float), predictions["probability"].to_numpy(float)
    stratum, left = predicted[is_checked], sizes - counts
    weight = (left / max(left.sum(), 1)) ** 2 / np.maximum(counts * (counts - 1), 1)
    of_p = np.bincount(stratum, p[is_checked], len(names))
    mean_p, of_right = of_p / np.maximum(counts, 1), hits.diagonal() / np.maximum(counts, 1)
    above_p, above_right, weight = p[is_checked] - mean_p[stratum], right - of_right[stratum], weight[stratum]
    covariance, variance_p = weight @ (above_p * above_right), weight @ above_p**2
    variance = weight @ above_right**2
    power = np.clip(covariance / variance_p, 0, 1) if variance_p > 0 else 0.0
    mean_left = (np.bincount(predicted, p, len(names)) - of_p) / np.maximum(left, 1)
    shifts = power * np.where(counts > 0, mean_left - mean_p, 0)
    spread = (variance - 2 * power * covariance + power**2 * variance_p) / variance if variance > 0 else 1.0
    value, draws = _total(hits.diagonal(), counts, sizes, np.random.default_rng(0), shifts, spread)
    n, total = counts.sum(), sizes.sum()
    return _row(ACCURACY, "", value / total, draws / total, n, total, POWERED if n < total else EXACT)


def estimates(predictions: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Estimate accuracy, precision and recall by class, and corrected counts by class and by class and camera.

    Args:
        predictions: all images of the batch: `image_id`, `predicted_class`, its `probability`, perhaps `camera`; and
            `p_<class>` of classes that may never be predicted.
        answers: `image_id` and true `class_name`, perhaps an unknown one, of images that `draw_sample` drew.
    Returns:
        DataFrame `ESTIMATE_COLUMNS`: the 95% interval is `low` to `high`; `N` is the number of images that the row
        speaks of: for precision those predicted as the class, for others all, or all of a camera; `n_checked` those
        of them that were checked, but for recall those predicted as the class, for count those whose true or predicted
        class it is. With fewer than `MIN_CHECKED` of these, and others not checked, there is no value, and `method` has
        the reason.
    Raises:
        ValueError: an answer is of no image of the batch, or an image has two.
    """
    names, predicted, true, _ = _columns(predictions, answers)
    rows = [accuracy(predictions, answers), *_class_rows(names, predicted, true)]
    cameras = predictions["camera"].to_numpy(str) if "camera" in predictions else np.full(len(predictions), "")
    for camera in sorted({*cameras} - {""}):
        of_camera = _class_rows(names, predicted[cameras == camera], true[cameras == camera])
        rows += [{**row, "camera": camera} for row in of_camera if row["quantity"] == COUNT]
    return pd.DataFrame(rows, columns=ESTIMATE_COLUMNS)


def _class_rows(names: Array, predicted: Array, true: Array) -> list[dict]:
    """Return precision, recall and count of each class.

    The images of a class are those predicted as it and right, and those predicted as another (Olofsson et al.), each
    with its own distribution; ratio and sum are taken draw by draw. A sum of two has half the prior in each: with the
    whole one in both, intervals of counts are too wide where errors are few (Berger et al.).
    """
    (hits, counts, sizes), rng, rows = _counts(names, predicted, true), np.random.default_rng(0), []
    for number, name in enumerate(names):
        own = np.arange(len(names)) == number
        totals = [
            _total(hits[of, number], counts[of], sizes[of], rng, prior=prior)
            for prior in (PRIOR, PRIOR / 2)
            for of in (own, ~own)
        ]
        (right, right_draws), (missed, missed_draws), *halves = totals
        size, n = sizes[number], counts[number]
        method = f"{NONE}: never predicted" if not size else EXACT if n == size else STRATIFIED
        rows.append(_row(PRECISION, name, right / max(size, 1), right_draws / max(size, 1), n, size, method))
        count, found = right + missed, n + hits[~own, number].sum()
        method = EXACT if (counts == sizes).all() else STRATIFIED
        rows.append(_row(COUNT, name, count, halves[0][1] + halves[1][1], found, sizes.sum(), method))
        # Of those predicted as it alone: with the others, ten are reached where recall was seen to be low.
        recall, draws = right / max(count, 1e-9), right_draws / np.maximum(right_draws + missed_draws, 1e-9)
        rows.append(_row(RECALL, name, recall, draws, n, sizes.sum(), method if count else f"{NONE}: none found"))
    return rows


def _total(hits: Array, counts: Array, sizes: Array, rng, shifts: Array | float = 0.0, spread=1.0, prior=PRIOR):
    """Estimate the number of hits in some strata, each array (strata,): return the stratified estimate and draws of it.

    Of the images that are not checked, the number of hits is drawn from a beta-binomial distribution, (resamples,). Its
    effective number of images is that of which a plain sample has the variance of the stratified estimate; for this
    variance one image with the pooled rate is added to each stratum, so that one without a hit has a variance, and it
    is at most Kish's. In one stratum it is n. A stratum without a checked image gets the pooled rate. `shifts` are
    added to the rates, and leave the fraction `spread` of the variance; `prior` images right and wrong are added.
    """
    left, known = sizes - counts, float(hits.sum())
    if not left.sum():
        return known, np.full(RESAMPLES, known)
    weights, n, sampled = left / left.sum(), np.maximum(counts, 1), counts > 0
    pooled = sizes @ (hits / n) / max(sizes[sampled].sum(), 1)
    rate = np.clip(weights @ (np.where(sampled, hits / n, pooled) + shifts), 0, 1)
    smooth = (hits + pooled) / (counts + 1)
    variance, effective = weights**2 @ (smooth * (1 - smooth) / n), 1 / (weights**2 @ (1 / n))
    if variance * rate * (1 - rate) > 0:
        effective = min(effective, rate * (1 - rate) / variance) / max(spread, 1e-9)
    effective *= sampled.any()
    rates = rng.beta(rate * effective + prior, (1 - rate) * effective + prior, RESAMPLES)
    return known + left.sum() * rate, known + rng.binomial(left.sum(), rates)


def _row(quantity: str, name: str, value: float, draws: Array, n: int, total: int, method: str) -> dict:
    """Return an entry of `estimates`, without a value where the method is none or too few images are checked."""
    if n < MIN_CHECKED and method in (STRATIFIED, POWERED):
        method = f"{NONE}: {n} checked, fewer than {MIN_CHECKED}"
    low, high = percentile_interval(draws)
    figures = [np.nan] * 3 if method.startswith(NONE) else [value, min(low, value), max(high, value)]
    return dict(zip(ESTIMATE_COLUMNS, (quantity, name, "", *figures, int(n), int(total), method), strict=True))


def _columns(predictions: pd.DataFrame, answers: pd.DataFrame) -> tuple[Array, ...]:
    """Return class names, and of each image predicted and true class by number (-1: not checked), and if checked."""
    ids, answered = pd.Index(predictions["image_id"]), pd.Index(answers["image_id"])
    if answered.has_duplicates or len(strange := answered.difference(ids)):
        wrong = f"two answers for {answered[answered.duplicated()][0]}" if answered.has_duplicates else strange[0]
        raise ValueError(f"Expected one answer an image, of images that were predicted. Received: {wrong}.")
    known = [name.removeprefix(PREFIX) for name in predictions if name.startswith(PREFIX)]
    names = np.unique(np.concatenate([known, predictions["predicted_class"], answers["class_name"]]).astype(str))
    true = np.full(len(ids), -1)
    true[ids.get_indexer(answered)] = np.searchsorted(names, answers["class_name"].to_numpy(str))
    return names, np.searchsorted(names, predictions["predicted_class"].to_numpy(str)), true, true >= 0


def _counts(names: Array, predicted: Array, true: Array) -> tuple[Array, Array, Array]:
    """Return the checked images by stratum and true class, those of each stratum, and the sizes of the strata."""
    hits = np.zeros((len(names), len(names)), int)
    np.add.at(hits, (predicted[true >= 0], true[true >= 0]), 1)
    return hits, hits.sum(axis=1), np.bincount(predicted, minlength=len(names))
