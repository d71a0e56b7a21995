"""Each image counts once an epoch however many devices see it, and training on several is training on one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import draw_tank

from marinecv.experiments import Experiment
from marinecv.inputs.pipeline import DeviceShard, make_dataset
from marinecv.inputs.spec import ImageSpec
from marinecv.recipes.own_data import PROBE
from marinecv.runs import Run
from marinecv.training import fit as fitting
from marinecv.training.distribution import distributed, join, shard_here
from marinecv.training.fit import fit_autoencoder, fit_recipe
from marinecv.training.recipe import Recipe
from marinecv.workflows import train_runs
from pipelines.cli import main

ROOT = Path(__file__).parents[1]
SPEC = ImageSpec(height=8, width=8)
CLASSES = ("crab", "eel", "ray")
LAYOUTS = [(1, 2), (2, 2), (2, 4), (3, 3)]  # processes, devices of all of them


def numbered(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose image is its own number, in every pixel."""
    names = [f"{number:03d}.jpg" for number in range(count)]
    rows = pd.DataFrame({"image_id": names, "path": names, "split": "train", "problem": ""})
    rows["class_name"] = [CLASSES[number % 3] for number in range(count)]
    pixels = np.empty((count, *SPEC.shape), np.uint8)
    pixels[:] = np.arange(count)[:, None, None, None]
    return rows, pixels


def shares(processes: int, devices: int) -> list[DeviceShard]:
    return [DeviceShard(process=process, processes=processes, devices=devices) for process in range(processes)]


def epoch_of(shard: DeviceShard, count: int, batch_size: int = 12, **options) -> list[tuple]:
    """The batches that a share sees: which images, and what each counts."""
    rows, pixels = numbered(count)
    batches = make_dataset(rows, SPEC, CLASSES, pixels=pixels, batch_size=batch_size, shard=shard, **options)
    return [(images.numpy()[:, 0, 0, 0].astype(int), weights.numpy()) for images, _, weights in batches]


@pytest.mark.parametrize("count", [12, 25, 30, 35])
@pytest.mark.parametrize("training", [True, False], ids=["train", "validation"])
@pytest.mark.parametrize(("processes", "devices"), LAYOUTS)
def test_each_image_counts_once_an_epoch(processes, devices, training, count):
    epochs = [epoch_of(shard, count, training=training) for shard in shares(processes, devices)]
    images = np.concatenate([images[weights > 0] for epoch in epochs for images, weights in epoch])
    assert sorted(images) == list(range(count))


@pytest.mark.parametrize(("processes", "devices"), LAYOUTS)
def test_together_the_shares_are_the_batches_of_one_process(processes, devices):
    rows, pixels = numbered(31)
    options = {"training": True, "seed": 3, "start_epoch": 1}
    alone = make_dataset(rows, SPEC, CLASSES, pixels=pixels, batch_size=12, **options)
    epochs = [epoch_of(shard, 31, **options) for shard in shares(processes, devices)]
    for (expected, _), *parts in zip(alone, *epochs, strict=True):
        rows = {len(images) for images, _ in parts}
        assert len(rows) == 1 and processes * rows.pop() % devices == 0
        seen = np.concatenate([images[weights > 0] for images, weights in parts])
        assert seen.tolist() == expected.numpy()[:, 0, 0, 0].astype(int).tolist()


@pytest.mark.parametrize(("processes", "devices"), LAYOUTS)
def test_the_mean_over_weighted_rows_is_that_over_the_images(processes, devices):
    epochs = [epoch_of(shard, 31, training=True) for shard in shares(processes, devices)]
    for parts in zip(*epochs, strict=True):  # a step of training
        values, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        assert np.mean(values * weights) == pytest.approx(values[weights > 0].mean())
    epochs = [epoch_of(shard, 31) for shard in shares(processes, devices)]
    values, weights = (np.concatenate([part[place] for epoch in epochs for part in epoch]) for place in (0, 1))
    assert np.mean(values * weights) == pytest.approx(np.arange(31).mean())  # all of validation
    assert len(set(weights[weights > 0])) == 1


