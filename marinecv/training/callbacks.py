"""What happens between epochs: stop, slow down, say a line."""

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras

from marinecv.progress import duration, progress_bar
from marinecv.schema import did_you_mean, of_type
from marinecv.training.checkpoint import Checkpoint, learning_rate_of
from marinecv.training.recipe import METRICS, Training


def callbacks(
    training: Training,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    stage: str = "all",
    whole: keras.Model | None = None,
    writes: bool = True,
    validation_images: int | None = None,
) -> list[keras.callbacks.Callback]:
    """The callbacks of a recipe, for `model.fit(..., callbacks=mcv.callbacks(training, folder))` of any Keras model.

        >>> import marinecv as mcv
        >>> training = mcv.Training(monitor="val_loss", early_stop_patience=5, lr_patience=2)
        >>> [type(callback).__name__ for callback in mcv.callbacks(training)]
        ['TerminateOnNaN', 'Watch', 'ReduceLROnPlateau']

    Args:
        training: patience, factor and what is watched. How many epochs there are is up to `fit`.
        folder: where `history.csv` and `checkpoint.npz` go, made where it is missing; None keeps nothing. What an
            earlier training left there is overwritten when the first epoch ends, unless it is resumed.
        resume: go on from the checkpoint in the folder, at the epoch after its last, whatever `initial_epoch` is; from
            the start where there is none. It must be of this very training: the same model, the same optimizer as it
            was compiled, the same settings; `epochs` may be more. A dataset of `make_dataset` follows it where its
            `EpochCounter` is given to `fit` too.
        say: prints one line an epoch; None leaves that to Keras.
        stage: `"head"` trains on without early stopping, for the epochs before the backbone joins in.
        whole: what the checkpoint keeps, where only a part of it is fitted.
        writes: False only resumes, beside a process that writes.
        validation_images: how many images the validation values of an epoch are computed on, for its line.
    Returns:
        TerminateOnNaN, EarlyStopping (best weights restored), ReduceLROnPlateau unless `lr_factor` is 1, and by choice
        StopAfterReductions, line, and history and checkpoint.
    Raises:
        ValueError: no folder to resume from, or it cannot be written into, or is a run, finished or to be resumed. In
            `fit`: the checkpoint is of another training, the logs lack what is watched, or a schedule sets the rate.
    """
    of_type(Training, training=training)
    if resume and folder is None:
        raise ValueError("resume=True goes on from a checkpoint. Expected the folder that it lies in. Received: None.")
    watched = [] if stage == "head" else _watchers(training)
    own = []
    if say is not None:
        of_type(Callable, say=say)
        own.append(EpochLine(training, say, validation_images))
    if folder is not None:
        if writes:
            _check_folder(Path(folder), resume)
        kept = {"resume": resume, "stage": stage, "whole": whole, "writes": writes, "say": say}
        own.append(Checkpoint(Path(folder), training, watched, **kept))
    return [keras.callbacks.TerminateOnNaN(), *watched, *own]


def _watchers(training: Training) -> list:
    name = training.monitor  # where the name does not tell which value is better, Keras looks at the compiled metrics
    watched = {
        "monitor": name,
        "mode": "min" if name.endswith("loss") else "max" if name.endswith(METRICS) else "auto",
    }
    watchers = [Watch(**watched, patience=training.early_stop_patience, restore_best_weights=True)]
    if training.lr_factor < 1:
        slower = {"factor": training.lr_factor, "patience": training.lr_patience}
        watchers.append(ReduceLROnPlateau(**watched, **slower))
    if training.early_stop_reductions:
        watchers.append(StopAfterReductions(training.early_stop_reductions, **watched))
    return watchers


def _check_folder(folder: Path, resume: bool) -> None:
    finished = (folder / "metrics.json").is_file()
    if (folder / "recipe.json").is_file() and (finished or not resume and (folder / "checkpoint.npz").is_file()):
        state = "a finished run" if finished else "a run that fit_recipe goes on with"
        raise ValueError(f"{folder} is {state}, which is not overwritten. Expected another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written into: {error.strerror}. Expected a folder, which is made where it is missing."
        ) from error


