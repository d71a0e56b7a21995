"""Which rows of each batch a process sees, and what each counts, where several devices train together."""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of one process in a training on several devices; alone by default.

    Every batch is cut into equal parts, one a device. One that cannot be, the last of an epoch, is filled up with
    images of its own that weigh nothing, so that each image counts once. `process` is the number of this one, from 0;
    0 leads and alone writes files. `devices` are those of all processes.
    """

    process: int = 0
    processes: int = 1
    devices: int = 1

    def check(self, batch_size: int) -> None:
        """Raise ValueError where a batch cannot be cut into equal parts."""
        if batch_size % self.devices:
            raise ValueError(
                f"{batch_size} images cannot be dealt evenly to {self.devices} devices. Expected a batch size that is "
                f"a multiple of {self.devices}."
            )

    def padded(self, images: int) -> int:
        """How many rows a batch of some images has."""
        return -(-images // self.devices) * self.devices

    def take(self, columns: tuple[tf.Tensor, ...], scale: float | None = None) -> tuple:
        """Return the rows of a batch that this process sees, and what each counts.

        Columns are of the whole batch, `(batch, ...)` each. `scale` is what an image counts; None for as much as makes
        the mean over the rows that over the images. Returns the columns of this process's rows; of several devices also
        float32 `(rows,)`, what each counts: 0 for a row that fills up.
        """
        if self.devices == 1:
            return (columns,)
        size = tf.shape(columns[0])[0]
        rows = self.padded(size)
        each = rows // self.processes
        own = tf.range(self.process * each, (self.process + 1) * each)
        counts = rows / size if scale is None else scale
        weights = tf.where(own < size, tf.cast(counts, tf.float32), 0.0)
        return tuple(tf.gather(column, own % size) for column in columns), weights


ALONE = Share()
