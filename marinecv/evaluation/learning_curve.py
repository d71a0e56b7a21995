"""Learning curves: the metrics of each line (what was trained) at each fraction of labeled images, with intervals.

`cells` are the predictions of all runs of a curve, one below the other: `recipe`, `label_fraction` (of the train
images, 0 to 1), `images` (their number), `seed`, then the columns of a predictions table. All runs predict
the same images of a split. Intervals of a line are for other images of that split, and the range over seeds is for
other labeled images; those of a difference are for both.
"""

import numpy as np
import pandas as pd

from marinecv.evaluation import intervals
from marinecv.evaluation.compare import difference_bounds
from marinecv.evaluation.estimates import MIN_GROUPS
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.metrics import averages, image_losses
from marinecv.evaluation.predictions import class_names_of_table
from marinecv.evaluation.seeds import MIN_SEEDS

CELL = ["recipe", "label_fraction", "seed"]
MACRO = ("macro_f1", "macro_precision", "macro_recall")
BATCH = 64
DIFFERENCE_COLUMNS = ["recipe", "label_fraction", "difference", "low", "high", "seeds", "n", "note"]


def curve_table(cells: pd.DataFrame, split: str, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Return the metrics of each line at each fraction: a row a line, fraction and metric.

    `batched_macro_f1`, which papers print, is the mean macro-F1 of batches of 64 images sorted by true class, each over
    the classes that it holds or predicts; it is far below macro-F1.

    Columns: `recipe, label_fraction, images` (median over seeds), `metric, value` (mean over seeds), `low, high` (95%:
    of accuracy Wilson's, else by a bootstrap over images or groups, the same resamples for every seed; NaN with few
    groups and for `batched_macro_f1`), `lowest, highest` (range over seeds), `seeds, n`.
    """
    rows = scored_rows(cells, split)
    class_names = class_names_of_table(cells.iloc[:, 4:])
    images = rows["image_id"].drop_duplicates().sort_values()
    n, numbers = len(images), group_numbers(images, groups)
    sizes = np.ones(n) if numbers is None else np.bincount(numbers)
    units = len(sizes)
    draws = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), intervals.RESAMPLES)
    weights = np.vstack([np.ones(n), draws if numbers is None else draws[:, numbers]])
    table = []
    for line in cells["recipe"].unique():
        for labeled, part in rows[rows["recipe"] == line].groupby("label_fraction"):
            of_seeds = [_metrics_of_run(cell, class_names, weights) for _, cell in part.groupby("seed")]
            for metric in of_seeds[0]:
                replicates = np.array([figures[metric] for figures in of_seeds])  # (seeds, 1 + resamples)
                mean, values = replicates.mean(axis=0), replicates[:, 0]
                low, high = _bounds(metric, mean, n, sizes)
                row = {"recipe": line, "label_fraction": labeled, "images": part["images"].median(), "metric": metric}
                row |= {"value": mean[0], "low": low, "high": high, "lowest": values.min(), "highest": values.max()}
                table.append(row | {"seeds": len(values), "n": n})
    return pd.DataFrame(table)


def line_differences(cells: pd.DataFrame, first: str, split: str, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Compare the accuracy of each other line with that of the first, at each fraction, over common seeds.

    Columns: `recipe, label_fraction, difference, low, high` (95%, of `difference_bounds` and `with_seeds`; NaN with
    fewer than `MIN_SEEDS` seeds or `MIN_GROUPS` groups), `seeds, n, note`: "better" or "worse" where the interval does
    not hold 0, else "not told apart".
    """
    rows = scored_rows(cells, split)
    rows_of_line(rows, first)
    right = rows.assign(right=(rows["predicted_class"] == rows["true_class"]).astype(float))
    right = right.pivot(index=["label_fraction", "seed", "image_id"], columns="recipe", values="right")
    table = []
    for line in cells["recipe"].unique():
        if line == first:
            continue
        for labeled, part in (right[line] - right[first]).dropna().groupby("label_fraction"):
            gaps, of_seeds = part.groupby("image_id").mean(), part.groupby("seed").mean().to_numpy()
            low, high = difference_bounds(gaps, group_numbers(gaps.index.to_series(), groups), seed)
            low, high = intervals.with_seeds(low, high, of_seeds) if len(of_seeds) >= MIN_SEEDS else (np.nan, np.nan)
            comparison = "better" if low > 0 else "worse" if high < 0 else "not told apart"
            table.append((line, labeled, gaps.mean(), low, high, len(of_seeds), len(gaps), comparison))
    return pd.DataFrame(table, columns=DIFFERENCE_COLUMNS)


def scored_rows(cells: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the labeled rows of a split, sorted by line, fraction, seed and image.

    Columns: `recipe, label_fraction, images, seed, image_id, true_class, predicted_class, loss` (nats). Raises
    ValueError where there is no row, or a run predicts other images than the first, or has other labels.
    """
    rows = cells[(cells["split"] == split) & (cells["true_class"] != "")]
    if rows.empty:
        splits = tuple(cells["split"].unique())
        raise ValueError(f"No run of the curve has a labeled image in split {split!r}. Expected one of {splits}.")
    rows = rows.sort_values([*CELL, "image_id"], ignore_index=True)
    expected = None
    for (line, labeled, seed), cell in rows.groupby(CELL):
        truth = [*zip(cell["image_id"], cell["true_class"], strict=True)]
        expected = truth if expected is None else expected
        if truth != expected or cell["image_id"].duplicated().any():
            odd = min({*truth} ^ {*expected}, default=truth[0])[0]
            raise ValueError(
                f"The run {line}, {labeled:.0%} labeled, seed {seed}, has other images or labels in split {split!r} "
                f"than the first run: {len(truth)} rows and {len(expected)}; one is {odd}. Expected each image once, "
                "with one label in all runs: train it again on the catalog of the others."
            )
    return rows[[*cells.columns[:5], "true_class", "predicted_class"]].assign(loss=image_losses(rows.iloc[:, 4:]))


def rows_of_line(rows: pd.DataFrame, line: str) -> pd.DataFrame:
    """Return the rows of a line, or raise ValueError where there is none."""
    of_line = rows[rows["recipe"] == line]
    if of_line.empty:
        raise ValueError(f"There is no line {line!r} on this curve. Expected one of {tuple(rows['recipe'].unique())}.")
    return of_line


def _bounds(metric: str, mean: np.ndarray, n: int, sizes: np.ndarray) -> tuple[float, float]:
    """Return the 95% bounds of a mean over seeds; `mean` is its value, then its bootstrap replicates."""
    if len(sizes) < min(n, MIN_GROUPS):
        return np.nan, np.nan
    if metric == "accuracy" and len(sizes) == n:  # resamples of 0% or 100% are all equal
        return intervals.wilson(mean[0] * n, n)
    units = intervals.effective_number(sizes)
    if metric in ("accuracy", *MACRO):
        return intervals.fraction_interval(mean[0], mean[1:], units, n)
    return intervals.expanded_interval(mean[1:], units)


def _metrics_of_run(cell: pd.DataFrame, class_names: tuple[str, ...], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics of one run, (1 + resamples,) each; `weights` (1 + resamples, n) counts each image."""
    right = (cell["predicted_class"] == cell["true_class"]).to_numpy()
    macro = averages(*_totals(cell, class_names, weights))
    # Batch of an image: its rank in the order of true classes, divided by the size.
    rank = cell["true_class"].map(class_names.index).rank(method="first").to_numpy() - 1
    batches = rank // BATCH == np.arange(-(-len(cell) // BATCH))[:, None]
    batched = np.full(len(weights), np.nan)
    batched[0] = averages(*_totals(cell, class_names, batches.astype(float)))["macro_f1"].mean()
    return {
        "accuracy": weights @ right / weights.sum(axis=1),
        **{name: macro[name] for name in MACRO},
        "log_loss": weights @ cell["loss"].to_numpy() / weights.sum(axis=1),
        "batched_macro_f1": batched,
    }


def _totals(cell: pd.DataFrame, class_names: tuple[str, ...], weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return hits, predicted and support of each class, (rows of weights, C) each."""
    true, predicted = (cell[name].to_numpy()[:, None] == class_names for name in ("true_class", "predicted_class"))
    return weights @ (true & predicted), weights @ predicted, weights @ true
