"""Every classification figure, once, from a predictions table; equal to scikit-learn to the last digit."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, top_k_accuracy_score

from marinecv.evaluation.intervals import RESAMPLES, bootstrap_means, percentile_interval, wilson
from marinecv.evaluation.predictions import class_names_of_table, probabilities_of_table

BOOTSTRAP = f"percentile bootstrap over images, {RESAMPLES} resamples"


def classification_metrics(predictions: pd.DataFrame, class_names: Sequence[str] | None = None, seed: int = 0) -> dict:
    """Score a predictions table, every figure with its 95% interval.

    Conventions are scikit-learn's: a ratio with nothing below the line is 0; balanced accuracy averages the classes
    that occur in the truth, macro figures those that occur in the truth or in the predictions. Rows without a true
    class are counted in `unlabelled` and not scored.

    Args:
        predictions: predictions table; the rows to score, usually one split.
        class_names: the classes expected, in order; None takes the table's own.
        seed: of the bootstrap.

    Returns:
        dict of `n`, `unlabelled`, and for each figure a dict of `value, low, high, n, method`: `accuracy`,
        `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_specificity`, `macro_f1`, `weighted_precision`,
        `weighted_recall`, `weighted_f1`, `top3_accuracy` (with more than three classes), `log_loss` (nats).

    Raises:
        ValueError: no row has a true class, or the table has other classes than `class_names`.
    """
    names = class_names_of_table(predictions)
    if class_names is not None and tuple(class_names) != names:
        raise ValueError(f"Expected the classes {tuple(class_names)}, in order. The predictions table has {names}.")
    labelled = _labelled(predictions)
    n = len(labelled)
    counts = confusion(labelled).to_numpy()
    results = {"n": n, "unlabelled": len(predictions) - n, "accuracy": proportion(int(np.trace(counts)), n)}
    values = averages(*_totals(counts))
    replicates = averages(*_resampled_totals(counts, seed))
    for name, value in values.items():
        results[name] = bootstrapped(float(value), replicates[name], n)
    if len(names) > 3:
        codes = labelled["true_class"].map(names.index)
        hits = top_k_accuracy_score(
            codes, probabilities_of_table(labelled), k=3, normalize=False, labels=range(len(names))
        )
        results["top3_accuracy"] = proportion(int(hits), n)
    losses = image_losses(labelled)
    results["log_loss"] = bootstrapped(float(losses.mean()), bootstrap_means(losses, seed), n)
    return results


def per_class_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each class against the rest; an absent class keeps its row.

    Returns:
        DataFrame, one row a class in order: `class_name, precision, recall, specificity, f1, support`, and
        `<name>_low`, `<name>_high` (Wilson, 95%) of the first three. A ratio with nothing below the line is 0, bounded
        by (0, 1).

    Raises:
        ValueError: no row has a true class.
    """
    labelled = _labelled(predictions)
    hits, predicted, support = _totals(confusion(labelled).to_numpy())
    others = len(labelled) - support
    rejected = others - predicted + hits
    table = pd.DataFrame({"class_name": class_names_of_table(predictions), **_ratios(hits, predicted, support)})
    table["support"] = support
    for name, k, n in (("precision", hits, predicted), ("recall", hits, support), ("specificity", rejected, others)):
        bounds = np.array([wilson(int(a), int(b)) for a, b in zip(k, n, strict=True)])
        table[f"{name}_low"], table[f"{name}_high"] = bounds.T
    return table


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count images by true and predicted class: cell (i, j) has true class i and predicted class j.

    Returns:
        DataFrame (C, C) of int, index `true_class` and columns `predicted_class`, all classes in order.

    Raises:
        ValueError: no row has a true class.
    """
    labelled = _labelled(predictions)
    names = list(class_names_of_table(predictions))
    counts = confusion_matrix(labelled["true_class"], labelled["predicted_class"], labels=names)
    return pd.DataFrame(counts, pd.Index(names, name="true_class"), pd.Index(names, name="predicted_class"))


def confused_pairs(predictions: pd.DataFrame, k: int = 10) -> pd.DataFrame:
    """List the pairs of classes confused most often.

    Returns:
        DataFrame of at most k rows, most frequent first: `true_class, predicted_class, count, image_ids` (a list).
    """
    labelled = _labelled(predictions)
    wrong = labelled[labelled["true_class"] != labelled["predicted_class"]]
    pairs = wrong.groupby(["true_class", "predicted_class"])["image_id"].agg(["size", list]).reset_index()
    pairs.columns = ["true_class", "predicted_class", "count", "image_ids"]
    return pairs.sort_values("count", ascending=False, kind="stable", ignore_index=True).head(k)


def worst_losses(predictions: pd.DataFrame, k: int = 12) -> pd.DataFrame:
    """List the images whose true class got the least probability.

    Returns:
        DataFrame of at most k rows, worst first: `image_id, split, true_class, predicted_class, p_true, p_predicted,
        loss` (nats).
    """
    labelled = _labelled(predictions)
    table = labelled[["image_id", "split", "true_class", "predicted_class"]].reset_index(drop=True)
    table["p_true"] = _probability_of(labelled, "true_class")
    table["p_predicted"] = _probability_of(labelled, "predicted_class")
    table["loss"] = image_losses(labelled)
    return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True).head(k)


def image_losses(predictions: pd.DataFrame) -> np.ndarray:
    """Return the cross-entropy of each row, all labelled, (n,) in nats; clipped as scikit-learn clips."""
    smallest = np.finfo(np.float64).eps
    return -np.log(_probability_of(predictions, "true_class").clip(smallest, 1 - smallest))


def _labelled(predictions: pd.DataFrame) -> pd.DataFrame:
    labelled = predictions[predictions["true_class"] != ""]
    if labelled.empty:
        raise ValueError(
            f"None of the {len(predictions)} rows has a true class. Expected labelled images: check the "
            "split, or label them."
        )
    return labelled


def _probability_of(predictions: pd.DataFrame, column: str) -> np.ndarray:
    names = class_names_of_table(predictions)
    codes = predictions[column].map(names.index).to_numpy()
    return probabilities_of_table(predictions)[np.arange(len(codes)), codes]


def _totals(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, predicted and support of each class, (C,) each."""
    return counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)


