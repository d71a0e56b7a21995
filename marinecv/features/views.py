"""How often an image is kept: once, as it and its mirror image, or as some drawn moves of it."""

from dataclasses import dataclass, replace

import tensorflow as tf

from marinecv.inputs.augment import DRAWS
from marinecv.inputs.pipeline import epoch_draws
from marinecv.inputs.spec import Augmentation

STILL = Augmentation(flip=0.0)


@dataclass(frozen=True)
class Views:
    """The views of each image that a bank holds, and which of them an epoch shows.

    Args:
        augmentation: of the training; None or all zero shows images as they are.
        drawn: how many moves of each image are drawn, where they are continuous; epoch e shows number e modulo this, so
            that the first epochs are those of ordinary training.
        seed: of the draws; the one of the training.
    """

    augmentation: Augmentation | None = None
    drawn: int = 1
    seed: int = 0

    @property
    def kind(self) -> str:
        """`"still"`, `"mirrored"` (a horizontal flip alone: both images are kept), or `"drawn"`."""
        if self.augmentation in (None, STILL):
            return "still"
        return "mirrored" if replace(self.augmentation, flip=0.0) == STILL else "drawn"

    @property
    def count(self) -> int:
        """Views an image."""
        return {"still": 1, "mirrored": 2, "drawn": self.drawn}[self.kind]

    @property
    def moves(self) -> Augmentation:
        """What `draws` is for: a mirror image is a flip that certainly happens."""
        return replace(STILL, flip=1.0) if self.kind == "mirrored" else self.augmentation or STILL

    def draws(self, view: int, images: int) -> tf.Tensor:
        """The numbers that make one view of all images, `(images, DRAWS)`.

        Args:
            view: 0 to `count - 1`; of two mirrored ones, 0 is the image as it is.
            images: how many.
        """
        if self.kind == "drawn":
            return epoch_draws(images, self.seed, view)
        return tf.fill((images, DRAWS), 0.0 if view else 1.0)  # 1 is below no probability, 0 below each

    def shown(self, epoch: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Which view each image of a batch shows: int64 `(batch,)`.

        Args:
            epoch: its number, from 0.
            draws: `(batch, DRAWS)`, those of ordinary training.
        """
        if self.kind == "mirrored":
            return tf.cast(draws[:, 0] < self.augmentation.flip, tf.int64)
        return tf.fill(tf.shape(draws)[:1], epoch % self.count)
