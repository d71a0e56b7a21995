"""Follow a training in TensorBoard or Weights & Biases: settings, epochs, and the metrics of the saved model."""

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
from marinecv.training.settings import settings_of


class Tracker(keras.callbacks.Callback):
    """Write each epoch: what Keras logs, the learning rate, and a histogram of each trainable weight.

    Subclasses have `write(epoch, scalars, weights)`, with epochs from 1, and `close(final, pictures)`, which writes the
    metrics of the saved model and the figures of the report.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Note the learning rate of the epoch."""
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the epoch."""
        weights = {variable.path: keras.ops.convert_to_numpy(variable) for variable in self.model.trainable_variables}
        self.write(epoch + 1, {**logs, "learning_rate": self.learning_rate}, weights)


class TensorBoardLog(Tracker):
    """Event files in `RUN/tensorboard`, for `tensorboard --logdir RUN`, with the recipe as text and hyperparameters."""

    def __init__(self, folder: Path, recipe: Recipe):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        settings = settings_of(recipe) | {"split_sha256": _split_hash(folder)}
        plain = {name: x if isinstance(x, str | bool | int | float) else str(x) for name, x in settings.items()}
        with self.writer.as_default(step=0):
            tf.summary.text("recipe", f"```\n{json.dumps(recipe.to_dict(), indent=2, default=str)}\n```")
            hparams.hparams(plain, trial_id=folder.name)

    def write(self, epoch: int, scalars: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Write scalars and histograms of an epoch."""
        with self.writer.as_default(step=epoch):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
            for name, values in weights.items():
                tf.summary.histogram(name, values)
        self.writer.flush()

    def close(self, final: dict[str, float], pictures: Iterable[Path] = ()) -> None:
        """Write metrics and figures, and end."""
        self.write(int(final.get("best_epoch", 0)), final, {})
        with self.writer.as_default(step=int(final.get("best_epoch", 0))):
            for path in pictures:
                tf.summary.image(path.stem, np.asarray(Image.open(path).convert("RGB"))[np.newaxis])
        self.writer.close()


class WandbLog(Tracker):
    """A run of Weights & Biases, in `RUN/wandb`, also when resumed; offline without an account, for `wandb sync`."""

    def __init__(self, folder: Path, recipe: Recipe):
        super().__init__()
        try:
            import wandb
        except ImportError as error:
            raise ValueError("track=\"wandb\" needs wandb. Install it: pip install 'marinecv[wandb]'.") from error
        self.wandb = wandb
        above = folder.absolute().parents[:2]
        marks = ("experiment.json", "search.json")
        self.run = wandb.init(
            project="marinecv",
            name=folder.name,
            id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
            group=next((place.name for place in above if any((place / mark).is_file() for mark in marks)), None),
            config=recipe.to_dict() | {"split_sha256": _split_hash(folder)},
            dir=folder,
            mode=os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline"),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )

    def write(self, epoch: int, scalars: dict[str, float], weights: dict[str, np.ndarray]) -> None:
        """Write scalars and histograms of an epoch."""
        histograms = {name: self.wandb.Histogram(values) for name, values in weights.items()}
        self.run.log({**scalars, **histograms}, step=epoch)

    def close(self, final: dict[str, float], pictures: Iterable[Path] = ()) -> None:
        """Write the metrics of the saved model as the run's summary, and the figures of the report, and end."""
        self.run.log({path.stem: self.wandb.Image(str(path)) for path in pictures})
        best = {name.removeprefix("best/"): value for name, value in final.items() if name.startswith("best/")}
        self.run.summary.update(final | best)  # in place of the last epoch's
        self.run.finish()


LOGS = {"tensorboard": TensorBoardLog, "wandb": WandbLog}


@contextmanager
def tracked(kind: str | None, folder: Path, recipe: Recipe) -> Iterator[list[Tracker]]:
    """Yield the callbacks that follow a training, by a key of `LOGS` or None, then write what the run saved."""
    if kind is None:
        yield []
        return
    log = LOGS[kind](folder, recipe)
    try:
        yield [log]
    finally:
        log.close(final_metrics(folder), sorted((folder / "figures").glob("*.png")))


def final_metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of the saved model of a run, none if it is not saved.

    They are `best_epoch`, `best/<metric>` of that epoch's history, and of each score of `metrics.json`
    `<split>/<score>`, with `_low` and `_high` of its interval, and `_n`.
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


def _split_hash(folder: Path) -> str:
    preprocessing = folder / "preprocessing.json"
    return read_json(preprocessing).get("split_sha256", "") if preprocessing.is_file() else ""


def _has_account() -> bool:
    with suppress(OSError, netrc.NetrcParseError):
        return bool(os.environ.get("WANDB_API_KEY") or netrc.netrc().authenticators("api.wandb.ai"))
    return False
