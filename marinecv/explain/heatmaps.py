"""Images and classes in, one heat map an image out, whatever the method."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from marinecv.explain.cam import gradcam, gradcam_plus_plus, saliency, scorecam
from marinecv.explain.layers import maps_layer
from marinecv.explain.superpixels import lime
from marinecv.models.flat import check_graph, flat
from marinecv.models.outputs import with_logits

BATCH = 32
OF_A_LAYER = {"gradcam": gradcam, "gradcam++": gradcam_plus_plus, "scorecam": scorecam}
OF_PIXELS = {"saliency": saliency, "lime": lime}
METHODS = {**OF_A_LAYER, **OF_PIXELS}
NO_HEAT = (
    "no heat: nothing in the maps speaks for this class, or its gradient is zero everywhere (dead units, or a model "
    "that gives every image the same answer)"
)


def heatmaps(
    model: keras.Model,
    images: np.ndarray | tuple[np.ndarray, np.ndarray],
    classes: Sequence[int],
    method: str = "gradcam",
    layer: str | None = None,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Show where in each image a model finds its evidence for a class.

        >>> import marinecv as mcv, numpy as np
        >>> mcv.heatmaps(mcv.cnn((64, 64, 3), 7), np.zeros((2, 64, 64, 3)), classes=[0, 3]).shape
        (2, 64, 64)

    The score is that of the class before the softmax, be that an activation, a layer or an operation of its own. Each
    map is divided by its largest value; a map without any heat stays zero, and `NO_HEAT` says what that means. An
    image's map does not depend on the others.

    Args:
        model: functional or sequential, probabilities or logits of the classes out; of one output (a sigmoid, or its
            logit) the classes are 0 and 1. Layers of a model in it are named as they are there.
        images: pixels `(n, height, width, 3)` in [0, 255], an array or a list of images; with `(n, k)` attributes
            beside them, as a tuple, for a model of two inputs. Attributes are left as they are. For a model that takes
            other numbers, such as [0, 1], put the `Rescaling` layer before it; the first three do without.
        classes: `(n,)` whole numbers: which output to explain of each image.
        method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"saliency"` (SmoothGrad) or `"lime"`.
        layer: whose maps; None takes the final convolution. Only for the first three.
        seed: of the noise of `"saliency"` and the samples of `"lime"`.
    Returns:
        float32 `(n, height, width)` in [0, 1], at the size of the input.
    Raises:
        ValueError: a model without a graph, an unknown method, a layer or images that do not fit, classes that are no
            outputs, a class an image too few, or lime is not installed.
    """
    model = flat(model)
    layer, scores = layer_of(model, method, layer), with_logits(model)
    inputs, classes = _inputs(model, images), _places(classes, scores.outputs[0].shape[-1])
    size, pixels = inputs[0].shape[1:3], inputs[0]
    if method in OF_PIXELS and pixels.size and (pixels.min() < 0 or (pixels.max() <= 1 and (pixels % 1).any())):
        raise ValueError(
            f"Expected pixels in [0, 255] for {method}. Received: {pixels.min():.3g} to {pixels.max():.3g}. Rescale "
            "in the model: keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1 / 255), model])."
        )
    if {len(part) for part in inputs} != {len(classes)}:
        raise ValueError(f"Expected a class an image. Received {len(classes)} for {[len(part) for part in inputs]}.")
    heat = np.empty((len(classes), *size), np.float32)
    for start in range(0, len(classes), BATCH):
        batch = slice(start, start + BATCH)
        raw = METHODS[method](scores, [part[batch] for part in inputs], classes[batch], layer, seed)
        heat[batch] = _normalised(raw, size)
    return heat


def _inputs(model: keras.Model, images: np.ndarray | Sequence) -> list[np.ndarray]:
    """The images, and what stands beside them, as float32 arrays that the model takes."""
    wanted = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    try:
        parts = [np.asarray(part, np.float32) for part in ([images] if len(wanted) == 1 else list(images))]
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected images of one size, as numbers. Received others: {error}") from None
    if [part.ndim for part in parts] != [len(shape) + 1 for shape in wanted]:
        raise ValueError(
            f"Expected arrays of (n, *shape) for each of the model's inputs {wanted}; one image is images[np.newaxis]. "
            f"Received: {[part.shape for part in parts]!r:.200}."
        )
    check_graph(model, 2, parts[0].shape[1:])
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("Expected finite numbers in images. Received: NaN or infinite ones.")
    return parts


def _places(classes: Sequence[int], count: int) -> np.ndarray:
    places = np.asarray(classes)
    whole = places.ndim == 1 and (places.dtype.kind in "iu" or not len(places))
    if not whole or not np.isin(places, np.arange(count)).all():
        raise ValueError(
            f"Expected classes from 0 to {count - 1}, a whole number an image: the place of a name is "
            f"class_names.index(name). Received: classes={classes!r:.80}."
        )
    return places.astype(int)


def layer_of(model: keras.Model, method: str, layer: str | None = None) -> str | None:
    """Name the layer that a method makes its heat of; None for those that look at pixels alone.

    Raises ValueError of an unknown method, or a layer that does not fit.
    """
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {tuple(METHODS)}. Received: method={method!r}.")
    if method in OF_A_LAYER:
        return maps_layer(model, layer)
    if layer is not None:
        raise ValueError(f"{method} looks at pixels, not at the maps of a layer. Leave out the layer {layer!r}.")
    return None


def _normalised(raw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grow the maps to the input, cell centres on the pixels they stand for, and divide each by its largest value.

    The library's own normalisation adds 1e-7, under which a small map vanishes, and subtracts the least value, which
    makes even heat none at all.
    """
    grown = tf.image.resize(tf.cast(raw, tf.float32)[..., tf.newaxis], size)[..., 0].numpy()
    highest = grown.max(axis=(1, 2), keepdims=True)
    return np.divide(grown, highest, out=np.zeros_like(grown), where=np.isfinite(highest) & (highest > 0))
