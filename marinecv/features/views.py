"""How often an image is kept: once, as it and its mirror image, or as some drawn moves of it."""

from dataclasses import dataclass, replace

import tensorflow as tf

from marinecv.inputs.augment import DRAWS, variant_draws
from marinecv.inputs.pipeline import epoch_draws
from marinecv.inputs.spec import NONE, Augmentation


@dataclass(frozen=True)
class Views:
    """The views of each image that a bank holds, and which of them an epoch shows.

    So many moves of each image, or of each of its variants, are `drawn` where they are continuous; epoch e shows number
    e modulo this, so that the first epochs are those of ordinary training.
    """

    augmentation: Augmentation = NONE
    drawn: int = 1
    seed: int = 0

    @property
    def kind(self) -> str:
        """`"still"`, `"mirrored"` (a horizontal flip alone: both images are kept), or `"drawn"`."""
        if self.augmentation == NONE:
            return "still"
        return "mirrored" if self.augmentation == replace(NONE, flip=self.augmentation.flip) else "drawn"

    @property
    def count(self) -> int:
        """Views an image."""
        if self.augmentation.copies > 1:
            return 1 + (self.augmentation.copies - 1) * self.drawn  # the image itself, and its variants
        return {"still": 1, "mirrored": 2, "drawn": self.drawn}[self.kind]

    @property
    def moves(self) -> Augmentation:
        """What `draws` is for: a mirror image is a flip that certainly happens."""
        return replace(NONE, flip=1.0) if self.kind == "mirrored" else self.augmentation

    def draws(self, view: int, images: int) -> tf.Tensor:
        """The numbers that make one view of all images, `(images, DRAWS)`.

        Views are 0 to `count - 1`; of two mirrored ones, and beside variants, 0 is the image as it is.
        """
        if self.kind == "drawn":
            copies = self.augmentation.copies
            copy, epoch = divmod(view - 1, self.drawn) if copies > 1 else (-1, view)
            copy += 1
            draws = epoch_draws(copies * images, self.seed, epoch)[copy * images : (copy + 1) * images]
            return variant_draws(draws, tf.fill((images,), tf.constant(copy, tf.int64)), self.augmentation)
        return tf.fill((images, DRAWS), 0.0 if view else 1.0)  # 1 is below no probability, 0 below each

    def shown(self, epoch: tf.Tensor, copies: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Which view each image shows in an epoch, from 0: int64 `(batch,)`; copies, draws as of `variant_draws`."""
        if self.kind == "mirrored":
            return tf.cast(draws[:, 0] < self.augmentation.flip, tf.int64)
        if self.augmentation.copies > 1:
            return tf.where(copies == 0, 0 * copies, 1 + (copies - 1) * self.drawn + epoch % self.drawn)
        return tf.fill(tf.shape(draws)[:1], epoch % self.count)
