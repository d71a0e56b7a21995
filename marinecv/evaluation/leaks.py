"""Leakage check: a score as split, on images without a related training image, and in grouped folds."""

from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.audit.relative_findings import APART, AS_SPLIT
from marinecv.choices import SCORED_SPLITS
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_table
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.figures import caveat, has_interval, interval_words
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import as_predictions, make_table
from marinecv.tables import check_columns, numbers, read_table

FIGURES = ("accuracy", "balanced_accuracy")
WITHOUT, GROUPED = "no related image in train", "grouped folds"
NOT_LOOKED_FOR = "Train-test leakage was not checked: `evaluate` checks it, `audit` shows related images."
HONEST_COLUMNS = ["images", "split", "figure", "value", "low", "high", "n", "groups", "method"]


def honest_scores(
    predictions: pd.DataFrame, groups: pd.Series, relatives: pd.DataFrame, folds: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return accuracy and balanced accuracy on three sets of images: `HONEST_COLUMNS`, a row a set and metric.

    The sets are each split (`as split`), its images that are not among `relatives` (`no related image in train`), and
    the `grouped folds`, whose validation predictions are `folds`. 95% intervals resample groups, six or more. A set
    without images has n 0 and NaN for value and bounds.
    """
    predictions, rows = as_predictions(predictions), []
    for split in SCORED_SPLITS:
        part = predictions[(predictions["split"] == split) & (predictions["true_class"] != "")]
        if len(part):
            rows += _scored(AS_SPLIT, split, part, groups)
            rows += _scored(WITHOUT, split, part[~part["image_id"].isin(relatives["image_id"])], groups)
    if folds is not None:
        rows += _scored(GROUPED, "all", folds, groups)
    return pd.DataFrame(rows, columns=HONEST_COLUMNS).astype({"low": float, "high": float})


def read_honest_scores(path: str | Path) -> pd.DataFrame:
    """Read a table of `honest_scores` from CSV; ValueError where a column is missing, or holds no numbers."""
    scores = numbers(read_table(path), ("value", "low", "high", "n", "groups"), path)
    check_columns(scores, HONEST_COLUMNS, path)
    return scores.astype({"n": int, "groups": int})


def honest_sentences(
    scores: pd.DataFrame,
    kinds: str = "copy, near-duplicate or neighboring frame",
    train: str = "train",
    *,
    retrain: bool = True,
) -> list[str]:
    """Return sentences on the accuracies of `honest_scores`: one a split, one on the folds.

    `kinds` names the related images that were searched, `train` where. `retrain` is False for a model that cannot be
    trained in folds, as it was trained elsewhere.
    """
    rows = scores[scores["figure"] == "accuracy"].set_index(["images", "split"])
    said, related = [], 0
    for split in (split for images, split in rows.index if images == AS_SPLIT):
        whole, alone = rows.loc[AS_SPLIT, split], rows.loc[WITHOUT, split]
        here = int(whole["n"] - alone["n"])
        related += here
        rest = f"{_figure(alone)} on the other {alone['n']}" if alone["n"] else "no other image is left"
        said.append(
            f"Train-test leakage: {here} of the {whole['n']} {split} images have a {kinds} in {train}. "
            f"Accuracy: {whole['value']:.3f} on all; {rest}."
            if here
            else f"No train-test leakage found: none of the {whole['n']} {split} images has a {kinds} in {train}."
        )
    if (GROUPED, "all") in rows.index:
        folds = _figure(rows.loc[GROUPED, "all"])
        said.append(f"Cross-validated by groups of related images: {folds}.")
    elif related and retrain:
        said.append("For a score without leakage, evaluate with folds=5: cross-validation by groups of related images.")
    return said


def _figure(row: pd.Series) -> str:
    few = ", few groups" if has_interval(row) and caveat(row) else ""
    return f"{row['value']:.3f} ({interval_words(row)}, n={row['n']}{few})"


def leak_index(votes: pd.DataFrame) -> dict:
    """Return the accuracy that the nearest-neighbor baseline on thumbnails owes to leakage.

    `votes` are of `thumbnail_votes`. Returns `scores` (`HONEST_COLUMNS`: the votes of each kind and the `majority
    class`), and on the images with both votes the `difference` of the accuracies, its 95% bounds `low` and `high` over
    groups, and `n`; NaN and 0 where nothing is split.
    """
    votes = as_table(votes, text=TEXT_OF_AUDIT)
    groups = votes.drop_duplicates("image_id").set_index("image_id")["group"]
    rows, tables = [], {}
    for vote, part in votes.groupby("vote", sort=False):
        tables[vote] = table = _table(part, part["predicted_class"])
        for split in part["split"].unique() if vote == AS_SPLIT else ["all"]:
            own = part if split == "all" else part[part["split"] == split]
            most = _table(own, [own["true_class"].mode()[0]] * len(own))
            rows += _scored(vote, split, table[table["image_id"].isin(own["image_id"])], groups)
            rows += _scored("majority class", split, most, groups)
    found = {"scores": pd.DataFrame(rows, columns=HONEST_COLUMNS).astype({"low": float, "high": float})}
    if {AS_SPLIT, APART} - set(tables):
        return found | {"difference": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    both = set(tables[AS_SPLIT]["image_id"]) & set(tables[APART]["image_id"])
    first, second = (tables[vote][tables[vote]["image_id"].isin(both)].assign(split="judged") for vote in tables)
    compared = compare_runs(first, second, "judged", groups=groups)
    return found | {key: compared[key] for key in ("difference", "low", "high", "n")}


def _table(votes: pd.DataFrame, said: list[str]) -> pd.DataFrame:
    names = sorted({*votes["true_class"], *said})
    sure = np.eye(len(names))[[names.index(name) for name in said]]
    return make_table(list(votes["image_id"]), list(votes["split"]), list(votes["true_class"]), sure, names)


def _scored(images: str, split: str, table: pd.DataFrame, groups: pd.Series) -> list[dict]:
    if table.empty:
        empty = {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0, "groups": 0, "method": "no image is left"}
        return [{"images": images, "split": split, "figure": figure, **empty} for figure in FIGURES]
    metrics = classification_metrics(table, groups=groups)
    alone = {"groups": metrics["n"]}
    return [{"images": images, "split": split, "figure": figure, **alone, **metrics[figure]} for figure in FIGURES]
