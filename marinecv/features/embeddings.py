"""Compute the embedding of each image: the input of a classifier's last layer, kept in the feature cache."""

import keras
import numpy as np
import pandas as pd

from marinecv.data.user_tables import usable
from marinecv.features.cache import CHUNK, open_cache, values_per_view
from marinecv.inputs.pixel_cache import check_pixels, rows_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import check_graph, flat, is_stock
from marinecv.models.outputs import embedding_tensor


def embed(
    model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, pixels: np.ndarray, *, keep: bool = True
) -> np.ndarray:
    """Return the embedding of every usable image of a catalog: float32 `(n, values)`, row i for its row i.

    Of a classifier that ends in a softmax it is the input of its last layer in inference; of any other network its
    output, flattened. They are cached split by split, unless the model has layers that are not stock Keras.

    Args:
        model: functional or sequential, from one image in [0, 255], of the size of `spec` or of any, to one tensor.
        catalog: its rows with a `problem` are skipped.
        spec: the geometry of the pixels.
        pixels: uint8 `(n, height, width, 3)`; it and the catalog as `load_pixels(catalog, spec)` returns them.
        keep: use the cache, which knows images by their files: False where the pixels were changed since.
    Raises OSError without room in the cache, ValueError where model or pixels do not fit, or a value is not finite.
    """
    check_graph(model, shape=spec.shape)
    extractor = up_to_embedding(model)
    rows = usable(catalog)
    check_pixels(pixels, rows, spec.shape)
    stock = all(map(is_stock, extractor.operations))
    embeddings = _cached(extractor, rows, pixels, spec) if keep and stock else _computed(extractor, pixels)
    is_not_finite = ~np.isfinite(embeddings).all(axis=1)
    if is_not_finite.any():
        raise ValueError(
            f"{is_not_finite.sum()} of {len(rows)} embeddings have a value that is not finite, the first that of "
            f"{rows['image_id'].iloc[is_not_finite.argmax()]}. Train the network again with a smaller learning rate."
        )
    return embeddings


def up_to_embedding(model: keras.Model) -> keras.Model:
    """Return a network up to its embedding as one flat graph that shares its layers; ValueError without a graph."""
    check_graph(model)
    model = flat(model)
    return keras.Model(model.inputs[0], embedding_tensor(model), name=model.name)


def _cached(extractor: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Return the embeddings from the cache, computing those that it lacks."""
    # The cache cannot follow how layers are connected that were in other graphs before, as those of a loaded
    # `Sequential`. A copy is of this graph alone, and for images of one size.
    copy = keras.models.clone_model(extractor, input_tensors=keras.Input(spec.shape))
    copy.set_weights(extractor.get_weights())
    embeddings = np.empty((len(rows), values_per_view(copy.outputs)), np.float32)
    for split in rows["split"].unique():
        indices = np.flatnonzero(rows["split"] == split)
        cache = open_cache(copy, rows.iloc[indices], rows_of(pixels, indices), spec)
        embeddings[indices] = cache.arrays[0].reshape(len(indices), -1)
    return embeddings


def _computed(extractor: keras.Model, pixels: np.ndarray) -> np.ndarray:
    chunks = (pixels[start : start + CHUNK].astype(np.float32) for start in range(0, len(pixels), CHUNK))
    seen = np.concatenate([extractor.predict_on_batch(chunk) for chunk in chunks])
    return seen.reshape(len(pixels), -1).astype(np.float32)
