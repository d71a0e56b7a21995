"""Training a recipe into a run folder: what it leaves, and that killing it at any instant changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.data.catalog import class_names_of, read_catalog
from marinecv.data.held import calibration_rows
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import usable
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.pixels import split_of
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.models.backbones import BACKBONES, Backbone
from marinecv.runs import Run
from marinecv.training import fit as room
from marinecv.training.fit import fit_autoencoder
from marinecv.training.build import build_model, compile_model
from marinecv.training.callbacks import callbacks
from marinecv.training.fit import best_epoch, fit_recipe, load_run
from marinecv.training.model_choice import BackboneModel, ScratchModel
from marinecv.training.recipe import DataChoice, Recipe, Training

# Validation accuracy of three images can rise three times at most, so that patience 3 ends before epoch 14, with
# learning rates lowered on the way and best weights that are not the last.
WATCHED = dict(epochs=14, batch_size=4, monitor="val_accuracy", early_stop_patience=3, lr_patience=1, lr_factor=0.5)
MOVES = Augmentation(flip=0.5, rotation_deg=15, zoom=0.2, crop=0.1)
CNN = Recipe(
    name="tank_cnn",
    title="Tank from scratch",
    data=DataChoice(name="tank"),
    image=ImageSpec(height=16, width=16, canvas_px=64),
    model=ScratchModel(filters=(4, 6), kernels=(3, 3), pools=(2, 2), dense=8, dropout=0.5, batch_norm=True),
    training=Training(**WATCHED, learning_rate=0.01, augmentation=MOVES, seed=3),
)
POND = Recipe(
    name="tank_pond",
    title="Tank with a backbone",
    data=DataChoice(name="tank"),
    image=ImageSpec(height=16, width=16, canvas_px=64),
    model=BackboneModel(backbone="pond", weights="none", trainable_layers=4, dropout=0.3, hidden=(6,)),
    training=Training(
        **WATCHED, optimizer="adam", learning_rate=0.01, weight_decay=1e-3, head_epochs=3, head_learning_rate=0.02,
        balanced=True, augmentation=MOVES, seed=4,
    ),
)  # fmt: skip


def small_network(include_top, weights, input_tensor, input_shape):
    """A network as `keras.applications` makes them, of three blocks."""
    x = input_tensor
    for number in range(3):
        x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
    model = keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="pond")
    if weights:
        model.load_weights(weights)
    return model


@pytest.fixture(autouse=True)
def pond(monkeypatch):
    monkeypatch.setattr(keras.applications, "Pond", small_network, raising=False)
    monkeypatch.setitem(BACKBONES, "pond", Backbone("Pond", BACKBONES["mobilenet"].normalise, "pond.h5"))
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def catalog(roboflow_folder):
    return read_catalog(manifest_of_folder(roboflow_folder))


@pytest.fixture
def make_run(tmp_path, catalog, roboflow_folder):
    def made(name, recipe=CNN, rows=catalog):
        names = class_names_of(rows, manifest_of_folder(roboflow_folder))
        return Run.create(tmp_path / name, recipe.to_dict(), recipe.contract(names), rows)

    return made


def train(run, recipe=CNN, say=lambda line: None):
    return fit_recipe(recipe, run, load_run(run, recipe, say=say), say=say)


def test_a_plain_fit_is_the_training_of_the_recipe(make_run):
    """As a notebook writes it: no shuffle=False, no counter of epochs, after a look at a batch."""
    run = make_run("run")
    wanted, pixels, rows = train(run).get_weights(), load_run(run, CNN), usable(run.catalog)
    keras.utils.set_random_seed(CNN.training.seed)
    model = build_model(CNN, 3)
    compile_model(model, CNN.training)
    drawn = {"training": True, "augmentation": MOVES, "seed": CNN.training.seed}
    batches = {
        split: make_dataset(of_split, CNN.image, run.class_names, batch_size=4, pixels=of_pixels, **options)
        for split, options in (("train", drawn), ("validation", {}))
        for of_split, of_pixels in [split_of(rows, pixels, split)]
    }
    next(iter(batches["train"]))
    options = {"epochs": CNN.training.epochs, "callbacks": callbacks(CNN.training), "verbose": 0}
    model.fit(batches["train"], validation_data=batches["validation"], **options)
    for mine, theirs in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)


class Reaper(keras.callbacks.Callback):
    """Kill in the middle of an epoch, counted from 0."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.last:
            raise KeyboardInterrupt