def test_one_device_has_no_weights_and_classes_weigh_images_on_several():
    rows, pixels = numbered(5)
    assert len(make_dataset(rows, SPEC, CLASSES, pixels=pixels, training=True).element_spec) == 2
    with distributed(None) as shard:
        assert shard == shard_here() == join(None) == join("mirrored") == DeviceShard()
    [(images, weights)] = epoch_of(DeviceShard(devices=2), 12, training=True, class_weight={0: 5.0, 2: 0.5})
    assert [{0: 5.0, 1: 1.0, 2: 0.5}[image % 3] for image in images] == weights.tolist()


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (lambda run: epoch_of(DeviceShard(devices=4), 12, batch_size=10), "multiple of 4"),
        (lambda run: join("data-parallel"), "Set KERAS_BACKEND=jax"),
        (lambda run: fit_autoencoder(Recipe.of(run), run, None), "autoencoder is trained on one device"),
        (lambda run: fit_recipe(Recipe.of(run).with_training(cache_features=1), run, None), "Expected cache_features"),
        (
            lambda run: fit_recipe(Recipe.of(run).with_training(clip_norm=1, ema=0.9), run, None),
            "clip_norm and ema would",
        ),
        (lambda run: fit_recipe(PROBE, run, None), "head is solved on one device"),
    ],
)
def test_what_the_number_of_devices_does_not_allow_is_refused(refused, reason, finished_run, monkeypatch):
    monkeypatch.setattr(fitting, "shard_here", lambda: DeviceShard(devices=2))
    monkeypatch.setattr(fitting, "prepared", lambda *args: {})
    monkeypatch.setattr(fitting, "_class_weights", lambda *args: None)
    with pytest.raises(ValueError, match=reason):
        refused(Run(finished_run))


