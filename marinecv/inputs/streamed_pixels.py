"""Pixels decoded on demand: of packs whose decoded images are too large to be cached."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.data.shards.records import is_by_pillow, read_bytes
from marinecv.inputs.decode import CORES, crop_pixels, crop_places, decode, fit_to_bytes
from marinecv.inputs.spec import ImageSpec


class Stream:
    """Stand in for an array of pixels, uint8 `(n, height, width, 3)`, without any of them in memory or decoded on disk.

    `stream[5]`, `stream[10:20]` and `stream[indices]` are arrays. The paths are of records of a pack.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: pd.Series, spec: ImageSpec):
        self.paths, self.spec = paths.array, spec
        self._eager = tf.function(self.gather, input_signature=[tf.TensorSpec((None,), tf.int64)])

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, 3)`."""
        return (len(self), *self.spec.shape)

    def part(self, places: Sequence[int]) -> "Stream":
        """Return a stream of the images at some indices."""
        return Stream(pd.Series(self.paths.take(np.asarray(places, np.int64))), self.spec)

    def __getitem__(self, chosen: int | slice | np.ndarray) -> np.ndarray:
        indices = np.arange(len(self))[chosen]
        with tf.device("CPU"):  # where tf.data decodes; a GPU rounds differently
            images = self._eager(tf.constant(np.atleast_1d(indices), tf.int64)).numpy()
        return images if np.ndim(indices) else images[0]

    def gather(self, places: tf.Tensor) -> tf.Tensor:
        """Decode the images at some indices, int64 `(m,)`, also inside `tf.data`: uint8 `(m, height, width, 3)`."""
        read = bind_weakly(self, Stream._read)
        data, by_pillow, crops = tf.numpy_function(read, [places], (tf.string, tf.bool, tf.int32), stateful=False)
        return tf.map_fn(
            lambda image: fit_to_bytes(crop_pixels(decode(*image[:2], self.spec.white), image[2]), self.spec),
            (tf.ensure_shape(data, (None,)), tf.ensure_shape(by_pillow, (None,)), tf.ensure_shape(crops, (None, 4))),
            fn_output_signature=tf.TensorSpec(self.spec.shape, tf.uint8),
            parallel_iterations=CORES,
        )

    def _read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        paths = list(self.paths.take(places))
        data = np.array([*map(read_bytes, paths), None], dtype=object)[:-1]
        return data, np.array([is_by_pillow(path) for path in paths], bool), crop_places(paths)


def gather(pixels: np.ndarray | Stream, places: tf.Tensor) -> tf.Tensor:
    """Return images, uint8 `(m, height, width, 3)`; inside `tf.data` the dataset must `keep_alive` the pixels."""
    if isinstance(pixels, Stream):
        return pixels.gather(places)
    images = tf.numpy_function(bind_weakly(pixels, np.ndarray.__getitem__), [places], tf.uint8, stateful=False)
    return tf.ensure_shape(images, (None, *pixels.shape[1:]))


def bind_weakly(target: Any, function: Callable) -> Callable:
    """Bind an object weakly to a function that TensorFlow calls and never frees; the dataset must `keep_alive` it."""
    reference = weakref.ref(target)

    def call(*args):
        alive = reference()
        if alive is None:
            # TensorFlow logs every other exception; it may still prefetch for an iterator that was given up.
            raise StopIteration("The dataset is deleted. Keep it in a variable as long as its batches are drawn.")
        return function(alive, *args)

    return call


def keep_alive(dataset: tf.data.Dataset, *referenced: Any) -> tf.data.Dataset:
    """Make a dataset, and every dataset derived from it, hold objects until it is deleted."""
    dataset.referenced = referenced
    return dataset