def killed(monkeypatch, run, recipe, *, in_epoch=None, at_line=None, in_saving=False):
    """Train until Ctrl-C: in an epoch, between its history and its checkpoint, or before the model is saved."""

    def say(line):
        if at_line is not None and line.startswith(f"  epoch {at_line + 1:>2}/"):
            raise KeyboardInterrupt

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        usual = room.callbacks
        patched.setattr(room, "callbacks", lambda *args, **options: [*usual(*args, **options), Reaper(in_epoch)])
        if in_saving:
            patched.setattr(room, "whole_file", interrupted)
        train(run, recipe, say)
    assert not run.path("model.keras").exists() and not run.path("timing.json").exists()


def predictions(run):
    rows = usable(run.catalog)
    pixels = load_run(run, Recipe.from_dict(run.read("recipe.json")), say=print).astype(np.float32)
    assert len(pixels) == len(rows) == 12
    return run.load_model()(pixels).numpy()


def told(run):
    return run.history.drop(columns="seconds")


def assert_same(run, other):
    pd.testing.assert_frame_equal(told(run), told(other), check_exact=True)
    for mine, theirs in zip(run.load_model().get_weights(), other.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(predictions(run), predictions(other))
    for name in ("epochs", "best_epoch", "parameters", "trainable_parameters"):
        assert run.read("timing.json")[name] == other.read("timing.json")[name]


def test_a_training_leaves_model_history_and_timing(make_run):
    said = []
    recipe = CNN.with_training(epochs=2)
    run = make_run("run")
    model = train(run, recipe, said.append)
    assert run.history["epoch"].tolist() == [1, 2]
    timing = run.timing
    assert timing.epochs == 2 and timing.parameters == model.count_params()
    assert timing.train_seconds == pytest.approx(run.history["seconds"].sum(), abs=0.06)
    assert all(
        getattr(timing, name) > 0 for name in ("seconds_per_epoch", "latency_ms_per_image", "trainable_parameters")
    )
    assert [line.split("  loss")[0] for line in said[:2]] == ["  epoch  1/2", "  epoch  2/2"]
    assert said[-1].startswith("  trained in ")
    np.testing.assert_array_equal(predictions(run), model(load_run(run, recipe).astype(np.float32)))
    assert predictions(run).std(axis=0).max() > 1e-4  # different images, different answers


def test_two_runs_of_one_recipe_predict_the_same_and_another_seed_does_not(make_run):
    runs = [make_run(name) for name in ("one", "two", "three")]
    for run, seed in zip(runs, (3, 3, 9), strict=True):
        train(run, CNN.with_training(epochs=2, seed=seed))
    assert_same(runs[0], runs[1])
    assert not np.array_equal(predictions(runs[0]), predictions(runs[2]))


def test_a_killed_cnn_ends_as_if_it_had_not_been(make_run, monkeypatch):
    whole, run = make_run("whole"), make_run("killed")
    train(whole)
    history = whole.history
    assert len(history) < 14 and whole.read("timing.json")["best_epoch"] == len(history) - 3  # it stopped early
    assert history["learning_rate"].nunique() > 1  # and slowed down before
    for instant in ({"at_line": 1}, {"in_epoch": 3}, {"in_saving": True}):
        killed(monkeypatch, run, CNN, **instant)
    train(run)
    assert_same(run, whole)


@pytest.mark.slow
def test_a_killed_backbone_ends_as_if_it_had_not_been(make_run, monkeypatch):
    whole, run = make_run("whole", POND), make_run("killed", POND)
    train(whole, POND)
    timing = whole.timing
    assert timing.epochs == timing.best_epoch + 3 < 14
    assert whole.history["learning_rate"].iloc[:4].tolist() == pytest.approx([0.02] * 3 + [0.01])
    for instant in ({"at_line": 1}, {"in_epoch": 3}, {"in_saving": True}):  # in the head's stage, after it, at the end
        killed(monkeypatch, run, POND, **instant)
    train(run, POND)
    assert_same(run, whole)


def test_a_run_without_early_stop_killed_before_saving_keeps_its_best_weights(make_run, monkeypatch):
    recipe = CNN.with_training(epochs=2, early_stop_patience=9)
    whole, run = make_run("whole"), make_run("killed")
    train(whole, recipe)
    killed(monkeypatch, run, recipe, in_saving=True)
    train(run, recipe)
    assert_same(run, whole)


@pytest.mark.slow
def test_half_precision_is_kept_over_a_kill_and_leaves_with_the_recipe(make_run, monkeypatch):
    recipe = CNN.with_training(epochs=2, mixed_precision=True)
    whole, run = make_run("whole"), make_run("killed")
    model = train(whole, recipe)
    half = "float16" if tf.config.list_physical_devices("GPU") else "bfloat16"
    assert model.get_layer("conv1").compute_dtype == half
    assert model.get_layer("probabilities").compute_dtype == "float32"
    killed(monkeypatch, run, recipe, in_epoch=1)
    train(run, recipe)
    assert_same(run, whole)
    assert train(make_run("plain"), CNN.with_training(epochs=1)).get_layer("conv1").compute_dtype == "float32"


@pytest.mark.slow
def test_a_killed_mobilenet_ends_as_if_it_had_not_been(make_run, monkeypatch):
    recipe = POND.with_model(backbone="mobilenetv3large", trainable_layers=20).with_training(epochs=6)
    recipe = replace(recipe, image=ImageSpec(height=32, width=32, canvas_px=64))
    whole, run = make_run("whole", recipe), make_run("killed", recipe)
    train(whole, recipe)
    for instant in ({"in_epoch": 1}, {"in_epoch": 3}, {"at_line": 4}):
        killed(monkeypatch, run, recipe, **instant)
    train(run, recipe)
    assert_same(run, whole)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_stays_as_it_was(make_run, monkeypatch, frozen):
    recipe = POND.with_model(trainable_layers=9, freeze_batch_norm=frozen).with_training(epochs=2, head_epochs=0)
    values = {}

    def note(stage):
        def noted(logs=None):
            model = watcher.model
            values[stage] = {w.path: w.numpy() for w in model.weights if w.path.startswith("block")}

        return noted

    watcher = keras.callbacks.LambdaCallback(on_train_begin=note("before"), on_train_end=note("after"))
    usual = room.callbacks
    monkeypatch.setattr(room, "callbacks", lambda *args, **options: [watcher, *usual(*args, **options)])
    train(make_run("run", recipe), recipe)
    changed = {path for path, value in values["before"].items() if not np.array_equal(value, values["after"][path])}
    norms = {path for path in values["before"] if "norm" in path}
    assert len(norms) == 12 and len(changed - norms) == 3  # every convolution learned
    assert bool(changed & norms) is not frozen


def test_random_backbones_start_with_statistics_of_the_training_images(make_run):
    recipe = POND.with_training(epochs=1, head_epochs=1)
    model = train(make_run("run", recipe), recipe)
    assert float(np.abs(model.get_layer("block0_norm").moving_mean).max()) > 1e-3  # 0 as built


def test_weights_from_a_file_are_trained_on(make_run, tmp_path):
    inputs = keras.Input((16, 16, 3))
    network = small_network(False, None, inputs, (16, 16, 3))
    network.save_weights(tmp_path / "pond.weights.h5")
    recipe = POND.with_model(weights=str(tmp_path / "pond.weights.h5"), trainable_layers=0)
    model = train(make_run("run", recipe), recipe.with_training(epochs=1))
    for number in range(3):
        kernel = model.get_layer(f"block{number}_conv").kernel
        np.testing.assert_array_equal(kernel, network.get_layer(f"block{number}_conv").kernel)


def test_head_epochs_leave_a_cnn_from_scratch_alone(make_run):
    run, recipe = make_run("run"), CNN.with_training(epochs=1, head_epochs=1)
    keras.utils.set_random_seed(recipe.training.seed)  # as the training starts
    before = {weight.path: weight.numpy() for weight in room.build_model(recipe, 3).trainable_variables}
    model = train(run, recipe)
    assert run.read("timing.json")["best_epoch"] == 1
    assert all(not np.array_equal(weight, before[weight.path]) for weight in model.trainable_variables)


def test_a_training_of_the_head_alone_keeps_its_last_weights(make_run):
    recipe = POND.with_training(epochs=2, head_epochs=5)
    run = make_run("run", recipe)
    train(run, recipe)
    assert run.read("timing.json")["best_epoch"] == run.read("timing.json")["epochs"] == 2


def test_class_weights_reach_the_loss(make_run, catalog):
    rows = catalog.drop(catalog[(catalog["class_name"] == "ray") & (catalog["split"] == "train")].index[:1])
    weights = room._class_weights(usable(rows).query("split == 'train'"), ("crab", "eel", "ray", "whale"))
    counts = usable(rows).query("split == 'train'")["class_name"].value_counts()
    assert set(weights) == {0, 1, 2}  # no whale is there to be weighed
    sums = [weights[i] * counts[name] for i, name in enumerate(("crab", "eel", "ray"))]
    assert sums == pytest.approx([counts.sum() / 3] * 3)
    plain, weighed = make_run("plain", rows=rows), make_run("weighed", rows=rows)
    for run, chosen in ((plain, False), (weighed, True)):
        train(run, CNN.with_training(epochs=1, class_weights=chosen))
    assert plain.history["loss"][0] != weighed.history["loss"][0]


def test_images_that_fail_become_rows_of_the_runs_catalog(make_run, catalog):
    broken = catalog["image_id"].iloc[0]
    Path(catalog["path"].iloc[0]).write_text("no image")
    said, run = [], make_run("run")
    pixels = load_run(run, CNN, say=said.append)
    assert len(pixels) == len(catalog) - 1 == len(usable(run.catalog))
    assert run.catalog.set_index("image_id")["problem"][broken].startswith("cannot be decoded")
    assert said == ["  1 cannot be used, 1 of them found when decoded; catalog.csv and the report say why"]
    assert len(load_run(run, CNN, say=said.append)) == len(pixels) and len(said) == 1  # known by now


def test_the_best_epoch_is_the_first_best_of_those_watched():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "val_loss": [0.1, 0.5, 0.3, 0.3], "val_accuracy": [1, 0.5, 0.7, 0.7]}
    )
    assert best_epoch(history, "val_loss") == best_epoch(history, "val_accuracy") == 1
    assert best_epoch(history, "val_loss", head_epochs=1) == best_epoch(history, "val_accuracy", head_epochs=1) == 3
    assert best_epoch(history, "val_loss", head_epochs=4) == 4


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_refused(make_run, catalog, split):
    rows = catalog.assign(problem=catalog["problem"].mask(catalog["split"] == split, "no box"))
    with pytest.raises(ValueError, match=f"The {split} split holds no usable image"):
        train(make_run("run", rows=rows))


