"""Leakage check: a score as split, on images without a related training image, and in grouped folds."""

from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.audit.leakage_findings import AS_SPLIT, RELATED_APART
from marinecv.choices import SCORED_SPLITS
from marinecv.data.photos import is_of_crops
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_table
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.estimates import few_groups_note, has_interval, interval_text
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import as_predictions, make_table
from marinecv.files.csv_tables import check_columns, parse_numbers, read_table
from marinecv.language import tr

FIGURES = ("accuracy", "balanced_accuracy")
WITHOUT, GROUPED = "no related image in train", "grouped folds"
NOT_CHECKED = "Train-test leakage was not checked: `evaluate` checks it, `audit` shows related images."
LEAKAGE_COLUMNS = ["subset", "split", "metric", "value", "low", "high", "n", "groups", "method"]


def leakage_scores(
    predictions: pd.DataFrame, groups: pd.Series, related_images: pd.DataFrame, folds: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return accuracy and balanced accuracy on three sets of images: `LEAKAGE_COLUMNS`, a row a set and metric.

    The sets are each split (`as split`), its images that are not among `related_images` (`no related image in train`),
    and the `grouped folds`, whose validation predictions are `folds`. 95% intervals resample groups, six or more. A set
    without images has n 0 and NaN for value and bounds.
    """
    predictions, rows = as_predictions(predictions), []
    for split in SCORED_SPLITS:
        part = predictions[(predictions["split"] == split) & (predictions["true_class"] != "")]
        if len(part):
            rows += _scored(AS_SPLIT, split, part, groups)
            ids = part["photo" if is_of_crops(part) else "image_id"]
            rows += _scored(WITHOUT, split, part[~ids.isin(related_images["image_id"])], groups)
    if folds is not None:
        rows += _scored(GROUPED, "all", folds, groups)
    return pd.DataFrame(rows, columns=LEAKAGE_COLUMNS).astype({"low": float, "high": float})


def read_leakage_scores(path: str | Path) -> pd.DataFrame:
    """Read a table of `leakage_scores` from CSV; ValueError where a column is missing, or holds no numbers."""
    scores = parse_numbers(read_table(path), ("value", "low", "high", "n", "groups"), path)
    check_columns(scores, LEAKAGE_COLUMNS, path)
    return scores.astype({"n": int, "groups": int})


def leakage_sentences(
    scores: pd.DataFrame | None,
    kinds: str = "copy, near-duplicate or neighboring frame",
    train: str = "train",
    *,
    retrain: bool = True,
) -> list[str]:
    """Return sentences on the accuracies of `leakage_scores`, None without a check: one a split, one on the folds.

    `kinds` names the related images that were searched, `train` where. `retrain` is False for a model that cannot be
    trained in folds, as it was trained elsewhere.
    """
    if scores is None:
        return [tr(NOT_CHECKED)]
    rows = scores[scores["metric"] == "accuracy"].set_index(["subset", "split"])
    sentences, related = [], 0
    for split in (split for subset, split in rows.index if subset == AS_SPLIT):
        whole, alone = rows.loc[AS_SPLIT, split], rows.loc[WITHOUT, split]
        num_related = int(whole["n"] - alone["n"])
        related += num_related
        words = {"n": whole["n"], "split": tr(split), "kinds": tr(kinds), "train": tr(train)}
        if not num_related:
            sentence = "No train-test leakage found: none of the {n} {split} images has a {kinds} in {train}."
            sentences.append(tr(sentence, **words))
            continue
        others = tr("no other image is left")
        if alone["n"]:
            others = tr("{accuracy} on the other {n}", accuracy=_figure(alone), n=alone["n"])
        sentence = (
            "Train-test leakage: {related} of the {n} {split} images have a {kinds} in {train}. Accuracy: "
            "{value:.3f} on all; {others}."
        )
        sentences.append(tr(sentence, related=num_related, value=whole["value"], others=others, **words))
    if (GROUPED, "all") in rows.index:
        accuracy = _figure(rows.loc[GROUPED, "all"])
        sentences.append(tr("Cross-validated by groups of related images: {accuracy}.", accuracy=accuracy))
    elif related and retrain:
        sentences.append(tr("For a score without leakage, evaluate with folds=5, by groups of related images."))
    return sentences


def _figure(row: pd.Series) -> str:
    few = f", {tr('few groups')}" if has_interval(row) and few_groups_note(row) else ""
    return tr(
        "{value:.3f} ({interval}, n={n}{few})", value=row["value"], interval=interval_text(row), n=row["n"], few=few
    )


def leakage_index(votes: pd.DataFrame) -> dict:
    """Return the accuracy that the nearest-neighbor baseline on thumbnails owes to leakage.

    `votes` are of `nearest_neighbor_baseline`. Returns `scores` (`LEAKAGE_COLUMNS`: the votes of each kind and the
    `majority class`), and on the images with both votes the `difference` of the accuracies, its 95% bounds `low` and
    `high` over groups, and `n`; NaN and 0 where nothing is split.
    """
    votes = as_table(votes, text=TEXT_OF_AUDIT)
    groups = votes.drop_duplicates("image_id").set_index("image_id")["group"]
    rows, tables = [], {}
    for vote, part in votes.groupby("protocol", sort=False):
        tables[vote] = table = _table(part, part["predicted_class"])
        for split in part["split"].unique() if vote == AS_SPLIT else ["all"]:
            subset = part if split == "all" else part[part["split"] == split]
            majority = _table(subset, [subset["true_class"].mode()[0]] * len(subset))
            rows += _scored(vote, split, table[table["image_id"].isin(subset["image_id"])], groups)
            rows += _scored("majority class", split, majority, groups)
    result = {"scores": pd.DataFrame(rows, columns=LEAKAGE_COLUMNS).astype({"low": float, "high": float})}
    if {AS_SPLIT, RELATED_APART} - set(tables):
        return result | {"difference": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    both = set(tables[AS_SPLIT]["image_id"]) & set(tables[RELATED_APART]["image_id"])
    first, second = (tables[vote][tables[vote]["image_id"].isin(both)].assign(split="judged") for vote in tables)
    compared = compare_runs(first, second, "judged", groups=groups)
    return result | {key: compared[key] for key in ("difference", "low", "high", "n")}


def _table(votes: pd.DataFrame, predicted: list[str]) -> pd.DataFrame:
    names = sorted({*votes["true_class"], *predicted})
    one_hot = np.eye(len(names))[[names.index(name) for name in predicted]]
    return make_table(list(votes["image_id"]), list(votes["split"]), list(votes["true_class"]), one_hot, names)


def _scored(images: str, split: str, table: pd.DataFrame, groups: pd.Series) -> list[dict]:
    if table.empty:
        empty = {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0, "groups": 0, "method": "no image is left"}
        return [{"subset": images, "split": split, "metric": figure, **empty} for figure in FIGURES]
    metrics = classification_metrics(table, groups=groups)
    alone = {"groups": metrics["n"]}
    return [{"subset": images, "split": split, "metric": figure, **alone, **metrics[figure]} for figure in FIGURES]
