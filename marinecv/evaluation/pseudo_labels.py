"""Pseudo-labels: the confident predictions of a model on images without a label."""

import pandas as pd

from marinecv.evaluation.predictions import PREFIX, as_predictions, class_names_of_table

COLUMNS = ["image_id", "class_name", "probability", "right"]


def pseudo_labels(predictions: pd.DataFrame, at_least: float) -> pd.DataFrame:
    """Return the images in no split, which have no label, whose predicted class has a probability of `at_least`.

    Columns: `image_id, class_name` (the predicted one), `probability`, and `right` (whether it is the true one), the
    only column that depends on the truth.
    """
    columns = [PREFIX + name for name in class_names_of_table(predictions)]
    rows = as_predictions(predictions).query("split == ''")
    right = rows["predicted_class"] == rows["true_class"]
    table = rows[["image_id", "predicted_class"]].assign(probability=rows[columns].max(axis=1), right=right)
    return table[table["probability"] >= at_least].set_axis(COLUMNS, axis=1).reset_index(drop=True)


def with_pseudo_labels(catalog: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with the images of the table in train, with the class of the table; other rows stay."""
    given = catalog["image_id"].map(dict(zip(table["image_id"], table["class_name"], strict=True)))
    is_labeled = given.notna()
    return catalog.assign(
        split=catalog["split"].mask(is_labeled, "train"), class_name=catalog["class_name"].mask(is_labeled, given)
    )
