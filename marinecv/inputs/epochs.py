"""Count the passes over a training dataset: which epoch each of them is."""

import keras
import numpy as np
import tensorflow as tf

from marinecv.inputs.decode import plain
from marinecv.schema import check_integer


class EpochCounter(keras.callbacks.Callback):
    """Hold the epoch of the next pass over a training dataset, from 0.

    It goes up when a pass delivers its last batch, so a look at the first batch does not shift it. As a callback of
    `fit` it is set by Keras, which follows `initial_epoch` and `BackupAndRestore` too, and which a dataset of one batch
    needs: there a look is a whole pass.

        counter = EpochCounter()
        train = mcv.make_dataset(rows, spec, class_names, training=True, start_epoch=counter)
        model.fit(train, initial_epoch=3, epochs=10, callbacks=[counter])
    """

    def __init__(self, epoch: int = 0):
        super().__init__()
        self.epoch = check_integer(epoch, "epoch")

    def set_model(self, model: keras.Model) -> None:
        """Hold no model: TensorFlow never frees what the functions of a dataset refer to."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the epoch to that of `fit`."""
        self.epoch = epoch

    def passes(self) -> tf.data.Dataset:
        """Return a dataset of one int64: the epoch in which a pass over it begins."""
        begin = tf.data.Dataset.range(1).map(lambda _: tf.numpy_function(lambda: np.int64(self.epoch), [], tf.int64))
        return begin.map(lambda epoch: tf.ensure_shape(epoch, ()))

    def counted(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Return the batches of `(epoch, batch)` pairs, and count a pass when its last one is asked for.

        Keras never asks for what comes after the last batch, so the end of a pass would not do. Do not prefetch after.
        """
        last = batches.cardinality() - 1

        @plain
        def step(number, parts):
            epoch, batch = parts
            tf.cond(number == last, lambda: tf.numpy_function(self._end, [epoch], tf.int64), lambda: epoch)
            return batch

        return batches.enumerate().map(step)

    def _end(self, epoch: np.int64) -> np.int64:
        self.epoch = max(self.epoch, int(epoch) + 1)
        return epoch


def counter_of(start_epoch: int | EpochCounter) -> EpochCounter:
    """Return the given counter, or one that begins at the given epoch."""
    if isinstance(start_epoch, EpochCounter):
        return start_epoch
    return EpochCounter(check_integer(start_epoch, "start_epoch"))
