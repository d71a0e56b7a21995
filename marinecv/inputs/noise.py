"""Salt and pepper: white and black pixels, drawn afresh each epoch or the same each time."""

import os

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.user_tables import as_catalog
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.pixels import check_pixels, without_autotune
from marinecv.schema import whole


def with_noise(
    batches: tf.data.Dataset,
    *,
    salt: float,
    pepper: float,
    seed: int = 0,
    start_epoch: int | EpochCounter | None = None,
) -> tf.data.Dataset:
    """Pairs `(noisy, clean)` of the images of a data set, whose labels are left out.

    The noise is a pure function of seed, epoch and place in the epoch, so that a training that was stopped goes on
    with the noise it would have had.

    Args:
        batches: of `(images, labels)`, as `make_dataset` gives them, in [0, 255].
        salt: share of pixels that become white, all channels together.
        pepper: share of pixels that become black.
        seed: of the noise.
        start_epoch: number of the first pass, or the `EpochCounter` of `batches`; None for the same noise in each pass,
            as validation has it.
    Returns:
        Float32 `(batch, height, width, 3)` twice: noisy and clean. The order is that of `batches`.
    Raises:
        ValueError: shares that are none, or of more than the whole; or batches whose number is not known.
    """
    _check_shares(salt, pepper)
    seed = whole(seed, "seed")
    if batches.cardinality() < 0:
        raise ValueError("Expected batches whose number is known: neither repeated without end nor of a generator.")
    counter = EpochCounter() if start_epoch is None else counter_of(start_epoch)

    def pair(epoch, batch):
        number, (clean, _) = batch
        key = tf.stack([tf.constant(seed, tf.int64), tf.constant(-1, tf.int64) if start_epoch is None else epoch])
        chance = tf.random.stateless_uniform(
            (*tf.unstack(tf.shape(clean)[:3]), 1), tf.random.experimental.stateless_fold_in(key, number)
        )
        noisy = tf.where(chance < salt, 255.0, tf.where(chance >= 1 - pepper, 0.0, clean))
        return epoch, (noisy, clean)

    epochs = counter.passes().flat_map(lambda epoch: tf.data.Dataset.from_tensors(epoch).repeat())
    pairs = tf.data.Dataset.zip(epochs, batches.enumerate()).map(pair)
    pairs = pairs.apply(tf.data.experimental.assert_cardinality(batches.cardinality()))
    return without_autotune(counter.counted(pairs.prefetch(2)))


def noisy_pixels(rows: pd.DataFrame, pixels: np.ndarray, *, salt: float, pepper: float, seed: int = 0) -> np.ndarray:
    """Images with noise on them, in memory; that of an image is a pure function of seed and `image_id`.

    So it stays whichever other images are looked at, and in whatever order.

    Args:
        rows: usable rows of a catalog.
        pixels: uint8 `(n, height, width, 3)`, row i for row i of them; left as they are.
        salt: share of pixels that become white, all channels together.
        pepper: share of pixels that become black.
        seed: of the noise.
    Returns:
        uint8, of the shape of `pixels`.
    Raises:
        ValueError: shares that are none, or of more than the whole; or pixels of other rows.
    """
    _check_shares(salt, pepper)
    seed = whole(seed, "seed")
    check_pixels(pixels, rows, np.shape(pixels)[1:])
    noisy = np.array(pixels)
    for image, name in zip(noisy, as_catalog(rows)["image_id"], strict=True):
        chance = np.random.default_rng([seed, *os.fsencode(name)]).random(image.shape[:2])
        image[chance < salt] = 255
        image[chance >= 1 - pepper] = 0
    return noisy


def _check_shares(salt: float, pepper: float) -> None:
    if not (salt >= 0 and pepper >= 0 and salt + pepper <= 1):
        raise ValueError(f"Expected shares from 0 on, of at most 1 together. Received: salt={salt}, pepper={pepper}.")