def test_only_a_recipe_a_run_and_its_pixels_are_trained(make_run):
    run = make_run("run")
    for fits in (fit_recipe, fit_autoencoder):
        with pytest.raises(ValueError, match="Expected recipe of type Recipe. Received: <Functional"):
            fits(small_model(), run, None)
        with pytest.raises(ValueError, match="Expected run of type Run. Received: 'runs/tank'"):
            fits(CNN, "runs/tank", None)
    with pytest.raises(ValueError, match="Expected recipe of type Recipe. Received: Training"):
        load_run(run, CNN.training)
    for shape in ((11, 16, 16, 3), (12, 16, 8, 3)):
        with pytest.raises(ValueError, match=r"Expected pixels as load_run\(run, recipe\) gives: \(12, 16, 16, 3\)"):
            fit_recipe(CNN, run, np.zeros(shape, np.uint8))


def small_model():
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def test_nothing_is_printed_unless_asked(make_run, catalog, capsys):
    Path(catalog["path"].iloc[0]).write_text("no image")
    run = make_run("run")
    fit_recipe(CNN.with_training(epochs=1), run, load_run(run, CNN))
    assert capsys.readouterr().out == ""


def test_a_finished_run_is_not_trained_again(make_run):
    run = make_run("run")
    run.path("metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is a finished run, which is not overwritten"):
        train(run)


