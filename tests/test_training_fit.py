"""Training a recipe into a run: what it saves, and that neither a kill at any time nor a feature cache changes it."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from marinecv.data.cache_dir import cache_path
from marinecv.data.catalog import class_names_of, read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits.calibration import calibration_mask
from marinecv.data.user_tables import usable
from marinecv.evaluation.predict import predict_embeddings, predict_table
from marinecv.inputs.pipeline import make_dataset
from marinecv.inputs.pixel_cache import split_of
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.models.backbone_table import BACKBONES, Backbone
from marinecv.models.backbones import set_batch_norm_statistics
from marinecv.runs import Run
from marinecv.training import fit as fitting
from marinecv.training.build import build_model, compile_model
from marinecv.training.callbacks import callbacks
from marinecv.training.fit import best_epoch, fit_autoencoder, fit_recipe, load_run
from marinecv.training.model_config import BackboneModel, ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

# Validation accuracy of three images can rise three times at most, so that patience 3 ends before epoch 14, with
# learning rates lowered on the way and best weights that are not the last.
WATCHED = dict(epochs=14, batch_size=4, monitor="val_accuracy", early_stop_patience=3, lr_patience=1, lr_factor=0.5)
MOVES = Augmentation(flip=0.5, rotation_deg=15, zoom=0.2, crop=0.1)
CNN = Recipe(
    name="tank",
    title="Tank",
    data=DataConfig(name="tank"),
    image=ImageSpec(height=16, width=16, letterbox_px=64),
    model=ScratchModel(filters=(4, 6), kernels=(3, 3), pools=(2, 2), dense=8, dropout=0.5, batch_norm=True),
    training=Training(**WATCHED, learning_rate=0.01, augmentation=MOVES, seed=3),
)
POND = replace(
    CNN,
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
    monkeypatch.setitem(BACKBONES, "pond", Backbone("Pond", "signed", "pond.h5"))
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def catalog(roboflow_folder):
    return read_catalog(manifest_of_folder(roboflow_folder))


@pytest.fixture
def make_run(tmp_path, catalog, roboflow_folder):
    def made(name, recipe=CNN, rows=catalog):
        names = class_names_of(rows, manifest_of_folder(roboflow_folder))
        return Run.create(tmp_path / name, recipe.to_dict(), recipe.preprocessing(names), rows)

    return made


def train(run, recipe=CNN, log=lambda line: None):
    return fit_recipe(recipe, run, load_run(run, recipe, log=log), log=log)


def test_a_plain_fit_is_the_training_of_the_recipe(make_run):
    """As a notebook writes it: no shuffle=False, no EpochCounter, after a look at a batch."""
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
    """Train until Ctrl-C: in an epoch, between history and checkpoint, or before the model is saved."""

    def log(line):
        if at_line is not None and line.startswith(f"  epoch {at_line + 1:>2}/"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        usual = fitting.callbacks
        patched.setattr(fitting, "callbacks", lambda *args, **options: [*usual(*args, **options), Reaper(in_epoch)])
        if in_saving:
            patched.setattr(fitting, "save_model", Mock(side_effect=KeyboardInterrupt))
        train(run, recipe, log)
    assert not run.path("model.keras").exists() and not run.path("timing.json").exists()


def predictions(run):
    rows = usable(run.catalog)
    pixels = load_run(run, Recipe.from_dict(run.read("recipe.json")), log=print).astype(np.float32)
    assert len(pixels) == len(rows) == 12
    return run.load_model()(pixels).numpy()


def history_of(run):
    return run.history.drop(columns="seconds")


def assert_same(run, other):
    pd.testing.assert_frame_equal(history_of(run), history_of(other), check_exact=True)
    for mine, theirs in zip(run.load_model().get_weights(), other.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(predictions(run), predictions(other))
    for name in ("epochs", "best_epoch", "parameters", "trainable_parameters"):
        assert run.read("timing.json")[name] == other.read("timing.json")[name]


def test_a_training_leaves_model_history_and_timing(make_run):
    lines, run, recipe = [], make_run("run"), CNN.with_training(epochs=2)
    model = train(run, recipe, lines.append)
    timing = run.timing
    assert run.history["epoch"].tolist() == [1, 2]
    assert timing.epochs == 2 and timing.parameters == model.count_params()
    assert timing.train_seconds == pytest.approx(run.history["seconds"].sum(), abs=0.06)
    assert min(timing.seconds_per_epoch, timing.latency_ms_per_image, timing.trainable_parameters) > 0
    assert [line.split("  loss")[0] for line in lines[:2]] == ["  epoch  1/2", "  epoch  2/2"]
    assert "trained in" in lines[-1]
    np.testing.assert_array_equal(predictions(run), model(load_run(run, recipe).astype(np.float32)))
    assert predictions(run).std(axis=0).max() > 1e-4  # different images, different answers


def test_two_runs_of_one_recipe_predict_the_same_and_another_seed_does_not(make_run):
    runs = [make_run(name) for name in ("one", "two", "three")]
    for run, seed in zip(runs, (3, 3, 9), strict=True):
        train(run, CNN.with_training(epochs=2, seed=seed))
    assert_same(runs[0], runs[1])
    assert not np.array_equal(predictions(runs[0]), predictions(runs[2]))


@pytest.mark.slow
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


EVERY = dict(
    optimizer="adamw", learning_rate=0.02, weight_decay=1e-2, clip_norm=1.0, ema=0.7, focal_gamma=1.5,
    schedule="cosine", warmup_epochs=1, early_stop_patience=9, epochs=6,
)  # fmt: skip
PAINTED = replace(MOVES, brightness=0.2, contrast=0.2, saturation=0.2, erasing=0.5)


@pytest.mark.parametrize(
    "recipe",
    [
        CNN.with_training(**EVERY, augmentation=replace(PAINTED, mixup=0.4, cutmix=1.0)),
        pytest.param(POND.with_training(**EVERY, augmentation=PAINTED, cache_features=4), marks=pytest.mark.slow),
    ],
    ids=["cnn", "head and cache"],
)
def test_a_killed_training_with_every_setting_ends_as_if_it_had_not_been(recipe, make_run, monkeypatch):
    whole, run = make_run("whole", recipe), make_run("killed", recipe)
    train(whole, recipe)
    for instant in ({"at_line": 1}, {"in_epoch": 3}, {"in_saving": True}):
        killed(monkeypatch, run, recipe, **instant)
    train(run, recipe)
    assert_same(run, whole)
    rates, head_epochs = whole.history["learning_rate"].tolist(), recipe.training.head_epochs
    cosine = 0.02 * (1 + np.cos(np.pi * np.arange(5 - head_epochs) / (5 - head_epochs))) / 2
    assert rates == pytest.approx([0.02] * head_epochs + [0, *cosine], abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("cache_features", [0, 4])
def test_a_killed_backbone_ends_as_if_it_had_not_been(cache_features, make_run, monkeypatch):
    recipe = POND.with_training(cache_features=cache_features)
    whole, run = make_run("whole", recipe), make_run("killed", recipe)
    train(whole, recipe)
    timing = whole.timing
    assert timing.epochs > 3  # past the epochs of the head
    assert cache_features or timing.epochs == timing.best_epoch + 3 < 14
    assert whole.history["learning_rate"].iloc[:4].tolist() == pytest.approx([0.02] * 3 + [0.01])
    for instant in ({"at_line": 1}, {"in_epoch": 3}, {"in_saving": True}):  # in the head's stage, after it, at the end
        killed(monkeypatch, run, recipe, **instant)
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
@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_stays_as_it_was(make_run, frozen):
    recipe = POND.with_model(trainable_layers=9, freeze_batch_norm=frozen).with_training(epochs=2, head_epochs=0)
    run, values = make_run("run", recipe), []

    def note(logs):
        values.append({w.path: w.numpy() for w in watcher.model.weights if w.path.startswith("block")})

    watcher = keras.callbacks.LambdaCallback(on_train_begin=note, on_train_end=note)
    fit_recipe(recipe, run, load_run(run, recipe), extra_callbacks=[watcher])
    before, after = values
    changed = {path for path, value in before.items() if not np.array_equal(value, after[path])}
    norms = {path for path in before if "norm" in path}
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
    run = make_run("run")
    train(run, CNN.with_training(epochs=1, head_epochs=1))
    assert run.history["learning_rate"].tolist() == pytest.approx([CNN.training.learning_rate])


def test_images_that_fail_become_rows_of_the_runs_catalog(make_run, catalog):
    broken = catalog["image_id"].iloc[0]
    Path(catalog["path"].iloc[0]).write_text("no image")
    said, run = [], make_run("run")
    pixels = load_run(run, CNN, log=said.append)
    assert len(pixels) == len(catalog) - 1 == len(usable(run.catalog))
    assert run.catalog.set_index("image_id")["problem"][broken].startswith("cannot be decoded")
    assert len(said) == 1 and "1 images are unusable, 1 of them" in said[0]
    assert len(load_run(run, CNN, log=said.append)) == len(pixels) and len(said) == 1  # known by now


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


def test_class_weights_are_the_inverse_frequencies(catalog):
    rows = catalog.drop(catalog[(catalog["class_name"] == "ray") & (catalog["split"] == "train")].index[:1])
    train = usable(rows).query("split == 'train'")
    weights, counts = fitting._class_weights(train, ("crab", "eel", "ray", "whale")), train["class_name"].value_counts()
    sums = {i: weights[i] * counts[name] for i, name in enumerate(("crab", "eel", "ray"))}
    assert sums == pytest.approx(dict.fromkeys(weights, len(train) / 3))  # no whale is there to be weighed


@pytest.mark.parametrize("fits", [fit_recipe, fit_autoencoder])
def test_only_a_recipe_a_run_and_its_pixels_are_trained(fits, make_run):
    run = make_run("run")
    with pytest.raises(ValueError, match="Expected recipe of type Recipe"):
        fits(CNN.training, run, None)
    with pytest.raises(ValueError, match="Expected run of type Run"):
        fits(CNN, "runs/tank", None)
    with pytest.raises(ValueError, match=r"load_run\(run, recipe\) gives: \(12, 16, 16, 3\)"):
        fits(CNN, run, np.zeros((11, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="Expected recipe of type Recipe"):
        load_run(run, CNN.training)


@pytest.mark.slow
def test_the_calibration_set_changes_no_weight_and_other_validation_images_do(make_run, catalog):
    recipe = CNN.with_training(calibration=0.4, epochs=4)
    mask = catalog["image_id"].isin(catalog["image_id"][calibration_mask(catalog, 0.4, recipe.training.seed)])
    run = make_run("as it is", recipe)
    pixels = load_run(run, recipe)
    expected = fit_recipe(recipe, run, pixels).get_weights()

    def trained(name, rows):
        """The same with other pixels for some rows, whose classes stay, for they choose the rows."""
        spoilt = pixels.copy()
        spoilt[rows] = 255 - spoilt[rows]
        other = make_run(name, recipe)
        return fit_recipe(recipe, other, spoilt).get_weights(), history_of(other)

    weights, history = trained("mask", mask.to_numpy())
    pd.testing.assert_frame_equal(history, history_of(run))
    assert mask.sum() == 1 and all((a == b).all() for a, b in zip(weights, expected, strict=True))
    _, history = trained("not held", ((catalog["split"] == "validation") & ~mask).to_numpy())
    assert not history["val_loss"].equals(history_of(run)["val_loss"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"calibration": 1.0}, "calibration=1.0 leaves none of 3 validation images"),
        ({"optimizer": "sgd", "learning_rate": 1e9}, r"diverged: after \d epochs.*learning_rate=1000000000.0"),
    ],
)
def test_a_training_that_diverges_or_has_nothing_to_choose_by_leaves_no_model(make_run, settings, reason):
    run = make_run("run")
    with pytest.raises(ValueError, match=reason):
        train(run, CNN.with_training(epochs=3, **settings))
    assert not run.path("model.keras").exists()


def test_a_checkpoint_of_another_recipe_is_refused(make_run, monkeypatch):
    run = make_run("run")
    killed(monkeypatch, run, CNN, in_epoch=1)
    with pytest.raises(ValueError, match="The checkpoint is of another model"):
        train(run, CNN.with_model(dense=9))


FROZEN = POND.with_training(epochs=6, augmentation=None, balanced=False)
CACHED = FROZEN.with_training(cache_features=1, epochs=1, head_epochs=0)
KINDS = {"still": (None, 1), "mirrored": (Augmentation(flip=0.5), 1), "drawn": (MOVES, 6)}
KINDS["colored"] = (PAINTED, 6)


def cached_features():
    return {path.name for path in cache_path("features").glob("*")}


@pytest.mark.parametrize("kind", [*list(KINDS)[:3], pytest.param("colored", marks=pytest.mark.slow)])
@pytest.mark.parametrize("head_epochs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_training_on_cached_features_is_training_as_usual(kind, head_epochs, make_run):
    augmentation, views = KINDS[kind]
    recipe = FROZEN.with_training(augmentation=augmentation, head_epochs=head_epochs)
    usual, cached = make_run("usual", recipe), make_run("cached", recipe.with_training(cache_features=views))
    train(usual, recipe)
    assert not cached_features()
    train(cached, recipe.with_training(cache_features=views))
    assert len(cached_features()) == (4 if head_epochs else 2)  # train and validation, twice with a stage for the head
    for mine, theirs in zip(cached.load_model().get_weights(), usual.load_model().get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3 if kind in ("drawn", "colored") else 1e-5)
    ours, theirs = history_of(cached), history_of(usual)
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-3 if kind in ("drawn", "colored") else 1e-5)
    assert ours["learning_rate"].tolist() == theirs["learning_rate"].tolist()


@pytest.mark.parametrize("changes", [{}, {"trainable_layers": 0, "hidden": (), "dropout": 0.0}], ids=["some", "none"])
def test_scores_and_embeddings_from_the_cache_are_those_of_the_whole_model(changes, make_run):
    recipe = CACHED.with_model(**changes)
    run = make_run("run", recipe)
    model, pixels, before = train(run, recipe), load_run(run, recipe), cached_features()
    known = (run.catalog["split"] != "test").to_numpy()
    data = model, run.catalog[known], recipe.image, pixels[known]
    whole = predict_embeddings(*data, cache_features=False)
    for options in ({}, {"together": True}):
        np.testing.assert_allclose(predict_embeddings(*data, cache_features=True, **options), whole, atol=1e-6)
        assert options or cached_features() == before
    before = cached_features()
    whole, cached = (
        predict_table(model, run.catalog, recipe.image, run.class_names, pixels=pixels, cache_features=cache_features)
        for cache_features in (False, True)
    )
    pd.testing.assert_frame_equal(cached, whole, atol=1e-6)
    assert cached_features() > before and len(cached_features()) == len(before) + 1  # for the test split


@pytest.mark.parametrize(
    ("change", "new"),
    [
        (lambda r: r.with_training(learning_rate=1e-4, lr_patience=4, early_stop_patience=2, optimizer="sgd"), 0),
        pytest.param(lambda r: r.with_training(seed=5), 2, marks=pytest.mark.slow),  # other random weights
        pytest.param(lambda r: r.with_model(trainable_layers=2), 2, marks=pytest.mark.slow),
        pytest.param(lambda r: replace(r, image=replace(r.image, antialias=True)), 2, marks=pytest.mark.slow),
    ],
)
def test_recipes_share_the_cache_of_equal_features_alone(change, new, make_run):
    train(make_run("one", CACHED), CACHED)
    before = cached_features()
    train(make_run("other", change(CACHED)), change(CACHED))
    assert len(cached_features()) == len(before) + new and before <= cached_features()


@pytest.mark.parametrize("trainable_layers", [0, 3, None])
def test_as_usual_it_is_the_model_that_learns_whatever_is_folded(trainable_layers, make_run, monkeypatch):
    learns, usual = [], fitting.learner
    monkeypatch.setattr(fitting, "learner", lambda *args, **how: learns.append(usual(*args, **how)) or learns[-1])
    recipe = FROZEN.with_training(epochs=1, head_epochs=0).with_model(trainable_layers=trainable_layers)
    model = train(make_run("run", recipe), recipe)
    [(learner, batches, _)] = learns
    assert [id(weights) for weights in learner.trainable_variables] == [id(w) for w in model.trainable_variables]
    for array, _ in batches:
        np.testing.assert_allclose(learner(array, training=False), model(array, training=False), atol=1e-6)


def three_epochs(how, backbone, folder):
    """All weights of a network after three epochs without dropout."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 80, 80, 3)).astype(np.uint8)
    names = [f"{number}.jpg" for number in range(12)]
    rows = pd.DataFrame({"image_id": names, "path": [str(folder / name) for name in names], "problem": ""})
    rows["class_name"] = ["crab", "eel", "ray"] * 4
    for number, path in enumerate(rows["path"]):
        Path(path).touch()
        pixels[number, :, :, number % 3] //= 3
    network = BackboneModel(backbone=backbone, weights="none", trainable_layers=20, dropout=0.0)
    training = Training(optimizer="sgd", batch_size=5, cache_features=1 if how == "cached" else 0)
    recipe = replace(POND, image=ImageSpec(height=80, width=80), model=network, training=training)
    keras.utils.set_random_seed(1)
    model = build_model(recipe, 3)
    set_batch_norm_statistics(model, [pixels.astype(np.float32)])
    first = model.get_weights()
    parts = {"train": (rows, pixels), "validation": (rows[:3], pixels[:3])}
    learns, batches, _ = fitting.learner(model, recipe, ("crab", "eel", "ray"), parts, log=lambda line: None)
    learns = model if how == "plain" else learns
    compile_model(learns, training)
    learns.fit(batches, epochs=3, verbose=0)
    last = model.get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(first, last, strict=True)) > 1e-4  # something was learned
    return last


WITH_BATCH_NORM = ["mobilenet", "mobilenetv2", "mobilenetv3large", "inceptionv3", "resnet50", "efficientnetb4"]
ON_FEATURES = ("cached", "ordinary"), {"rtol": 1e-4, "atol": 1e-5}
WITHOUT_BATCH_NORM = ("ordinary", "plain"), {"rtol": 1e-6, "atol": 1e-8}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "hows", "tolerance"),
    [(name, *how) for how in (ON_FEATURES, WITHOUT_BATCH_NORM) for name in WITH_BATCH_NORM]
    + [("convnexttiny", *ON_FEATURES)],
)
def test_every_backbone_learns_the_same_fused_and_on_cached_features(backbone, hows, tolerance, tmp_path, request):
    if "plain" in hows:
        request.getfixturevalue("double_precision")
    for mine, theirs in zip(*(three_epochs(how, backbone, tmp_path) for how in hows), strict=True):
        np.testing.assert_allclose(mine, theirs, **tolerance)
