"""Autoencoders: a U-Net, and dense layers, plain or variational; and a classifier on the encoder of a U-Net.

Each is one flat graph with a layer `code`, from pixels in [0, 255] to the range of its layer `clean`.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from marinecv.models.backbones import head
from marinecv.models.normalize import signed_unit, unit
from marinecv.models.safe_load import load_model
from marinecv.schema import check_choice


def unet(
    image_shape: tuple[int, int, int],
    *,
    filters: Sequence[int] = (32, 64, 128, 256),
    bottleneck: int = 256,
    convolutions: int = 2,
    skips: bool = True,
    batch_norm: bool = False,
) -> keras.Model:
    """Build a U-Net that reconstructs its image: convolutions and pooling down to the code, and the same way up.

    `image_shape` is `(height, width, 3)`, both sides a multiple of 2 to the number of levels. `filters` are those of
    each level from the top, `bottleneck` the channels of the code, `convolutions` the number of 3x3 convolutions in
    each level and direction. `skips` join levels across, where most of the image bypasses the code. Returns a model
    from `(batch, height, width, 3)` in [0, 255] to the same in [-1, 1].
    Source: Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; butterflies report, section III.
    """
    step = 2 ** len(filters)
    if image_shape[0] % step or image_shape[1] % step:
        raise ValueError(
            f"A U-Net halves its image {len(filters)} times. Expected sides that are a multiple of {step}. Received: "
            f"{image_shape[0]}x{image_shape[1]}."
        )

    def convolve(x: KerasTensor, channels: int, name: str) -> KerasTensor:
        for number in range(1, convolutions + 1):
            last = number == convolutions
            x = layers.Conv2D(channels, 3, padding="same", use_bias=not batch_norm, name=f"{name}_conv{number}")(x)
            x = layers.BatchNormalization(name=f"{name}_norm{number}")(x) if batch_norm else x
            x = layers.ReLU(name=name if last else f"{name}_relu{number}")(x)
        return x

    inputs = keras.Input(image_shape, name="pixels")
    x = layers.Identity(name="clean")(signed_unit(inputs))
    across = []
    for level, channels in enumerate(filters, start=1):
        x = convolve(x, channels, f"down{level}")
        across.append(x)
        x = layers.MaxPooling2D(2, name=f"pool{level}")(x)
    x = convolve(x, bottleneck, "code")
    for level, channels in reversed(list(enumerate(filters, start=1))):
        x = layers.Conv2DTranspose(channels, 2, strides=2, name=f"widen{level}")(x)
        if skips:
            x = layers.Concatenate(name=f"skip{level}")([across[level - 1], x])
        x = convolve(x, channels, f"up{level}")
    outputs = layers.Conv2D(image_shape[-1], 1, activation="tanh", dtype="float32", name="restored")(x)
    return keras.Model(inputs, outputs, name="unet")


def dense_autoencoder(
    image_shape: tuple[int, int, int], *, units: Sequence[int] = (128, 64, 32), variational: bool = False
) -> keras.Model:
    """Build dense layers from the gray image down to the code and up again; `units` are those of the way down.

    A variational one samples its code in training from a normal distribution for each image, whose mean and log
    variance are the layers `code` and `log_variance`. Returns a model from `(batch, height, width, 3)` in [0, 255] to
    `(batch, height, width, 1)` in [0, 1], gray. Source: butterflies report, sections III and IV: 128-64-32, 64-128-784;
    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114.
    """
    inputs = keras.Input(image_shape, name="pixels")
    x = layers.Identity(name="clean")(ops.image.rgb_to_grayscale(unit(inputs)))
    x = layers.Flatten(name="flat")(x)
    for number, width in enumerate(units[:-1], start=1):
        x = layers.Dense(width, activation="relu", name=f"down{number}")(x)
    if variational:
        mean = layers.Dense(units[-1], name="code")(x)
        log_variance = layers.Dense(units[-1], name="log_variance")(x)
        chance = layers.GaussianNoise(1.0, name="chance")(ops.zeros_like(mean))  # zero in inference
        x = layers.Identity(name="drawn")(mean + ops.exp(log_variance / 2) * chance)
    else:
        x = layers.Dense(units[-1], activation="relu", name="code")(x)
    for number, width in reversed(list(enumerate(units[:-1], start=1))):
        x = layers.Dense(width, activation="relu", name=f"up{number}")(x)
    height, width, _ = image_shape
    x = layers.Dense(height * width, activation="sigmoid", dtype="float32", name="values")(x)
    outputs = layers.Reshape((height, width, 1), name="restored")(x)
    return keras.Model(inputs, outputs, name="variational_autoencoder" if variational else "dense_autoencoder")


def encoder_of(model: keras.Model) -> keras.Model:
    """Return the model from pixels to the code; it shares the layers of the autoencoder."""
    return keras.Model(model.inputs[0], model.get_layer("code").output, name="encoder")


def decoder_of(model: keras.Model) -> keras.Model:
    """Return the model from the code, and the maps of skips, to the image; it shares the layers of the autoencoder."""
    across = [layer.input[0] for layer in model.layers if layer.name.startswith("skip")]
    code = model.get_layer("drawn" if is_variational(model) else "code").output
    return keras.Model([code, *across] if across else code, model.outputs[0], name="decoder")


def is_variational(model: keras.Model) -> bool:
    """Return whether the code is sampled in training."""
    return any(layer.name == "log_variance" for layer in model.layers)


def target_of(model: keras.Model) -> keras.Model:
    """Return the model from pixels to the target of the reconstruction."""
    return keras.Model(model.inputs[0], model.get_layer("clean").output, name="target")


def to_pixels(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return outputs of an autoencoder as pixels: uint8 from 0 to 255."""
    scaled = (images + 1) * 127.5 if model.name == "unet" else images * 255
    return scaled.clip(0, 255).round().astype(np.uint8)