HELD = CNN.with_training(calibration=0.4, epochs=4)


def trained_on(run, pixels):
    return fit_recipe(HELD, run, pixels, say=lambda line: None).get_weights()


def test_what_is_held_out_changes_no_weight_and_what_is_not_does(make_run, catalog, monkeypatch):
    held = calibration_rows(catalog, 0.4, HELD.training.seed)
    assert held.sum() == 1
    validation = (catalog["split"] == "validation").to_numpy()
    named = set(catalog["image_id"][held])
    monkeypatch.setattr(room, "calibration_rows", lambda rows, share, seed: rows["image_id"].isin(named))
    run = make_run("as it is", HELD)
    pixels = load_run(run, HELD, say=print)
    expected, history = trained_on(run, pixels), told(run)

    def other(name, rows):
        """The same with other pictures and another class for some rows."""
        spoilt = pixels.copy()
        spoilt[rows] = 255 - spoilt[rows]
        renamed = catalog["class_name"].mask(
            rows, catalog["class_name"].map({"crab": "eel", "eel": "ray", "ray": "eel"})
        )
        run = make_run(name, HELD, catalog.assign(class_name=renamed))
        return trained_on(run, spoilt), told(run)

    weights, same = other("held", held.to_numpy())
    pd.testing.assert_frame_equal(same, history)
    assert all((a == b).all() for a, b in zip(weights, expected, strict=True))
    _, different = other("not held", validation & ~held.to_numpy())
    assert not different["val_loss"].equals(history["val_loss"])