class Watch(keras.callbacks.EarlyStopping):
    """EarlyStopping that refuses what is not in the logs, and what nobody knows the better direction of."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Look at the logs, and count."""
        if self.monitor not in logs:
            hint = did_you_mean(self.monitor, logs)
            if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
                hint = ' Nothing was validated: give fit validation_data, or watch monitor="loss".'
            raise ValueError(
                f"Expected monitor to be in the logs of each epoch: {', '.join(logs)}. Received: "
                f"monitor={self.monitor!r}.{hint}"
            )
        try:
            super().on_epoch_end(epoch, logs)
        except ValueError as error:
            raise ValueError(
                f"Keras does not know whether more or less of monitor={self.monitor!r} is better. Expected a loss, a "
                "metric of Keras, or a metric of your own whose name ends with loss or accuracy."
            ) from error


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """ReduceLROnPlateau that refuses a schedule before the first epoch, not at the first plateau."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Try to set the learning rate."""
        super().on_train_begin(logs)
        try:
            self.model.optimizer.learning_rate = learning_rate_of(self.model)
        except TypeError as error:
            raise ValueError("The optimizer follows a LearningRateSchedule. Expected Training(lr_factor=1).") from error


class StopAfterReductions(Watch):
    """End training once the learning rate was reduced some times without a better value in between.

    Stands behind whatever reduces it, ReduceLROnPlateau say, and ends with the epoch of the last reduction.

    Args:
        reductions: how many.
        monitor: what is watched, a name in the logs.
        mode: `"max"` or `"min"`: which value is better; `"auto"` asks Keras.
    Source: birds report, section 3.8.
    """

    def __init__(self, reductions: int, monitor: str = "val_accuracy", mode: str = "max"):
        super().__init__(monitor, mode=mode, patience=math.inf)
        self.reductions = reductions

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the learning rate."""
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count a reduction, or begin again."""
        before = self.best
        super().on_epoch_end(epoch, logs)
        if self.best is not before:
            self.reduced = 0
        self.reduced += learning_rate_of(self.model) < self.learning_rate
        if self.reduced >= self.reductions:
            self.model.stop_training = True


class EpochLine(keras.callbacks.Callback):
    """One line an epoch, with about how long the others take, and on how many images validation is measured."""

    def __init__(self, training: Training, say: Callable[[str], None], validation_images: int | None = None):
        super().__init__()
        self.monitor, self.say, self.seconds = training.monitor, say, []
        self.images = "" if validation_images is None else f"n={validation_images}"

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Say the line."""
        seconds = time.perf_counter() - self.started
        epochs = self.params["epochs"]
        self.seconds.append(seconds)
        left = (epochs - epoch - 1) * statistics.median(self.seconds)
        parts = [f"epoch {epoch + 1:>2}/{epochs}"]
        if "accuracy" not in logs:  # an autoencoder, or a model of the user's own
            named = {"loss": "loss", "val_loss": "validation"}
            named.setdefault(self.monitor, self.monitor)
            after = {"val_loss": f" ({self.images})" if self.images else ""}
            parts += [f"{named[name]} {logs[name]:.5f}{after.get(name, '')}" for name in named if name in logs]
        else:
            parts += [f"loss {logs['loss']:.3f}", f"accuracy {logs['accuracy']:.3f}"]
            if "val_loss" in logs:
                measured = ", ".join(filter(None, [f"loss {logs['val_loss']:.3f}", self.images]))
                parts.append(f"validation {logs['val_accuracy']:.3f} ({measured})")
        parts.append(f"{seconds:.1f} s" + (f"  about {duration(left)} left" if left else ""))
        self.say("  " + "  ".join(parts))


@contextmanager
def batch_bar(log: Callable[[str], None] | None = None) -> Iterator[keras.callbacks.Callback]:
    """Yield a callback that shows the batches of each epoch; it goes first, so that the others print below no bar."""
    with ExitStack() as stack:

        def begin(epoch: int, logs: dict | None) -> None:
            doing = f"epoch {epoch + 1:>2}/{bar.params['epochs']}"
            show = stack.enter_context(progress_bar(bar.params["steps"], doing, unit="batches", log=log))
            bar.on_train_batch_end = lambda batch, logs: show(batch + 1)

        bar = keras.callbacks.LambdaCallback(begin, on_epoch_end=lambda epoch, logs: stack.close())
        yield bar
