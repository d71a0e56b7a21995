"""A bank -> a `tf.data.Dataset`, in the order in which ordinary training would see its images."""

import numpy as np
import tensorflow as tf

from marinecv.features.bank import Bank
from marinecv.features.frontier import one_or_all
from marinecv.inputs.epochs import EpochCounter, counter_of
from marinecv.inputs.pipeline import drawn_batches
from marinecv.inputs.pixels import without_autotune
from marinecv.inputs.stream import keep_alive, weak


def make_bank_dataset(
    bank: Bank,
    labels: np.ndarray,
    num_classes: int,
    *,
    batch_size: int = 32,
    training: bool = False,
    balanced: bool = False,
    seed: int = 0,
    start_epoch: int | EpochCounter = 0,
    attributes: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of `(activations, one-hot labels)`: what `make_dataset` gives, as the frozen front passes it on.

    The bank has one view of each image where it is not for `training`; labels are `(n,)` places among the classes. Its
    activations are a tuple where the frontier has several tensors, or `attributes` `(n, attributes)` stand last.
    """
    one_hot = tf.one_hot(labels, num_classes)
    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), tf.float32) for array in bank.arrays)

    def gather(indices, rows):
        taken = tf.numpy_function(
            weak(bank, lambda bank, rows: [array[rows].astype(np.float32, copy=False) for array in bank.arrays]),
            [rows],
            [tf.float32] * len(signature),
            stateful=False,
        )
        taken = tuple(tf.ensure_shape(array, spec.shape) for array, spec in zip(taken, signature, strict=True))
        if attributes is not None:
            taken += (tf.gather(tf.constant(attributes, tf.float32), indices),)
        return one_or_all(taken), tf.gather(one_hot, indices)

    if not training:
        batches = tf.data.Dataset.range(len(labels)).batch(batch_size)
        batches = batches.map(lambda indices: gather(indices, bank.at(0, indices))).prefetch(2)
        return keep_alive(without_autotune(batches), bank)
    counter, moves = counter_of(start_epoch), bank.views.augmentation
    batches = drawn_batches(labels, moves, counter, batch_size=batch_size, balanced=balanced, seed=seed)
    batches = batches.map(lambda epoch, i, *drawn: (epoch, gather(i, bank.at(bank.views.shown(epoch, *drawn), i))))
    return keep_alive(without_autotune(counter.counted(batches.prefetch(2))), bank)
