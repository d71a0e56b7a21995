"""A model and a catalog in, a predictions table out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from marinecv.data.catalog import usable
from marinecv.evaluation.predictions import make_table
from marinecv.inputs.spec import ImageSpec

if TYPE_CHECKING:  # evaluation reads tables, mostly, and then needs no TensorFlow
    import keras
    import tensorflow as tf


def predict_probabilities(model: "keras.Model", dataset: "tf.data.Dataset") -> np.ndarray:
    """Predict every image of a dataset, in its order.

    Args:
        model: `keras.Model`: (batch, height, width, 3) pixels in [0, 255] in, (batch, C) probabilities out.
        dataset: batches of images, or of (images, labels).

    Returns:
        (n, C) float32.
    """
    return np.asarray(model.predict(dataset, verbose=0), dtype=np.float32)


def predict_table(
    model: "keras.Model",
    catalog: pd.DataFrame,
    spec: ImageSpec,
    class_names: Sequence[str],
    batch_size: int = 32,
    pixels: np.ndarray | None = None,
) -> pd.DataFrame:
    """Predict the usable images of a catalog, whatever their split.

    Args:
        model: as `predict_probabilities` takes it.
        catalog: one row an image; rows with a `problem` are left out here and counted in the report.
        spec: the `ImageSpec` the model was trained with.
        class_names: (C,) in the order of the model's outputs.
        batch_size: images a step.
        pixels: what `load_pixels(catalog, spec)` gave, to save decoding again.

    Returns:
        Predictions table, rows in the order of the catalog; an image without a class has the true class "".

    Raises:
        ValueError: no image is usable, one cannot be loaded, or the model's outputs do not fit `class_names`.
    """
    from marinecv.inputs.pipeline import make_dataset

    dataset = make_dataset(catalog, spec, tuple(class_names), batch_size=batch_size, pixels=pixels)
    rows = usable(catalog)
    probabilities = predict_probabilities(model, dataset)
    return make_table(list(rows["image_id"]), list(rows["split"]), list(rows["class_name"]), probabilities, class_names)
