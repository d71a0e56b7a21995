"""What a probability means: the temperature that makes it fit, and how far it is off before and after."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from marinecv.evaluation.figures import mean_figure
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.predictions import (
    as_predictions,
    class_names_of_table,
    predicted_indices,
    probabilities_of_table,
    with_truth,
)
from marinecv.run_records import Calibration

BINS = 15
COOLEST, WARMEST = 0.05, 20.0
FEWEST = 10
"""Images held out, below which nothing is said of what a probability means."""
METHOD = (
    "softmax(log p / T); T has the least log loss on the calibration images, a part of validation, where the network's "
    "own probabilities count as one image more; 1 where the log loss cross-validated over them does not fall"
)
FOLDS = 5
_SMALLEST = np.finfo(np.float64).eps


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften probabilities, or sharpen them: `softmax(log p / temperature)`. The most probable class stays.

        >>> import marinecv as mcv
        >>> mcv.calibrated([[0.9, 0.1]], temperature=2.0).round(2).tolist()
        [[0.75, 0.25]]

    It is what the network's softmax would give of its logits divided by the temperature.

    Args:
        probabilities: (n, C), 0 to 1, each row summing to 1; a 0 is taken as the smallest difference from 1.
        temperature: above 1 softens, below 1 sharpens.
    Returns:
        (n, C) float64, each row summing to 1.
    Raises:
        ValueError: the temperature is not above 0.
    Source: Guo et al. (2017), https://arxiv.org/abs/1706.04599.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature above 0, as calibration.json has it. Received: {temperature}.")
    return softmax(np.log(_kept(probabilities)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Return the temperature with the least log loss.

    The probabilities' own word counts as one image more, of which temperature 1 is exactly right. So images that are
    all right, or all of one class, give a finite temperature: the fewer they are, the nearer to 1.

    Args:
        probabilities: (n, C) of images that the network has not learned from, n at least 1.
        true: (n,) number of the true class of each.
    Returns:
        From `COOLEST` to `WARMEST`.
    Raises:
        ValueError: `true` is no class of each image.
    """
    own, true = with_truth(probabilities, true)
    logs, n = np.log(_kept(own)), len(own)
    target = np.eye(own.shape[1])[true] + own / n

    def loss(log_temperature: float) -> float:
        return -(target * log_softmax(logs / np.exp(log_temperature), axis=1)).sum() / n

    # The loss is convex in 1/T, so it has one valley along log T too.
    found = minimize_scalar(loss, bounds=np.log([COOLEST, WARMEST]), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def cross_validated_loss(
    probabilities: np.ndarray, true: np.ndarray, numbers: np.ndarray | None = None, seed: int = 0
) -> float:
    """Return the mean log loss (nats) where a temperature fitted on four folds of five scales the images of the other.

    `true` (n,) is the number of the true class, `numbers` (n,) the group, which the seed puts into one fold; None where
    no two share one. A group alone is not scaled.
    """
    groups, of_group = np.unique(np.arange(len(true)) if numbers is None else numbers, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(groups))[of_group] % FOLDS
    losses = np.empty(len(true))
    for judged in (fold == number for number in np.unique(fold)):
        others = probabilities[~judged], true[~judged]
        temperature = fit_temperature(*others) if len(others[1]) else 1.0
        losses[judged] = _losses(calibrated(probabilities[judged], temperature), true[judged])
    return float(losses.mean())


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, averaged over bins by their images.

    `confidence` (n,) is the probability of the predicted class, `right` (n,) whether it is the true one; bins are of
    equal width from 0 to 1, each with its upper end. Of few images the error is above 0 even where every probability is
    exactly right: `error_by_chance`.
    Source: Naeini et al. (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning.
    """
    gaps = np.bincount(_bins(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def error_by_chance(confidence: np.ndarray, seed: int = 0) -> float:
    """Return the mean calibration error that these confidences would show if each were exactly right."""
    drawn = np.random.default_rng(seed).random((200, len(confidence))) < confidence
    return float(np.mean([calibration_error(confidence, right) for right in drawn]))


def reliability_table(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Set confidence beside accuracy, bin by bin.

    Args:
        confidence: (n,) probability of the predicted class.
        right: (n,) whether it is the true one.
        bins: as in `calibration_error`.
    Returns:
        DataFrame, one row a bin that holds an image: `bin` (from 1), `n`, mean `confidence`, `accuracy`, and its 95%
        interval `low`, `high` by Wilson's formula, which takes images for independent.
    """
    rows = []
    places = _bins(confidence, bins)
    for place in np.unique(places):
        inside = places == place
        k, n = int(right[inside].sum()), int(inside.sum())
        low, high = wilson(k, n)
        rows.append([int(place) + 1, n, float(confidence[inside].mean()), k / n, low, high])
    return pd.DataFrame(rows, columns=["bin", "n", "confidence", "accuracy", "low", "high"])


def truth_of(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities `(n, C)` and the number of the true class `(n,)` of a labelled predictions table."""
    names = list(class_names_of_table(predictions))
    return probabilities_of_table(predictions), as_predictions(predictions)["true_class"].map(names.index).to_numpy(int)


def judge_temperature(chosen: pd.DataFrame, held: pd.DataFrame, seed: int = 0, groups: Groups = None) -> dict:
    """Fit a temperature on one part of validation, and say on the other what it brings; both are predictions tables.

    It is fitted on `chosen`, the calibration images, and is 1 where `cross_validated_loss` is not below the log loss as
    it is; below `FEWEST` images in `held` none is used. Returns the first fields of `run_records.Calibration`: what is
    measured of the held images is None where there is a `reason`.
    """
    counts = {"n_chosen": len(chosen), "n_held": len(held)}
    if len(held) < FEWEST:
        reason = (
            f"Too few validation images are held out ({len(held)}, expected {FEWEST} at least) to tell whether "
            "probabilities are right, so they stay as the network gives them"
        )
        none = dict.fromkeys(("cross_validated", "accuracy", "ece", "log_loss", "reliability"))
        return {"method": METHOD, "temperature": 1.0, "reason": reason, **counts, **none}
    probabilities, true = truth_of(chosen)
    after = cross_validated_loss(probabilities, true, group_numbers(chosen["image_id"], groups), seed)
    before = float(_losses(probabilities, true).mean())
    temperature = fit_temperature(probabilities, true) if after < before else 1.0
    probabilities, true = truth_of(held)
    right, numbers = predicted_indices(probabilities) == true, group_numbers(held["image_id"], groups)
    forms = {"before": probabilities, "after": calibrated(probabilities, temperature)}
    confidence = {when: form.max(axis=1) for when, form in forms.items()}
    return {
        "method": METHOD,
        "temperature": temperature,
        "reason": "",
        **counts,
        "cross_validated": {"before": before, "after": after},
        "accuracy": mean_figure(right, numbers, seed),
        "ece": {
            **{when: calibration_error(sure, right) for when, sure in confidence.items()},
            "by_chance": error_by_chance(confidence["after"], seed),
        },
        "log_loss": {when: mean_figure(_losses(form, true), numbers, seed) for when, form in forms.items()},
        "reliability": {when: reliability_table(sure, right).to_dict("records") for when, sure in confidence.items()},
    }


def temperature_sentence(calibration: Calibration) -> str:
    """Return in a sentence whether the temperature is used, where something was measured."""
    losses = calibration.cross_validated
    if losses.after < losses.before:
        return (
            f"Temperature scaling, fitted on {calibration.n_chosen} calibration images, lowers cross-validated log "
            f"loss from {losses.before:.3f} to {losses.after:.3f}."
        )
    return (
        "Temperature scaling does not lower log loss on the calibration images; probabilities are left as they are "
        f"(ECE {calibration.ece.before:.3f}, n={calibration.n_held})."
    )


def _losses(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    return -np.log(_kept(probabilities)[np.arange(len(true)), true])


def _kept(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities, np.float64).clip(_SMALLEST, 1.0)


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)
