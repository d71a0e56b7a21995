"""What a network makes of each image before it names it: its code, kept in the store."""

import keras
import numpy as np
import pandas as pd

from marinecv.data.user_tables import usable
from marinecv.features.bank import CHUNK, open_bank, values_per_view
from marinecv.inputs.pixels import load_pixels, rows_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import check_graph, flat, is_stock
from marinecv.models.outputs import code_tensor


def embed(
    model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, pixels: np.ndarray | None = None, *, keep: bool = True
) -> np.ndarray:
    """Return the code of every usable image of a catalog.

    Of a classifier that ends in a softmax it is what its last layer takes in inference; of an encoder, a backbone
    without its top, a model of logits, or any other network, what it gives. What was computed once lies in the store,
    split by split, but not of a model with layers that are not Keras' own, whose code may change: it is computed each
    time.

    Args:
        model: functional or sequential, from one image in [0, 255] to one tensor: a network that rescales nothing
            inside, as most of `keras.applications`, wants a `Rescaling` layer before it. One for images of any size
            takes that of `spec`.
        catalog: its rows with a `problem` are left out.
        spec: how pixels were made of the files.
        pixels: uint8 `(n, height, width, 3)`; it and the catalog as `load_pixels(catalog, spec)` gave them, to save
            decoding again.
        keep: look into the store and leave codes there. It knows images by their files: False where the pixels are no
            longer what the files show.
    Returns:
        float32 `(n, values)`, row i for row i of `usable(catalog)`; maps are flattened.
    Raises:
        OSError: there is no room for what is to be kept.
        ValueError: the model has no graph, several inputs or outputs, or is for images of another size; the pixels are
            of other rows, or an image cannot be loaded; or a code has a value that is no finite number.
    """
    check_graph(model, shape=spec.shape)
    front = up_to_code(model)
    rows = usable(catalog)
    if pixels is None:
        pixels = load_pixels(rows, spec)[0]
    if len(pixels) != len(rows):
        raise ValueError(
            f"Expected pixels of the {len(rows)} usable rows. Received: {len(pixels)} images. Hand over both that "
            "`pixels, catalog = load_pixels(catalog, spec)` gives."
        )
    stock = all(map(is_stock, front.operations))
    codes = _kept(front, rows, pixels, spec) if keep and stock else _computed(front, pixels)
    wrong = ~np.isfinite(codes).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} of {len(rows)} codes have a value that is no finite number, the first that of "
            f"{rows['image_id'].iloc[wrong.argmax()]}. Expected a network whose training went well: train it again "
            "with a smaller learning rate."
        )
    return codes


def up_to_code(model: keras.Model) -> keras.Model:
    """Return a network up to its code, as `embed` has it; it shares the layers of one flat graph.

    Raise ValueError where it has no graph, or several inputs or outputs.
    """
    check_graph(model)
    model = flat(model)
    return keras.Model(model.inputs[0], code_tensor(model), name=model.name)


def _kept(front: keras.Model, rows: pd.DataFrame, pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """The codes as the store has them, after it has been given those that it had not."""
    # Of layers that were in other graphs before, as those of a loaded `Sequential`, the store cannot follow how they
    # are connected. A copy is of this graph alone, and for images of one size.
    copy = keras.models.clone_model(front, input_tensors=keras.Input(spec.shape))
    copy.set_weights(front.get_weights())
    codes = np.empty((len(rows), values_per_view(copy.outputs)), np.float32)
    for split in rows["split"].unique():
        chosen = np.flatnonzero(rows["split"] == split)
        bank = open_bank(copy, rows.iloc[chosen], rows_of(pixels, chosen), spec)
        codes[chosen] = bank.arrays[0].reshape(len(chosen), -1)
    return codes


def _computed(front: keras.Model, pixels: np.ndarray) -> np.ndarray:
    chunks = (pixels[start : start + CHUNK].astype(np.float32) for start in range(0, len(pixels), CHUNK))
    seen = np.concatenate([front.predict_on_batch(chunk) for chunk in chunks])
    return seen.reshape(len(pixels), -1).astype(np.float32)
