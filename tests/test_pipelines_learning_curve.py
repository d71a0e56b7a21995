"""`learning-curve` from the command line: which images each cell learns from, what a curve leaves, and going on."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import COLORS, draw_image, refused
from pages import assert_self_contained, make_needed
from pages import make_table_of_curve as make_table

from marinecv.console import silent
from marinecv.evaluation.predict import predict_table
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table, write_table
from marinecv.recipes.butterflies import B1, B2, FRACTIONS, LINES, MOBILENET, PUBLISHED_METRICS, UNET, A, published_at
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run
from marinecv.training.build import build_model
from marinecv.training.fit import load_run
from marinecv.training.recipe import Recipe
from marinecv.workflows import learning_curve as workflow
from marinecv.workflows import reproduce, results, train_runs
from pipelines.cli import main

SHARES = ("0.25", "0.5", "1")
IMAGES = {"train": 8, "valid": 4, "test": 4}  # of each class
TINY = {"filters": (4,), "bottleneck": 6}
SURE = replace(A, name="tiny_sure", data=replace(A.data, pseudo_labels=0.5)).with_model(**TINY, pooling="avg")
SURE = SURE.with_training(learning_rate=3e-2, batch_size=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Class folders in train, valid and test."""
    root, seed = tmp_path_factory.mktemp("data") / "reef", 0
    for split, count in IMAGES.items():
        for name in COLORS:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                draw_image(name, seed := seed + 1).save(root / split / name / f"{number}.jpg", quality=95)
    return root


@pytest.fixture(scope="module", autouse=True)
def tiny_lines(tmp_path_factory):
    """The lines of the report with one level of a few filters; and one that labels images by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARINECV_HOME", str(tmp_path_factory.mktemp("home")))
        for line in (A, B1, B2):
            patch.setitem(RECIPES, line.name, RECIPES[line.name].with_model(**TINY))
        patch.setitem(RECIPES, SURE.name, SURE)
        yield


def learning_curve(photos, folder, *words):
    """One epoch at 16 pixels."""
    known = ["--data-dir", str(photos), "--image-size", "16", "--epochs", "1", "--output-dir", str(folder)]
    return main(["learning-curve", *known, *(str(word) for word in words)])


def of_the_report(photos, folder, *words):
    return learning_curve(photos, folder, "--recipe", A.name, B1.name, B2.name, *words)


@pytest.fixture
def untrained(monkeypatch):
    """The command ends when the experiment stands, before the first training."""
    monkeypatch.setattr(workflow, "finish_curve", lambda curve, log, goal, track: None)


@pytest.fixture(scope="module")
def curve(photos, tmp_path_factory) -> Path:
    """A, B1 and B2 at three fractions of the labels. Only to be read."""
    folder = tmp_path_factory.mktemp("curves") / "curve"
    assert of_the_report(photos, folder, "--label-fractions", *SHARES, "--seeds", 1) == 0
    return folder


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The names of the runs that are trained from here on."""
    names, fit = [], train_runs.fit_recipe

    def noting(recipe, run, *args, **how):
        names.append(run.folder.name)
        return fit(recipe, run, *args, **how)

    monkeypatch.setattr(train_runs, "fit_recipe", noting)
    monkeypatch.setattr(train_runs, "fit_autoencoder", None)
    return names


def train_images(folder, cell):
    """The images of train of a cell."""
    return set(Run(folder / cell).catalog.query("split == 'train'")["image_id"])


@pytest.mark.slow
def test_lines_learn_from_the_same_images_at_a_fraction_and_a_larger_one_contains_them(curve):
    cells = [f"{line.name}-{share}-seed0" for share in SHARES for line in (A, B1, B2)]
    assert list(Experiment(curve).cells) == [UNET.name, *cells] and len(Experiment(curve).finished_runs) == 10
    found = [{frozenset(train_images(curve, f"{line.name}-{share}-seed0")) for line in (A, B1, B2)} for share in SHARES]
    [quarter], [half], [whole] = found
    assert quarter < half < whole and [len(quarter), len(half), len(whole)] == [6, 12, 24]
    assert whole == train_images(curve, UNET.name)  # which needs no label
    for cell in Experiment(curve).cells:
        counts = Run(curve / cell).catalog["split"].value_counts()
        assert counts["validation"] == counts["test"] == 12


