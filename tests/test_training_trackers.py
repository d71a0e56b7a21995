"""Trackers: what TensorBoard and Weights & Biases get of a training."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marinecv.files.csv_tables import read_table, write_table
from marinecv.recipes.aquarium import BEST
from marinecv.runs import Run
from marinecv.training.recipe import Recipe
from marinecv.training.trackers import LOGS, TensorBoardLog, final_metrics, tracked
from pipelines.cli import main

FIGURES = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


def follow(log, epochs=2):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.default_rng(0).normal(size=(4, 5)), np.eye(3)[[0, 1, 2, 0]]
    model.fit(x, y, validation_data=(x, y), epochs=epochs, callbacks=[log], verbose=0)
    return model


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0, "images": 0}).Reload()


def test_tensorboard_has_figures_and_weights_of_each_epoch_the_recipe_and_the_pictures(tmp_path):
    log = TensorBoardLog(tmp_path, BEST)
    model = follow(log)
    Image.new("RGB", (6, 4)).save(tmp_path / "curves.png")
    log.close({}, [tmp_path / "curves.png"])
    kept = events(tmp_path / "tensorboard")
    names = set(kept.Tags()["tensors"])
    assert names > FIGURES | {variable.path for variable in model.trainable_variables} | {"curves"}
    assert [event.step for event in kept.Tensors("loss")] == [1, 2]
    recipe = kept.Tensors("recipe")[0].tensor_proto.string_val[0].decode()
    assert json.loads(recipe.strip("`\n"))["name"] == BEST.name


def test_what_is_handed_over_at_the_end_is_the_model_that_is_kept(finished_run, tmp_path):
    folder = tmp_path / "grid" / "run"
    shutil.copytree(finished_run, folder)
    (folder.parent / "experiment.json").write_text("{}")
    history = read_table(folder / "history.csv").assign(val_accuracy=["0.75", "0.25"])
    write_table(folder / "history.csv", history)
    timing = json.loads((folder / "timing.json").read_text()) | {"best_epoch": 1}
    (folder / "timing.json").write_text(json.dumps(timing))
    final = final_metrics(folder)
    assert final_metrics(tmp_path) == {}  # nothing is saved there
    assert final["best_epoch"] == 1 and final["best/val_accuracy"] == 0.75  # not the last epoch's
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy = metrics["test"]["accuracy"]
    assert [final[f"test/accuracy{end}"] for end in ("", "_n")] == [accuracy["value"], accuracy["n"]]
    recipe = Recipe.of(Run(folder))
    with tracked("tensorboard", folder, recipe) as followers:
        assert len(followers) == 1
    kept = events(folder / "tensorboard")
    assert kept.Tensors("best/val_accuracy")[0].step == 1
    assert tf.make_ndarray(kept.Tensors("test/accuracy")[0].tensor_proto) == np.float32(final["test/accuracy"])
    settings = kept.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert recipe.image.fit.encode() in settings and b"training.learning_rate" in settings
    assert json.loads((folder / "preprocessing.json").read_text())["split_sha256"].encode() in settings


@pytest.mark.slow
def test_each_trial_of_a_search_and_its_winner_are_followed(shared_tank, tmp_path):
    words = ["--epochs", "1", "--image-size", "32", "--trials", "2", "--algorithm", "random", "--track", "tensorboard"]
    folders = ["--data-dir", str(shared_tank), "--output-dir", str(tmp_path / "search")]
    assert main(["search", "--recipe", "aquarium_three_conv", *words, *folders]) == 0
    for place in ("trials/0001", "trials/0002", "best"):
        assert set(events(tmp_path / "search" / place / "tensorboard").Tags()["tensors"]) > FIGURES


def test_wandb_without_an_account_writes_here(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="an extra: pip install 'marinecv[wandb]'")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "grid" / "row"
    folder.mkdir(parents=True)
    (tmp_path / "grid" / "experiment.json").write_text("{}")
    log = LOGS["wandb"](folder, BEST)
    follow(log)
    summary, finish, kept = dict(log.run.summary), log.run.finish, {}
    monkeypatch.setattr(log.run, "finish", lambda: kept.update(log.run.summary) or finish())
    log.close({"best_epoch": 1.0, "best/val_accuracy": 0.125, "test/accuracy": 0.5})
    assert summary.keys() >= FIGURES and log.run.settings.mode == "offline"
    assert summary["val_accuracy"] != 0.125 and kept["val_accuracy"] == 0.125  # the best epoch's, not the last one's
    assert kept["test/accuracy"] == 0.5
    assert log.run.config["name"] == BEST.name and log.run.group == "grid"
    [file] = Path(folder, "wandb").glob("offline-run-*/*.wandb")
    assert file.stat().st_size > 0


def test_a_tracker_that_is_not_installed_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ValueError, match=r"pip install 'marinecv\[wandb\]'"):
        LOGS["wandb"](tmp_path, BEST)
