"""What attributes are worth at test time: those of the image itself, of its class, and of another image."""

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
    "oracle": "those of the image itself, which nobody knows of a new one",
    "class-mean": "the mean of its class over train: the answer in disguise",
    "shuffled": "those of another image: what the model does without the truth",
}


def attribute_scores(model: "keras.Model", run: Run, pixels: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Score a multimodal model on validation with each kind of attributes of `MEANINGS`.

    Pixels are uint8, row i for row i of `usable(run.catalog)`. Columns: `attributes, meaning, accuracy, low, high, n`.
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
        figure = classification_metrics(predictions, groups=rows.set_index("image_id")["group"])["accuracy"]
        figures = {"accuracy": figure["value"], "low": figure["low"], "high": figure["high"], "n": figure["n"]}
        table.append({"attributes": kind, "meaning": MEANINGS[kind], **figures})
    return pd.DataFrame(table)