def test_another_seed_has_other_images_and_an_encoder_may_be_kept_from_those_with_a_label(photos, tmp_path, untrained):
    words = ["--label-fractions", "0.5", "1", "--seeds", "2", "--seed", "5", "--encoder-data", "unlabeled"]
    assert of_the_report(photos, tmp_path / "curve", SURE.name, *words) == 0
    seeds = ("seed5", "seed6")
    assert set(Experiment(tmp_path / "curve").cells) == {
        *(f"{line.name}-0.5-{seed}" for line in (UNET, A, B1, B2, SURE) for seed in seeds),
        *(f"{A.name}-1-{seed}" for seed in seeds),  # with all labels nothing is left for the other lines
    }
    labeled = {seed: train_images(tmp_path / "curve", f"{B1.name}-0.5-{seed}") for seed in seeds}
    assert labeled["seed5"] != labeled["seed6"]
    for seed in seeds:
        unlabeled = train_images(tmp_path / "curve", f"{UNET.name}-0.5-{seed}")
        assert unlabeled.isdisjoint(labeled[seed]) and len(unlabeled | labeled[seed]) == 24
        weights = Recipe.of(Run(tmp_path / "curve" / f"{B2.name}-0.5-{seed}")).model.weights
        assert Path(weights) == tmp_path / "curve" / f"{UNET.name}-0.5-{seed}" / "encoder.keras"


@pytest.mark.slow
def test_a_frozen_encoder_stays_as_the_unet_left_it_and_a_free_one_does_not(curve):
    encoder = keras.saving.load_model(curve / UNET.name / "encoder.keras")
    weights = {layer.name: layer.get_weights() for layer in encoder.layers if layer.weights}
    for line, same in ((B1, True), (B2, False), (A, False)):
        model = Run(curve / f"{line.name}-0.5-seed0").load_model()
        for name, values in weights.items():
            assert all(map(np.array_equal, model.get_layer(name).get_weights(), values)) == same


@pytest.mark.slow
def test_the_encoder_of_a_finished_run_is_taken_as_it_is(curve, photos, tmp_path, untrained):
    words = ["--label-fractions", "0.5", "1", "--seeds", "1", "--encoder", curve / UNET.name]
    assert of_the_report(photos, tmp_path / "curve", *words) == 0
    assert not [cell for cell in Experiment(tmp_path / "curve").cells if cell.startswith(UNET.name)]
    recipe = Recipe.of(Run(tmp_path / "curve" / f"{B2.name}-1-seed0"))
    begun, given = build_model(recipe, 3), keras.saving.load_model(curve / UNET.name / "encoder.keras")
    for layer in (layer for layer in given.layers if layer.weights):
        assert all(map(np.array_equal, begun.get_layer(layer.name).get_weights(), layer.get_weights()))


