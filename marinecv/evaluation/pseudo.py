"""Labels that a model gives itself: what it is sure of among the images without a label."""

import pandas as pd

from marinecv.evaluation.predictions import PREFIX, as_predictions, class_names_of_table

COLUMNS = ["image_id", "class_name", "probability", "right"]


def pseudo_labels(predictions: pd.DataFrame, at_least: float) -> pd.DataFrame:
    """Choose among the images in no split, which are those without a label, the ones whose class a model is sure of.

    `at_least` is the smallest probability of the predicted class. Returns `image_id, class_name` (the predicted one),
    `probability` and `right` (whether it is the true one); what is true is looked at for this column alone.
    """
    columns, predictions = [PREFIX + name for name in class_names_of_table(predictions)], as_predictions(predictions)
    of_them = predictions[predictions["split"] == ""]
    sure = of_them[columns].max(axis=1)
    columns = of_them["image_id"], of_them["predicted_class"], sure, of_them["predicted_class"] == of_them["true_class"]
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    return table[table["probability"] >= at_least].reset_index(drop=True)


def with_pseudo_labels(catalog: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with those images in train, of the class that the table gives them, every row in its place."""
    given = catalog["image_id"].map(dict(zip(table["image_id"], table["class_name"], strict=True)))
    told = given.notna()
    return catalog.assign(
        split=catalog["split"].mask(told, "train"), class_name=catalog["class_name"].mask(told, given)
    )
