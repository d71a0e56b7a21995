"""One file that holds all a resume needs: weights, optimizer, best weights, history and whose training it is."""

import hashlib
import json
import re
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import msgspec
import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.files.atomic import whole_file
from marinecv.files.csv_tables import write_table
from marinecv.schema import Count, Positive, convert
from marinecv.training.recipe import Training

LAYERS_KEY = "model.layers_sha256"
# Keras numbers names through a process; half precision differs between devices; a lambda knows its notebook cell.
UNSTABLE = re.compile(r'_\d+(?=")|b?float16|"(code|seed)": ("[^"]*"|\d+)')


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a training after an epoch, all but its arrays; `first` is the first epoch of the stage, from 0."""

    epochs_done: Positive
    first: Count
    learning_rate: float
    stage: str
    stopped: bool
    mode: str
    identity: dict[str, Any]
    history: list[dict[str, int | float]]


class Checkpoint(keras.callbacks.Callback):
    """Write `history.csv` and `checkpoint.npz` after each epoch; resume from the latter if asked.

    Columns of the history: epoch (from 1), what Keras logs, learning_rate (of the epoch) and seconds. It stands last,
    as it saves what the other callbacks did. On resume, the watchers see the earlier epochs again. Of another stage
    only the weights and the history are restored.
    """

    def __init__(
        self,
        folder: Path,
        training: Training,
        watchers: Sequence[keras.callbacks.Callback] = (),
        *,
        averaged: keras.callbacks.Callback | None = None,
        resume: bool = False,
        stage: str = "all",
        whole: keras.Model | None = None,
        writes: bool = True,
        log: Log | None = None,
    ):
        super().__init__()
        self.path, self.table = folder / "checkpoint.npz", folder / "history.csv"
        self.training, self.watchers, self.resume, self.stage = training, watchers, resume, stage
        self.whole, self.writes, self.log, self.averaged, self.rows = whole, writes, log, averaged, []
        self.moved = False  # whether `fit` begins at another epoch than its `initial_epoch`

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore everything."""
        self.first, self.identity = None, identity(self.model, self.training)
        if self.training.schedule == "cosine":  # another end is another rate in each step
            self.identity["fit.epochs"] = self.params["epochs"]
        state, arrays = read_checkpoint(self.path) if self.resume else (None, {})
        if state is None:
            return
        if not self.model.built:
            reason = "Expected a model that begins with keras.Input(shape) or was called on a batch."
            raise ValueError(f"{self.path} cannot be resumed by a model without weights. {reason}")
        if state.stage == self.stage:
            self._resume(state, arrays)
        assign(_state_of(self.whole or self.model), arrays["model"])
        self.rows = list(state.history)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time and the learning rate of the epoch."""
        self.first = epoch if self.first is None else self.first
        self.on_train_end()  # at once, for a training may be interrupted
        self.started, self.learning_rate = time.perf_counter(), learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write both files, the history first."""
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row |= {"learning_rate": self.learning_rate, "seconds": round(time.perf_counter() - self.started, 3)}
        self.rows = [previous_row for previous_row in self.rows if previous_row["epoch"] <= epoch] + [row]
        if not self.writes:
            return
        write_table(self.table, pd.DataFrame(self.rows))
        model, watcher = self.whole or self.model, next(iter(self.watchers), None)
        if LAYERS_KEY not in self.identity:  # some models are built in the first epoch
            self.identity[LAYERS_KEY] = structure(model)
        state = State(
            epochs_done=epoch + 1,
            first=self.first,
            learning_rate=learning_rate_of(self.model),
            stage=self.stage,
            stopped=bool(self.model.stop_training),
            mode="min" if watcher and watcher.monitor_op(0, 1) else "max",
            identity=self.identity,
            history=self.rows,
        )
        arrays = {
            "model": values_of(_state_of(model)),
            "optimizer": values_of(self.model.optimizer.variables),
            "best": (watcher and watcher.best_weights) or [],
            "trained": self.averaged.trained if self.averaged else [],
        }
        flat = {f"{group}/{i:04d}": array for group, members in arrays.items() for i, array in enumerate(members)}
        with whole_file(self.path) as temporary_path, open(temporary_path, "wb") as file:
            np.savez(file, state=np.array(json.dumps(msgspec.structs.asdict(state))), **flat)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Let a later `fit` of the model begin at its own `initial_epoch`."""
        if self.moved:
            _set_initial_epoch(self.model, 0)
            self.moved = False

    def _resume(self, state: State, arrays: dict[str, list[np.ndarray]]) -> None:
        self.identity[LAYERS_KEY] = structure(self.whole or self.model)
        if different := differences(state.identity, self.identity, state.learning_rate):
            hint = "Expected the same model and settings. Use resume=False to overwrite it, or another folder."
            raise ValueError(f"{self.path} is of another training: {', '.join(different[:3])}. {hint}")
        self.identity, self.first = state.identity, state.first
        self.model.optimizer.build(self.model.trainable_variables)
        assign(self.model.weights if arrays["best"] else [], arrays["best"])
        for row in [row for row in state.history if row["epoch"] > self.first]:
            for watcher in self.watchers:
                watcher.mode = state.mode
                watcher.on_epoch_begin(row["epoch"] - 1)
            for watcher in self.watchers:
                watcher.on_epoch_end(row["epoch"] - 1, dict(row))
        assign(self.model.optimizer.variables, arrays["optimizer"])
        if self.averaged:
            self.averaged.trained = arrays["trained"]
        self.model.stop_training = state.stopped
        done, epochs = state.epochs_done, self.params["epochs"]
        _set_initial_epoch(self.model, epochs if state.stopped else done)
        self.moved = True
        if state.stopped or done >= epochs:
            why = "it stopped early" if state.stopped else f"fit asks for {epochs}"
            message = f"no epoch is left to train: {self.path} has {done}, and {why}"
            self.log(f"  {message}") if self.log else warnings.warn(message, stacklevel=2)


def learning_rate_of(model: keras.Model) -> float:
    """Return the current learning rate of a compiled model."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def read_checkpoint(path: Path) -> tuple[State | None, dict[str, list[np.ndarray]]]:
    """Read the state and the arrays of a checkpoint, `(None, {})` if there is no file; ValueError if it is broken."""
    if not path.is_file():
        return None, {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            state = convert(json.loads(str(arrays["state"])), State, "its state")
            groups = {"model": [], "optimizer": [], "best": [], "trained": []}
            for name in sorted(set(arrays.files) - {"state"}):
                groups[name.split("/")[0]].append(arrays[name])
            return state, groups
    except Exception as error:  # a broken zip raises many kinds
        raise ValueError(f"{path} is no checkpoint of marinecv: {error}. Delete it to train from the start.") from error


def restore_weights(model: keras.Model, path: Path) -> int:
    """Restore weights and random states from a checkpoint, if there is one; return the number of its epochs, else 0."""
    state, arrays = read_checkpoint(path)
    if state:
        assign(_state_of(model), arrays["model"])
    return state.epochs_done if state else 0


def identity(model: keras.Model, training: Training) -> dict:
    """Return optimizer and settings as plain values, which must be equal to resume; the number of epochs may differ."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of one that scales the loss
    optimizer_config = {**optimizer.get_config(), "name": type(optimizer).__name__}
    identity_values = {f"optimizer.{name}": value for name, value in optimizer_config.items()}
    identity_values |= {f"training.{name}": value for name, value in asdict(training).items() if name != "epochs"}
    return json.loads(json.dumps(identity_values, default=str), parse_float=_six_digits)


def structure(model: keras.Model) -> str:
    """Return a hash of the layers of a model and the shape of every weight, whatever their names are."""
    try:
        config = model.get_config()
    except NotImplementedError:  # a subclass without get_config
        config = type(model).__name__
    weights = [(tuple(weight.shape), weight.trainable) for weight in model.weights]
    text = json.dumps([config, weights], default=lambda value: type(value).__name__)
    return hashlib.sha256(UNSTABLE.sub("", text).encode()).hexdigest()[:16]


def differences(before: dict, now: dict, learning_rate: float) -> list[str]:
    """Describe where two identities differ; the learning rate may also be the reduced one of the checkpoint."""
    if now["optimizer.learning_rate"] == _six_digits(learning_rate):
        now = now | {"optimizer.learning_rate": before.get("optimizer.learning_rate")}
    different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} was {before.get(name)!r:.40} and is {now.get(name)!r:.40}" for name in different]


def _six_digits(number: str | float) -> float:
    return float(f"{float(number):.6g}")


def _set_initial_epoch(model: keras.Model, epoch: int) -> None:
    """Have `fit` begin at an epoch, from 0, by Keras' own callback; 0 restores its `initial_epoch`."""
    with tempfile.TemporaryDirectory() as folder:
        backup = keras.callbacks.BackupAndRestore(folder)
        backup.set_model(SimpleNamespace(save_weights=lambda *args, **options: None))  # they are restored already
        backup.on_epoch_end(epoch - 1)
        backup.set_model(model)
        backup.on_train_begin()


def _state_of(model: keras.Model) -> list:
    """Weights and the states of random layers, without the metrics."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def values_of(variables) -> list[np.ndarray]:
    """Return the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables, arrays) -> None:
    """Assign values to variables; ValueError if they are of other shapes."""
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise ValueError("The checkpoint is of another model. Delete it to train from the start.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
