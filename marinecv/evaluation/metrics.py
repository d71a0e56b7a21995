"""Classification metrics of a predictions table, with intervals.

Ours rather than scikit-learn's, as the bootstrap needs them for 2,000 resamples at once; the tests compare the values.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from marinecv.evaluation.estimates import MIN_GROUPS, bootstrapped_fraction, mean_estimate, without_interval
from marinecv.evaluation.groups import Groups, counts_by_group, group_numbers
from marinecv.evaluation.intervals import RESAMPLES, resampled_sums, wilson
from marinecv.evaluation.predictions import as_predictions, class_names_of_table, probabilities_of_table

EPSILON = np.finfo(np.float64).eps  # to which scikit-learn clips probabilities


def classification_metrics(
    predictions: pd.DataFrame, class_names: Sequence[str] | None = None, seed: int = 0, groups: Groups = None
) -> dict:
    """Return the metrics of a predictions table, each with its 95% interval.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(range(2), "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> mcv.classification_metrics(table)["accuracy"]["n"]
        2

    Conventions are scikit-learn's: a ratio with denominator 0 is 0; balanced accuracy averages the classes in the
    truth, macro averages those in the truth or the predictions.

    Args:
        predictions: predictions table, usually of one split.
        class_names: the classes expected, in order; None takes the table's own.
        seed: of the bootstrap.
        groups: the group of an image by `image_id`: near-duplicates, frames of one video, images of one camera. Their
            errors correlate, so groups are resampled whole. An image without an entry is a group of its own.

    Returns:
        dict of `n`, `unlabeled` (rows without a true class, not scored) and for each metric a dict of `value, low,
        high, n, method`, and `groups` (their number) where images share one: `accuracy`, `balanced_accuracy`,
        `macro_precision`, `macro_recall`, `macro_specificity`, `macro_f1`, `weighted_precision`, `weighted_recall`,
        `weighted_f1`, `top3_accuracy` (with more than three classes), `log_loss` (nats). With fewer than 20 groups
        `method` says that the interval may be too narrow; with fewer than 6 `low` and `high` are None.

    Raises:
        ValueError: no row has a true class, or the table has other classes than `class_names`.
    """
    names = class_names_of_table(predictions)
    if class_names is not None and tuple(class_names) != names:
        raise ValueError(f"Expected the classes {tuple(class_names)}, in order. The predictions table has {names}.")
    labeled = _labeled(predictions)
    n, counts = len(labeled), confusion(labeled).to_numpy()
    values_by_metric = {"accuracy": (labeled["true_class"] == labeled["predicted_class"]).to_numpy()}
    if len(names) > 3:  # ties as in scikit-learn
        order = np.argsort(probabilities_of_table(labeled), axis=1, kind="stable")
        true = labeled["true_class"].map(names.index).to_numpy()
        values_by_metric["top3_accuracy"] = (order[:, -3:] == true[:, None]).any(axis=1)
    numbers = group_numbers(labeled["image_id"], groups)
    if numbers is not None and (few := int(numbers.max()) + 1) < MIN_GROUPS:
        metrics = classification_metrics(predictions, seed=seed)
        return {name: without_interval(of, few) if isinstance(of, dict) else of for name, of in metrics.items()}
    estimates = {name: mean_estimate(values, numbers, seed) for name, values in values_by_metric.items()}
    sizes = None if numbers is None else np.bincount(numbers)
    resampled = _resampled_totals(counts, seed) if numbers is None else _resampled_by_group(labeled, numbers, seed)
    replicates = averages(*resampled)
    for name, value in averages(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)).items():
        estimates[name] = bootstrapped_fraction(value, replicates[name], n, sizes)
    log_loss = mean_estimate(image_losses(labeled), numbers, seed)
    return {"n": n, "unlabeled": len(predictions) - n, **estimates, "log_loss": log_loss}


def per_class_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of each class against the rest.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(range(2), "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> mcv.per_class_metrics(table)["recall"].tolist()
        [1.0, 0.0]

    Returns:
        DataFrame, one row a class in order, absent ones too: `class_name, precision, recall, specificity, f1, support`,
        and `<name>_low`, `<name>_high` of the first three (95%, Wilson's, which assumes independent images). A ratio
        with denominator 0 is 0, bounded by (0, 1).

    Raises:
        ValueError: no row has a true class.
    """
    labeled = _labeled(predictions)
    counts = confusion(labeled).to_numpy()
    hits, predicted, support = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    others = len(labeled) - support
    rejected = others - predicted + hits
    table = pd.DataFrame({"class_name": class_names_of_table(predictions), **_ratios(hits, predicted, support)})
    table["support"] = support
    for name, k, n in (("precision", hits, predicted), ("recall", hits, support), ("specificity", rejected, others)):
        table[f"{name}_low"], table[f"{name}_high"] = zip(*map(wilson, k.tolist(), n.tolist()), strict=True)
    return table


def class_scores(predictions: pd.DataFrame) -> dict[str, dict]:
    """Return precision, recall, F1 (without interval) and support of each class by names such as `recall[crab]`."""
    scores = {}
    for row in per_class_metrics(predictions).to_dict("records"):
        for name in ("precision", "recall", "f1", "support"):
            bounds = {bound: row.get(f"{name}_{bound}") for bound in ("low", "high")}
            scores[f"{name}[{row['class_name']}]"] = {"value": row[name], "n": row["support"], **bounds}
    return scores


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count images by true and predicted class: cell (i, j) has true class i and predicted class j.

        >>> import marinecv as mcv
        >>> table = mcv.make_table(range(2), "test", ["crab", "eel"], [[0.9, 0.1], [0.6, 0.4]], ["crab", "eel"])
        >>> mcv.confusion(table).to_numpy().tolist()
        [[1, 0], [1, 0]]

    Returns:
        DataFrame (C, C) of int, index `true_class` and columns `predicted_class`, all classes in order.

    Raises:
        ValueError: no row has a true class.
    """
    labeled = _labeled(predictions)
    names = list(class_names_of_table(predictions))
    counts = pd.crosstab(labeled["true_class"], labeled["predicted_class"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def confused_pairs(predictions: pd.DataFrame, k: int = 10) -> pd.DataFrame:
    """Return the k most frequent confusions: `true_class, predicted_class, count, image_ids` (a list)."""
    labeled = _labeled(predictions)
    wrong = labeled[labeled["true_class"] != labeled["predicted_class"]]
    pairs = wrong.groupby(["true_class", "predicted_class"])["image_id"].agg(count="size", image_ids=list).reset_index()
    return pairs.sort_values("count", ascending=False, kind="stable", ignore_index=True).head(k)


def worst_losses(predictions: pd.DataFrame, k: int = 12) -> pd.DataFrame:
    """Return the k images whose true class has the lowest probability, worst first.

    Columns: `image_id, split, true_class, predicted_class, p_true, p_predicted, loss` (nats).
    """
    labeled = _labeled(predictions)
    table = labeled[["image_id", "split", "true_class", "predicted_class"]].reset_index(drop=True)
    p_true, p_predicted = (_probability_of(labeled, name) for name in ("true_class", "predicted_class"))
    table = table.assign(p_true=p_true, p_predicted=p_predicted, loss=image_losses(labeled))
    return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True).head(k)


def image_losses(predictions: pd.DataFrame) -> np.ndarray:
    """Return the cross-entropy of each row, all labeled, (n,) in nats; probabilities are clipped as in scikit-learn."""
    return -np.log(_probability_of(predictions, "true_class").clip(EPSILON, 1 - EPSILON))


def _labeled(predictions: pd.DataFrame) -> pd.DataFrame:
    predictions = as_predictions(predictions).reset_index(drop=True)
    labeled = predictions[predictions["true_class"] != ""]
    if labeled.empty:
        what = f"None of the {len(predictions)} rows has a true class" if len(predictions) else "There is no row"
        raise ValueError(f"{what}. Expected labeled images: check the split, or label them.")
    if unknown := {*labeled["true_class"], *labeled["predicted_class"]}.difference(class_names_of_table(labeled)):
        raise ValueError(f"Expected a column p_<class> for every class. Received: none for {min(unknown)!r}.")
    return labeled


def _probability_of(predictions: pd.DataFrame, column: str) -> np.ndarray:
    classes = predictions[column].map(class_names_of_table(predictions).index).to_numpy()
    return probabilities_of_table(predictions)[np.arange(len(classes)), classes]


def _resampled_totals(counts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, predicted and support in resamples of images, (resamples, C) each."""
    true, predicted = counts.nonzero()
    cells = counts[true, predicted]
    drawn = np.random.default_rng(seed).multinomial(cells.sum(), cells / cells.sum(), RESAMPLES).astype(np.float64)
    is_class = np.eye(len(counts))
    return drawn @ (is_class[true] * (true == predicted)[:, None]), drawn @ is_class[predicted], drawn @ is_class[true]


def _resampled_by_group(labeled: pd.DataFrame, numbers: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return hits, predicted and support in resamples of groups, (resamples, C) each."""
    names = class_names_of_table(labeled)
    true, predicted = (labeled[name].map(names.index).to_numpy() for name in ("true_class", "predicted_class"))
    parts = [
        counts_by_group(numbers, true, len(names), weights=true == predicted),
        counts_by_group(numbers, predicted, len(names)),
        counts_by_group(numbers, true, len(names)),
    ]
    return np.split(resampled_sums(np.hstack(parts), seed), 3, axis=1)


def _ratios(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics of each class, shape (..., C) in and out."""
    others = support.sum(axis=-1, keepdims=True) - support
    return {
        "precision": _divide(hits, predicted),
        "recall": _divide(hits, support),
        "specificity": _divide(others - predicted + hits, others),
        "f1": _divide(2 * hits, predicted + support),
    }


def averages(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Return the averages over classes of `classification_metrics`, (...) each.

    Of each class, (..., C) each: `hits` are its images that are classified correctly, `predicted` the images predicted
    as it, `support` its images.
    """

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (values * weights).sum(axis=-1) / weights.sum(axis=-1)

    ratios = _ratios(hits, predicted, support)
    return {
        "balanced_accuracy": mean(ratios["recall"], support > 0),
        **{f"macro_{name}": mean(ratio, predicted + support > 0) for name, ratio in ratios.items()},
        **{f"weighted_{name}": mean(ratios[name], support) for name in ("precision", "recall", "f1")},
    }


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=below != 0)
