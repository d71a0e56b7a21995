"""Temperature scaling, and how well probabilities are calibrated before and after it.

Ours rather than scikit-learn's `CalibratedClassifierCV(method="temperature")`, which needs an estimator, takes no prior
and gives temperature 0 where all images are right; the tests compare both.
"""

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from marinecv.evaluation.estimates import mean_estimate
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.intervals import wilson
from marinecv.evaluation.predictions import predicted_indices, probabilities_and_labels
from marinecv.language import tr
from marinecv.run_records import Calibration

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MIN_HELD_OUT_IMAGES = 10
"""Calibration images, below which nothing is measured."""
METHOD = (
    "softmax(log p / T); T has the least log loss on the calibration images, a part of validation, where the network's "
    "own probabilities count as one image more; 1 where the log loss cross-validated over them does not fall"
)
TOO_FEW = (
    "Too few validation images are held out ({n}, expected {least} at least) to measure calibration, so probabilities "
    "stay as the network gives them"
)
FOLDS = 5
_EPSILON = np.finfo(np.float64).eps


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Scale probabilities by a temperature: `softmax(log p / temperature)`; the most probable class stays.

        >>> import marinecv as mcv
        >>> mcv.calibrated([[0.9, 0.1]], temperature=2.0).round(2).tolist()
        [[0.75, 0.25]]

    Args:
        probabilities: (n, C), 0 to 1, each row summing to 1; a 0 counts as the machine epsilon.
        temperature: above 1 makes probabilities more even, below 1 less even.
    Returns:
        (n, C) float64, each row summing to 1: what a softmax gives of the logits divided by the temperature.
    Raises:
        ValueError: the temperature is not above 0.
    Source: Guo et al. (2017), https://arxiv.org/abs/1706.04599.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature above 0, as in calibration.json. Received: {temperature}.")
    return softmax(np.log(_clipped(probabilities)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Return the temperature with the least log loss, from `MIN_TEMPERATURE` to `MAX_TEMPERATURE`.

    One more image, whose true class is distributed as the network predicts on average, is a prior for temperature 1.
    It keeps the temperature finite where all images are right, or all of one class.

    Args:
        probabilities: (n, C) of images that the network has not been trained on, n at least 1.
        true: (n,) index of the true class of each image.
    """
    from scipy.optimize import minimize_scalar

    probabilities = np.asarray(probabilities, np.float64)
    logits, n = np.log(_clipped(probabilities)), len(probabilities)
    target = np.eye(probabilities.shape[1])[true] + probabilities / n

    def loss(log_temperature: float) -> float:
        return -(target * log_softmax(logits / np.exp(log_temperature), axis=1)).sum() / n

    # The loss is convex in 1/T, so it has one minimum along log T too.
    bounds = np.log([MIN_TEMPERATURE, MAX_TEMPERATURE])
    result = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(result.x))


def cross_validated_loss(
    probabilities: np.ndarray, true: np.ndarray, group_ids: np.ndarray | None = None, seed: int = 0
) -> float:
    """Return the mean log loss (nats) in 5-fold cross-validation of the temperature.

    `true` (n,) is the index of the true class. `group_ids` (n,) is the group of each image, which stays in one fold;
    None where no two images share one. A single group is not scaled.
    """
    groups, of_group = np.unique(np.arange(len(true)) if group_ids is None else group_ids, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(groups))[of_group] % FOLDS
    losses = np.empty(len(true))
    for in_fold in (fold == number for number in np.unique(fold)):
        others = probabilities[~in_fold], true[~in_fold]
        temperature = fit_temperature(*others) if len(others[1]) else 1.0
        losses[in_fold] = _losses(calibrated(probabilities[in_fold], temperature), true[in_fold])
    return float(losses.mean())


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error (ECE): the mean gap between confidence and accuracy over bins, 0 to 1.

    `confidence` (n,) is the probability of the predicted class, `right` (n,) whether it is the true one. Bins have
    equal width and include their upper end. With few images the ECE of perfect probabilities is above 0: see
    `error_of_perfect_calibration`. Source: Naeini et al. (2015), https://doi.org/10.1609/aaai.v29i1.9602.
    """
    gaps = np.bincount(bin_indices(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def error_of_perfect_calibration(confidence: np.ndarray, seed: int = 0) -> float:
    """Return the mean ECE of perfectly calibrated predictions with these confidences, from 200 simulations."""
    drawn = np.random.default_rng(seed).random((200, len(confidence))) < confidence
    return float(np.mean([calibration_error(confidence, right) for right in drawn]))


def bin_indices(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the bin of each confidence (n,), from 0; bins have equal width and include their upper end."""
    return np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)


def reliability_table(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return confidence and accuracy bin by bin; arguments as of `calibration_error`.

    Columns, one row a bin that holds an image: `bin` (from 1), `n`, mean `confidence`, `accuracy` and its 95% Wilson
    interval `low`, `high`, which assumes independent images.
    """
    rows = []
    bin_numbers = bin_indices(confidence, bins)
    for bin_number in np.unique(bin_numbers):
        inside = bin_numbers == bin_number
        k, n = int(right[inside].sum()), int(inside.sum())
        rows.append([int(bin_number) + 1, n, float(confidence[inside].mean()), k / n, *wilson(k, n)])
    return pd.DataFrame(rows, columns=["bin", "n", "confidence", "accuracy", "low", "high"])


def evaluate_temperature(
    fit_table: pd.DataFrame, check_table: pd.DataFrame, seed: int = 0, groups: Groups = None
) -> dict:
    """Fit a temperature on one part of validation and measure it on the other; both are predictions tables.

    It is fitted on `fit_table` and is 1 where `cross_validated_loss` is not below the unscaled log loss, or where
    `check_table` has fewer than `MIN_HELD_OUT_IMAGES` images. Returns the first fields of `run_records.Calibration`;
    where there is a `reason`, those measured on `check_table` are None.
    """
    counts = {"n_chosen": len(fit_table), "n_calibration": len(check_table)}
    if len(check_table) < MIN_HELD_OUT_IMAGES:
        reason = TOO_FEW.format(n=len(check_table), least=MIN_HELD_OUT_IMAGES)
        none = dict.fromkeys(("cross_validated", "accuracy", "ece", "log_loss", "reliability"))
        return {"method": METHOD, "temperature": 1.0, "reason": reason, **counts, **none}
    probabilities, true = probabilities_and_labels(fit_table)
    after = cross_validated_loss(probabilities, true, group_numbers(fit_table["image_id"], groups), seed)
    before = float(_losses(probabilities, true).mean())
    temperature = fit_temperature(probabilities, true) if after < before else 1.0
    probabilities, true = probabilities_and_labels(check_table)
    right, numbers = predicted_indices(probabilities) == true, group_numbers(check_table["image_id"], groups)
    forms = {"before": probabilities, "after": calibrated(probabilities, temperature)}
    confidence = {when: form.max(axis=1) for when, form in forms.items()}
    ece = {when: calibration_error(sure, right) for when, sure in confidence.items()}
    return {
        "method": METHOD,
        "temperature": temperature,
        "reason": "",
        **counts,
        "cross_validated": {"before": before, "after": after},
        "accuracy": mean_estimate(right, numbers, seed),
        "ece": ece | {"by_chance": error_of_perfect_calibration(confidence["after"], seed)},
        "log_loss": {when: mean_estimate(_losses(form, true), numbers, seed) for when, form in forms.items()},
        "reliability": {when: reliability_table(sure, right).to_dict("records") for when, sure in confidence.items()},
    }


def temperature_sentence(calibration: Calibration) -> str:
    """Return a sentence that says whether the temperature is used."""
    if calibration.reason:
        return tr(f"{TOO_FEW}.", n=calibration.n_calibration, least=MIN_HELD_OUT_IMAGES)
    losses = calibration.cross_validated
    if losses.after < losses.before:
        text = (
            "Temperature scaling, fitted on {n} calibration images, lowers cross-validated log loss from {before:.3f} "
            "to {after:.3f}."
        )
        return tr(text, n=calibration.n_chosen, before=losses.before, after=losses.after)
    text = (
        "Temperature scaling does not lower log loss on the calibration images; probabilities are left as they are "
        "(ECE {ece:.3f}, n={n})."
    )
    return tr(text, ece=calibration.ece.before, n=calibration.n_calibration)


def calibration_error_sentence(calibration: Calibration) -> str:
    """Return a sentence on the calibration error of a calibration that has no `reason`."""
    values = {"before": calibration.ece.before, "after": calibration.ece.after, "perfect": calibration.ece.by_chance}
    text = (
        "The expected calibration error (ECE, 15 bins, n={n}) is {before:.3f} before and {after:.3f} after; with this "
        "number of images a perfectly calibrated model would have {perfect:.3f} on average."
    )
    if calibration.temperature == 1:
        text = (
            "The expected calibration error (ECE, 15 bins, n={n}) is {before:.3f}; with this number of images a "
            "perfectly calibrated model would have {perfect:.3f} on average."
        )
    return tr(text, n=calibration.n_calibration, **values)


def _losses(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    return -np.log(_clipped(probabilities)[np.arange(len(true)), true])


def _clipped(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities, np.float64).clip(_EPSILON, 1.0)
