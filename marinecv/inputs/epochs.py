"""Which epoch a pass over a training dataset is."""

import keras
import numpy as np
import tensorflow as tf

from marinecv.checked import whole


class EpochCounter(keras.callbacks.Callback):
    """The number of the epoch that the next pass over a training dataset will be.

    It goes up when a pass delivers its last batch: looking at the first batch does not shift it. Given to `fit` as a
    callback, it is set to each epoch that Keras begins, so that `initial_epoch` and `BackupAndRestore` are right too.
    Do that where a pass is a single batch, or where a `prefetch` of yours stands behind a few batches: there a look at
    the first batch cannot be told from a whole pass.

    Args:
        epoch: number of the first pass, from 0.
    Raises:
        ValueError: `epoch` is not a whole number from 0.

    Example:
        counter = mcv.EpochCounter()
        train = mcv.make_dataset(rows, spec, class_names, training=True, start_epoch=counter)
        model.fit(train, initial_epoch=3, epochs=10, callbacks=[counter])
    """

    def __init__(self, epoch: int = 0):
        super().__init__()
        self.epoch = whole(epoch, "epoch")

    def set_model(self, model: keras.Model) -> None:
        """Hold no model: TensorFlow never frees what the functions of a dataset refer to."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Take over the epoch of `fit`."""
        self.epoch = epoch

    def passes(self) -> tf.data.Dataset:
        """A dataset of one element, int64: the epoch in which a pass over it begins."""
        return tf.data.Dataset.range(1).map(lambda _: tf.ensure_shape(tf.numpy_function(self._begin, [], tf.int64), ()))

    def counted(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Take the epochs off `(epoch, batch)`, and count a pass when its last batch is asked for.

        Nothing may be asked for ahead behind it. Each batch brings its epoch, so that of several iterators at once each
        counts its own pass; Keras never asks for what follows the last batch, so that the end of a pass would not do.
        """
        last = batches.cardinality() - 1

        def step(number, parts):
            epoch, batch = parts
            tf.cond(number == last, lambda: tf.numpy_function(self._end, [epoch], tf.int64), lambda: epoch)
            return batch

        return batches.enumerate().map(step)

    def _begin(self) -> np.int64:
        return np.int64(self.epoch)

    def _end(self, epoch: np.int64) -> np.int64:
        self.epoch = max(self.epoch, int(epoch) + 1)
        return epoch


def counter_of(start_epoch: int | EpochCounter) -> EpochCounter:
    """Return a counter that begins there, or the given one."""
    return start_epoch if isinstance(start_epoch, EpochCounter) else EpochCounter(whole(start_epoch, "start_epoch"))