@pytest.mark.slow
def test_the_tables_and_the_page_say_each_fraction_with_its_images(curve):
    points = {(0.25, 6), (0.5, 12), (1.0, 24)}
    table = pd.read_csv(curve / "curve.csv")
    assert set(table["split"]) == {"validation", "test"} and (table["n"] == 12).all() and (table["seeds"] == 1).all()
    assert list(table["recipe"].unique()) == [A.name, B1.name, B2.name]
    assert set(zip(table["label_fraction"], table["images"], strict=True)) == points
    accuracy = table.query("metric == 'accuracy' and split == 'test'").set_index(["recipe", "label_fraction"])["value"]
    for share in SHARES:
        cell = Run(curve / f"{A.name}-{share}-seed0")
        assert accuracy[A.name, float(share)] == pytest.approx(cell.metrics["test"]["accuracy"]["value"], abs=1e-6)

    differences = pd.read_csv(curve / "differences.csv")
    assert len(differences) == 2 * 3 * 2 and set(differences["recipe"]) == {B1.name, B2.name}

    needed = pd.read_csv(curve / "sample_size.csv", keep_default_na=False)
    assert len(needed) == 3 * (1 + len(COLORS))
    assert set(needed.loc[needed["class_name"] == "", "images"].astype(float)) == {24.0}
    assert set(needed.loc[needed["class_name"] != "", "images"].astype(float)) == {8.0}

    results_ = pd.read_csv(curve / "results.csv", dtype={"seed": str})
    assert len(results_) == 3 * 3 * 2 * 2 * len(PUBLISHED_METRICS) and set(results_["seed"]) == {"0", "all"}
    assert set(results_["metric"]) == set(PUBLISHED_METRICS) and results_["published"].isna().all()  # other images
    assert set(zip(results_["label_fraction"], results_["n_train"], strict=True)) == points

    page = (curve / "curve.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    assert "Learning curve: reef" in page and all(line.name in page for line in (A, B1, B2))


def test_the_command_ends_with_what_each_line_reaches_and_needs_or_why_that_cannot_be_told():
    needed = {"frozen": make_needed(["crab"]), "scratch": make_needed(["crab"], refused=["crab"], all_said="why not")}
    lines = list(results.curve_sentences(make_table(["scratch", "frozen"]), needed))
    parts = ("0.500 (95% CI 0.420 to 0.580, n=100)", "0.550", "frozen has an error", "8,833", "crab")
    parts += ("scratch has an error", "why not", "No class")
    assert all(part in line for line, part in zip(lines, parts, strict=True))
    reached = make_needed(["crab"]).assign(additional_images=0.0)
    assert "has reached its goal" in list(results.curve_sentences(make_table(["scratch"]), {"scratch": reached}))[-2]


@pytest.mark.slow
def test_what_is_missing_is_trained_again_and_the_tables_are_as_they_were(curve, tmp_path, trained):
    folder = shutil.copytree(curve, tmp_path / "curve")
    scored, gone = f"{A.name}-0.5-seed0", f"{B1.name}-1-seed0"
    (folder / scored / "metrics.json").unlink()
    for path in (folder / gone).iterdir():  # as it was before its turn
        if path.name not in (
            "recipe.json",
            "preprocessing.json",
            "environment.json",
            "catalog.csv",
            "images.csv",
            "split.csv",
        ):
            path.unlink()
    tables = ("curve.csv", "differences.csv", "sample_size.csv")
    before = {name: (folder / name).read_bytes() for name in tables}
    for name in (*tables, "results.csv", "curve.html"):
        (folder / name).unlink()
    assert main(["learning-curve", "--resume", str(folder)]) == 0
    assert trained == [gone]
    for cell in (scored, gone):
        assert (folder / cell / "predictions.csv").read_bytes() == (curve / cell / "predictions.csv").read_bytes()
    assert {name: (folder / name).read_bytes() for name in tables} == before


@pytest.mark.slow
def test_a_finished_curve_may_be_asked_for_another_goal_which_is_kept_and_nothing_is_trained(curve, tmp_path, trained):
    folder = shutil.copytree(curve, tmp_path / "curve")
    assert main(["learning-curve", "--resume", str(folder), "--goal", "0.75"]) == 0
    assert trained == [] and (pd.read_csv(folder / "sample_size.csv")["goal"] == 0.25).all()
    names = ("curve.csv", "differences.csv", "sample_size.csv", "results.csv", "curve.html")
    before = {name: (folder / name).read_bytes() for name in names}
    assert main(["report", str(folder)]) == 0
    assert not (folder / "report.html").exists()
    assert {name: (folder / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_a_line_that_labels_images_itself_learns_from_sure_ones_and_never_sees_the_truth(photos, tmp_path, capsys):
    words = ["--recipe", SURE.name, "--label-fractions", "0.25", "--seeds", "1", "--epochs", "4"]
    assert learning_curve(photos, tmp_path / "curve", *words) == 0
    run = Run(tmp_path / "curve" / f"{SURE.name}-0.25-seed0")
    teacher, table = Run(run.path("teacher")), pd.read_csv(run.path("pseudo_labels.csv"))
    labeled = set(teacher.catalog.query("split == 'train'")["image_id"])
    unlabeled = set(teacher.catalog.query("split == ''")["image_id"])
    assert len(labeled) == 6 and len(unlabeled) == 18
    rows = teacher.catalog[teacher.catalog["image_id"].isin(unlabeled)]
    predictions = predict_table(teacher.load_model(), rows, teacher.spec, teacher.class_names)
    sure = predictions[predictions[[f"p_{name}" for name in COLORS]].max(axis=1) >= 0.5]
    assert len(table) > 0 and list(table["image_id"]) == list(sure["image_id"])
    assert list(table["class_name"]) == list(sure["predicted_class"])
    assert f"{len(table)} of 18 images without a label got one" in capsys.readouterr().out

    catalog = run.catalog.set_index("image_id")
    assert set(catalog.query("split == 'train'").index) == labeled | set(table["image_id"])
    assert list(catalog.loc[table["image_id"], "class_name"]) == list(table["class_name"])
    others = catalog.drop(index=table["image_id"])
    pd.testing.assert_frame_equal(others, teacher.catalog.set_index("image_id").loc[others.index])
    curve = pd.read_csv(tmp_path / "curve" / "curve.csv")
    assert set(curve["images"]) == {6} and set(curve["label_fraction"]) == {0.25}  # its own labels are none

    # The same with other classes for all that has no label.
    copy = shutil.copytree(run.path("teacher"), tmp_path / "copy")
    for name in ("timing.json", "metrics.json", "model.keras", "predictions.csv", "history.csv"):
        (copy / name).unlink()
    rows = teacher.catalog
    lies = dict(zip(COLORS, [*COLORS][1:] + [*COLORS][:1], strict=True))
    rows["class_name"] = rows["class_name"].mask(rows["split"] == "", rows["class_name"].map(lies))
    rows.to_csv(copy / "catalog.csv", index=False)
    liar, recipe = Run(copy), Recipe.of(run)
    train_runs.add_pseudo_labels(liar, recipe, load_run(liar, recipe), silent)
    again = pd.read_csv(liar.path("pseudo_labels.csv"))
    pd.testing.assert_frame_equal(again.drop(columns="right"), table.drop(columns="right"))
    assert not again["right"].equals(table["right"])


def test_on_images_of_ones_own_the_curve_is_that_of_a_head(photos, tmp_path, untrained, monkeypatch, capsys):
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: True)
    words = ["--image-size", "32", "--label-fractions", "0.5", "1", "--seeds", "1"]
    assert learning_curve(photos, tmp_path / "curve", *words) == 0
    assert list(Experiment(tmp_path / "curve").cells) == ["mobilenet_head-0.5-seed0", "mobilenet_head-1-seed0"]
    assert learning_curve(photos, tmp_path / "none", "--encoder-data", "unlabeled") == 1
    assert "None of mobilenet_head begins with an encoder." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "16", "32"], "Expected one --image-size"),
        (["--resume", "somewhere", "--epochs", "2"], "--resume cannot be combined with --epochs"),
        (["--encoder", ".", "--encoder-data", "train"], "--encoder cannot be combined with --encoder-data"),
        (["--recipe", "aquarium_four_conv", "birds_customcnn"], "of different data"),
    ],
)
def test_what_a_curve_refuses_before_it_makes_a_folder(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "learning-curve", *words)
    assert not [path for path in tmp_path.iterdir() if path.name != "marinecv_home"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([B1.name, "1", "--encoder-data", "unlabeled"], "With all labels nothing is left without one."),
        ([SURE.name, "1"], "nothing is left without one"),
        ([B1.name, "0.99", "--encoder-data", "unlabeled"], "With 99% of the labels"),
        ([SURE.name, "0.99"], "With 99% of the labels"),
        ([A.name, "0.5", "--encoder-data", "unlabeled"], "begins with an encoder. Leave out --encoder"),
    ],
)
def test_what_a_line_cannot_do_with_these_labels_is_refused(words, message, photos, tmp_path, capsys):
    name, *others = words
    assert learning_curve(photos, tmp_path / "curve", "--recipe", name, "--label-fractions", *others) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "curve").exists()


