"""A catalog -> a `tf.data.Dataset`. The only module that orders shuffle, gather, augment, batch and prefetch."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.attributes import check_attributes
from marinecv.data.user_tables import as_class_names, is_usable, usable, why_unusable
from marinecv.inputs.augment import augment, epoch_draws, mix, mix_rows, variant_draws
from marinecv.inputs.decode import CORES, plain, without_autotune
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.pixel_cache import check_pixels, load_pixels
from marinecv.inputs.spec import NONE, Augmentation, ImageSpec
from marinecv.inputs.streamed_pixels import Stream, gather, keep_alive
from marinecv.schema import check_integer, check_type

# `fit` shuffles by default and warns of every dataset that this does not apply to; these datasets shuffle themselves.
warnings.filterwarnings("ignore", "`shuffle=True` was passed, but will be ignored since .*tf.data.Dataset", UserWarning)


@dataclass(frozen=True, kw_only=True)
class DeviceShard:
    """The rows of each batch that one process takes in a training on several devices; all of them by default.

    Batches are cut into equal parts, one a device of any process; the last one is filled up with images of weight 0, so
    that each image counts once. Process 0 alone writes files.
    """

    process: int = 0
    processes: int = 1
    devices: int = 1

    def padded(self, images: int) -> int:
        """Return the number of rows that a batch of some images is filled up to."""
        return -(-images // self.devices) * self.devices

    def take(self, columns: tuple[tf.Tensor, ...], scale: float | None = None) -> tuple:
        """Return this process's rows of the columns of a batch and, of several devices, their float32 weights.

        The weight is `scale`, or what makes the mean over the rows that over the images, and 0 for a row that fills up.
        """
        if self.devices == 1:
            return (columns,)
        size = tf.shape(columns[0])[0]
        rows = self.padded(size)
        rows_per_process = rows // self.processes
        indices = tf.range(self.process * rows_per_process, (self.process + 1) * rows_per_process)
        counts = rows / size if scale is None else scale
        weights = tf.where(indices < size, tf.cast(counts, tf.float32), 0.0)
        return tuple(tf.gather(column, indices % size) for column in columns), weights


ALL_ROWS = DeviceShard()


def make_dataset(
    catalog: pd.DataFrame,
    spec: ImageSpec,
    class_names: Sequence[str],
    *,
    batch_size: int = 32,
    training: bool = False,
    allow_unknown: bool = False,
    augmentation: Augmentation | None = None,
    balanced: bool = False,
    seed: int = 0,
    start_epoch: int | EpochCounter = 0,
    pixels: np.ndarray | Stream | None = None,
    attributes: np.ndarray | None = None,
    shard: DeviceShard = ALL_ROWS,
    class_weight: dict[int, float] | None = None,
) -> tf.data.Dataset:
    """Return batches of `(images, one-hot labels)` of the usable rows of a catalog.

        >>> import marinecv as mcv
        >>> catalog = mcv.read_catalog(mcv.demo_images())
        >>> train = mcv.make_dataset(catalog[:8], mcv.ImageSpec(), mcv.class_names_of(catalog), training=True)
        >>> [batch.shape.as_list() for batch in next(iter(train))]
        [[8, 224, 224, 3], [8, 7]]

    With `training` each pass is one epoch with its own order and augmentation, both pure functions of seed, epoch and
    image: `start_epoch=k` begins exactly where epoch k would. Without it, rows come in the order of the catalog, not
    augmented. Keras augmentation layers go into the model, or behind the dataset: `train.map(lambda images, labels:
    (layer(images, training=True), labels))`.

    Args:
        catalog: rows with `image_id`, `path` and `class_name`.
        spec: the geometry of the images.
        class_names: a list or tuple, in the order of the one-hot columns.
        batch_size: images a batch; the last one may be smaller.
        training: shuffle, and augment if an augmentation is given.
        allow_unknown: without `training`, label a row of another class, or of none, with zeros, to predict it.
        augmentation: bounds of the augmentation, in training only; mixup and cutmix mix labels and attributes too.
        balanced: draw classes with equal chance, with repetition, instead of each image once an epoch.
        seed: of order and augmentation.
        start_epoch: number of the first pass, or an `EpochCounter` to follow `fit`.
        pixels: from `load_pixels(catalog, spec)`, to save decoding again.
        attributes: `(n, attributes)` of the usable rows, for a model that takes them beside the image.
        shard: the rows of each batch to return, where several devices train together.
        class_weight: in training, the weight of the images of each class, by its index; a third element of a batch.
    Returns:
        A finite dataset of float32 `(batch, height, width, 3)` in [0, 255], or of `(images, attributes)`, and float32
        `(batch, num_classes)`; of several devices or with `class_weight` also float32 `(batch,)`, weights.
    Raises:
        ValueError: no usable row, a file that cannot be decoded, an unknown class, or a wrong argument.
    """
    class_names = as_class_names(class_names)
    batch_size, seed = check_integer(batch_size, "batch_size", 1), check_integer(seed, "seed")
    counter = counter_of(start_epoch)
    check_type(ImageSpec, spec=spec)
    check_type(Augmentation | None, augmentation=augmentation)
    rows = usable(catalog, ("image_id", "path", "class_name"))
    if not len(rows):
        raise ValueError(f"No usable image. {why_unusable(catalog)}")
    if pixels is None:
        pixels, loaded = load_pixels(rows, spec)
        broken = loaded[~is_usable(loaded)]
        for first in broken.head(1).itertuples():
            raise ValueError(
                f"{len(broken)} of {len(rows)} images cannot be loaded; the first is {first.image_id} "
                f"({first.problem}). Pass what `pixels, catalog = load_pixels(catalog, spec)` returns to skip them."
            )
    check_pixels(pixels, rows, spec.shape)
    if attributes is not None and (np.ndim(attributes) != 2 or len(attributes) != len(rows)):
        raise ValueError(f"Expected attributes of shape ({len(rows)}, ...). Received: {np.shape(attributes)}.")
    if batch_size % shard.devices:
        raise ValueError(
            f"A batch of {batch_size} images cannot be cut into equal parts for {shard.devices} devices. Expected a "
            f"batch size that is a multiple of {shard.devices}."
        )
    class_weight = class_weight or {}
    if unknown := class_weight.keys() - {*range(len(class_names))}:
        raise ValueError(f"Expected the keys of class_weight to be indices of class_names. Received: {[*unknown]!r}.")
    labels = label_indices(rows, class_names, allow_unknown=allow_unknown and not training)

    def with_labels(images, indices, mixed=None):
        one_hot = mix_rows(tf.one_hot(tf.gather(labels, indices), len(class_names)), mixed)
        if attributes is None:
            return images, one_hot
        return (images, mix_rows(tf.gather(tf.constant(attributes, tf.float32), indices), mixed)), one_hot

    if not training:
        scale = shard.padded(len(rows)) / len(rows)  # so that the mean over an epoch is that over the images

        @plain
        def load_batch(indices):
            (indices,), *weights = shard.take((indices,), scale)
            return *with_labels(tf.cast(gather(pixels, indices), tf.float32), indices), *weights

        batches = tf.data.Dataset.range(len(rows)).batch(batch_size).map(load_batch, num_parallel_calls=CORES)
        return keep_alive(without_autotune(batches.prefetch(2)), pixels)

    augmentation = augmentation or NONE
    if augmentation.mixes and (class_weight or shard.devices > 1):
        without = "no class_weight (use balanced=True)" if class_weight else "one device"
        raise ValueError(f"mixup and cutmix mix two images of a batch. Expected {without}, or mixup=0 and cutmix=0.")
    weights_by_class = [class_weight.get(label, 1.0) for label in range(len(class_names))]

    @plain
    def augment_batch(epoch, *drawn):
        (indices, copies, draws), *weights = shard.take(drawn)
        images = gather(pixels, indices)
        moved = augment(images, draws, augmentation) if augmentation != NONE else tf.cast(images, tf.float32)
        if class_weight:
            weights = [weight * tf.gather(weights_by_class, tf.gather(labels, indices)) for weight in weights or [1.0]]
        moved, mixed = mix(moved, draws, augmentation) if augmentation.mixes else (moved, None)
        return epoch, (*with_labels(moved, indices, mixed), *weights)

    batches = shuffled_batches(labels, augmentation, counter, batch_size=batch_size, balanced=balanced, seed=seed)
    batches = counter.counted(batches.map(augment_batch, num_parallel_calls=CORES).prefetch(2))
    return keep_alive(without_autotune(batches), pixels)


def attributes_of(attributes: pd.DataFrame | None, rows: pd.DataFrame) -> np.ndarray | None:
    """Return the attributes of rows of a catalog, float32 `(n, attributes)`, from a table indexed by `image_id`."""
    if attributes is None:
        return None
    check_attributes(rows["image_id"], attributes)
    return attributes.loc[rows["image_id"]].to_numpy(np.float32)


def label_indices(rows: pd.DataFrame, class_names: tuple[str, ...], *, allow_unknown: bool = False) -> np.ndarray:
    """Return the index of each row's class in the class names; -1 for none, if that is allowed, else ValueError."""
    labels = pd.Index(class_names, dtype=object).get_indexer(rows["class_name"])
    if not allow_unknown and (labels < 0).any():
        unknown = rows[labels < 0]
        raise ValueError(
            f"{len(unknown)} of {len(rows)} images are of a class that is not among class_names; the first is "
            f"{unknown['image_id'].iloc[0]} of class {unknown['class_name'].iloc[0]!r}. Expected one of "
            f"{', '.join(class_names)}. Leave them out, or predict them with allow_unknown=True, never in training."
        )
    return labels


