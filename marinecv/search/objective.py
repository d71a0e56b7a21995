"""Train a trial: a run of the recipe with its values, and the metrics it ranks by."""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from msgspec.structs import replace

from marinecv.console import Log
from marinecv.progress import progress_bar
from marinecv.runs import Run
from marinecv.search.folder import Search, Trial
from marinecv.search.loop import Report
from marinecv.search.space import recipe_of
from marinecv.training.fit import fit_recipe, load_run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import tracked

MAX_KILLS = 3  # processes that the system may kill before an epoch of a trial is over, for lack of memory perhaps


class Pruned(Exception):
    """A trial was ended early."""


def trainer(search: Search, log: Log | None = None, track: str | None = None) -> Callable[[Trial, Report], Trial]:
    """Decode the images of a search once, and return the `train` of `run_trials`.

    A trial fails, with a reason, if it diverges, runs out of memory, or `MAX_KILLS` processes were killed before they
    finished an epoch; all else is an error. `track` is a key of `trackers.LOGS`.
    """
    recipe = Recipe.of(search.base)
    pixels = load_run(search.base, recipe, log)

    def train(trial: Trial, report: Report) -> Trial:
        folder, of_trial = search.trial_folder(trial.number), recipe_of(recipe, trial.values)
        begun = (folder / "recipe.json").is_file()
        run = search.run_of(folder, of_trial)
        # A trial that was begun has its own catalog, which may have other unusable images than today's.
        shown = load_run(run, of_trial, log) if begun else pixels
        keras.utils.clear_session()
        so_far = trial_metrics(run)
        trained = so_far.get("epochs", 0)
        if trained == trial.epochs and trial.tries == MAX_KILLS:
            reason = f"{MAX_KILLS} processes were killed in epoch {trained + 1}, perhaps for lack of memory"
            return replace(trial, status="failed", reason=reason, **so_far)
        trial = replace(trial, epochs=trained, tries=trial.tries + 1 if trained == trial.epochs else 1)
        search.write_trial(trial)
        try:
            bar = progress_bar(of_trial.training.epochs, f"trial {trial.number}", unit="epochs")
            with tracked(track, run.folder, of_trial) as followers, bar as show:
                watch = TrialReporter(run, lambda epoch, value: show(epoch) or report(epoch, value))
                fit_recipe(of_trial, run, shown, extra_callbacks=[*followers, watch])
            return replace(trial, status="done", **trial_metrics(run))
        except Pruned as stopped:
            return replace(trial, status="pruned", reason=str(stopped), **trial_metrics(run))
        except (ValueError, MemoryError, tf.errors.ResourceExhaustedError) as error:
            line = (str(error).strip() or "no reason was given").splitlines()[0]
            return replace(trial, status="failed", reason=f"{type(error).__name__}: {line:.300}", **trial_metrics(run))
        except BaseException:  # no fault of the trial
            search.write_trial(replace(trial, tries=trial.tries - 1))
            raise

    return train


class TrialReporter(keras.callbacks.Callback):
    """Report the validation accuracy of each epoch, also those before a kill, and end the trial if `report` is true.

    It stands behind the callback that writes the history.
    """

    def __init__(self, run: Run, report: Report):
        super().__init__()
        self.run, self.report, self.reported = run, report, 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Report the epochs that were not reported yet."""
        for row in finite_epochs(self.run.history).itertuples() if self.run.path("history.csv").is_file() else ():
            if row.epoch > self.reported:
                self.reported = row.epoch
                if self.report(row.epoch, row.val_accuracy):
                    raise Pruned(f"below the median of the trials before it after {row.epoch} epochs")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Report this epoch."""
        self.on_train_begin()


def trial_metrics(run: Run) -> dict:
    """Return `value`, `loss`, `best_epoch`, `epochs` and `seconds` of a trial, from its history.

    The best epoch has the highest validation accuracy, then the lowest validation loss, then it is the first.
    """
    if not run.path("history.csv").is_file():
        return {}
    history = run.history
    known = {"epochs": len(history), "seconds": round(float(history["seconds"].sum()), 1)}
    ranked = finite_epochs(history).sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    if ranked.empty:
        return known
    value, loss, epoch = ranked[["val_accuracy", "val_loss", "epoch"]].iloc[0]
    return {**known, "value": float(value), "loss": float(loss), "best_epoch": int(epoch)}


def finite_epochs(history: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs of a history whose losses are finite."""
    return history[np.isfinite(history["loss"]) & np.isfinite(history["val_loss"])]
