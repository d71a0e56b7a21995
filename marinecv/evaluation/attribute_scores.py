"""Accuracy of a multimodal model with attributes of the image itself, of its class, and of another image."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from marinecv.data.attributes import class_mean_attributes, shuffled_attributes
from marinecv.data.user_tables import usable
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predict import predict_table
from marinecv.inputs.pixels import rows_of
from marinecv.runs import Run

if TYPE_CHECKING:
    import keras

MEANINGS = {
    "oracle": "those of the image itself, which are unknown for a new image",
    "class-mean": "the mean of its true class over train, which reveals the class",
    "shuffled": "those of another image: the accuracy without true attributes",
}


def attribute_scores(model: "keras.Model", run: Run, pixels: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Return the validation accuracy with each kind of attributes: `attributes, meaning, accuracy, low, high, n`.

    `pixels` are uint8, row i for row i of `usable(run.catalog)`.
    """
    rows = usable(run.catalog)
    chosen = np.flatnonzero(rows["split"] == "validation")
    validation, told = rows.iloc[chosen], run.attributes
    kinds = {
        "oracle": told,
        "class-mean": class_mean_attributes(told, rows),
        "shuffled": shuffled_attributes(told.loc[validation["image_id"]], seed),
    }
    table = []
    for kind, attributes in kinds.items():
        predictions = predict_table(
            model, validation, run.spec, run.class_names, pixels=rows_of(pixels, chosen), attributes=attributes
        )
        accuracy = classification_metrics(predictions, groups=rows.set_index("image_id")["group"])["accuracy"]
        numbers = {"accuracy": accuracy["value"], **{name: accuracy[name] for name in ("low", "high", "n")}}
        table.append({"attributes": kind, "meaning": MEANINGS[kind], **numbers})
    return pd.DataFrame(table)