def shuffled_batches(
    labels: np.ndarray, augmentation: Augmentation, counter: EpochCounter, *, batch_size: int, balanced: bool, seed: int
) -> tf.data.Dataset:
    """Return the batches of each epoch: `(epoch, image indices, number of the copy, random numbers)`.

    A pass is an epoch once `counter.counted` stands last. All are pure functions of seed, epoch and image.
    """
    num_indices = augmentation.copies * len(labels)
    if balanced:
        log_weights = tf.math.log(np.tile(np.float32(1 / np.bincount(labels)[labels]), augmentation.copies))

    @plain
    def one_epoch(epoch):
        # Shuffle indices, not pixels: a whole split fits the buffer, and any epoch can be drawn again.
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        if balanced:
            order = tf.random.stateless_categorical(log_weights[tf.newaxis], num_indices, seed=key)[0]
        else:
            order = tf.random.experimental.stateless_shuffle(tf.range(num_indices, dtype=tf.int64), seed=key)
        draws = epoch_draws(num_indices, seed, epoch, augmentation)
        draws_by_position = draws if balanced else tf.gather(draws, order)  # an image drawn twice moves differently
        copies = order // len(labels)
        parts = order % len(labels), copies, variant_draws(draws_by_position, copies, augmentation)
        drawn = tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)
        return drawn.map(lambda indices, copies, draws: (epoch, indices, copies, draws))

    batches = counter.passes().flat_map(one_epoch)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-num_indices // batch_size)))
