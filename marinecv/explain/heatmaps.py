"""Heat maps of images and classes by any method, and the layers whose maps a method weighs."""

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
        layer: name of the layer whose maps are weighed, for the first three methods; None takes every one that feeds
            the head (`head_layers`), each in proportion to its contribution to the class logit: the sum of gradient
            times activation.
        seed: of the noise of `"saliency"` and the samples of `"lime"`.
    Returns:
        float32 `(n, height, width)` in [0, 1], at the size of the input.
    Raises:
        ValueError: the method is unknown, the layer, images or classes do not fit the model, or lime is not installed.
    """
    model = flat(model)
    names, scores = layers_of(model, method, layer), with_logits(model)
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
        raw = METHODS[method](scores, [part[batch] for part in inputs], classes[batch], names, seed)
        heat[batch] = _normalized(raw, size)
    return heat


def layers_of(model: keras.Model, method: str, name: str | None = None) -> list[str]:
    """Return the names of the layers whose maps a method weighs, by default `head_layers`; none for one of pixels.

    Raise ValueError for an unknown method, and a layer that is absent, gives no `(height, width, channels)`, or is not
    used by the method.
    """
    check_choice(METHODS, method=method)
    if method in OF_PIXELS:
        if name is not None:
            raise ValueError(f"{method} uses pixels, not the maps of a layer. Leave out the layer {name!r}.")
        return []
    if name is None:
        return head_layers(model)
    model = flat(model)
    known = {layer.name: layer for layer in model.layers}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"{model.name} has no layer {name!r}.{hint} Expected one of its {len(known)} layers, such as "
            f"{head_layers(model)[-1]!r}."
        )
    if not _gives_maps(known[name]):
        raise ValueError(
            f"The layer {name!r} of {model.name} gives {tuple(known[name].output.shape[1:])}, which is no map. "
            f"Expected one that gives (height, width, channels), such as {head_layers(model)[-1]!r}."
        )
    return [name]


def head_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers whose maps feed the head, in order: the last maps on every way to the output.

    That is the activation of the final convolution before pooling or flattening: `mixed10` of InceptionV3,
    `conv5_block3_out` of ResNet50, `conv_pw_13_relu` of MobileNet, `top_activation` of EfficientNetB4. A head that
    pools several maps, or several backbones, has several. Maps of a single cell, and pixels without a convolution, have
    no location. Layers of a nested model count under their own names.
    """
    model = flat(model)
    operations, convolved, wanted, names = [], set(), {id(model.outputs[0])}, []
    for operation in (each for each in model.operations if not isinstance(each, layers.InputLayer)):
        inputs, outputs = ({*map(id, keras.tree.flatten(side))} for side in (operation.input, operation.output))
        convolved |= outputs if isinstance(operation, CONVOLUTIONS) or inputs & convolved else set()
        operations.insert(0, (operation, inputs, outputs))
    for operation, inputs, outputs in operations:
        if outputs & wanted:
            has_cells = outputs & convolved and _gives_maps(operation) and operation.output.shape[1:3] != (1, 1)
            if has_cells and not isinstance(operation, NO_NEW_MAPS):
                names.insert(0, operation.name)
            else:
                wanted |= inputs
    if not names:
        nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        hint = f" Those of {nested[0]!r}, a subclassed model, are out of reach." if nested else ""
        raise ValueError(
            f"{model.name} has no convolution with maps of several cells, so none to weigh.{hint} Use "
            'method="saliency" or "lime", which use pixels alone, or a CNN, as most of keras.applications or a Keras '
            "file."
        )
    return names


def _gives_maps(layer: keras.Operation) -> bool:
    """Return whether it is a layer, which can be found by its name, of `(height, width, channels)`."""
    is_layer = isinstance(layer, layers.Layer) and isinstance(layer.output, keras.KerasTensor)
    return is_layer and len(layer.output.shape) == 4


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
