"""What happens between epochs: stop, slow down, keep the history, say a line."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import pandas as pd

from marinecv.inputs.epochs import EpochCounter
from marinecv.runs import read_history
from marinecv.tables import write_table
from marinecv.training.checkpoint import Checkpoint
from marinecv.training.recipe import Training


def callbacks(
    training: Training,
    folder: str | Path | None = None,
    *,
    say: Callable[[str], None] | None = None,
    stage: str = "all",
    whole: keras.Model | None = None,
    clock: EpochCounter | None = None,
    writes: bool = True,
    validation_images: int | None = None,
) -> list[keras.callbacks.Callback]:
    """The callbacks of a recipe, for `model.fit(..., callbacks=mcv.callbacks(training, folder))`.

    Args:
        training: patience, factor and what is watched.
        folder: where `history.csv` and `checkpoint.npz` go; None keeps nothing. An existing checkpoint is resumed.
        say: prints one line an epoch; None leaves that to Keras.
        stage: `"head"` trains on without early stopping, for the epochs before the backbone joins in.
        whole: what the checkpoint keeps, where only a part of it is fitted.
        clock: of the training batches, which then follow the epochs of `fit`.
        writes: False only resumes, beside a process that writes.
        validation_images: how many images the validation values of an epoch are computed on, for its line.
    Returns:
        TerminateOnNaN, EarlyStopping (best weights restored), ReduceLROnPlateau, and by choice StopAfterReductions,
        history, line and checkpoint.
    """
    watched = [] if stage == "head" else _watchers(training)
    own = []
    if clock is not None:
        own.append(clock)
    if folder is not None and writes:
        own.append(History(Path(folder) / "history.csv"))
    if say is not None:
        own.append(EpochLine(training, say, validation_images))
    if folder is not None:
        own.append(Checkpoint(Path(folder) / "checkpoint.npz", watched, stage, whole, writes))
    return [keras.callbacks.TerminateOnNaN(), *watched, *own]


def _watchers(training: Training) -> list:
    watched = {"monitor": training.monitor, "mode": "min" if training.monitor.endswith("loss") else "max"}
    watchers = [
        keras.callbacks.EarlyStopping(**watched, patience=training.early_stop_patience, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(**watched, factor=training.lr_factor, patience=training.lr_patience),
    ]
    if training.early_stop_reductions:
        watchers.append(StopAfterReductions(training.early_stop_reductions, **watched))
    return watchers


class StopAfterReductions(keras.callbacks.Callback):
    """End training once the learning rate was reduced some times without a better value in between.

    Stands behind whatever reduces it, ReduceLROnPlateau say, and ends with the epoch of the last reduction.

    Args:
        reductions: how many.
        monitor: what is watched, a name in the logs.
        mode: `"max"` or `"min"`: which value is better.
    Source: birds report, section 3.8.
    """

    def __init__(self, reductions: int, monitor: str = "val_accuracy", mode: str = "max"):
        super().__init__()
        self.reductions, self.monitor, self.sign = reductions, monitor, 1 if mode == "max" else -1

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begin to count."""
        self.best, self.wait = -math.inf, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the learning rate."""
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count a reduction, or begin again."""
        value = self.sign * logs[self.monitor]
        if value > self.best:
            self.best, self.wait = value, 0
        self.wait += learning_rate_of(self.model) < self.learning_rate
        if self.wait >= self.reductions:
            self.model.stop_training = True


class History(keras.callbacks.Callback):
    """Keep `history.csv`: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate, seconds."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time and the learning rate that the epoch is trained with."""
        self.started = time.perf_counter()
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the table anew, with this epoch as its last."""
        row = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in logs.items()},
            "learning_rate": self.learning_rate,
            "seconds": round(time.perf_counter() - self.started, 3),
        }
        before = read_history(self.path) if self.path.is_file() else pd.DataFrame()
        kept = before[before["epoch"] <= epoch] if len(before) else before
        write_table(self.path, pd.concat([kept, pd.DataFrame([row])], ignore_index=True))


class EpochLine(keras.callbacks.Callback):
    """One calm line an epoch, with what remains at most, and on how many images validation is measured."""

    def __init__(self, training: Training, say: Callable[[str], None], validation_images: int | None = None):
        super().__init__()
        self.epochs, self.say = training.epochs, say
        self.images = "" if validation_images is None else f"n={validation_images}"

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Say the line."""
        seconds = time.perf_counter() - self.started
        left = (self.epochs - epoch - 1) * seconds
        parts = [f"epoch {epoch + 1:>2}/{self.epochs}"]
        if "accuracy" not in logs:  # an autoencoder
            measured = f" ({self.images})" if self.images else ""
            parts += [f"loss {logs['loss']:.5f}", f"validation {logs['val_loss']:.5f}{measured}"]
        else:
            parts += [f"loss {logs['loss']:.3f}", f"accuracy {logs['accuracy']:.3f}"]
            if "val_loss" in logs:
                measured = ", ".join(filter(None, [f"loss {logs['val_loss']:.3f}", self.images]))
                parts.append(f"validation {logs['val_accuracy']:.3f} ({measured})")
        parts.append(f"{seconds:.1f} s" + (f"  at most {duration(left)} left" if left else ""))
        self.say("  " + "  ".join(parts))


def learning_rate_of(model: keras.Model) -> float:
    """The learning rate that a compiled model has now."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def duration(seconds: float) -> str:
    """Seconds in words: `"40 s"`, `"3 min"`, `"1 h 10 min"`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
