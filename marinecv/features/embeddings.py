"""What a network makes of each image before it names it: its code, kept in the store."""

import keras
import numpy as np
import pandas as pd
from keras import layers

from marinecv.data.catalog import usable
from marinecv.features.bank import CHUNK, open_bank, values_per_view
from marinecv.inputs.pixels import rows_of
from marinecv.inputs.spec import ImageSpec


def embed(
    model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, pixels: np.ndarray, *, keep: bool = True
) -> np.ndarray:
    """Return the code of every usable image of a catalog.

    Of a classifier it is what its softmax layer takes in inference; of an encoder, a backbone without its top, or any
    other network, what it gives. What was computed once lies in the store, split by split, but not of a graph with a
    model within: it is computed each time.

    Args:
        model: functional or sequential, from one image in [0, 255] to one tensor: a network that rescales nothing
            inside, as most of `keras.applications`, wants a `Rescaling` layer before it. One for images of any size
            takes that of `spec`.
        catalog: its rows with a `problem` are left out.
        spec: how pixels were made of the files.
        pixels: uint8 `(n, height, width, 3)`; it and the catalog as `load_pixels(catalog, spec)` gave them.
        keep: look into the store and leave codes there. It knows images by their files: False where the pixels are no
            longer what the files show.
    Returns:
        float32 `(n, values)`, row i for row i of `usable(catalog)`; maps are flattened.
    Raises:
        OSError: there is no room for what is to be kept.
        ValueError: the model has no graph, several inputs or outputs, or is for images of another size; the pixels are
            of other rows; or a code has a value that is no finite number.
    """
    rows = usable(catalog)
    if len(pixels) != len(rows):
        raise ValueError(
            f"Expected pixels of the {len(rows)} usable rows. Received: {len(pixels)} images. Hand over both that "
            "`pixels, catalog = load_pixels(catalog, spec)` gives."
        )
    front = up_to_code(model)
    wanted = front.input_shape[1:]
    if len(wanted) != 3 or any(side not in (None, given) for side, given in zip(wanted, spec.shape, strict=True)):
        raise ValueError(f"{model.name} takes {wanted}. Expected an ImageSpec of that size. Received: {spec.shape}.")
    nested = any(isinstance(layer, keras.Model) for layer in front.layers)
    codes = _kept(front, rows, pixels, spec) if keep and not nested else _computed(front, pixels)
    wrong = ~np.isfinite(codes).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} of {len(rows)} codes have a value that is no finite number, the first that of "
            f"{rows['image_id'].iloc[wrong.argmax()]}. Expected a network whose training went well: train it again "
            "with a smaller learning rate."
        )
    return codes


def up_to_code(model: keras.Model) -> keras.Model:
    """Return a network up to its code, as `embed` has it; it shares the layers.

    Raises:
        ValueError: it has no graph, or several inputs or outputs.
    """
    try:
        inputs, outputs = model.inputs, model.outputs
    except AttributeError:
        raise ValueError(
            f"{model.name} has no graph. Expected a functional or sequential model that knows its input: "
            "x = keras.Input(spec.shape); keras.Model(x, model(x))."
        ) from None
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"{model.name} takes {len(inputs)} inputs and gives {len(outputs)} outputs. Expected one image and one "
            'tensor. Name the tensor: embed(keras.Model(model.inputs[0], model.get_layer("...").output), ...).'
        )
    graph = keras.Model(inputs[0], outputs[0], name=model.name)
    last = graph.operations[-1]
    if isinstance(last, layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax:
        return keras.Model(inputs[0], last.input, name=model.name)
    return graph


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
