"""Attributes beside the image, from the tables of CUB to the report: what they are worth, and who has none."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits import split_catalog
from marinecv.data.user_tables import usable
from marinecv.evaluation.predict import MEANINGS
from marinecv.inputs.attributes import attributes_of
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.recipes.registry import RECIPES
from marinecv.report.page import write_run_report
from marinecv.runs import Run
from marinecv.tables import read_table
from marinecv.training.fit import fit_recipe, load_run
from marinecv.workflows import prepare as plan
from marinecv.workflows import train, train_runs
from pipelines.cli import main

CLASSES, PER_CLASS = ("001.Auk", "002.Owl"), 8
REPORT = RECIPES["birds_multimodal"]
SMALL = replace(
    REPORT,
    data=replace(REPORT.data, name="birds"),
    image=ImageSpec(height=32, width=32, fit="stretch", canvas_px=None),
    model=replace(
        REPORT.model, backbone="mobilenet", alpha=0.25, weights="none", attributes=3, hidden=(8,), attribute_units=8,
        trainable_blocks=("conv_pw_13",), normalisation="backbone", dropout=0.0,
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
    names = [f"{folder}/{number}.png" for folder in CLASSES for number in range(PER_CLASS)]
    (root / "attributes").mkdir(parents=True)
    for name in names:
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / "images" / name)
    count = range(1, len(names) + 1)
    owl = [int(name.startswith("002")) for name in names]
    tables = {
        "images.txt": [f"{n} {name}" for n, name in zip(count, names, strict=True)],
        "classes.txt": ["1 001.Auk", "2 002.Owl"],
        "image_class_labels.txt": [f"{n} {1 + is_owl}" for n, is_owl in zip(count, owl, strict=True)],
        "attributes/attributes.txt": ["1 is::owl", "2 is::even", "3 is::nothing"],
        "attributes/image_attribute_labels.txt": [
            f"{n} {a} {present} 4 1.0"
            for n, is_owl in zip(count, owl, strict=True)
            for a, present in ((1, is_owl), (2, n % 2), (3, 0))
        ],
    }
    for name, lines in tables.items():
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


def test_a_run_keeps_what_it_was_told_and_says_what_that_is_worth(run):
    told = run.attributes
    assert set(told.index) == set(run.catalog["image_id"]) and list(told) == ["is::owl", "is::even", "is::nothing"]
    scores = read_table(run.path("attribute_scores.csv")).astype({"accuracy": float, "n": int})
    assert scores["attributes"].tolist() == list(MEANINGS) and set(scores["n"]) == {8}
    oracle, class_mean, shuffled = scores["accuracy"]
    assert oracle > 0.8 and class_mean > 0.8  # the pictures are alike, so that the class can only be told
    assert shuffled < oracle
    page = run.path("report.html").read_text(encoding="utf-8")
    assert "What the attributes are worth" in page and "the answer in disguise" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attributes,accuracy,low,high,n\noracle,1,1,1,8\n", "lacks the column 'meaning'"),
        ("attributes,meaning,accuracy,low,high,n\noracle,x,much,1,1,8\n", "attribute_scores.csv"),
    ],
)
def test_a_broken_table_of_that_gives_no_page(run, text, message, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "attribute_scores.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        write_run_report(copy)


def test_the_score_of_the_run_is_the_oracles(run):
    scores = read_table(run.path("attribute_scores.csv"))
    assert float(scores["accuracy"].iloc[0]) == run.metrics["validation"]["accuracy"]["value"]


def test_evaluated_again_the_run_has_the_same_score(run, capsys):
    assert main(["evaluate", str(run.folder)]) == 0
    assert f"accuracy             {run.metrics['validation']['accuracy']['value']:.4f}" in capsys.readouterr().out


def test_images_without_attributes_cannot_be_judged(run, cub, tmp_path, capsys):
    file = next(iter((cub.root / "images").rglob("*.png")))
    assert main(["predict", str(run.folder), str(file), "--output", str(tmp_path / "out.csv")]) == 1
    assert "takes 3 attributes beside each image" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()
    assert main(["evaluate", str(run.folder), "--data-dir", str(cub.root)]) == 1
    assert "takes 3 attributes beside each image" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("moves", [None, Augmentation(flip=0.5)], ids=["still", "mirrored"])
def test_on_a_bank_it_learns_the_same(moves, cub, catalog, tmp_path):
    weights = []
    for bank in (0, 1):
        recipe = SMALL.with_training(bank=bank, epochs=2, augmentation=moves)
        run = train_runs.start(tmp_path / f"bank{bank}", recipe, catalog, cub, print)
        quiet = {"say": lambda line: None}
        weights.append(fit_recipe(recipe, run, load_run(run, recipe, **quiet), **quiet).get_weights())
    for mine, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_those_of_the_class_can_be_told_instead(cub, catalog, tmp_path):
    (cub.root / "attributes" / "class_attribute_labels_continuous.txt").write_text("0 50 0\n100 50 0\n")
    recipe = replace(SMALL, data=replace(SMALL.data, attributes="class"))
    told = plan.attributes_by_image(recipe, catalog, cub)
    good = usable(catalog)
    assert told.index.tolist() == good["image_id"].tolist()
    assert (told["is::owl"] == 1).tolist() == (good["class_name"] == "Owl").tolist()


def test_data_that_do_not_fit_are_refused_before_anything_is_made(cub, catalog, shared_tank, tmp_path, capsys):
    with pytest.raises(ValueError, match="birds_multimodal takes 312 attributes, and birds has 3"):
        plan.attributes_by_image(replace(SMALL, model=replace(SMALL.model, attributes=312)), catalog, cub)
    words = ["--recipe", "birds_multimodal", "--weights", "none", "--data-dir", str(shared_tank)]
    assert main(["finetune", *words, "--output-dir", str(tmp_path / "run")]) == 1
    assert 'has the layout "roboflow"' in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_beside_recipes_without_attributes_it_keeps_its_own(catalog):
    choice = replace(SMALL.data, attributes="")
    assert plan.adjusted(SMALL, choice, {}).data.attributes == "image"


def test_an_image_without_a_row_of_attributes_is_named():
    told, rows = pd.DataFrame({"a": [1, 0]}, index=["x.jpg", "y.jpg"]), pd.DataFrame({"image_id": ["y.jpg", "z.jpg"]})
    assert attributes_of(None, rows) is None
    np.testing.assert_array_equal(attributes_of(told, rows[:1]), [[0]])
    with pytest.raises(ValueError, match="1 of 2 images have no attributes, the first: z.jpg"):
        attributes_of(told, rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,a\nx,1\n", "lacks the column 'image_id'"),
        ("image_id,a\nx,1\nx,0\n", "is empty or there twice"),
        ("image_id,a\nx,2\n", "holds a value that is not from 0 to 1"),
        ("image_id,a\nx,?\n", "attributes.csv"),
    ],
)
def test_a_broken_table_of_attributes_is_an_error_that_says_so(run, text, message, tmp_path):
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "recipe.json").write_text("{}")
    (broken / "attributes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        _ = Run(broken).attributes
