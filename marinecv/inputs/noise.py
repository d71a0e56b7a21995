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
    """Pairs `(noisy, clean)`, float32 in [0, 255], of the images of a data set, whose labels are left out.

    The noise, shares of white (`salt`) and black (`pepper`) pixels, is a pure function of seed, epoch and place in the
    epoch: a training that was stopped goes on with it. `start_epoch` None gives the same in each pass.
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
    """Images with noise on them; that of an image is a pure function of seed and `image_id`, whatever the others are.

    Pixels are uint8, row i for row i of the usable `rows`; shares `salt` and `pepper` become white and black.
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
