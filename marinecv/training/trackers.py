"""Follow a training elsewhere: TensorBoard or Weights & Biases, one callback for both."""

import hashlib
import json
import netrc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from marinecv.training.callbacks import learning_rate_of
from marinecv.training.recipe import Recipe


class TensorBoardLog:
    """Event files in `RUN/tensorboard`, for `tensorboard --logdir RUN`.

    Args:
        folder: of the run.
        recipe: kept as text.
    """

    def __init__(self, folder: Path, recipe: Recipe):
        self.writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        with self.writer.as_default(step=0):
            tf.summary.text("recipe", f"```\n{json.dumps(recipe.to_dict(), indent=2, default=str)}\n```")

    def epoch(self, number: int, figures: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Keep the figures and the histograms of an epoch, from 1."""
        with self.writer.as_default(step=number):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
            for name, values in weights.items():
                tf.summary.histogram(name, values)
        self.writer.flush()

    def close(self, pictures: Iterable[Path] = ()) -> None:
        """Keep the figures of the report, and end."""
        with self.writer.as_default(step=0):
            for path in pictures:
                tf.summary.image(path.stem, np.asarray(Image.open(path).convert("RGB"))[np.newaxis])
        self.writer.close()


class WandbLog:
    """A run of Weights & Biases, in `RUN/wandb`; offline where no account is known, for `wandb sync` later.

    Args:
        folder: of the run; killed and resumed, it is one run there too.
        recipe: its settings are the run's.
    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self, folder: Path, recipe: Recipe):
        try:
            import wandb
        except ImportError as error:
            raise ValueError("--track wandb needs wandb. Install it: pip install 'marinecv[wandb]'.") from error
        self.wandb = wandb
        self.run = wandb.init(
            project="marinecv",
            name=folder.name,
            id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
            config=recipe.to_dict(),
            dir=folder,
            mode=os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline"),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )

    def epoch(self, number: int, figures: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Keep the figures and the histograms of an epoch, from 1."""
        histograms = {name: self.wandb.Histogram(values) for name, values in weights.items()}
        self.run.log({**figures, **histograms}, step=number)

    def close(self, pictures: Iterable[Path] = ()) -> None:
        """Keep the figures of the report, and end."""
        self.run.log({path.stem: self.wandb.Image(str(path)) for path in pictures})
        self.run.finish()


LOGS = {"tensorboard": TensorBoardLog, "wandb": WandbLog}


@contextmanager
def tracked(kind: str | None, folder: Path, recipe: Recipe) -> Iterator[list["Tracker"]]:
    """Give the callbacks that follow a training, none where `kind` is None; at the end hand over the run's figures.

    Args:
        kind: a key of `LOGS`.
        folder: of the run.
        recipe: of the run.
    """
    if kind is None:
        yield []
        return
    log = LOGS[kind](folder, recipe)
    try:
        yield [Tracker(log)]
    finally:
        log.close(sorted((folder / "figures").glob("*.png")))


class Tracker(keras.callbacks.Callback):
    """Hand each epoch to a log: loss, accuracies, learning rate, and a histogram of each weight that learns.

    Args:
        log: a `TensorBoardLog` or `WandbLog`.
    """

    def __init__(self, log: TensorBoardLog | WandbLog):
        super().__init__()
        self.log = log

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the learning rate that the epoch is trained with."""
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Hand it over."""
        weights = {variable.path: keras.ops.convert_to_numpy(variable) for variable in self.model.trainable_variables}
        self.log.epoch(epoch + 1, {**logs, "learning_rate": self.learning_rate}, weights)


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    return False
