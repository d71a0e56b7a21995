"""A preset of KerasHub as a backbone: recognized without the package, its own features with it, frozen, or refused."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import marinecv as mcv
from marinecv.evaluation.predictions import read_predictions
from marinecv.features.cache import fingerprint
from marinecv.features.split_point import split_model
from marinecv.models.backbone_table import backbone_entry, backbone_path, is_preset
from marinecv.models.backbones import backbone_classifier, backbone_features
from marinecv.models.fuse_batch_norm import fuse_batch_norm
from marinecv.models.safe_load import load_model
from marinecv.recipes.own_data import head
from marinecv.training.recipe import Recipe
from marinecv.workflows.choose import MIN_IMAGES_TO_COMPARE
from marinecv.workflows.prepare import with_available_weights
from pipelines.cli import main

ROOT = Path(mcv.__file__).parents[1]
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
FROZEN = {"trainable_layers": 0, "input_range": "signed"}


def set_installed(monkeypatch, is_installed):
    found = importlib.util.find_spec
    wanted = {"keras_hub": is_installed or None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: wanted.get(name, name) and found("json"))


@pytest.fixture
def folder(tmp_path):
    """What a preset's folder looks like from outside."""
    folder = tmp_path / "own_preset"
    folder.mkdir()
    for name in ("config.json", "image_converter.json", "model.weights.h5"):
        (folder / name).write_text(name)
    return folder


def test_without_kerashub_the_error_says_how_to_install_it(folder, monkeypatch, capsys):
    set_installed(monkeypatch, False)
    for name in (str(folder), "hf://owner/name", "kaggle://owner/name/keras/one"):
        with pytest.raises(ValueError, match=f"{name} is a preset of KerasHub.*pip install 'marinecv\\[hub\\]'"):
            backbone_path(name)
        assert main(["train", str(folder), "--backbone", name]) == 1
        assert "pip install 'marinecv[hub]'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no_such_folder.*Or name a Keras file or KerasHub preset"):
        backbone_entry("no_such_folder")


def test_a_name_of_the_table_is_no_preset_whatever_folder_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobilenet").mkdir()
    for place in (tmp_path, tmp_path / "mobilenet"):
        (place / "config.json").touch()
    assert not is_preset("mobilenet") and not is_preset("") and is_preset(".") and not backbone_path("mobilenet")


def test_a_settled_recipe_names_the_folder_and_its_content(folder, monkeypatch):
    set_installed(monkeypatch, True)
    monkeypatch.chdir(folder.parent)
    recipe = with_available_weights(head("own_preset"))
    assert recipe.model.backbone == recipe.model.weights == str(folder) and recipe.model.is_pretrained
    assert with_available_weights(recipe) == recipe and len(recipe.model.backbone_sha256) == 63
    (folder / "README.md").touch()
    with_available_weights(recipe)
    (folder / "image_converter.json").write_text("another")
    with pytest.raises(ValueError, match="own_preset has changed since this recipe was settled"):
        with_available_weights(recipe)
    with pytest.raises(ValueError, match="has its own weights and width"):
        with_available_weights(head(str(folder)), {"model.alpha": 0.5})
    address = with_available_weights(head("hf://owner/name"))
    assert address.model.backbone == "hf://owner/name" and address.model.backbone_sha256 == ""


@pytest.mark.parametrize("settings", [{}, {"trainable_blocks": ("a",)}, {"also_pooled": ("a",)}])
def test_a_preset_is_not_fine_tuned(settings, folder, monkeypatch):
    set_installed(monkeypatch, True)
    with pytest.raises(ValueError, match="stays frozen.*trainable_layers=0.*keras.applications or a Keras file"):
        backbone_features(
            (32, 32, 3), backbone=str(folder), **({"trainable_layers": 0} if settings else {}), **settings
        )


def with_layer(path, **layer):
    """Save a model, and write another class into its last layer."""
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][-1] |= layer
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def test_a_saved_model_needs_kerashub_and_may_hold_no_tokenizer_which_reads_a_file(tmp_path, monkeypatch):
    module = {"module": "keras_hub.src.models.vit.vit_layers"}
    with_layer(tmp_path / "vit.keras", class_name="ViTEncoder", registered_name="keras_hub>ViTEncoder", **module)
    for number, name in enumerate(("keras_hub>BytePairTokenizer", "BytePairTokenizer")):
        path = tmp_path / f"{number}.keras"
        with_layer(path, class_name="BytePairTokenizer", registered_name=name)
        with pytest.raises(ValueError, match='holds "BytePairTokenizer", which runs code or reads files'):
            load_model(path)
    set_installed(monkeypatch, False)
    with pytest.raises(ValueError, match=r"layers of KerasHub, which is missing: pip install 'marinecv\[hub\]'"):
        load_model(tmp_path / "vit.keras")