def test_an_encoder_is_refused_that_is_none_or_of_other_filters_or_has_seen_what_judges(
    curve, photos, tmp_path, monkeypatch, capsys
):
    leaky = shutil.copytree(curve / UNET.name, tmp_path / "leaky")
    catalog = read_table(leaky / "catalog.csv")
    write_table(leaky / "catalog.csv", catalog.assign(split=catalog["split"].replace("validation", "train")))
    for encoder, message in (
        (curve / f"{A.name}-1-seed0", "has no encoder.keras"),
        (tmp_path, "is no run"),
        (leaky, "has learned from 12 of the "),
    ):
        assert of_the_report(photos, tmp_path / "curve", "--encoder", encoder) == 1
        assert message in capsys.readouterr().err and not (tmp_path / "curve").exists()
    monkeypatch.setitem(RECIPES, B1.name, B1)
    words = ["--recipe", B1.name, "--label-fractions", "1", "--seeds", "1", "--encoder", curve / UNET.name]
    assert learning_curve(photos, tmp_path / "curve", *words) == 1
    assert "encoder.keras holds another encoder" in capsys.readouterr().err


def test_a_head_on_a_frozen_backbone_is_made_smaller_only_where_all_lines_are():
    changes = {"image.size": 32, "training.epochs": 2, "training.seed": 3}
    assert workflow.line_changes(A, [A, MOBILENET], changes) == changes
    assert workflow.line_changes(MOBILENET, [A, MOBILENET], changes) == {"training.seed": 3}
    assert workflow.line_changes(MOBILENET, [MOBILENET], changes) == changes


