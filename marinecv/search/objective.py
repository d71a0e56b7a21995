"""Train a trial: a run of the recipe with its values, and the figures it ranks by."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.progress import progress_bar
from marinecv.runs import Run
from marinecv.search.folder import Search, Trial
from marinecv.search.loop import Report
from marinecv.search.space import recipe_of
from marinecv.training.fit import fit_recipe, load_run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import tracked

TRIES = 3  # of a trial that the system kills before an epoch is over, for want of memory, say


class Pruned(Exception):
    """A trial was ended early, because others were better by then."""


def trainer(
    search: Search, say: Callable[[str], None] | None = None, track: str | None = None
) -> Callable[[Trial, Report], Trial]:
    """Decode the images of a search once, and return what `run_trials` trains its trials with.

    A training that diverges or runs out of memory is a failed trial with its reason, and so is one in which `TRIES`
    processes were killed before they finished an epoch; all else is an error. `track` is a key of `trackers.LOGS`.
    """
    recipe = Recipe.of(search.base)
    pixels = load_run(search.base, recipe, say)

    def train(trial: Trial, report: Report) -> Trial:
        folder, of_trial = search.trial_folder(trial.number), recipe_of(recipe, trial.values)
        begun = (folder / "recipe.json").is_file()
        run = search.run_of(folder, of_trial)
        # A trial that was begun has its own catalog, which may know of another broken image than today's.
        shown = load_run(run, of_trial, say) if begun else pixels
        keras.utils.clear_session()
        so_far = figures(run)
        trained = so_far.get("epochs", 0)
        if trained == trial.epochs and trial.tries == TRIES:
            reason = f"{TRIES} processes were killed in epoch {trained + 1}: too large for the memory, perhaps"
            return replace(trial, status="failed", reason=reason, **so_far)
        trial = replace(trial, epochs=trained, tries=trial.tries + 1 if trained == trial.epochs else 1)
        search.write_trial(trial)
        try:
            bar = progress_bar(of_trial.training.epochs, f"trial {trial.number}", unit="epochs")
            with tracked(track, run.folder, of_trial) as followers, bar as show:
                watch = Watch(run, lambda epoch, value: show(epoch) or report(epoch, value))
                fit_recipe(of_trial, run, shown, also=[*followers, watch])
            return replace(trial, status="done", **figures(run))
        except Pruned as stopped:
            return replace(trial, status="pruned", reason=str(stopped), **figures(run))
        except (ValueError, MemoryError, tf.errors.ResourceExhaustedError) as error:
            said = (str(error).strip() or "no reason was given").splitlines()[0]
            return replace(trial, status="failed", reason=f"{type(error).__name__}: {said:.300}", **figures(run))
        except BaseException:  # the process lives on: no fault of the trial
            search.write_trial(replace(trial, tries=trial.tries - 1))
            raise

    return train


class Watch(keras.callbacks.Callback):
    """Report the validation accuracy of each epoch, those of before a kill too, and end the trial where told to.

    Stands behind the callback that keeps the history. Given an epoch and its value, `report` says whether to end.
    """

    def __init__(self, run: Run, report: Report):
        super().__init__()
        self.run, self.report, self.reported = run, report, 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Report the epochs that a killed process trained."""
        self._report()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Report this one."""
        self._report()

    def _report(self) -> None:
        if not self.run.path("history.csv").is_file():
            return
        for row in sound(self.run.history).itertuples():
            if row.epoch > self.reported:
                self.reported = row.epoch
                if self.report(row.epoch, row.val_accuracy):
                    raise Pruned(f"below the median of the trials before it after {row.epoch} epochs")


def figures(run: Run) -> dict:
    """Return `value`, `loss`, `best_epoch`, `epochs` and `seconds` of a trial, from its history.

    The best epoch has the highest validation accuracy, of equals the lowest validation loss, then it is the first.
    """
    if not run.path("history.csv").is_file():
        return {}
    history = run.history
    known = {"epochs": len(history), "seconds": round(float(history["seconds"].sum()), 1)}
    ranked = sound(history).sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    if ranked.empty:
        return known
    best = ranked.iloc[0]
    value, loss = float(best["val_accuracy"]), float(best["val_loss"])
    return {**known, "value": value, "loss": loss, "best_epoch": int(best["epoch"])}


def sound(history: pd.DataFrame) -> pd.DataFrame:
    """The epochs of a history whose losses are numbers; the accuracy of others is that of nothing."""
    return history[np.isfinite(history["loss"]) & np.isfinite(history["val_loss"])]
