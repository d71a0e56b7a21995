"""What happens between epochs: stop, lower the learning rate, print a line, save."""

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras

from marinecv.console import Log
from marinecv.progress import duration, progress_bar
from marinecv.schema import check_choice, check_type
from marinecv.training.checkpoint import Checkpoint, assign, learning_rate_of, values_of
from marinecv.training.recipe import METRICS, Training


def callbacks(
    training: Training,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    log: Log | None = None,
    stage: str = "all",
    whole: keras.Model | None = None,
    writes: bool = True,
    validation_images: int | None = None,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a recipe, for `model.fit(..., callbacks=mcv.callbacks(training, folder))` of any model.

        >>> import marinecv as mcv
        >>> training = mcv.Training(monitor="val_loss", early_stop_patience=5, lr_patience=2)
        >>> [callback.patience for callback in mcv.callbacks(training)[1:]]
        [5, 2]

    Args:
        training: patience, factor, monitor, or the rate at the top of a cosine; `fit` has the number of epochs.
        folder: for `history.csv` and `checkpoint.npz`, created if missing; None writes neither. The first epoch
            overwrites files of an earlier training unless it is resumed.
        resume: continue from the checkpoint in the folder, if there is one, whatever `initial_epoch` is, with the same
            model, optimizer and settings. Give `fit` the `EpochCounter` of a `make_dataset` too.
        log: receives one line an epoch; None prints none.
        stage: `"head"` trains without early stopping and reductions.
        whole: the model to save, where only a part of it is fitted.
        writes: False resumes without writing, as the other processes of a distributed training do.
        validation_images: number of validation images, for the line.
    Returns:
        TerminateOnNaN, EarlyStopping, ReduceLROnPlateau or CosineRate, and as asked for AveragedWeights, second,
        StopAfterReductions, EpochLine, Checkpoint.
    Raises:
        ValueError: there is no folder to resume from, or it is a run; in `fit`: the checkpoint is of another training,
            the logs lack the monitor, the learning rate follows a schedule, or the optimizer keeps no average.
    """
    check_type(Training, training=training)
    if resume and folder is None:
        raise ValueError("Expected the folder of the checkpoint with resume=True. Received: folder=None.")
    watchers = [] if stage == "head" else _watchers(training)
    averaged = AveragedWeights() if training.ema else None
    others = [] if log is None else [EpochLine(training, log, validation_images)]
    if folder is not None:
        if writes:
            _check_folder(Path(folder), resume)
        options = {"resume": resume, "stage": stage, "whole": whole, "writes": writes, "log": log}
        others.append(Checkpoint(Path(folder), training, watchers, averaged=averaged, **options))
    return [*filter(None, [keras.callbacks.TerminateOnNaN(), averaged, *watchers, *others])]


def _watchers(training: Training) -> list:
    name = training.monitor  # Keras knows the better direction of its own metrics: "auto"
    mode = "min" if name.endswith("loss") else "max" if name.endswith(METRICS) else "auto"
    monitored = {"monitor": name, "mode": mode}
    watchers = [CheckedEarlyStopping(**monitored, patience=training.early_stop_patience, restore_best_weights=True)]
    if training.schedule == "cosine":
        return [*watchers, CosineRate(training.learning_rate, training.warmup_epochs)]
    if training.lr_factor < 1:
        watchers.append(ReduceLROnPlateau(**monitored, factor=training.lr_factor, patience=training.lr_patience))
    if training.early_stop_reductions:
        watchers.append(StopAfterReductions(training.early_stop_reductions, **monitored))
    return watchers


def _check_folder(folder: Path, resume: bool) -> None:
    finished = (folder / "metrics.json").is_file()
    if (folder / "recipe.json").is_file() and (finished or not resume and (folder / "checkpoint.npz").is_file()):
        state = "a finished run" if finished else "a run that fit_recipe resumes"
        raise ValueError(f"{folder} is {state} and is not overwritten. Expected another folder.")
    folder.mkdir(parents=True, exist_ok=True)


class CheckedEarlyStopping(keras.callbacks.EarlyStopping):
    """EarlyStopping that refuses a monitor which is not in the logs."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Check the logs and count the epoch."""
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
            raise ValueError('Nothing was validated: give fit validation_data, or use monitor="loss".')
        check_choice(logs, monitor=self.monitor)
        super().on_epoch_end(epoch, logs)


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """ReduceLROnPlateau that refuses a schedule before the first epoch, not at the first plateau."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Try to set the learning rate."""
        super().on_train_begin(logs)
        _set_learning_rate(self.model, learning_rate_of(self.model))


def _set_learning_rate(model: keras.Model, learning_rate: float) -> None:
    try:
        model.optimizer.learning_rate = learning_rate
    except TypeError as error:
        hint = 'Expected a number, or Training(lr_factor=1) with schedule="plateau".'
        raise ValueError(f"The optimizer has a LearningRateSchedule. {hint}") from error


class CosineRate(keras.callbacks.Callback):
    """Set the learning rate of each step: from 0 up to that of the settings in the warm-up, then down along a cosine.

    It is a function of the step alone, that of Keras' `CosineDecay` over the epochs of a stage, which makes a resume
    trivial. Source: Loshchilov & Hutter 2017.
    """

    def __init__(self, learning_rate: float, warmup_epochs: int = 0):
        super().__init__()
        self.learning_rate, self.warmup_epochs = learning_rate, warmup_epochs

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check that the number of steps is known."""
        self.first = None
        if self.params["steps"] is None:
            raise ValueError('schedule="cosine" needs the number of steps. Give fit steps_per_epoch.')

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the rate of the first step; on resume the first epoch comes again."""
        self.first = epoch if self.first is None else self.first
        self.epoch = epoch
        self.on_train_batch_begin(0)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Set the rate of the step."""
        done = self.epoch - self.first + batch / self.params["steps"] - self.warmup_epochs  # epochs, below 0 in warm-up
        total = self.params["epochs"] - self.first - self.warmup_epochs
        factor = 1 + done / self.warmup_epochs if done < 0 else (1 + math.cos(math.pi * done / total)) / 2
        if hasattr(self.model, "jax_state_sync"):  # the trainer on JAX holds the variables itself
            self.model.jax_state_sync()
        _set_learning_rate(self.model, self.learning_rate * factor)


class AveragedWeights(keras.callbacks.Callback):
    """Have the model hold the moving average of its weights from validation to the end of an epoch.

    So the average is what is validated, restored as best and saved; `trained` are the weights that learn on, which
    return with the next epoch. Unlike Keras' SwapEMAWeights it adds no rounding, and a checkpoint can hold both.
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check the optimizer, whose averages on JAX would share buffers with the model."""
        self.trained, optimizer = [], getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not optimizer.use_ema or keras.backend.backend() != "tensorflow":
            raise ValueError("ema needs TensorFlow and the optimizer of compile_model(model, training). Or set ema=0.")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Return to the weights that learn."""
        assign(self.model.trainable_variables if self.trained else [], self.trained)
        self.trained = []

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Keep them aside, and have the model hold the average."""
        if not self.trained:
            self.trained = values_of(self.model.trainable_variables)
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Do so without validation too."""
        self.on_test_begin()


class StopAfterReductions(CheckedEarlyStopping):
    """End training after some reductions of the learning rate without a better value of `monitor` in between.

    It stands behind the callback that reduces the rate. Source: birds report, section 3.8.
    """

    def __init__(self, reductions: int, monitor: str = "val_accuracy", mode: str = "max"):
        super().__init__(monitor, mode=mode, patience=math.inf)
        self.reductions = reductions

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the learning rate."""
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count a reduction, or restart the count."""
        before = self.best
        super().on_epoch_end(epoch, logs)
        if self.best is not before:
            self.reduced = 0
        self.reduced += learning_rate_of(self.model) < self.learning_rate
        if self.reduced >= self.reductions:
            self.model.stop_training = True


class EpochLine(keras.callbacks.Callback):
    """Print a line an epoch: metrics, seconds, about how long is left, the number of validation images."""

    def __init__(self, training: Training, log: Log, validation_images: int | None = None):
        super().__init__()
        self.monitor, self.log, self.seconds = training.monitor, log, []
        self.images = "" if validation_images is None else f"n={validation_images}"

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Print the line."""
        self.seconds.append(time.perf_counter() - self.started)
        epochs = self.params["epochs"]
        seconds_left = (epochs - epoch - 1) * statistics.median(self.seconds)
        parts = [f"epoch {epoch + 1:>2}/{epochs}"]
        if "accuracy" in logs:
            parts += [f"loss {logs['loss']:.3f}", f"accuracy {logs['accuracy']:.3f}"]
            if "val_loss" in logs:
                details = ", ".join(filter(None, [f"loss {logs['val_loss']:.3f}", self.images]))
                parts.append(f"validation {logs['val_accuracy']:.3f} ({details})")
        else:  # an autoencoder, or a model of the user's own
            titles = {"loss": "loss", "val_loss": "validation"}
            titles.setdefault(self.monitor, self.monitor)
            suffixes = {"val_loss": f" ({self.images})"} if self.images else {}
            parts += [f"{titles[name]} {logs[name]:.5f}{suffixes.get(name, '')}" for name in titles if name in logs]
        parts.append(f"{self.seconds[-1]:.1f} s" + (f"  about {duration(seconds_left)} left" if seconds_left else ""))
        self.log("  " + "  ".join(parts))


@contextmanager
def batch_bar(log: Log | None = None) -> Iterator[keras.callbacks.Callback]:
    """Yield a callback that shows the batches of each epoch; it goes first, so that the others print below no bar."""
    with ExitStack() as stack:

        def begin(epoch: int, logs: dict | None) -> None:
            title = f"epoch {epoch + 1:>2}/{bar.params['epochs']}"
            show = stack.enter_context(progress_bar(bar.params["steps"], title, unit="batches", log=log))
            bar.on_train_batch_end = lambda batch, logs: show(batch + 1)

        bar = keras.callbacks.LambdaCallback(begin, on_epoch_end=lambda epoch, logs: stack.close())
        yield bar
