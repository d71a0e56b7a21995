"""Move, color, erase and mix images, and add salt-and-pepper noise: pure functions of random numbers or seeds."""

import os

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.inputs.decode import plain, without_autotune
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.spec import NONE, Augmentation

DRAWS = 7  # uniform numbers an image: two flips, rotation, zoom, crop size, crop row, crop column
MORE_DRAWS = 12  # of color 3; of erasing: whether, area, aspect, row, column; of mixing: how, row, column, own weight
IDENTITY_DRAWS = (1.0, 1.0, 0.5, 0.5, 0.0, 0.5, 0.5)  # numbers that change nothing
VARIANT_DRAWS = (0, 2, 3)  # indices of the numbers that a variant uses: flip, rotation, zoom
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), 0.3  # fractions of the area; least ratio of the sides: as in torchvision


def epoch_draws(images: int, seed: int, epoch: int | tf.Tensor, augmentation: Augmentation = NONE) -> tf.Tensor:
    """Return the random numbers of an epoch, those of copies after copies: `(images, DRAWS)`, uniform in [0, 1).

    An augmentation of color, erasing or mixing has `MORE_DRAWS` behind them; the last follows a Beta distribution.
    """
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    draws = tf.random.stateless_uniform((images, DRAWS), seed=key + tf.constant([0, 1 << 32], tf.int64))
    if not (augmentation.has_color or augmentation.erasing or augmentation.mixes):
        return draws
    more = tf.random.stateless_uniform((images, MORE_DRAWS), seed=key + tf.constant([0, 2 << 32], tf.int64))
    if augmentation.mixes:
        alpha = tf.where(_is_cut(more[:, -4], augmentation), augmentation.cutmix, augmentation.mixup)
        gammas = tf.random.stateless_gamma((2, images), key + tf.constant([0, 3 << 32], tf.int64), alpha + 1)
        powers = tf.random.stateless_uniform((2, images), key + tf.constant([0, 4 << 32], tf.int64), minval=1e-30)
        logs = tf.math.log(gammas) + tf.math.log(powers) / alpha  # of Gamma(alpha), which may be too small for a float
        more = tf.concat([more[:, :-1], tf.sigmoid(logs[0] - logs[1])[:, tf.newaxis]], axis=1)
    return tf.concat([draws, more], axis=1)


def augment(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Augment images `(batch, height, width, 3)` of any numeric type by their own random numbers: float32.

    Draws are those of `epoch_draws`. What comes in from outside is black, as the padding is. `mix` mixes images.
    """
    images = tf.cast(images, tf.float32)
    if augmentation.has_color:
        images = _color(images, draws, augmentation)
    size = tf.shape(images)[1:3]
    matrices = _matrices(draws[:, :DRAWS], augmentation, tf.cast(size, tf.float32))
    options = {"interpolation": "BILINEAR", "fill_mode": "CONSTANT", "fill_value": 0.0}
    transform = tf.raw_ops.ImageProjectiveTransformV3
    moved = tf.ensure_shape(transform(images=images, transforms=matrices, output_shape=size, **options), images.shape)
    return _erase(moved, draws, augmentation) if augmentation.erasing else moved


def mix(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each image of a batch with the one before it; return them, and the weight of the other image: `(batch, 1)`.

    The weight of a pasted rectangle is its exact fraction of the area. `mix_rows` mixes labels by these weights.
    """
    how, row, column, own_weight = tf.unstack(draws[:, -4:], axis=1)
    area = 1 - own_weight
    pasted = tf.cast(_rectangle(images, area, tf.ones_like(area), row, column), tf.float32)
    weights = tf.where(_per_image(_is_cut(how, augmentation)), pasted, _per_image(area))
    return mix_rows(images, weights), tf.reduce_mean(weights, axis=(1, 2))


def mix_rows(rows: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Return the rows of a batch mixed with those before them, in a circle, by the weights of the latter, if any."""
    return rows if weights is None else (1 - weights) * rows + weights * tf.roll(rows, 1, axis=0)


def _is_cut(how, augmentation):
    return how < (0.5 if augmentation.mixup and augmentation.cutmix else float(augmentation.cutmix > 0))


def _color(images, draws, augmentation):
    """Change brightness, contrast and saturation, in the order of Keras' RandomColorJitter."""
    shift, contrast, saturation = (_per_image(2 * draws[:, DRAWS + n] - 1) for n in range(3))
    images = tf.clip_by_value(images + 255 * augmentation.brightness * shift, 0, 255)
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    images = tf.clip_by_value(images + augmentation.contrast * contrast * (images - mean), 0, 255)
    hue, chroma, value = tf.split(tf.image.rgb_to_hsv(images / 255), 3, axis=-1)
    chroma = tf.minimum((1 + augmentation.saturation * saturation) * chroma, 1)
    return 255 * tf.image.hsv_to_rgb(tf.concat([hue, chroma, value], -1)) if augmentation.saturation else images


def _erase(images, draws, augmentation):
    chance, area, aspect, row, column = tf.unstack(draws[:, DRAWS + 3 : DRAWS + 8], axis=1)
    area = ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])
    erased = _rectangle(images, area, tf.pow(ERASED_ASPECT, 2 * aspect - 1), row, column)
    return tf.where(erased & _per_image(chance < augmentation.erasing), 0.0, images)


def _rectangle(images, area, aspect, row, column):
    """Return which pixels rectangles of some fractions of the area cover: `(batch, height, width, 1)`.

    The aspect is relative to that of the image. Sides are whole pixels; row and column place them, from 0 to 1.
    """

    def covered(fraction, place, axis):
        length = tf.cast(tf.shape(images)[axis], tf.float32)
        side = tf.round(length * tf.minimum(fraction, 1.0))
        start, pixels = tf.floor(place * (length - side + 1)), tf.range(length)
        return (pixels >= start[:, tf.newaxis]) & (pixels < (start + side)[:, tf.newaxis])

    rows, columns = covered(tf.sqrt(area * aspect), row, 1), covered(tf.sqrt(area / aspect), column, 2)
    return (rows[:, :, tf.newaxis] & columns[:, tf.newaxis])[..., tf.newaxis]


def _per_image(values):
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


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
    zoomed = 1 + (2 * zoom - 1) * augmentation.zoom  # of what is seen, in variants of what is shown
    scale = (1 / zoomed if augmentation.copies > 1 else zoomed) * side
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

    @plain
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