def encoder_classifier(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weights: str | Path | None = None,
    frozen: bool = False,
    pooling: str = "avg",
    hidden: Sequence[int] = (),
    dropout: float = 0.2,
    **encoder,
) -> keras.Model:
    """Build a classifier on the encoder of a U-Net: pooling, optional dense layers, dropout and softmax.

    `weights` is the path of an `encoder.keras` of the same filters and any image size, or None for random weights. A
    `frozen` encoder keeps its batch normalization too, and its code is scaled to unit variance, image by image: that of
    a U-Net with skips is so small that no head would learn from it. Pooling `"avg"` averages the map of the code,
    `"flatten"` takes every value. `**encoder` are arguments of `unet`. Returns a model from `(batch, height, width, 3)`
    in [0, 255] to `(batch, num_classes)` probabilities.
    Source: butterflies report, section III: classifiers A (random), B1 (frozen) and B2 (not frozen).
    """
    encoder_model = encoder_of(unet(image_shape, skips=False, **encoder))
    if weights is not None:
        _copy_weights(encoder_model, Path(weights))
    for layer in encoder_model.layers:
        layer.trainable = not frozen
    pools = {"avg": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    check_choice(pools, pooling=pooling)
    x = pools[pooling](name="features")(encoder_model.output)
    if frozen:
        x = layers.LayerNormalization(epsilon=1e-10, name="scaled")(x)  # its own scale may be next to nothing
    return keras.Model(encoder_model.input, head(x, num_classes, hidden, dropout), name="encoder_classifier")


def _copy_weights(encoder: keras.Model, file: Path) -> None:
    if not file.exists():
        raise FileNotFoundError(f"There is no encoder {file}. Expected the encoder.keras of a run of `autoencode`.")
    saved = load_model(file)
    saved_shapes, expected_shapes = ([tuple(weight.shape) for weight in model.weights] for model in (saved, encoder))
    if saved_shapes != expected_shapes:
        pairs = enumerate(zip_longest(saved_shapes, expected_shapes), start=1)
        number, pair = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
        saved_shape, expected_shape = (shape or "none" for shape in pair)
        raise ValueError(
            f"{file} holds another encoder than this classifier's: {len(saved_shapes)} weights, number {number} of "
            f"shape {saved_shape}. Expected {len(expected_shapes)}, that one of {expected_shape}. Train one by "
            "`autoencode` with the same filters."
        )
    encoder.set_weights(saved.get_weights())
