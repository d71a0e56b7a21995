"""What more labels bring: every line of a learning curve at every share of labelled images, with its intervals.

The `cells` of a curve are the predictions of all that were trained, one below the other: `line` (what was trained),
`labelled` (the share of the train images that has a label, 0 to 1), `images` (how many that are), `seed`, and then the
columns of a predictions table. All judge the same images of a split. The intervals say what other judged images would
have given; what other labelled images would have given is seen in the range over the seeds.
"""

import numpy as np
import pandas as pd

from marinecv.evaluation.compare import difference_bounds
from marinecv.evaluation.figures import MIN_GROUPS
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.intervals import RESAMPLES, effective_number, expanded_interval, share_interval, wilson
from marinecv.evaluation.metrics import averages, image_losses
from marinecv.evaluation.predictions import class_names_of_table

CELL = ["line", "labelled", "seed"]
MACRO = ("macro_f1", "macro_precision", "macro_recall")
BATCH = 64
DIFFERENCE_COLUMNS = ["line", "labelled", "difference", "low", "high", "seeds", "n", "said"]


def curve_table(cells: pd.DataFrame, split: str, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Score each line at each share of the cells of a curve, the mean over its seeds: a row a line, share and metric.

    `batched_macro_f1` is the mean of the macro-F1 of batches of 64 images in the order of their true classes, each over
    the classes that it holds or predicts: it falls far below macro-F1 and is no score, but papers print it.

    Columns: `line, labelled, images` (median over seeds), `metric, value` (mean over seeds), `low, high` (95%: of
    accuracy Wilson's, else by a bootstrap over images or groups, the same resamples for every seed; NaN of few groups
    and of `batched_macro_f1`), `lowest, highest` (range over seeds), `seeds, n`.
    """
    rows = judged_rows(cells, split)
    class_names = class_names_of_table(cells.iloc[:, 4:])
    images = rows["image_id"].drop_duplicates().sort_values()
    n, numbers = len(images), group_numbers(images, groups)
    sizes = np.ones(n) if numbers is None else np.bincount(numbers)
    draws = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLES)
    weights = np.vstack([np.ones(n), draws if numbers is None else draws[:, numbers]])
    table = []
    for line in cells["line"].unique():
        for labelled, part in rows[rows["line"] == line].groupby("labelled"):
            of_seeds = [_figures(cell, class_names, weights) for _, cell in part.groupby("seed")]
            for metric in of_seeds[0]:
                replicates = np.array([figures[metric] for figures in of_seeds])  # (seeds, 1 + resamples)
                mean, values = replicates.mean(axis=0), replicates[:, 0]
                low, high = _bounds(metric, mean, n, sizes)
                row = {"line": line, "labelled": labelled, "images": part["images"].median(), "metric": metric}
                row |= {"value": mean[0], "low": low, "high": high, "lowest": values.min(), "highest": values.max()}
                table.append(row | {"seeds": len(values), "n": n})
    return pd.DataFrame(table)


def line_differences(cells: pd.DataFrame, first: str, split: str, seed: int = 0, groups: Groups = None) -> pd.DataFrame:
    """Compare the accuracy of every other line with that of the first, at each share, over the seeds that both have.

    Columns: `line, labelled, difference, low, high` (95%, see `difference_bounds`), `seeds, n, said`: "better" or
    "worse" where the interval leaves 0 out, else "not told apart".
    """
    rows = judged_rows(cells, split)
    rows_of_line(rows, first)
    right = rows.assign(right=(rows["predicted_class"] == rows["true_class"]).astype(float))
    right = right.pivot(index=["labelled", "seed", "image_id"], columns="line", values="right")
    table = []
    for line in cells["line"].unique():
        if line == first:
            continue
        for labelled, part in (right[line] - right[first]).dropna().groupby("labelled"):
            gaps = part.groupby("image_id").mean()
            low, high = difference_bounds(gaps, group_numbers(gaps.index.to_series(), groups), seed)
            said = "better" if low > 0 else "worse" if high < 0 else "not told apart"
            table.append((line, labelled, gaps.mean(), low, high, len(part) // len(gaps), len(gaps), said))
    return pd.DataFrame(table, columns=DIFFERENCE_COLUMNS)


def judged_rows(cells: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of a split that have a true class, cell after cell, the images of each in the same order.

    They are `line, labelled, images, seed, image_id, true_class, predicted_class, loss` (nats); sorted by line, share,
    seed and image. Raises ValueError where there is no such row; a cell judges other images than the rest, or one
    twice; or an image has two true classes.
    """
    rows = cells[(cells["split"] == split) & (cells["true_class"] != "")]
    if rows.empty:
        raise ValueError(
            f"No cell of the curve has a labelled image in split {split!r}. Expected one of the splits "
            f"{tuple(cells['split'].unique())}."
        )
    rows = rows.sort_values([*CELL, "image_id"], ignore_index=True)
    truth = rows.drop_duplicates(["image_id", "true_class"]).sort_values("image_id")
    twice = truth.loc[truth["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ValueError(
            f"{len(twice)} images of split {split!r} have another true class in some cells; the first is "
            f"{twice.iloc[0]}. Expected the same labels in all: train the cells on one catalog."
        )
    for (line, labelled, seed), cell in rows.groupby(CELL):
        judged = cell["image_id"].value_counts().reindex(truth["image_id"], fill_value=0)
        if (judged != 1).any():
            odd = judged.index[judged != 1]
            raise ValueError(
                f"The cell {line}, {labelled:.0%} labelled, seed {seed}, does not judge {len(odd)} of {len(truth)} "
                f"images of split {split!r} exactly once; the first is {odd[0]} ({judged[odd[0]]} times). Expected the "
                "same images in every cell: judge it again on the catalog of the others."
            )
    return rows[[*cells.columns[:5], "true_class", "predicted_class"]].assign(loss=image_losses(rows.iloc[:, 4:]))


def rows_of_line(rows: pd.DataFrame, line: str) -> pd.DataFrame:
    """Return the rows of a line, or raise ValueError where there is none."""
    of_line = rows[rows["line"] == line]
    if of_line.empty:
        raise ValueError(f"There is no line {line!r} on this curve. Expected one of {tuple(rows['line'].unique())}.")
    return of_line


def _bounds(metric: str, mean: np.ndarray, n: int, sizes: np.ndarray) -> tuple[float, float]:
    """The 95% bounds of a mean over seeds, as `classification_metrics` bounds one; its value comes first in `mean`."""
    if len(sizes) < min(n, MIN_GROUPS):
        return np.nan, np.nan
    if metric == "accuracy" and len(sizes) == n:  # all or nothing is the same in every resample
        return wilson(mean[0] * n, n)
    units = effective_number(sizes)
    shares = metric in ("accuracy", *MACRO)
    return share_interval(mean[0], mean[1:], units, n) if shares else expanded_interval(mean[1:], units)


def _figures(cell: pd.DataFrame, class_names: tuple[str, ...], weights: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of one cell, (1 + resamples,) each; weights (1 + resamples, n) say how often each image is taken."""
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
    """Hits, predicted and support of each class, (rows of weights, C) each."""
    true, predicted = (cell[name].to_numpy()[:, None] == class_names for name in ("true_class", "predicted_class"))
    return weights @ (true & predicted), weights @ predicted, weights @ true
