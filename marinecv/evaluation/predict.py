"""Predictions of a model on the images of a catalog."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.attributes import class_mean_attributes, shuffled_attributes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.user_tables import usable
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table
from marinecv.features.cache import make_cached_dataset, open_cache
from marinecv.features.embeddings import embed, up_to_embedding
from marinecv.features.inference_engine import images_a_batch
from marinecv.features.split_point import split_model, split_point
from marinecv.inputs.pipeline import attributes_of, make_dataset
from marinecv.inputs.pixel_cache import check_pixels, rows_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import check_graph, flat, is_stock
from marinecv.models.outputs import with_probabilities
from marinecv.progress import progress_bar
from marinecv.runs import Run

MEANINGS = {
    "oracle": "those of the image itself, which are unknown for a new image",
    "class-mean": "the mean of its true class over train, which reveals the class",
    "shuffled": "those of another image: the accuracy without true attributes",
}


def predict_probabilities(model: keras.Model, dataset: tf.data.Dataset) -> np.ndarray:
    """Return the outputs for every image of a dataset, in its order: (n, C) float32.

    Batches are of pixels (batch, height, width, 3) in [0, 255], or of (pixels, labels).
    """
    # The cardinality is negative where it is unknown; arrays, which Keras takes too, have none.
    batches = max(0, int(getattr(dataset, "cardinality", int)())) or None
    with progress_bar(batches, "predicting", unit="batches") as show:
        # Keras waits for the output of each batch, unless all callbacks are async_safe.
        bar = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: show(batch + 1), async_safe=True)
        return np.asarray(model.predict(dataset, verbose=0, callbacks=[bar]), dtype=np.float32)


def predict_table(
    model: keras.Model,
    catalog: pd.DataFrame,
    spec: ImageSpec,
    class_names: Sequence[str],
    batch_size: int = 32,
    pixels: np.ndarray | None = None,
    *,
    attributes: pd.DataFrame | None = None,
    cache_features: bool = False,
    together: bool = False,
) -> pd.DataFrame:
    """Return the predictions table of the usable images of a catalog, of any split.

        >>> import marinecv as mcv
        >>> catalog = mcv.read_catalog(mcv.demo_images())
        >>> model, spec = mcv.cnn((64, 64, 3), 7), mcv.ImageSpec(height=64, width=64)
        >>> mcv.predict_table(model, catalog[:8], spec, mcv.class_names_of(catalog)).columns[:3].tolist()
        ['image_id', 'split', 'true_class']

    Args:
        model: functional or sequential, with a softmax over the classes, or logits, which get a softmax here; for two
            classes also one sigmoid or its logit, for the second class. It takes pixels in [0, 255]: put a `Rescaling`
            layer before a model that was trained on another range.
        catalog: one row an image; rows with a `problem` are left out.
        spec: the `ImageSpec` the model was trained with.
        class_names: (C,) in the order of the model's outputs.
        batch_size: images a step, at most; of large ones fewer.
        pixels: the array of `load_pixels(catalog, spec)`; None decodes the images.
        attributes: by `image_id`, for a model that takes them with the image.
        cache_features: with `pixels`, read the outputs of frozen stock layers from the feature cache, and write missing
            ones.
        together: cache the features of all splits in one file, which cross-validation folds share.

    Returns:
        Predictions table, rows in the order of the catalog, with its extra columns; the true class is "" without one.

    Raises:
        OSError: there is no room for the feature cache.
        ValueError: no image is usable, one cannot be loaded, one has no attributes, or the model has no graph, is for
            images of another size, or its outputs do not fit `class_names`.
    """
    rows = usable(catalog, ("image_id", "path"))
    model = with_probabilities(flat(model) if cache_features else model, class_names)
    check_graph(model, 2, spec.shape)
    check_inputs(model, attributes)
    attribute_rows = attributes_of(attributes, rows)
    if cache_features and all(map(is_stock, model.operations)):  # the cache cannot identify other layers
        probabilities = _from_cache(model, rows, pixels, spec, batch_size, attribute_rows, together)
    else:
        batch_size = min(batch_size, images_a_batch((None, *spec.shape)))
        options = {"batch_size": batch_size, "pixels": pixels, "attributes": attribute_rows, "allow_unknown": True}
        dataset = make_dataset(catalog, spec, class_names, **options)
        probabilities = predict_probabilities(model, dataset)
    extra = rows.drop(columns=CATALOG_COLUMNS, errors="ignore")
    return make_table(rows["image_id"], rows["split"], rows["class_name"], probabilities, class_names, extra)


def predict_embeddings(
    model: keras.Model,
    catalog: pd.DataFrame,
    spec: ImageSpec,
    pixels: np.ndarray,
    *,
    cache_features: bool = False,
    together: bool = False,
) -> np.ndarray:
    """Return the embeddings of the usable images, float32 (n, values), without storing them.

    `model` and ValueErrors are as of `embed`; `cache_features`, `together` and OSErrors as of `predict_table`.
    """
    if cache_features:
        return _from_cache(up_to_embedding(model), usable(catalog), pixels, spec, 32, None, together)
    return embed(model, catalog, spec, pixels, keep=False)


def check_inputs(model: keras.Model, attributes: pd.DataFrame | None = None) -> None:
    """Raise ValueError where the model takes attributes and there are none."""
    if attributes is None and len(model.inputs) > 1:
        raise ValueError(
            f"This model takes {model.inputs[1].shape[-1]} attributes with each image, and these images have none. "
            "Expected data with attributes; for images alone train a model without."
        )


def attribute_scores(model: keras.Model, run: Run, pixels: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Return the validation accuracy with each kind of attributes: `attributes, meaning, accuracy, low, high, n`.

    `pixels` are uint8, row i for row i of `usable(run.catalog)`.
    """
    rows = usable(run.catalog)
    chosen = np.flatnonzero(rows["split"] == "validation")
    validation, true_attributes = rows.iloc[chosen], run.attributes
    kinds = {
        "oracle": true_attributes,
        "class-mean": class_mean_attributes(true_attributes, rows),
        "shuffled": shuffled_attributes(true_attributes.loc[validation["image_id"]], seed),
    }
    table = []
    for kind, attributes in kinds.items():
        inputs = {"pixels": rows_of(pixels, chosen), "attributes": attributes}
        predictions = predict_table(model, validation, run.spec, run.class_names, **inputs)
        accuracy = classification_metrics(predictions, groups=rows.set_index("image_id")["group"])["accuracy"]
        numbers = {"accuracy": accuracy["value"], **{name: accuracy[name] for name in ("low", "high", "n")}}
        table.append({"attributes": kind, "meaning": MEANINGS[kind], **numbers})
    return pd.DataFrame(table)


def _from_cache(
    model, rows: pd.DataFrame, pixels: np.ndarray, spec: ImageSpec, batch_size: int, attributes, together: bool
) -> np.ndarray:
    """Return the outputs of a model by the feature cache, split by split as in training, or together."""
    check_pixels(pixels, rows, spec.shape)
    frozen = any(tensor is model.outputs[0] for tensor in split_point(model))  # the cache holds its outputs
    extractor, trainable = (model, None) if frozen else split_model(model)
    outputs = np.empty((len(rows), model.output_shape[-1]), np.float32)
    parts = [np.flatnonzero(rows["split"] == name) for name in rows["split"].unique()]
    for indices in [rows["image_id"].to_numpy().argsort()] if together else parts:
        cached = open_cache(extractor, rows.iloc[indices], rows_of(pixels, indices), spec)
        if frozen:
            outputs[indices] = cached.arrays[0]
            continue
        attribute_rows = None if attributes is None else attributes[indices]
        labels = np.zeros(len(indices), np.int64)
        batches = make_cached_dataset(cached, labels, 1, batch_size=batch_size, attributes=attribute_rows)
        outputs[indices] = predict_probabilities(trainable, batches)
    return outputs
