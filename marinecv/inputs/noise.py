"""Salt-and-pepper noise: white and black pixels, drawn anew each epoch or the same in each."""

import os

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.user_tables import as_catalog
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.pixels import check_pixels, without_autotune


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
    epoch and index of the batch, so a stopped training continues with it. `start_epoch=None` gives the same noise in
    each pass.
    """
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
    """Return a copy of the pixels with noise that is a pure function of seed and `image_id`.

    Pixels are uint8, row i for row i of the usable `rows`; fractions `salt` and `pepper` become white and black.
    """
    check_pixels(pixels, rows, np.shape(pixels)[1:])
    noisy = np.array(pixels)
    for image, name in zip(noisy, as_catalog(rows)["image_id"], strict=True):
        chance = np.random.default_rng([seed, *os.fsencode(name)]).random(image.shape[:2])
        image[chance < salt] = 255
        image[chance >= 1 - pepper] = 0
    return noisy
