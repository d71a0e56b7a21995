"""Trackers: what TensorBoard and Weights & Biases are told of a training."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training_build import CNN

from marinecv.training.build import build_model, compile_model
from marinecv.training.trackers import LOGS, TensorBoardLog, Tracker
from pipelines import options
from pipelines.command_line import main

FIGURES = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


def follow(log, epochs=2):
    model = build_model(CNN, 3)
    compile_model(model, CNN.training)
    x, y = np.random.default_rng(0).uniform(0, 255, (4, 16, 24, 3)), np.eye(3)[[0, 1, 2, 0]]
    model.fit(x, y, validation_data=(x, y), epochs=epochs, callbacks=[Tracker(log)], verbose=0)
    return model


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0, "images": 0}).Reload()


def test_tensorboard_has_figures_and_weights_of_each_epoch_the_recipe_and_the_pictures(tmp_path):
    log = TensorBoardLog(tmp_path, CNN)
    model = follow(log)
    Image.new("RGB", (6, 4)).save(tmp_path / "curves.png")
    log.close([tmp_path / "curves.png"])
    kept = events(tmp_path / "tensorboard")
    tags = kept.Tags()
    told = set(tags["tensors"])
    assert told > FIGURES and {variable.path for variable in model.trainable_variables} < told and "curves" in told
    assert [event.step for event in kept.Tensors("loss")] == [1, 2]
    recipe = kept.Tensors("recipe")[0].tensor_proto.string_val[0].decode()
    assert json.loads(recipe.strip("`\n"))["name"] == "cnn"


@pytest.mark.slow
def test_a_command_is_followed_and_its_study_run_by_run(shared_tank, tmp_path):
    words = ["--data-dir", str(shared_tank), "--epochs", "1", "--image-size", "16", "24", "--track", "tensorboard"]
    assert main(["pretrain", *words, "--output-dir", str(tmp_path / "study")]) == 0
    for size in (16, 24):
        [folder] = (tmp_path / "study").glob(f"*_{size}px/tensorboard")
        assert set(events(folder).Tags()["tensors"]) > FIGURES


@pytest.mark.slow
def test_each_trial_of_a_search_and_its_winner_are_followed(shared_tank, tmp_path):
    words = [
        "--data-dir",
        str(shared_tank),
        "--epochs",
        "1",
        "--image-size",
        "32",
        "--trials",
        "2",
        "--track",
        "tensorboard",
    ]
    words += ["--algorithm", "random", "--output-dir", str(tmp_path / "search")]
    assert main(["search", "--recipe", "aquarium_three_conv", *words]) == 0
    for place in ("trials/0001", "trials/0002", "best"):
        assert set(events(tmp_path / "search" / place / "tensorboard").Tags()["tensors"]) > FIGURES


def test_wandb_without_an_account_writes_here(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="an extra: pip install 'marinecv[wandb]'")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    log = LOGS["wandb"](tmp_path, CNN)
    follow(log)
    summary = dict(log.run.summary)
    log.close()
    assert summary.keys() >= FIGURES and log.run.settings.mode == "offline"
    assert log.run.config["name"] == "cnn"
    [file] = Path(tmp_path, "wandb").glob("offline-run-*/*.wandb")
    assert file.stat().st_size > 0


def test_a_tracker_that_is_not_installed_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ValueError, match=r"pip install 'marinecv\[wandb\]'"):
        LOGS["wandb"](tmp_path, CNN)


def test_the_flag_knows_every_tracker():
    parser = argparse.ArgumentParser()
    options.add_track(parser)
    [flag] = (action for action in parser._actions if action.dest == "track")
    assert set(LOGS) == set(flag.choices)