def test_published_figures_stand_at_their_fraction_of_their_images_alone():
    changes = {"training.seed": 1}
    line, choice = FRACTIONS[B1.name], replace(B1.data, split_by="published")
    cells = {share: workflow.line_at_fraction(line, share, choice, changes) for share in (0.3, 0.5)}
    assert cells[0.3].published == {} and cells[0.5].data.label_fraction == 0.5
    assert cells[0.5].published == {"test": published_at(B1.name, 0.5)["test"]}
    assert cells[0.5].published["test"]["accuracy"] == "0.448" and cells[0.5].published["test"]["n"] == 500
    assert workflow.line_at_fraction(line, 0.5, replace(choice, name="reef"), changes).published == {}
    assert workflow.line_at_fraction(line, 0.5, choice, {**changes, "training.batch_size": 8}).published == {}
    assert published_at(MOBILENET.name, 0.5) == {}


def test_other_commands_name_this_one_for_its_lines(capsys):
    assert not {recipe.name for recipe in reproduce.recipes_of_report("butterflies", None, silent)} & set(LINES)
    for name in LINES:
        assert f"{name} is for another command: learning-curve" in refused(capsys, "pretrain", "--recipe", name)
        with pytest.raises(ValueError, match=f"{name} is for another command: learning-curve"):
            reproduce.recipes_of_report("butterflies", [name], silent)


@pytest.mark.slow
def test_a_study_without_a_finished_classifier_is_no_curve(curve, tmp_path, capsys):
    shutil.copytree(curve / UNET.name, tmp_path / "experiment" / UNET.name)
    write_json(tmp_path / "experiment" / "curve.json", {})
    Experiment.create(tmp_path / "experiment", "unets", "U-Nets", [UNET.name])
    assert "No classifier of" in refused(capsys, "learning-curve", "--resume", tmp_path / "experiment")
