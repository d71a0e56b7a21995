"""Images and classes in, one heat map an image out, whatever the method."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from marinecv.explain.cam import gradcam, gradcam_plus_plus, saliency, scorecam
from marinecv.explain.layers import maps_layer, with_logits
from marinecv.explain.superpixels import lime

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

    The score is that of the class before the softmax. Each map is divided by its largest value; a map without any heat
    stays zero, and `NO_HEAT` says what that means. An image's map does not depend on the others.

    Args:
        model: one flat graph, probabilities out.
        images: pixels `(n, height, width, 3)` in [0, 255]; with `(n, k)` attributes beside them for a model that takes
            two inputs. Attributes are left as they are.
        classes: `(n,)` which output to explain of each image.
        method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"saliency"` (SmoothGrad) or `"lime"`.
        layer: whose maps; None takes the final convolution. Only for the first three.
        seed: of the noise of `"saliency"` and the samples of `"lime"`.
    Returns:
        float32 `(n, height, width)` in [0, 1], at the size of the input.
    Raises:
        ValueError: an unknown method, a layer that does not fit, a class an image too few, or lime is not installed.
    """
    layer = layer_of(model, method, layer)
    inputs = [np.asarray(part, np.float32) for part in (images if isinstance(images, tuple) else (images,))]
    classes = np.asarray(classes)
    if {len(part) for part in inputs} != {len(classes)}:
        raise ValueError(f"Expected a class an image. Received {len(classes)} for {[len(part) for part in inputs]}.")
    scores, size = with_logits(model), inputs[0].shape[1:3]
    heat = np.empty((len(classes), *size), np.float32)
    for start in range(0, len(classes), BATCH):
        batch = slice(start, start + BATCH)
        raw = METHODS[method](scores, [part[batch] for part in inputs], classes[batch], layer, seed)
        heat[batch] = _normalised(raw, size)
    return heat


def layer_of(model: keras.Model, method: str, layer: str | None = None) -> str | None:
    """Name the layer that a method makes its heat of; None for those that look at pixels alone.

    Raises:
        ValueError: an unknown method, or a layer that does not fit.
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