def _resampled_totals(counts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_totals` of resamples, (resamples, C) each. Drawing images is drawing cells of the confusion matrix."""
    true, predicted = counts.nonzero()
    cells = counts[true, predicted]
    drawn = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), RESAMPLES).astype(np.float64)
    is_class = np.eye(len(counts))
    return drawn @ (is_class[true] * (true == predicted)[:, None]), drawn @ is_class[predicted], drawn @ is_class[true]


def _ratios(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of each class, shape (..., C) in and out."""
    others = support.sum(axis=-1, keepdims=True) - support
    return {
        "precision": _divide(hits, predicted),
        "recall": _divide(hits, support),
        "specificity": _divide(others - predicted + hits, others),
        "f1": _divide(2 * hits, predicted + support),
    }


def averages(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Return the figures averaged over classes, by the conventions of `classification_metrics`.

    Args:
        hits: (..., C) images of each class that are predicted as such.
        predicted: (..., C) images predicted as each class.
        support: (..., C) images of each class.
    Returns:
        (...) each: `balanced_accuracy`, and `macro_<name>` and `weighted_<name>` as there.
    """
    ratios = _ratios(hits, predicted, support)
    return {
        "balanced_accuracy": _mean(ratios["recall"], support > 0),
        **{f"macro_{name}": _mean(ratio, predicted + support > 0) for name, ratio in ratios.items()},
        **{f"weighted_{name}": _mean(ratios[name], support) for name in ("precision", "recall", "f1")},
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (values * weights).sum(axis=-1) / weights.sum(axis=-1)


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=below != 0)


def proportion(k: int, n: int) -> dict:
    """Return k of n as a figure: `value`, `low` and `high` by Wilson's formula, `n`, `method`."""
    low, high = wilson(k, n)
    return {"value": k / n, "low": low, "high": high, "n": n, "method": "Wilson"}


def bootstrapped(value: float, replicates: np.ndarray, n: int) -> dict:
    """Return a value as a figure: `value`, `low` and `high` by its bootstrap replicates, `n`, `method`."""
    low, high = percentile_interval(replicates)
    return {"value": value, "low": low, "high": high, "n": n, "method": BOOTSTRAP}
