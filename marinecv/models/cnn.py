"""Convolutional networks trained from scratch."""

from collections.abc import Sequence

import keras
from keras import layers

from marinecv.models.normalize import NORMALIZATIONS
from marinecv.schema import check_choice


def cnn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Sequence[int] = (32, 64, 128, 128),
    kernels: Sequence[int] = (3, 3, 3, 3),
    pools: Sequence[int] = (2, 2, 2, 2),
    dense: int = 128,
    dropout: float = 0.5,
    batch_norm: bool = False,
    pooling: str = "flatten",
    normalization: str = "standardize",
    padding: int | None = None,
) -> keras.Model:
    """Build blocks of [convolution - (batch normalization) - ReLU - max pooling], then one dense layer and softmax.

        >>> import marinecv as mcv
        >>> mcv.cnn((64, 64, 3), 7).output_shape
        (None, 7)

    Args:
        image_shape, num_classes: `(height, width, 3)` of the input, and number of outputs.
        filters: of each convolution; its length is the number of convolutional layers.
        kernels, pools: side of each kernel, and side and stride of each max pooling.
        dense, dropout: units of the hidden dense layer, and dropout before the output.
        batch_norm: whether each convolution is followed by batch normalization.
        pooling: `"flatten"` gives the dense layer every value of the last map, `"avg"` their mean.
        normalization: `"standardize"`, `"unit"` or `"imagenet"`, applied inside the model.
        padding: rows and columns of zeros around the map before each convolution; None keeps its size.
    Returns:
        Model from `(batch, height, width, 3)` in [0, 255] to `(batch, num_classes)` probabilities; ValueError for lists
        of different lengths or pools that leave no image. Source: aquarium report, section 1.5; both bird reports.
    """
    if not len(filters) == len(kernels) == len(pools):
        raise ValueError(
            f"Expected filters, kernels and pools of one length. Received {len(filters)}, {len(kernels)}, {len(pools)}."
        )
    ends = {"flatten": layers.Flatten, "avg": layers.GlobalAveragePooling2D}
    check_choice(ends, pooling=pooling)
    check_choice(NORMALIZATIONS, normalization=normalization)
    side = min(image_shape[:2])
    for kernel, pool in zip(kernels, pools, strict=True):
        side = (side if padding is None else side + 2 * padding - kernel + 1) // pool
    if side < 1:
        raise ValueError(
            f"Pools {tuple(pools)} and kernels {tuple(kernels)} leave nothing of an image of {image_shape[:2]}. Use a "
            "larger image."
        )
    inputs = keras.Input(image_shape, name="pixels")
    x = NORMALIZATIONS[normalization](inputs)
    for number, (width, kernel, pool) in enumerate(zip(filters, kernels, pools, strict=True), start=1):
        if padding:
            x = layers.ZeroPadding2D(padding, name=f"padding{number}")(x)
        edge = "same" if padding is None else "valid"
        x = layers.Conv2D(width, kernel, padding=edge, use_bias=not batch_norm, name=f"conv{number}")(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(pool, name=f"pool{number}")(x)
    x = ends[pooling](name="features")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="cnn")
