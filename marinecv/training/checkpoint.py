"""One file that holds all a resume needs: weights, optimiser, callbacks, best weights and the epoch, written whole."""

import json
from pathlib import Path

import keras
import numpy as np

from marinecv.atomic import whole_file
from marinecv.checked import take

COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class Checkpoint(keras.callbacks.Callback):
    """Save after each epoch; go on from the file when it exists.

    Stands last in the list of callbacks, so that the others have had their say about the epoch it saves.

    Args:
        path: of the file, `.npz`.
        peers: callbacks whose counters (and best weights) are kept with it.
        stage: name of the part of training; optimiser and counters are only taken back within one stage.
        whole: the model whose weights are kept, where the fitted one is a part of it.
        writes: False only goes on from the file, which another process writes.
    """

    def __init__(
        self,
        path: str | Path,
        peers: list[keras.callbacks.Callback],
        stage: str = "all",
        whole: keras.Model | None = None,
        writes: bool = True,
    ):
        super().__init__()
        self.path, self.peers, self.stage, self.whole, self.writes = Path(path), peers, stage, whole, writes

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take everything back."""
        state, arrays = read_checkpoint(self.path)
        if not state:
            return
        _assign(_state_of(self.whole or self.model), arrays["model"])
        if state["stage"] != self.stage:
            return
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(self.model.optimizer.variables, arrays["optimizer"])
        for number, (peer, counters) in enumerate(zip(self.peers, state["peers"], strict=True)):
            if getattr(peer, "monitor_op", True) is None:
                peer._set_monitor_op()  # older Keras does it at the end of the first epoch, and forgets `best` by it
            vars(peer).update(counters)
            if best := arrays.get(f"best{number}"):
                peer.best_weights = best
        self.model.stop_training = state["stopped"]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the file."""
        if not self.writes:
            return
        arrays = {
            "model": _values(_state_of(self.whole or self.model)),
            "optimizer": _values(self.model.optimizer.variables),
        }
        for number, peer in enumerate(self.peers):
            arrays[f"best{number}"] = getattr(peer, "best_weights", None) or []
        counters = [{name: _plain(vars(peer)[name]) for name in COUNTERS if name in vars(peer)} for peer in self.peers]
        stopped = bool(self.model.stop_training)
        state = {"epochs_done": epoch + 1, "stage": self.stage, "stopped": stopped, "peers": counters}
        flat = {
            f"{group}/{i:04d}": array for group, group_arrays in arrays.items() for i, array in enumerate(group_arrays)
        }
        with whole_file(self.path) as part, open(part, "wb") as file:
            np.savez(file, state=np.array(json.dumps(state)), **flat)


def read_checkpoint(path: Path) -> tuple[dict, dict[str, list[np.ndarray]]]:
    """Return the state and the groups of arrays of a checkpoint; both empty when there is no file.

    Raises:
        ValueError: the file is no checkpoint.
    """
    if not path.is_file():
        return {}, {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            state, groups = _checked_state(json.loads(str(arrays["state"]))), {"model": [], "optimizer": []}
            for name in sorted(arrays.files):
                if "/" in name:
                    groups.setdefault(name.split("/")[0], []).append(_numeric(name, arrays[name]))
            return state, groups
    except Exception as error:  # a broken zip raises many kinds
        raise ValueError(f"{path} is no checkpoint of marinecv: {error}. Delete it to train from the start.") from error


def restore_weights(model: keras.Model, path: Path) -> dict:
    """Give a model the weights and the random states of a checkpoint, where there is one; return its state.

    Raises:
        ValueError: it is no checkpoint, or of another model.
    """
    state, arrays = read_checkpoint(path)
    if state:
        _assign(_state_of(model), arrays["model"])
    return state


def _checked_state(state: dict) -> dict:
    for name, kind in {"epochs_done": int, "stage": str, "stopped": bool, "peers": tuple[dict, ...]}.items():
        take(state, name, kind=kind, what="its state")
    if state["epochs_done"] < 1:
        raise ValueError(f"{state['epochs_done']} epochs done")
    for name, value in [counter for peer in state["peers"] for counter in peer.items()]:
        # The best value is infinite before the first epoch, and no number where there never was one.
        if name not in COUNTERS or not (type(value) in (int, float) or (name == "best" and value is None)):
            raise ValueError(f"the counter {name!r} is {value!r:.60}")
    return state


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


def _plain(value):
    return float(value) if isinstance(value, np.floating | float) else None if value is None else int(value)
