"""Follow a training elsewhere: TensorBoard or Weights & Biases, one callback for both.

Beside each epoch they get the settings of the run and, at its end, the values of the model that is kept: those of its
best epoch and its scores with their intervals, never those of the last epoch alone.
"""

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
from tensorboard.plugins.hparams import api as hparams

from marinecv.run_records import Timing
from marinecv.runs import read_history
from marinecv.schema import read, read_json
from marinecv.training.callbacks import learning_rate_of
from marinecv.training.recipe import Recipe


class TensorBoardLog:
    """Event files in `RUN/tensorboard`, for `tensorboard --logdir RUN`: the recipe too, as text and settings."""

    def __init__(self, folder: Path, recipe: Recipe):
        self.writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        with self.writer.as_default(step=0):
            tf.summary.text("recipe", f"```\n{json.dumps(recipe.to_dict(), indent=2, default=str)}\n```")
            hparams.hparams(settings_of(folder, recipe), trial_id=folder.name)

    def epoch(self, number: int, figures: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Keep the figures and the histograms of an epoch, from 1."""
        with self.writer.as_default(step=number):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
            for name, values in weights.items():
                tf.summary.histogram(name, values)
        self.writer.flush()

    def close(self, final: dict[str, float], pictures: Iterable[Path] = ()) -> None:
        """Log the values of the kept model and the figures of the report, and end."""
        with self.writer.as_default(step=int(final.get("best_epoch", 0))):
            for name, value in final.items():
                tf.summary.scalar(name, value)
            for path in pictures:
                tf.summary.image(path.stem, np.asarray(Image.open(path).convert("RGB"))[np.newaxis])
        self.writer.close()


class WandbLog:
    """A run of Weights & Biases, in `RUN/wandb`; offline where no account is known, for `wandb sync` later.

    Killed and resumed, it is one run there too, with the recipe's settings; the runs of a grid or a search are a group.
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
            group=_group_of(folder),
            config=recipe.to_dict() | {"split_sha256": _split_hash(folder)},
            dir=folder,
            mode=os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline"),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )

    def epoch(self, number: int, figures: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Keep the figures and the histograms of an epoch, from 1."""
        histograms = {name: self.wandb.Histogram(values) for name, values in weights.items()}
        self.run.log({**figures, **histograms}, step=number)

    def close(self, final: dict[str, float], pictures: Iterable[Path] = ()) -> None:
        """Log the values of the kept model as the run's summary, and the figures of the report, and end."""
        self.run.log({path.stem: self.wandb.Image(str(path)) for path in pictures})
        best = {name.removeprefix("best/"): value for name, value in final.items() if name.startswith("best/")}
        self.run.summary.update(final | best)  # in place of the last epoch's, which it shows by itself
        self.run.finish()


LOGS = {"tensorboard": TensorBoardLog, "wandb": WandbLog}


@contextmanager
def tracked(kind: str | None, folder: Path, recipe: Recipe) -> Iterator[list["Tracker"]]:
    """Give the callbacks that follow a training by a kind of `LOGS`, none for None; then log what the run kept."""
    if kind is None:
        yield []
        return
    log = LOGS[kind](folder, recipe)
    try:
        yield [Tracker(log)]
    finally:
        log.close(final_values(folder), sorted((folder / "figures").glob("*.png")))


def settings_of(folder: Path, recipe: Recipe) -> dict[str, str | float | bool]:
    """Return the settings of a run by dotted name, and the hash of its split: what a table of runs can be sorted by."""
    settings = {"split_sha256": _split_hash(folder)}
    for part in ("data", "image", "model", "training"):
        for name, value in recipe.to_dict()[part].items():
            settings[f"{part}.{name}"] = value if isinstance(value, str | bool | int | float) else str(value)
    return settings


def final_values(folder: Path) -> dict[str, float]:
    """Return the values of the model that a run has kept; nothing where it has kept none yet.

    They are `best_epoch`, `best/<value>` of that epoch's history, and of each score of `metrics.json`
    `<split>/<score>`, with `_low` and `_high` of its interval where it has one, and `_n`.
    """
    if not (folder / "timing.json").is_file():
        return {}
    best = read(folder / "timing.json", Timing).best_epoch
    history = read_history(folder / "history.csv").set_index("epoch")
    values = {"best_epoch": float(best)} | {f"best/{name}": float(value) for name, value in history.loc[best].items()}
    metrics = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {}
    for split, scores in metrics.items():
        for name, score in scores.items():
            if isinstance(score, dict) and "value" in score:
                bounds = {"": "value", "_low": "low", "_high": "high", "_n": "n"}
                known = {end: score.get(bound) for end, bound in bounds.items()}
                values |= {f"{split}/{name}{end}": float(x) for end, x in known.items() if x is not None}
    return values


class Tracker(keras.callbacks.Callback):
    """Hand each epoch to a log: loss, accuracies, learning rate, and a histogram of each weight that learns."""

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


def _split_hash(folder: Path) -> str:
    contract = folder / "contract.json"
    return read_json(contract).get("split_sha256", "") if contract.is_file() else ""


def _group_of(folder: Path) -> str | None:
    """The grid, search or curve that a run belongs to."""
    above = folder.absolute().parents[:2]
    marks = ("study.json", "search.json")
    return next((place.name for place in above if any((place / mark).is_file() for mark in marks)), None)


def _has_account() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    return False
