"""Attributes beside the image, from the tables of CUB to the report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits.split_catalog import split_catalog
from marinecv.data.user_tables import usable
from marinecv.evaluation.predict import MEANINGS
from marinecv.files.csv_tables import read_table
from marinecv.inputs.pipeline import attributes_of
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run
from marinecv.training.fit import fit_recipe, load_run
from marinecv.workflows import prepare as plan
from marinecv.workflows import train, train_runs
from pipelines.cli import main

CLASSES, PER_CLASS = ("001.Auk", "002.Owl"), 8
REPORT = RECIPES["birds_multimodal"]
SMALL = replace(
    REPORT,
    data=replace(REPORT.data, name="birds"),
    image=ImageSpec(height=32, width=32, fit="stretch", letterbox_px=None),
    model=replace(
        REPORT.model, backbone="mobilenet", alpha=0.25, weights="none", attributes=3, hidden=(8,), attribute_units=8,
        trainable_blocks=("conv_pw_13",), normalization="backbone", dropout=0.0,
    ),
    training=replace(
        REPORT.training, epochs=20, learning_rate=0.01, batch_size=4, augmentation=None, lr_patience=20,
        early_stop_reductions=0,
    ),
    published={},
)  # fmt: skip


@pytest.fixture(scope="module")
def cub(tmp_path_factory):
    """One picture again and again; of three attributes the first is the class, the second every other image's."""
    root = tmp_path_factory.mktemp("cub") / "birds"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    images = [(folder, f"{folder}/{number}.png") for folder in CLASSES for number in range(PER_CLASS)]
    (root / "attributes").mkdir(parents=True)
    names, labels, attributes = [], [], []
    for n, (folder, name) in enumerate(images, start=1):
        (root / "images" / folder).mkdir(parents=True, exist_ok=True)
        picture.save(root / "images" / name)
        label = CLASSES.index(folder) + 1
        names.append(f"{n} {name}")
        labels.append(f"{n} {label}")
        attributes += [f"{n} {a} {present} 4 1.0" for a, present in ((1, label - 1), (2, n % 2), (3, 0))]
    for name, lines in {
        "images.txt": names,
        "classes.txt": ["1 001.Auk", "2 002.Owl"],
        "image_class_labels.txt": labels,
        "attributes/attributes.txt": ["1 is::owl", "2 is::even", "3 is::nothing"],
        "attributes/image_attribute_labels.txt": attributes,
    }.items():
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest_of_folder(root)


@pytest.fixture(scope="module")
def catalog(cub):
    return split_catalog(read_catalog(cub), "stratified", fractions=(0.5, 0.5, 0.0))


@pytest.fixture(scope="module")
def run(cub, catalog, tmp_path_factory):
    """A finished run. Only to be read."""
    run = train_runs.start(tmp_path_factory.mktemp("runs") / "run", SMALL, catalog, cub, print)
    train.finish(run, print)
    return run


@pytest.mark.slow
def test_a_run_keeps_its_attributes_and_says_what_they_are_worth(run, capsys):
    attributes = run.attributes
    assert {*attributes.index} == {*run.catalog["image_id"]} and [*attributes] == ["is::owl", "is::even", "is::nothing"]
    scores = read_table(run.path("attribute_scores.csv")).astype({"accuracy": float, "n": int})
    assert scores["attributes"].tolist() == list(MEANINGS) and set(scores["n"]) == {8}
    oracle, class_mean, shuffled = scores["accuracy"]
    assert oracle > 0.8 and class_mean > 0.8 and shuffled < oracle  # the pictures are alike
    assert oracle == run.metrics["validation"]["accuracy"]["value"]
    assert "ttributes" in run.path("report.html").read_text(encoding="utf-8")
    assert main(["evaluate", str(run.folder)]) == 0
    assert f"accuracy             {oracle:.4f}" in capsys.readouterr().out


def test_images_without_attributes_cannot_be_judged(run, cub, capsys):
    file = str(next(iter((cub.root / "images").rglob("*.png"))))
    for command in (["predict", str(run.folder), file], ["evaluate", str(run.folder), "--data-dir", str(cub.root)]):
        assert main(command) == 1 and "takes 3 attributes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("moves", [None, Augmentation(flip=0.5)], ids=["still", "mirrored"])
def test_on_a_bank_it_learns_the_same(moves, cub, catalog, tmp_path):
    weights = []
    for cache_features in (0, 1):
        recipe = SMALL.with_training(cache_features=cache_features, epochs=2, augmentation=moves)
        run = train_runs.start(tmp_path / f"bank{cache_features}", recipe, catalog, cub, print)
        silent = {"log": lambda line: None}
        weights.append(fit_recipe(recipe, run, load_run(run, recipe, **silent), **silent).get_weights())
    for mine, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_those_of_the_class_can_be_taken_instead(cub, catalog):
    (cub.root / "attributes" / "class_attribute_labels_continuous.txt").write_text("0 50 0\n100 50 0\n")
    recipe = replace(SMALL, data=replace(SMALL.data, attributes="class"))
    attributes, good = plan.attributes_by_image(recipe, catalog, cub), usable(catalog)
    assert attributes.index.tolist() == good["image_id"].tolist()
    assert (attributes["is::owl"] == 1).tolist() == (good["class_name"] == "Owl").tolist()
    assert plan.adapted_recipe(SMALL, replace(SMALL.data, attributes=""), {}).data.attributes == "image"


def test_data_that_do_not_fit_are_refused_before_anything_is_made(cub, catalog, shared_tank, tmp_path, capsys):
    with pytest.raises(ValueError, match="takes 312 attributes, and birds has 3"):
        plan.attributes_by_image(replace(SMALL, model=replace(SMALL.model, attributes=312)), catalog, cub)
    words = ["--recipe", "birds_multimodal", "--weights", "none", "--data-dir", str(shared_tank)]
    assert main(["finetune", *words, "--output-dir", str(tmp_path / "run")]) == 1
    assert 'has the layout "roboflow"' in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_an_image_without_a_row_of_attributes_is_named():
    attributes = pd.DataFrame({"a": [1, 0]}, index=["x.jpg", "y.jpg"])
    rows = pd.DataFrame({"image_id": ["y.jpg", "z.jpg"]})
    assert attributes_of(None, rows) is None
    np.testing.assert_array_equal(attributes_of(attributes, rows[:1]), [[0]])
    with pytest.raises(ValueError, match="1 of 2 images have no attributes, the first: z.jpg"):
        attributes_of(attributes, rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,a\nx,1\n", "lacks the column 'image_id'"),
        ("image_id,a\nx,1\nx,0\n", "is empty or there twice"),
        ("image_id,a\nx,2\n", "holds a value that is not from 0 to 1"),
        ("image_id,a\nx,?\n", "attributes.csv"),
    ],
)
def test_a_broken_table_of_attributes_is_an_error_that_says_so(text, message, tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "attributes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        _ = Run(tmp_path).attributes
