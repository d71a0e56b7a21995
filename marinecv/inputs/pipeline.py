"""A catalog -> a `tf.data.Dataset`. The only place that orders shuffle, gather, augment, batch and prefetch."""

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.catalog import usable
from marinecv.inputs.augment import DRAWS, augment
from marinecv.inputs.pixels import CORES, load_pixels, without_autotune
from marinecv.inputs.spec import Augmentation, ImageSpec


def make_dataset(
    catalog: pd.DataFrame,
    spec: ImageSpec,
    class_names: tuple[str, ...],
    *,
    batch_size: int = 32,
    training: bool = False,
    augmentation: Augmentation | None = None,
    balanced: bool = False,
    seed: int = 0,
    start_epoch: int = 0,
    pixels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of `(images, one-hot labels)` of the usable rows of a catalog.

    With `training` each pass over the data set is one epoch with its own order and its own augmentation, both pure
    functions of seed, epoch and image: a data set made with `start_epoch=k` goes on exactly where epoch k would have
    begun. Without it, rows come in the order of the catalog and are left as they are.

    Args:
        catalog: rows with `path` and `class_name`.
        spec: the geometry of the images.
        class_names: order of the one-hot columns. A row of another class (or none) gets zeros, except in
            training, where it is an error.
        batch_size: images a batch; the last one may be smaller.
        training: shuffle, and augment if an augmentation is given.
        augmentation: bounds of the random movements, in training only.
        balanced: draw classes with equal chance, with repetition, instead of each image once an epoch.
        seed: of order and augmentation.
        start_epoch: number of the first pass.
        pixels: what `load_pixels(catalog, spec)` gave, to save decoding again.
    Returns:
        A finite data set of float32 `(batch, height, width, 3)` in [0, 255] and float32 `(batch, num_classes)`.
    Raises:
        ValueError: no usable row, `pixels` of another length, a file that cannot be decoded, or a class to train on
            that is not among `class_names`.
    """
    rows = usable(catalog)
    if not len(rows):
        raise ValueError("No usable image in this part of the catalog. See its column `problem` for the reasons.")
    if pixels is None:
        pixels, checked = load_pixels(catalog, spec)
        if len(usable(checked)) < len(rows):
            broken = checked[(checked["problem"] != "") & (catalog["problem"] == "")].iloc[0]
            raise ValueError(
                f"{len(rows) - len(usable(checked))} of {len(rows)} images cannot be loaded; the first is "
                f"{broken.image_id} ({broken.problem}). Call `pixels, catalog = load_pixels(catalog, spec)` and hand "
                "both over: the broken ones then stay in the catalog, with their reason."
            )
    if len(pixels) != len(rows):
        raise ValueError(f"Expected pixels of the {len(rows)} usable rows. Received: {len(pixels)} images.")

    labels = pd.Index(class_names).get_indexer(rows["class_name"])
    if training and (labels < 0).any():
        stranger = rows.iloc[int((labels < 0).argmax())]
        raise ValueError(
            f"{stranger.image_id} is of class {stranger.class_name!r}, which is not among class_names. A model cannot "
            f"learn it. Expected one of {', '.join(class_names)}."
        )
    one_hot = tf.one_hot(labels, len(class_names))

    def gather(indices):
        images = tf.numpy_function(lambda i: pixels[i], [indices], tf.uint8, stateful=False)
        return tf.ensure_shape(images, (None, *spec.shape)), tf.gather(one_hot, indices)

    if not training:
        batches = tf.data.Dataset.range(len(rows)).batch(batch_size).map(gather)
        return without_autotune(batches.map(lambda images, y: (tf.cast(images, tf.float32), y)).prefetch(2))

    clock = tf.Variable(start_epoch - 1, dtype=tf.int64, trainable=False)
    log_weights = tf.math.log(_sampling_weights(labels)) if balanced else None

    def one_epoch(epoch):
        # Shuffle indices, not pixels: a whole split fits the buffer, and any epoch can be drawn again.
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        if balanced:
            order = tf.random.stateless_categorical(log_weights[tf.newaxis], len(rows), seed=key)[0]
        else:
            order = tf.random.experimental.stateless_shuffle(tf.range(len(rows), dtype=tf.int64), seed=key)
        draws = tf.random.stateless_uniform((len(rows), DRAWS), seed=key + tf.constant([0, 1 << 32], tf.int64))
        by_place = draws if balanced else tf.gather(draws, order)  # an image drawn twice moves differently
        return tf.data.Dataset.from_tensor_slices((order, by_place)).batch(batch_size)

    def load(indices, draws):
        images, y = gather(indices)
        return (augment(images, draws, augmentation) if augmentation else tf.cast(images, tf.float32)), y

    epochs = tf.data.Dataset.range(1).map(lambda _: clock.assign_add(1))
    batches = epochs.flat_map(one_epoch)
    per_epoch = -(-len(rows) // batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(per_epoch))
    return without_autotune(batches.map(load, num_parallel_calls=CORES).prefetch(2))


def _sampling_weights(labels: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (1.0 / counts[place]).astype(np.float32)
