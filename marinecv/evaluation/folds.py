"""Cross-validated metrics: the validation predictions of all folds of a recipe together."""

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from marinecv.data.splits.split_catalog import is_grouped
from marinecv.evaluation.cameras import camera_table
from marinecv.evaluation.groups import common_groups
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import read_predictions
from marinecv.language import tr
from marinecv.runs import Run


def fold_metrics(runs: Iterable[Run]) -> dict[str, dict]:
    """Return `classification_metrics` of the validation images of all folds, by name of the recipe.

    Early stopping selects the epoch on the same images, so the metrics are a little optimistic. Other runs are left
    out, and recipes of which a fold is missing; intervals resample the groups of the catalogs.
    """
    runs = [run for run in runs if run.fold]
    found = Counter(map(_name, runs))
    runs = [run for run in runs if found[_name(run)] >= int(run.fold.partition("/")[2])]
    last = {_name(run): run for run in runs}  # folds of one recipe have the same images
    return {
        name: classification_metrics(table, groups=common_groups([last[name].catalog], table["image_id"]))
        for name, table in fold_predictions(runs).items()
    }


def fold_words(runs: Iterable[Run]) -> str:
    """Return what the score of folds is called: cross-validated, and whether by groups."""
    splits = [run.read("recipe.json").get("data", {}).get("split_by") for run in runs if run.fold]
    is_by_groups = all(map(is_grouped, splits))
    return tr("cross-validated by groups of related images") if is_by_groups else tr("cross-validated")


def fold_predictions(runs: Iterable[Run]) -> dict[str, pd.DataFrame]:
    """Return the validation predictions of all folds of finished runs, each image once, by name of the recipe."""
    tables: dict[str, list] = {}
    for run in runs:
        if run.fold:
            predictions = read_predictions(run.path("predictions.csv"), run.class_names)
            tables.setdefault(_name(run), []).append(predictions[predictions["split"] == "validation"])
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def fold_cameras(runs: Iterable[Run]) -> dict[str, pd.DataFrame]:
    """Return the `camera_table` of all folds of finished runs, by name of the recipe.

    Only of recipes whose folds each score cameras that they were not trained on, two or more in all.
    """
    parts: dict[str, list] = {}
    for run in runs:
        if run.fold:
            predictions = read_predictions(run.path("predictions.csv"), run.class_names)
            is_scored = predictions["split"] == "validation"
            cameras = predictions.get("camera", pd.Series("", predictions.index))
            is_new = ~cameras[is_scored].isin({"", *cameras[~is_scored]})
            parts.setdefault(_name(run), []).append(predictions[is_scored].assign(camera=cameras, is_new=is_new))
    tables = {name: pd.concat(of_recipe) for name, of_recipe in parts.items()}
    tables = {name: camera_table(table) for name, table in tables.items() if table["is_new"].all()}
    return {name: table for name, table in tables.items() if len(table) > 1}


def _name(run: Run) -> str:
    return str(run.read("recipe.json").get("name"))
