"""The Keras script of a recipe: run on drawn images, it builds the model, the pixels and the training of the recipe."""

import re
import sys
import warnings
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import marinecv as mcv
from marinecv.data.catalog import read_catalog
from marinecv.data.demo import dataset as reef
from marinecv.data.manifests import manifest_of_folder
from marinecv.files.csv_tables import write_table
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.models.autoencoders import encoder_of, unet
from marinecv.recipes.keras_script import keras_script
from marinecv.recipes.own_data import PROBE
from marinecv.recipes.registry import RECIPES
from marinecv.training.build import build_model, compile_model, with_loss
from marinecv.training.fit import _class_weights
from marinecv.training.recipe import Training

COUNTS = {"train": dict(fish=3, shark=2, puffin=2), "valid": dict(fish=1, shark=1, puffin=1), "test": dict(fish=2)}
BEST = RECIPES["aquarium_four_conv"]
SHOWN = {name: recipe for name, recipe in RECIPES.items() if not getattr(recipe.model, "variational", False)}
QUICK = ["aquarium_four_conv", "butterflies_denoise"]


def small(recipe):
    """The recipe without pretrained weights, on small images of unequal sides, for an epoch of each stage."""
    side = min(recipe.image.height, 96 if recipe.model.has_backbone or recipe.name == "birdcnn_kernel6" else 32)
    image = replace(recipe.image, height=side, width=side + 16)
    heads = min(recipe.training.head_epochs, 1)
    training = replace(recipe.training, epochs=1 + heads, head_epochs=heads, batch_size=4)
    weights = {"weights": "none"} if recipe.model.has_backbone else {}
    return replace(recipe, image=image, training=training, model=replace(recipe.model, **weights))


DISTINCT = {}  # the scripts of many recipes differ by names, rates and patience alone
for _name, _recipe in SHOWN.items():
    _text = re.sub(r"(patience|factor)=[0-9.]+", "", keras_script(replace(small(_recipe), name="", title="")))
    DISTINCT.setdefault(re.sub(r"optimizer=.*\n", "", _text), _name)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with the catalog of a small reef, attributes of its images, and the encoder of a U-Net."""
    folder = tmp_path_factory.mktemp("keras_script")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reef, "COUNTS", COUNTS)
        catalog = read_catalog(manifest_of_folder(reef.write_demo_images(folder / "reef")))
    catalog.loc[0, "problem"] = "cannot be read"
    write_table(folder / "catalog.csv", catalog)
    attributes = np.random.default_rng(0).integers(0, 2, (len(catalog), 312)).astype(float)
    table = pd.DataFrame(attributes, columns=[f"a{n}" for n in range(312)]).assign(image_id=catalog["image_id"])
    write_table(folder / "attributes.csv", table.sample(frac=1, random_state=0))
    encoder_of(unet((32, 48, 3), convolutions=1)).save(folder / "encoder.keras")
    return folder


def run_script(text, folder, monkeypatch, second=""):
    """Run a script as a person does, and return its names."""
    files = [str(folder / name) for name in ("catalog.csv", second) if name]
    monkeypatch.setattr(sys, "argv", ["script.py", *files])
    names = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
        exec(compile(text, "script.py", "exec"), names)
    return names


def data_of(recipe, folder, monkeypatch, second=""):
    """The functions of a script, without building and fitting."""
    return run_script(keras_script(recipe).split("\npixels = keras.Input")[0], folder, monkeypatch, second)


def described(model):
    """Each layer but identities: its kind, its output's shape, whether it learns, and its settings but for names."""
    found = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Identity | keras.layers.InputLayer):
            config = {key: value for key, value in layer.get_config().items() if key not in ("name", "dtype")}
            found.append((type(layer).__name__, layer.output.shape, layer.trainable, repr(config)))
    return found


def check_script(recipe, folder, monkeypatch):
    keras.utils.clear_session()
    second = "attributes.csv" if recipe.model.takes_attributes else ""
    if recipe.model.has_encoder and recipe.model.is_pretrained:
        second, recipe = "encoder.keras", recipe.with_model(weights=str(folder / "encoder.keras"))
    names = run_script(keras_script(recipe), folder, monkeypatch, second)
    model, ours = names["model"], build_model(recipe, len(COUNTS["train"]))
    assert described(model) == described(ours)
    assert model.count_params() == ours.count_params()
    assert [v.shape for v in model.trainable_variables] == [v.shape for v in ours.trainable_variables]

    if recipe.model.is_autoencoder:
        ours = with_loss(ours, recipe)
    else:
        compile_model(ours, recipe.training)
        assert model.loss.get_config() == ours.loss.get_config()
    configs = [{**m.optimizer.get_config(), "name": "", "learning_rate": 0} for m in (model, ours)]
    assert type(model.optimizer) is type(ours.optimizer) and configs[0] == configs[1]
    assert len(model.history.epoch) == recipe.training.epochs - recipe.training.head_epochs
    assert np.isfinite(model.history.history["val_loss"]).all()
    ours.set_weights(model.get_weights())
    inputs, targets = next(iter(names["dataset"]("validation")))
    given = [m(inputs) for m in (model, ours)]
    given = [each["restored"] if isinstance(each, dict) else each for each in given]
    assert given[0].shape == targets.shape
    np.testing.assert_allclose(*given, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(*[sum(m.losses, 0.0) for m in (model, ours)], rtol=1e-5)
    return names


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in DISTINCT.values() if name not in QUICK)]
)
def test_the_script_of_every_recipe_runs_and_builds_the_model_of_the_recipe(name, tables, monkeypatch):
    check_script(small(SHOWN[name]), tables, monkeypatch)


