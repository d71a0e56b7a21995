"""Training a trial: what it ranks by, what ends it early, and what of it fails without ending the search."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.files.csv_tables import write_table
from marinecv.recipes.aquarium import BEST
from marinecv.runs import Run
from marinecv.search import objective
from marinecv.search.folder import Search, Trial
from marinecv.search.objective import Pruned, TrialReporter, trainer
from marinecv.search.space import space_of

VALUES = {"dropout": 0.3, "kernel": 3, "filters": 16, "layers": 2, "batch_size": 16, "optimizer": "adam"}
TRIAL = Trial(number=1, values=VALUES | {"learning_rate": 1e-3})
RECIPE = replace(BEST, image=replace(BEST.image, height=16, width=16)).with_training(epochs=2, augmentation=None)


@pytest.fixture
def search(shared_tank, tmp_path):
    catalog = read_catalog(manifest_of_folder(shared_tank))
    Run.create(tmp_path / "base", RECIPE.to_dict(), RECIPE.preprocessing(["crab", "eel", "ray"]), catalog)
    search = Search.create(tmp_path, "kerastuner", "random", 3, 0, space_of(RECIPE))
    search.trial_folder(1).mkdir(parents=True)
    return search


def history(run, *accuracies, losses=None):
    """Write a history with these validation accuracies, and losses where they matter."""
    losses = losses or [1.0] * len(accuracies)
    rows = [
        {"epoch": epoch, "loss": loss, "val_loss": loss, "val_accuracy": accuracy, "seconds": 1.5}
        for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1)
    ]
    write_table(run.path("history.csv"), pd.DataFrame(rows))


def fitting(*accuracies, error=None, losses=None):
    """A training that gives these epochs, and then an error."""

    def fit(recipe, run, pixels, extra_callbacks):
        for epoch in range(1, len(accuracies) + 1):
            history(run, *accuracies[:epoch], losses=losses and losses[:epoch])
            for callback in extra_callbacks:
                callback.on_epoch_end(epoch - 1)
        for name in ("checkpoint.npz", "model.keras"):
            run.path(name).touch()
        if error:
            raise error

    return fit


def trained(search, monkeypatch, *accuracies, report=lambda epoch, value: False, **facts):
    monkeypatch.setattr(objective, "fit_recipe", fitting(*accuracies, **facts))
    return trainer(search, lambda line: None)(TRIAL, report)


def test_a_trial_is_a_run_of_the_recipe_with_its_values(search):
    trial = trainer(search, lambda line: None)(TRIAL, lambda epoch, value: False)
    run = Run(search.trial_folder(1))
    assert run.read("recipe.json")["model"]["filters"] == [16, 32]
    assert run.read("recipe.json")["training"]["batch_size"] == 16
    assert (trial.status, trial.epochs, trial.value) == ("done", 2, run.history["val_accuracy"].max())
    assert run.path("model.keras").is_file()


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        ((0.2, 0.6, 0.4), (3.0, 2.0, 1.0), (0.6, 2.0, 2)),
        ((0.6, 0.6, 0.6), (3.0, 1.0, 1.0), (0.6, 1.0, 2)),
        ((0.2, 0.9), (1.0, np.nan), (0.2, 1.0, 1)),
    ],
)
def test_a_trial_ranks_by_its_best_sound_epoch_then_by_the_lower_loss(search, monkeypatch, accuracies, losses, best):
    trial = trained(search, monkeypatch, *accuracies, losses=list(losses))
    assert (trial.value, trial.loss, trial.best_epoch) == best
    assert (trial.status, trial.epochs, trial.seconds) == ("done", len(accuracies), 1.5 * len(accuracies))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("The training diverged.\nmore"), "ValueError: The training diverged."),
        (MemoryError(), "MemoryError: no reason was given"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "ResourceExhaustedError: OOM when"),
    ],
)
def test_a_training_that_diverges_or_runs_out_of_memory_is_a_failed_trial(search, monkeypatch, error, reason):
    trial = trained(search, monkeypatch, 0.4, error=error)
    assert trial.status == "failed" and trial.reason.startswith(reason) and trial.epochs == 1
    trial = trained(search, monkeypatch, 0.4, losses=[np.nan])  # no epoch with a finite loss
    assert trial.status == "failed" and "value and loss" in trial.reason


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_or_a_full_disk_ends_the_search(search, monkeypatch, error):
    search.write_trial(TRIAL)
    with pytest.raises(type(error)):
        trained(search, monkeypatch, 0.4, error=error)
    assert search.trial(1).tries == 0  # no fault of the trial


def killed(search, monkeypatch, *accuracies):
    """Train until the process dies, which no handler sees: a copy of the search keeps what lay on the disk then."""
    seen = []

    def dying(recipe, run, pixels, extra_callbacks):
        if accuracies:
            history(run, *accuracies)
        seen.append(search.trial(1))
        raise SystemExit

    monkeypatch.setattr(objective, "fit_recipe", dying)
    with pytest.raises(SystemExit):
        trainer(search, lambda line: None)(search.trial(1), lambda epoch, value: False)
    search.write_trial(seen[0])


def test_a_trial_that_kills_its_process_again_and_again_is_a_failed_one(search, monkeypatch):
    search.write_trial(TRIAL)
    killed(search, monkeypatch, 0.4)  # after an epoch, so the count starts again
    for tries in range(1, objective.MAX_KILLS + 1):
        killed(search, monkeypatch)
        assert search.trial(1).tries == tries and not search.trial(1).over
    trial = trainer(search, lambda line: None)(search.trial(1), lambda epoch, value: False)
    assert trial.status == "failed" and "3 processes were killed in epoch 2" in trial.reason


def test_each_epoch_is_reported_and_a_trial_ends_where_told_to(search, monkeypatch):
    seen = []
    trial = trained(search, monkeypatch, 0.1, 0.4, 0.3, report=lambda *epoch: seen.append(epoch) or len(seen) == 2)
    assert seen == [(1, 0.1), (2, 0.4)]
    assert (trial.status, trial.value, trial.epochs) == ("pruned", 0.4, 2)
    assert "below the median" in trial.reason and "after 2 epochs" in trial.reason


def test_the_epochs_before_a_kill_are_reported_once(search, tmp_path):
    run, seen = search.run_of(search.trial_folder(1), RECIPE), []
    history(run, 0.1, 0.4)
    watch = TrialReporter(run, lambda *epoch: seen.append(epoch))
    watch.on_train_begin()
    watch.on_train_begin()
    history(run, 0.1, 0.4, 0.5)
    watch.on_epoch_end(2)
    assert seen == [(1, 0.1), (2, 0.4), (3, 0.5)]
    with pytest.raises(Pruned, match="after 1 epochs"):
        TrialReporter(run, lambda *epoch: True).on_train_begin()


def test_a_trial_that_was_begun_keeps_its_own_catalog(search, monkeypatch):
    """An image that broke since then is no row of it any more, and its pixels are of the rows that are."""
    run = search.run_of(search.trial_folder(1), RECIPE)
    base = search.base.catalog
    write_table(search.base.path("catalog.csv"), base.assign(problem=["broken"] + [""] * (len(base) - 1)))
    shapes = []

    def fit(recipe, run, pixels, extra_callbacks):
        shapes.append(len(pixels))
        history(run, 0.5)

    monkeypatch.setattr(objective, "fit_recipe", fit)
    trainer(search, lambda line: None)(TRIAL, lambda epoch, value: False)
    assert shapes == [len(base)] == [len(run.catalog)]


def test_what_a_multimodal_model_is_told_goes_with_each_trial(search):
    search.base.path("attributes.csv").write_text("image_id,wet\na,1\n")
    run = search.run_of(search.trial_folder(1), RECIPE)
    assert run.path("attributes.csv").read_text() == "image_id,wet\na,1\n"
