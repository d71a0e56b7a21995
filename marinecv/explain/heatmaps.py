"""Heat maps of images and classes by any method, and the layer that a method takes them from."""

import difflib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from marinecv.explain.cam import gradcam, gradcam_plus_plus, lime, saliency, scorecam
from marinecv.models.flat import check_graph, flat
from marinecv.models.outputs import with_logits
from marinecv.schema import check_choice

BATCH = 32
OF_A_LAYER = {"gradcam": gradcam, "gradcam++": gradcam_plus_plus, "scorecam": scorecam}
OF_PIXELS = {"saliency": saliency, "lime": lime}
METHODS = {**OF_A_LAYER, **OF_PIXELS}
NO_HEAT = "no heat: no map speaks for this class, or its gradient is zero everywhere (dead units, a constant model)"
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
POOLING = (layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
NO_NEW_MAPS = (*POOLING, layers.ZeroPadding2D, layers.Dropout)  # layers behind the last maps that add no location


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

    The score is that of the class before the softmax. Each map is divided by its largest value; a map without any heat
    stays zero. The map of an image does not depend on the other images.

    Args:
        model: functional or sequential, with class probabilities or logits as output; for one output (a sigmoid, or
            its logit) the classes are 0 and 1.
        images: pixels `(n, height, width, 3)` in [0, 255], an array or a list; for a model of two inputs a tuple of
            them and attributes `(n, k)`. For the last two methods a model that takes another range needs a `Rescaling`
            layer before it.
        classes: `(n,)` integers: which output to explain for each image.
        method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"saliency"` (SmoothGrad) or `"lime"`.
        layer: name of the layer whose maps are weighed, for the first three methods; None takes the final convolution.
        seed: of the noise of `"saliency"` and the samples of `"lime"`.
    Returns:
        float32 `(n, height, width)` in [0, 1], at the size of the input.
    Raises:
        ValueError: the method is unknown, the layer, images or classes do not fit the model, or lime is not installed.
    """
    model = flat(model)
    layer, scores = layer_of(model, method, layer), with_logits(model)
    inputs, classes = _inputs(model, images), _class_indices(classes, scores.outputs[0].shape[-1])
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
        heat[batch] = _normalized(raw, size)
    return heat


def layer_of(model: keras.Model, method: str, name: str | None = None) -> str | None:
    """Return the name of the layer whose maps a method weighs, by default the final convolution.

    None for a method of pixels alone. Raise ValueError for an unknown method, and a layer that is absent, gives no
    `(height, width, channels)`, or is not used by the method.
    """
    check_choice(METHODS, method=method)
    if method in OF_PIXELS:
        if name is not None:
            raise ValueError(f"{method} uses pixels, not the maps of a layer. Leave out the layer {name!r}.")
        return None
    if name is None:
        return final_convolution(model)
    model = flat(model)
    known = {layer.name: layer for layer in model.layers}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"{model.name} has no layer {name!r}.{hint} Expected one of its {len(known)} layers, such as "
            f"{final_convolution(model)!r}, the default."
        )
    if not _gives_maps(known[name]):
        raise ValueError(
            f"The layer {name!r} of {model.name} gives {tuple(known[name].output.shape[1:])}, which is no map. "
            f"Expected one that gives (height, width, channels), such as {final_convolution(model)!r}, the default."
        )
    return name


def final_convolution(model: keras.Model) -> str:
    """Return the name of the last layer with maps before pooling or flattening, normalization and activation included.

    For our CNNs it is the ReLU of the last convolution; for backbones InceptionV3 `mixed10`, ResNet50
    `conv5_block3_out`, MobileNet `conv_pw_13_relu`, MobileNetV2 `out_relu`, MobileNetV3Large the activation behind
    `conv_1`, EfficientNetB4 `top_activation`. Layers of a nested model count under their own names.
    """
    model = flat(model)
    convolutions = [index for index, layer in enumerate(model.layers) if isinstance(layer, CONVOLUTIONS)]
    if not convolutions:
        nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        hint = f" Those of {nested[0]!r}, a subclassed model, are out of reach." if nested else ""
        raise ValueError(
            f'{model.name} has no convolution, so no maps to weigh.{hint} Use method="saliency" or "lime", which use '
            "pixels alone, or a CNN, as most of keras.applications or a Keras file."
        )
    behind = [layer for layer in model.layers[convolutions[-1] :] if _gives_maps(layer)]
    return [layer.name for layer in behind if not isinstance(layer, NO_NEW_MAPS)][-1]


def _gives_maps(layer: layers.Layer) -> bool:
    return isinstance(layer.output, keras.KerasTensor) and len(layer.output.shape) == 4


def _inputs(model: keras.Model, images: np.ndarray | Sequence) -> list[np.ndarray]:
    """Return the images, and the attributes of a model of two inputs, as float32 arrays that the model takes."""
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


def _class_indices(classes: Sequence[int], count: int) -> np.ndarray:
    indices = np.asarray(classes)
    whole = indices.ndim == 1 and (indices.dtype.kind in "iu" or not len(indices))
    if not whole or not np.isin(indices, np.arange(count)).all():
        raise ValueError(
            f"Expected classes from 0 to {count - 1}, an integer an image: class_names.index(name). "
            f"Received: classes={classes!r:.80}."
        )
    return indices.astype(int)


def _normalized(raw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize the maps to the input, cell centers on the pixels they stand for, and divide each by its largest value.

    The normalization of tf-keras-vis adds 1e-7, under which a small map vanishes, and subtracts the least value, which
    removes even heat.
    """
    grown = tf.image.resize(tf.cast(raw, tf.float32)[..., tf.newaxis], size)[..., 0].numpy()
    highest = grown.max(axis=(1, 2), keepdims=True)
    return np.divide(grown, highest, out=np.zeros_like(grown), where=np.isfinite(highest) & (highest > 0))