@pytest.mark.parametrize("fit", [{"letterbox_px": 1024}, {"antialias": True}, {"fit": "stretch"}], ids=str)
def test_a_batch_has_the_pixels_and_labels_of_make_dataset(fit, tables, monkeypatch):
    image = ImageSpec(height=64, width=48, **fit)
    catalog = pd.read_csv(tables / "catalog.csv", keep_default_na=False)
    names = data_of(replace(BEST, image=image), tables, monkeypatch)
    assert names["class_names"] == sorted(COUNTS["train"])
    for split, count in {"train": 6, "validation": 3, "test": 2}.items():
        rows = catalog[catalog["split"] == split]
        images, labels = next(iter(names["dataset"](split)))
        expected, true = next(iter(mcv.make_dataset(rows, image, names["class_names"])))
        assert images.shape == (count, 64, 48, 3) and images.dtype == tf.float32
        np.testing.assert_array_equal(labels, true)
        assert np.abs(images - expected).max() <= 1 and np.abs(images - expected).mean() < 0.02


def test_attributes_stay_beside_their_images_however_the_table_is_sorted(tables, monkeypatch):
    recipe = small(SHOWN["birds_multimodal"])
    names = data_of(recipe, tables, monkeypatch, "attributes.csv")
    table, catalog = names["attributes"], names["catalog"]
    (_, attributes), _ = next(iter(names["dataset"]("validation")))
    rows = catalog[catalog["split"] == "validation"]
    np.testing.assert_array_equal(attributes, [table.loc[image_id] for image_id in rows["image_id"]])
    seen = [attributes.numpy() for (_, attributes), _ in names["dataset"]("train", training=True)]
    assert sum(map(len, seen)) == 4 * 6  # the image and three copies


@pytest.mark.parametrize(("variants", "copies"), [("simple", 2), ("quadruple", 4)])
def test_variants_leave_the_image_and_move_its_copies(variants, copies, tables, monkeypatch):
    bounds = Augmentation(flip=1.0, rotation_deg=15, zoom=0.2, variants=variants)
    recipe = replace(BEST, image=replace(BEST.image, letterbox_px=None)).with_training(augmentation=bounds)
    names = data_of(recipe, tables, monkeypatch)
    plain = np.concatenate([images for images, _ in names["dataset"]("train")])
    moved = np.concatenate([images for images, _ in names["dataset"]("train", training=True)])
    assert len(moved) == copies * len(plain)
    unmoved = [any(np.array_equal(image, each) for each in plain) for image in moved]
    flipped = [any(np.array_equal(image, each[:, ::-1]) for each in plain) for image in moved]
    assert sum(unmoved) == len(plain) and (variants == "simple" or sum(flipped) == len(plain))


def test_movements_and_noise_are_new_in_each_epoch_and_validation_stays(tables, monkeypatch):
    recipe = small(SHOWN["butterflies_denoise"]).with_training(augmentation=BEST.training.augmentation)
    names = data_of(recipe, tables, monkeypatch)
    for data, is_same in ((names["dataset"]("train", training=True), False), (names["dataset"]("validation"), True)):
        epochs = [np.sort(np.concatenate([noisy for noisy, _ in data]), axis=0) for _ in range(2)]
        assert np.array_equal(*epochs) == is_same
    noisy, clean = next(iter(names["dataset"]("validation")))
    assert 0.05 < np.mean(noisy == 255) < 0.15 and clean.shape[-1] == 1 and 0 <= np.min(clean) <= np.max(clean) <= 1