TRANSFORMER = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
RESNET = {"input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64]}
RESNET |= {"stackwise_num_blocks": [1], "stackwise_num_strides": [1], "block_type": "basic_block"}
NETWORKS = {
    "ViT": (TRANSFORMER | {"image_shape": (32, 32, 3), "mlp_dim": 16, "dropout_rate": 0.5}, 1),
    "DeiT": (TRANSFORMER | {"image_shape": (32, 32, 3), "intermediate_dim": 16}, 2),
    "DINOV2": (
        TRANSFORMER
        | {"image_shape": (32, 32, 3), "position_embedding_shape": (48, 48, 3), "intermediate_dim": 16}
        | {"num_register_tokens": 3, "drop_path_rate": 0.5},
        4,
    ),
    "DINOV3": (TRANSFORMER | {"image_shape": (32, 32, 3), "intermediate_dim": 16, "num_register_tokens": 3}, 4),
    "SwinTransformer": (
        {"image_shape": (32, 32, 3), "patch_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2)}
        | {"window_size": 4},
        0,
    ),
    "ResNet": (RESNET | {"use_pre_activation": False, "image_shape": (None, None, 3)}, 0),
    "DenseNet": ({"stackwise_num_repeats": [1, 1], "growth_rate": 4, "image_shape": (None, None, 3)}, 0),
}
"""Settings of a tiny network of each kind, and its tokens that are none of a patch."""


def saved(name, folder):
    """Save a network with random weights and statistics as a preset; return it."""
    models = pytest.importorskip("keras_hub").models
    keras.utils.set_random_seed(1)
    network = getattr(models, f"{name}Backbone")(**NETWORKS[name][0])
    rng = np.random.default_rng(2)
    network.set_weights([each + rng.uniform(-0.1, 0.1, each.shape) for each in network.get_weights()])
    network.save_to_preset(str(folder))
    return models.Backbone.from_preset(str(folder), image_shape=(32, 32, 3))


def save_converter(name, folder, **settings):
    layers = pytest.importorskip("keras_hub").layers
    getattr(layers, f"{name}ImageConverter")(image_size=(16, 16), **settings).save_to_preset(str(folder))


def output_of(network, pixels):
    found = network(keras.tree.pack_sequence_as(network.input, [pixels]), training=False)
    return np.asarray(found)


def pooled(tokens, others):
    """Mean and maximum of patches, each with the class token behind it."""
    if tokens.ndim == 4:
        return np.concatenate([tokens.mean((1, 2)), tokens.max((1, 2))], 1)
    first, patches = [tokens[:, 0]] if others else [], tokens[:, others:]
    return np.concatenate([patches.mean(1), *first, patches.max(1), *first], 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_the_preset_and_of_its_patches_and_class_token(name, tmp_path):
    network, preset = saved(name, tmp_path / "own"), str(tmp_path / "own")
    expected = pooled(output_of(network, PIXELS / 127.5 - 1), NETWORKS[name][1])
    found = backbone_features((32, 32, 3), backbone=preset, pooling="avg_max", **FROZEN)
    np.testing.assert_allclose(found(PIXELS), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found(PIXELS, training=True), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fuse_batch_norm(found)(PIXELS), expected, rtol=1e-3, atol=1e-4)
    assert not found.trainable_weights and np.ptp(expected, axis=0).max() > 1e-3 and found.name == "own"

    extractors = [split_model(backbone_classifier((32, 32, 3), 2, backbone=preset, **FROZEN))[0] for _ in range(2)]
    assert fingerprint(extractors[0]) == fingerprint(extractors[1])  # one entry of the feature cache
    found.save(tmp_path / "own.keras")
    np.testing.assert_allclose(load_model(tmp_path / "own.keras")(PIXELS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT", "ResNet"])
def test_pixels_are_scaled_as_the_image_converter_does_without_its_crop(name, tmp_path):
    network, preset = saved(name, tmp_path / "own"), str(tmp_path / "own")
    with pytest.raises(ValueError, match='own does not tell how to scale pixels.*input_range="signed"'):
        backbone_features((32, 32, 3), backbone=preset, trainable_layers=0)
    save_converter(name, preset)
    with pytest.raises(ValueError, match="does not tell how to scale"):
        backbone_features((32, 32, 3), backbone=preset, trainable_layers=0)
    scale, offset = [1 / 60, 1 / 70, 1 / 80], [-2.0, -1.9, -1.8]
    save_converter(name, preset, scale=scale, offset=offset)
    found = backbone_features((32, 32, 3), backbone=preset, trainable_layers=0)
    expected = pooled(output_of(network, PIXELS * scale + offset), NETWORKS[name][1])[:, : found.output.shape[1]]
    np.testing.assert_allclose(found(PIXELS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_size_that_the_preset_takes_is_built_and_another_refused_by_its_own(tmp_path):
    network = saved("DINOV2", tmp_path / "dino")
    larger = type(network).from_preset(str(tmp_path / "dino"), image_shape=(64, 64, 3))
    pixels = np.repeat(np.repeat(PIXELS, 2, 1), 2, 2)
    found = backbone_features((64, 64, 3), backbone=str(tmp_path / "dino"), pooling="avg_max", **FROZEN)
    np.testing.assert_allclose(found(pixels), pooled(output_of(larger, pixels / 127.5 - 1), 4), rtol=1e-4, atol=1e-5)
    saved("ViT", tmp_path / "vit")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.json").write_text("{}")
    for name, side, message in (
        ("vit", 64, "no backbone for 64 x 64 pixels.*saved for 32 x 32 pixels"),
        ("vit", 36, "divisible by patch size.*saved for 32 x 32 pixels"),
        ("dino", 36, "multiples of its patches, 8 x 8"),
        ("none", 32, "Expected a preset of KerasHub for images of this size: a folder of save_to_preset"),
    ):
        with pytest.raises(ValueError, match=message):
            backbone_features((side, side, 3), backbone=str(tmp_path / name), **FROZEN)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Noisy images of three colors, with as many for validation as fine-tuning needs to be judged."""
    folder, rng, rows = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for number in rng.permutation(3 * MIN_IMAGES_TO_COMPARE + 9):
        pixels = rng.integers(0, 120, (300, 320, 3)) + 90 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((str(folder / f"{number}.png"), ["crab", "eel", "ray"][number % 3]))
    catalog = mcv.catalog_of(*zip(*rows, strict=True))
    return catalog.assign(split=np.resize(["train", "validation", "test"], len(rows)))


@pytest.mark.parametrize(
    "name", ["ResNet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ViT", "DINOV2"))]
)
def test_a_head_is_solved_on_a_preset_and_the_run_predicts_exports_and_trains_again(
    name, catalog, tmp_path, monkeypatch, no_pages
):
    saved(name, tmp_path / "own")
    if name != "DINOV2":
        save_converter(name, tmp_path / "own", scale=1 / 127.5, offset=-1.0)
    changes = {"model.input_range": "signed"} if name == "DINOV2" else {}
    monkeypatch.chdir(tmp_path)
    lines, how = [], {"size": 32, "changes": changes, "backbone": "own"}
    with pytest.raises(ValueError, match="stays frozen"):
        mcv.train(catalog, folder="tuned", trainable_layers=3, log=None, **how)
    assert not (tmp_path / "tuned").exists()
    run = mcv.train(catalog.copy(), folder="run", log=lines.append, **how)
    recipe = Recipe.of(run)
    assert recipe.is_linear_probe and recipe.model.backbone == str(tmp_path / "own") and recipe.name == "own_32px"
    assert sum("no fine-tuning: a preset of KerasHub is frozen" in line for line in lines) == 1
    assert run.metrics["test"]["accuracy"]["value"] > 0.6

    scored = read_predictions(run.path("predictions.csv"), run.class_names).set_index("image_id")
    numbers = [f"p_{name}" for name in run.class_names]
    code = "import marinecv as mcv; run = mcv.Run('run'); "
    code += "mcv.predict_table(run.model, run.catalog, run.spec, run.class_names).to_csv('seen.csv')"
    way = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-c", code], check=True, env=way)
    seen = pd.read_csv("seen.csv").set_index("image_id")
    np.testing.assert_allclose(seen.loc[scored.index, numbers], scored[numbers], atol=1e-4)
    assert len(mcv.predict(run, run.catalog["path"][:2], log=None)) == 2
    assert mcv.export(run, "litert", log=None)["export"].tolist() == ["keras", "litert"]

    again = mcv.train(catalog.copy(), run.folder, folder="again", log=None)
    now = read_predictions(again.path("predictions.csv"), run.class_names).set_index("image_id")
    np.testing.assert_allclose(now.loc[scored.index, numbers], scored[numbers], atol=1e-6)
    if name != "ResNet":
        with pytest.raises(ValueError, match="no convolution.*keras.applications or a Keras file"):
            mcv.explain(run, limit=1, log=None)
