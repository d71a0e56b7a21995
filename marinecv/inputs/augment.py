"""Augment images by one affine operation, and add salt-and-pepper noise: pure functions of random numbers or seeds."""

import os

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.inputs.decode import without_autotune
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.spec import Augmentation

DRAWS = 7  # uniform numbers an image: two flips, rotation, zoom, crop size, crop row, crop column
IDENTITY_DRAWS = (1.0, 1.0, 0.5, 0.5, 0.0, 0.5, 0.5)  # numbers that change nothing
VARIANT_DRAWS = (0, 2, 3)  # indices of the numbers that a variant uses: flip, rotation, zoom


def augment(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Augment images `(batch, height, width, 3)` of any numeric type by their own random numbers: float32.

    Draws are `(batch, DRAWS)`, uniform in [0, 1). What comes in from outside is black, as the padding is.
    """
    images = tf.cast(images, tf.float32)
    size = tf.shape(images)[1:3]
    matrices = _matrices(draws, augmentation, tf.cast(size, tf.float32))
    options = {"interpolation": "BILINEAR", "fill_mode": "CONSTANT", "fill_value": 0.0}
    transform = tf.raw_ops.ImageProjectiveTransformV3
    return tf.ensure_shape(transform(images=images, transforms=matrices, output_shape=size, **options), images.shape)


def variant_draws(draws: tf.Tensor, copies: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Reduce random numbers to those of each copy: none for an original (0), one operation for a variant."""
    if augmentation.copies == 1:
        return draws
    # With variants nothing is cropped, so the last number is free to choose the operation.
    random_operation = tf.cast(draws[:, -1] * len(VARIANT_DRAWS), tf.int64)
    operation = random_operation if augmentation.variants == "simple" else tf.maximum(copies - 1, 0)
    is_used = tf.one_hot(tf.gather(VARIANT_DRAWS, operation), DRAWS, on_value=True, off_value=False)
    with_certain_flip = tf.concat([tf.zeros_like(draws[:, :1]), draws[:, 1:]], axis=1)  # a flip that is chosen happens
    return tf.where(is_used & (copies > 0)[:, tf.newaxis], with_certain_flip, IDENTITY_DRAWS)


def _matrices(draws, augmentation, size):
    """Return the map from output to input pixels, as the eight numbers a row that the operation takes."""
    flip_x, flip_y, turn, zoom, crop, cut_y, cut_x = tf.unstack(draws, axis=1)
    sign_x = tf.where(flip_x < augmentation.flip, -1.0, 1.0)
    sign_y = tf.where(flip_y < augmentation.vertical_flip, -1.0, 1.0)
    angle = (2 * turn - 1) * augmentation.rotation_deg * np.pi / 180
    side = 1 - crop * augmentation.crop  # as a fraction
    scale = (1 + (2 * zoom - 1) * augmentation.zoom) * side
    middle_y, middle_x = (size[0] - 1) / 2, (size[1] - 1) / 2
    shift_y, shift_x = (2 * cut_y - 1) * (1 - side) * size[0] / 2, (2 * cut_x - 1) * (1 - side) * size[1] / 2
    cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b = cosine * sign_x, -sine * sign_y
    c, d = sine * sign_x, cosine * sign_y
    offset_x = middle_x + shift_x - a * middle_x - b * middle_y
    offset_y = middle_y + shift_y - c * middle_x - d * middle_y
    zero = tf.zeros_like(a)
    return tf.stack([a, b, offset_x, c, d, offset_y, zero, zero], axis=1)


def with_noise(
    batches: tf.data.Dataset,
    *,
    salt: float,
    pepper: float,
    seed: int = 0,
    start_epoch: int | EpochCounter | None = None,
) -> tf.data.Dataset:
    """Return pairs `(noisy, clean)`, float32 in [0, 255], of the images of a `make_dataset`; labels are dropped.

    `salt` and `pepper` are the fractions of pixels that become white and black. The noise is a pure function of seed,
    epoch and index of the batch; `start_epoch=None` gives the same noise in each pass.
    """
    counter = EpochCounter() if start_epoch is None else counter_of(start_epoch)

    def pair(epoch, batch):
        number, (clean, _) = batch
        key = tf.stack([tf.constant(seed, tf.int64), tf.constant(-1, tf.int64) if start_epoch is None else epoch])
        key = tf.random.experimental.stateless_fold_in(key, number)
        chance = tf.random.stateless_uniform((*tf.unstack(tf.shape(clean)[:3]), 1), key)
        noisy = tf.where(chance < salt, 255.0, tf.where(chance >= 1 - pepper, 0.0, clean))
        return epoch, (noisy, clean)

    epochs = counter.passes().flat_map(lambda epoch: tf.data.Dataset.from_tensors(epoch).repeat())
    pairs = tf.data.Dataset.zip(epochs, batches.enumerate()).map(pair)
    pairs = pairs.apply(tf.data.experimental.assert_cardinality(batches.cardinality()))
    return without_autotune(counter.counted(pairs.prefetch(2)))


def noisy_pixels(rows: pd.DataFrame, pixels: np.ndarray, *, salt: float, pepper: float, seed: int = 0) -> np.ndarray:
    """Return a copy of the pixels with noise that is a pure function of seed and `image_id`.

    Pixels are uint8, row i for row i of the usable `rows`; fractions `salt` and `pepper` become white and black.
    """
    noisy = np.array(pixels)
    for image, name in zip(noisy, rows["image_id"], strict=True):
        chance = np.random.default_rng([seed, *os.fsencode(name)]).random(image.shape[:2])
        image[chance < salt] = 255
        image[chance >= 1 - pepper] = 0
    return noisy