def test_changed_settings_of_a_recipe_are_in_the_script(tables, monkeypatch):
    flips = Augmentation(flip=0.9, vertical_flip=0.5)
    changes = {"optimizer": "sgd", "weight_decay": 0.01, "l2": 0.01, "label_smoothing": 0.1, "lr_factor": 1.0}
    recipe = small(BEST).with_training(**changes, class_weights=True, augmentation=flips)
    names = check_script(recipe.with_model(normalization="imagenet", padding=1), tables, monkeypatch)
    train = names["catalog"].query("split == 'train'")
    assert names["class_weight"] == pytest.approx(_class_weights(train, tuple(names["class_names"])))
    assert "flips 0.9 of all images" in keras_script(recipe)
    assert [type(callback).__name__ for callback in names["callbacks"]] == ["TerminateOnNaN", "EarlyStopping"]
    weights = keras_script(RECIPES["birds_mobilenet"].with_model(weights="a.h5"))
    assert 'base.load_weights("a.h5")' in weights and "weights=None" in weights


@pytest.mark.parametrize("name", ["aquarium_four_conv", pytest.param("birds_mobilenet", marks=pytest.mark.slow)])
def test_the_newer_settings_are_in_the_script(name, tables, monkeypatch):
    bounds = Augmentation(brightness=0.1, contrast=0.2, saturation=0.25, erasing=0.5)
    changes = {"optimizer": "adamw", "clip_norm": 1.0, "ema": 0.9, "focal_gamma": 2.0, "label_smoothing": 0.1}
    recipe = small(SHOWN[name])
    epochs = 4 + recipe.training.head_epochs
    changes |= {"schedule": "cosine", "warmup_epochs": 1, "learning_rate": 0.01, "epochs": epochs}
    recipe = recipe.with_training(**changes, augmentation=bounds)
    names = check_script(recipe, tables, monkeypatch)
    expected = ["TerminateOnNaN", "SwapEMAWeights", "EarlyStopping"]
    assert [type(callback).__name__ for callback in names["callbacks"]] == expected
    rate, steps = names["model"].optimizer._learning_rate, len(names["train"])
    cosine = [0, 0.01, 0.0075, 0.0025, 0]
    assert [float(rate(epoch * steps)) for epoch in range(5)] == pytest.approx(cosine, abs=1e-8)
    text = keras_script(recipe)
    for layer in (
        "Brightness(0.1)",
        "Contrast(0.2)",
        "Saturation((0.428571, 0.555556), value",
        "Erasing((0.5, 0.5), fill",
    ):
        assert f"layers.Random{layer}" in text
    images, _ = next(iter(names["dataset"]("train", training=True)))
    assert np.min(images) >= 0 and np.max(images) <= 255 + 1e-3


def test_the_patience_of_the_script_ends_where_the_reductions_of_the_recipe_do():
    training = Training(early_stop_patience=50, early_stop_reductions=3, lr_patience=2, monitor="val_accuracy")
    assert re.search(r"EarlyStopping\(.*patience=6,", keras_script(replace(BEST, training=training)))


def test_scripts_are_short_and_import_neither_marinecv_nor_much_else():
    for name, recipe in SHOWN.items():
        lines = keras_script(recipe).splitlines()
        assert len(lines) <= 92 and max(map(len, lines)) <= 120 and name in "".join(lines)
        imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
        assert imported == {"sys", "keras", "pandas", "tensorflow"}


def test_no_text_of_a_recipe_becomes_code():
    evil = '"""\nimport os\nos.abort()\n"\\'
    assert "abort" not in compile(keras_script(replace(BEST, name=evil, title=evil)), "script", "exec").co_names
    evil = 'a") + os.abort("'
    settings = {"trainable_blocks": ('a")) or os.abort(("',), "also_pooled": (evil,), "weights": evil}
    text = keras_script(RECIPES["aquarium_mobilenet_p2"].with_model(**settings))
    assert "abort" in text and "abort" not in compile(text, "script", "exec").co_names


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (RECIPES["butterflies_vae"], "butterflies_vae sets model.variational"),
        (BEST.with_training(balanced=True, mixed_precision=True), "training.balanced and training.mixed_precision"),
        (PROBE, "default sets training.head_l2"),
        (replace(BEST, data=replace(BEST.data, crops=0.1)), "data.crops"),
        (replace(BEST, image=replace(BEST.image, white=4095)), "image.white"),
        (BEST.with_training(augmentation=Augmentation(mixup=0.2)), "training.augmentation.mixup or cutmix"),
        (BEST.with_training(augmentation=Augmentation(cutmix=1)), "training.augmentation.mixup or cutmix"),
        (
            RECIPES["aquarium_mobilenet_p2"].with_model(backbone="convnexttiny", alpha=1.0),
            "trainable_layers of a ConvNeXt",
        ),
        (RECIPES["aquarium_mobilenet_p2"].with_model(backbone="mobilnet"), 'no backbone "mobilnet". Did you mean'),
        ("aquarium_four_conv", "Expected recipe of type Recipe"),
    ],
)
def test_what_a_script_cannot_express_is_refused(recipe, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        keras_script(recipe)
