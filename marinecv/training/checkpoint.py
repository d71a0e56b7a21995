"""One file that holds all a resume needs: weights, optimizer, best weights, history, whose they are; written whole."""

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pandas as pd
from msgspec import Struct
from msgspec.structs import asdict

from marinecv.atomic import whole_file
from marinecv.schema import Count, Positive, convert
from marinecv.tables import write_table
from marinecv.training.identity import differences, identity, structure
from marinecv.training.recipe import Training

LAYERS = "model.layers_sha256"


class State(Struct, frozen=True, kw_only=True):
    """Of a training after an epoch: what was logged of each, and what the next ones hang on; counts are from 0."""

    epochs_done: Positive
    first: Count
    learning_rate: float
    stage: str
    stopped: bool
    mode: str
    identity: dict[str, Any]
    history: list[dict[str, int | float]]  # a loss may be no number

    def __post_init__(self):
        rows, done = self.history, self.epochs_done
        if [row.get("epoch") for row in rows] != list(range(done - len(rows) + 1, done + 1)):
            raise ValueError(f"its history is not that of the epochs up to {done}")


class Checkpoint(keras.callbacks.Callback):
    """Write `history.csv` and `checkpoint.npz` after each epoch; go on from the latter where it is asked for.

    The columns: epoch (from 1), what Keras logs, learning_rate (that of the epoch) and seconds. Stands last in the list
    of callbacks, for it saves what the others have made of an epoch; on resuming, those that count epochs without
    progress see the earlier ones again. Of another stage only the weights and the history are taken back.
    """

    def __init__(
        self,
        folder: Path,
        training: Training,
        watchers: Sequence[keras.callbacks.Callback] = (),
        *,
        resume: bool = False,
        stage: str = "all",
        whole: keras.Model | None = None,
        writes: bool = True,
        say: Callable[[str], None] | None = None,
    ):
        super().__init__()
        self.path, self.table = folder / "checkpoint.npz", folder / "history.csv"
        self.training, self.watchers, self.resume, self.stage = training, watchers, resume, stage
        self.whole, self.writes, self.say, self.rows = whole, writes, say, []
        self.moved = False  # whether the model was told at which epoch to begin

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take everything back."""
        self.first, self.identity = None, identity(self.model, self.training)
        state, arrays = read_checkpoint(self.path) if self.resume else (None, {})
        if state and not self.model.built:
            raise ValueError(
                f"{self.path} cannot be resumed by a model that has no weights yet. Expected a Sequential model that "
                "begins with keras.Input(shape), or a model that was called on a batch."
            )
        if state and state.stage == self.stage:
            self._go_on(state, arrays)
        if state:
            _assign(_state_of(self.whole or self.model), arrays["model"])
            self.rows = list(state.history)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the time and the learning rate that the epoch is trained with."""
        self.first = epoch if self.first is None else self.first
        self.on_train_end()  # at once, for a training may be interrupted
        self.started, self.learning_rate = time.perf_counter(), learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write both files, the history first."""
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row |= {"learning_rate": self.learning_rate, "seconds": round(time.perf_counter() - self.started, 3)}
        self.rows = [before for before in self.rows if before["epoch"] <= epoch] + [row]
        if not self.writes:
            return
        write_table(self.table, pd.DataFrame(self.rows))
        model, watcher = self.whole or self.model, next(iter(self.watchers), None)
        if LAYERS not in self.identity:  # which may be built in the first epoch alone
            self.identity[LAYERS] = structure(model)
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
            "model": _values(_state_of(model)),
            "optimizer": _values(self.model.optimizer.variables),
            "best": (watcher and watcher.best_weights) or [],
        }
        flat = {
            f"{group}/{i:04d}": array for group, group_arrays in arrays.items() for i, array in enumerate(group_arrays)
        }
        with whole_file(self.path) as part, open(part, "wb") as file:
            np.savez(file, state=np.array(json.dumps(asdict(state))), **flat)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leave it to a later `fit` of the model where that begins."""
        if self.moved:
            _begin_at(self.model, 0)
            self.moved = False

    def _go_on(self, state: State, arrays: dict[str, list[np.ndarray]]) -> None:
        self.identity[LAYERS] = structure(self.whole or self.model)
        if found := differences(state.identity, self.identity, state.learning_rate):
            raise ValueError(
                f"{self.path} is of another training: {', '.join(found[:3])}. Expected the model, the optimizer and "
                "the settings that it was begun with; resume=False trains from the start over it, and another folder "
                "keeps both."
            )
        self.identity, self.first = state.identity, state.first
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(self.model.weights if arrays["best"] else [], arrays["best"])
        for row in [row for row in state.history if row["epoch"] > self.first]:  # what they count is what they saw
            for watcher in self.watchers:
                watcher.mode = state.mode
                watcher.on_epoch_begin(row["epoch"] - 1)
            for watcher in self.watchers:
                watcher.on_epoch_end(row["epoch"] - 1, dict(row))
        _assign(self.model.optimizer.variables, arrays["optimizer"])
        self.model.stop_training = state.stopped
        done, epochs = state.epochs_done, self.params["epochs"]
        _begin_at(self.model, epochs if state.stopped else done)
        self.moved = True
        if state.stopped or done >= epochs:
            why = "it stopped early" if state.stopped else f"fit asks for {epochs}"
            said = f"no epoch is left to train: {self.path} has {done}, and {why}"
            self.say(f"  {said}") if self.say else warnings.warn(said, stacklevel=2)


def learning_rate_of(model: keras.Model) -> float:
    """The learning rate that a compiled model has now."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def read_checkpoint(path: Path) -> tuple[State | None, dict[str, list[np.ndarray]]]:
    """Return the state and the groups of arrays of a checkpoint; None and none when there is no file."""
    if not path.is_file():
        return None, {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            state = convert(json.loads(str(arrays["state"])), State, "its state")
            groups = {"model": [], "optimizer": [], "best": []}
            for name in sorted(arrays.files):
                if "/" in name:
                    groups.setdefault(name.split("/")[0], []).append(_numeric(name, arrays[name]))
            return state, groups
    except Exception as error:  # a broken zip raises many kinds
        raise ValueError(f"{path} is no checkpoint of marinecv: {error}. Delete it to train from the start.") from error


def restore_weights(model: keras.Model, path: Path) -> State | None:
    """Give a model the weights and the random states of a checkpoint, where there is one; return its state."""
    state, arrays = read_checkpoint(path)
    if state:
        _assign(_state_of(model), arrays["model"])
    return state


def _begin_at(model: keras.Model, epoch: int) -> None:
    """Have `fit` begin at an epoch, from 0, whatever its `initial_epoch`; 0 leaves it to that again.

    Keras' own callback does it, for a model whose weights are restored already.
    """
    with tempfile.TemporaryDirectory() as folder:
        backup = keras.callbacks.BackupAndRestore(folder)
        backup.set_model(SimpleNamespace(save_weights=lambda *args, **options: None))
        backup.on_epoch_end(epoch - 1)
        backup.set_model(model)
        backup.on_train_begin()


def _numeric(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {array.dtype}, no numbers")
    return array


def _state_of(model: keras.Model) -> list:
    """Weights and the states of random layers, without the metrics."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def _values(variables) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables, arrays) -> None:
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise ValueError("The checkpoint is of another model. Delete it to train from the start.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