@pytest.mark.parametrize(
    ("patched", "reason"),
    [
        ((os, "environ", {"KERAS_DISTRIBUTION_PROCESS_ID": "1"}), "KERAS_DISTRIBUTION_JOB_ADDRESSES is not set"),
        (("jax.device_count", lambda: 3), "1 of 3 devices of 1 processes"),
        ((tf.config, "set_visible_devices", Mock(side_effect=RuntimeError)), "TensorFlow uses a GPU already"),
    ],
)
def test_processes_that_cannot_join_are_refused(patched, reason, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(*patched)
    with pytest.raises(ValueError, match=reason):
        join("data-parallel")


def test_without_jax_the_command_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["pretrain", "--distribute", "data-parallel"]) == 1
    assert "pip install 'marinecv[jax]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output-dir", "x", "--grid"], "Leave out grid"),
        (["--output-dir", "x", "--image-size", "32", "64"], "one image size"),
        (["--resume", "STUDY"], "one run"),
        ([], "--output-dir"),
    ],
)
def test_what_several_processes_cannot_do_is_refused_at_once(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr(train_runs, "join", lambda how: DeviceShard(process=1, processes=2, devices=2))
    experiment = Experiment.create(tmp_path, "s", "S", ["a"])
    words = [str(experiment.folder) if word == "STUDY" else word for word in words]
    assert main(["pretrain", "--distribute", "data-parallel", *words]) == 1
    assert said in capsys.readouterr().err and not Path("x").exists()


def test_a_process_that_cannot_read_an_image_that_the_first_can_says_so(finished_run, tmp_path, monkeypatch):
    run = shutil.copytree(finished_run, tmp_path / "run")
    for name in ("model.keras", "metrics.json"):
        (run / name).unlink()
    catalog = (run / "catalog.csv").read_text(encoding="utf-8").replace("crab_train_0.jpg,", "gone.jpg,")
    (run / "catalog.csv").write_text(catalog, encoding="utf-8")
    monkeypatch.setattr(train_runs, "distributed", lambda how: nullcontext(DeviceShard()))
    with pytest.raises(ValueError, match="cannot be read here, the first is .*gone"):
        train_runs.follow_process_0(run, print)


def test_a_process_that_comes_to_a_finished_run_has_nothing_to_do(finished_run, capsys):
    assert train_runs.follow_process_0(finished_run, print).finished
    assert "is finished" in capsys.readouterr().out


def start(*words: object, environment: dict | None = None) -> subprocess.Popen:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "run.py", *map(str, words)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return said


def start_two(*words: object) -> list[subprocess.Popen]:
    """The same command twice on this machine, as two machines would have it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    return [
        start(*words, "--distribute", "data-parallel", environment={**common, "KERAS_DISTRIBUTION_PROCESS_ID": number})
        for number in "01"
    ]


CHOOSES = ["epoch", "val_accuracy", "val_loss", "learning_rate"]  # of a history; the rest weighs the last batch more


def what_it_learned(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """The history that choices go by, and the probabilities of every image."""
    history, predictions = (pd.read_csv(run / name) for name in ("history.csv", "predictions.csv"))
    return history[CHOOSES].to_numpy(), predictions.filter(like="p_").to_numpy()


def assert_same(one: Path, other: Path) -> None:
    for here, there in zip(what_it_learned(one), what_it_learned(other), strict=True):
        np.testing.assert_allclose(here, there, rtol=2e-3, atol=2e-4)


WORDS = ["--epochs", "6", "--batch-size", "4", "--image-size", "32", "--calibration-fraction", "0"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills as Unix does")
def test_two_processes_train_what_one_trains_and_a_killed_one_is_no_loss(tmp_path):
    """5 train images in batches of 4, 3 validation images: both have a batch that cannot be dealt evenly."""
    (draw_tank(tmp_path / "tank") / "train" / "crab_train_0.jpg").unlink()
    words = ["pretrain", "--data-dir", tmp_path / "tank", *WORDS]
    ended(start(*words, "--distribute", "data-parallel", "--output-dir", tmp_path / "one"))
    two_devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    here = ["--distribute", "data-parallel", "--output-dir", tmp_path / "here"]
    ended(start(*words, *here, environment=two_devices))
    assert_same(tmp_path / "one", tmp_path / "here")
    leads, follows = start_two(*words, "--output-dir", tmp_path / "two")
    assert "report:" in ended(leads) and "process 1 of 2 has trained with the others" in ended(follows)
    assert_same(tmp_path / "one", tmp_path / "two")

    words += ["--output-dir", tmp_path / "killed"]
    leads, follows = start_two(*words)
    history = tmp_path / "killed" / "history.csv"
    while leads.poll() is None and not (history.is_file() and len(pd.read_csv(history)) > 1):
        time.sleep(0.02)
    follows.send_signal(signal.SIGKILL)
    follows.communicate()
    leads.communicate(timeout=300)  # it does not wait for ever for one that is gone
    assert leads.returncode != 0 and not (tmp_path / "killed" / "metrics.json").is_file()
    epochs = len(pd.read_csv(history))
    assert 1 < epochs < 6

    leads, follows = start_two("pretrain", "--resume", tmp_path / "killed")
    said = ended(leads)
    ended(follows)
    assert f"epoch  {epochs}/6" not in said and f"epoch  {epochs + 1}/6" in said
    assert_same(tmp_path / "two", tmp_path / "killed")


MIRRORED = """
import sys
import tensorflow as tf

processors = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processors[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import marinecv as mcv
from marinecv.training.distribution import distributed
from marinecv.training.fit import fit_recipe, load_run

for how, folder in zip((None, "mirrored"), sys.argv[1:]):
    run = mcv.Run(folder)
    recipe = mcv.Recipe.of(run)
    with distributed(how) as share:
        fit_recipe(recipe, run, load_run(run, recipe))
    assert share.devices == (2 if how else 1)
"""


@pytest.mark.slow
def test_two_devices_of_one_machine_train_what_one_trains(finished_run, tmp_path):
    recipe = Recipe.of(Run(finished_run)).with_training(epochs=4, batch_size=4, class_weights=True)
    recipe = recipe.with_model(dropout=0.0)  # whose random numbers would be other ones on each device
    catalog = Run(finished_run).catalog
    catalog.loc[catalog["image_id"].str.contains("crab_train_0"), "problem"] = "too small"  # 4 + 1 images an epoch
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        Run.create(folder, recipe.to_dict(), Run(finished_run).read("preprocessing.json"), catalog)
    done = subprocess.run([sys.executable, "-c", MIRRORED, *folders], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (Run(folder).history[CHOOSES] for folder in folders)
    np.testing.assert_allclose(one, two, rtol=1e-4)
    for here, there in zip(*(Run(folder).load_model().get_weights() for folder in folders), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-5)
