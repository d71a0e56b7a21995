"""Cross-validation: the figures of all folds of a recipe together."""

from collections.abc import Iterable

import pandas as pd

from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import read_predictions
from marinecv.runs import Run


def fold_metrics(runs: Iterable[Run]) -> dict[str, dict]:
    """Score each recipe on the validation images of all its folds: each once, by a model that has not learned from it.

    Which epoch's weights a fold keeps goes by the same images, which flatters a little.

    Args:
        runs: finished ones; those that are no fold are passed over.
    Returns:
        `classification_metrics` by name of the recipe.
    """
    tables: dict[str, list] = {}
    for run in runs:
        if run.fold:
            predictions = read_predictions(run.path("predictions.csv"), run.class_names)
            validation = predictions[predictions["split"] == "validation"]
            tables.setdefault(str(run.read("recipe.json").get("name")), []).append(validation)
    return {name: classification_metrics(pd.concat(parts, ignore_index=True)) for name, parts in tables.items()}