def test_a_share_that_leaves_nothing_to_choose_by_is_refused(make_run):
    with pytest.raises(
        ValueError, match="Of 3 validation images calibration=1.0 leaves none .*calibration=0 holds none"
    ):
        train(make_run("run"), CNN.with_training(calibration=1.0))


def test_a_training_that_diverges_leaves_no_model(make_run):
    recipe = CNN.with_training(optimizer="sgd", learning_rate=1e9, epochs=3)
    run = make_run("run", recipe)
    with pytest.raises(
        ValueError, match=r"diverged: after \d epochs.*lower learning rate. Received: learning_rate=1000000000.0"
    ):
        train(run, recipe)
    assert not run.path("model.keras").exists()


def test_a_checkpoint_of_another_recipe_is_refused(make_run, monkeypatch):
    run = make_run("run")
    killed(monkeypatch, run, CNN, in_epoch=1)
    with pytest.raises(ValueError, match="The checkpoint is of another model"):
        train(run, CNN.with_model(dense=9))
    run.path("checkpoint.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="is no checkpoint of marinecv"):
        train(run)


def test_the_recipe_of_a_run_is_what_was_trained(make_run):
    run = make_run("run", POND)
    assert Recipe.from_dict(json.loads(run.path("recipe.json").read_text(encoding="utf-8"))) == POND
