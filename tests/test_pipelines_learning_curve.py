"""`learning-curve` from the command line: which images each cell learns from, what a curve leaves, and going on."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import COLOURS, draw_image
from test_curve_page import make_needed, make_table
from test_report_pages import assert_self_contained

from marinecv.atomic import write_json
from marinecv.console import quiet
from marinecv.evaluation.predict import predict_table
from marinecv.recipes.butterflies import (
    B1,
    B2,
    FRACTIONS,
    LINES,
    MOBILENET,
    PUBLISHED,
    PUBLISHED_METRICS,
    UNET,
    A,
    published_at,
)
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run
from marinecv.studies import Study
from marinecv.tables import read_table, write_table
from marinecv.training.build import build_model
from marinecv.training.fit import load_run
from marinecv.training.model_choice import EncoderModel
from marinecv.training.recipe import Recipe
from marinecv.workflows import learning_curve as workflow
from marinecv.workflows import reproduce, results, train_runs, weights
from pipelines.cli import main
from pipelines.commands import recipes

SHARES = ("0.25", "0.5", "1")
IMAGES = {"train": 8, "valid": 4, "test": 4}  # of each class
TINY = {"filters": (4,), "bottleneck": 6}
SURE = replace(A, name="tiny_sure", data=replace(A.data, pseudo_labels=0.5)).with_model(**TINY, pooling="avg")
SURE = SURE.with_training(learning_rate=3e-2, batch_size=2)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Class folders in train, valid and test."""
    root, seed = tmp_path_factory.mktemp("data") / "reef", 0
    for split, count in IMAGES.items():
        for name in COLOURS:
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


def learning_curve(photographs, folder, *words):
    """One epoch at 16 pixels."""
    known = ["--data-dir", str(photographs), "--image-size", "16", "--epochs", "1", "--output-dir", str(folder)]
    return main(["learning-curve", *known, *(str(word) for word in words)])


def of_the_report(photographs, folder, *words):
    return learning_curve(photographs, folder, "--recipe", A.name, B1.name, B2.name, *words)


@pytest.fixture
def untrained(monkeypatch):
    """The command ends when the study stands, before the first training."""
    monkeypatch.setattr(workflow, "finish_curve", lambda curve, log, goal, track: None)


@pytest.fixture(scope="module")
def curve(photographs, tmp_path_factory) -> Path:
    """A, B1 and B2 at three shares of the labels. Only to be read."""
    folder = tmp_path_factory.mktemp("curves") / "curve"
    assert of_the_report(photographs, folder, "--labelled", *SHARES, "--seeds", 1) == 0
    return folder


def train_images(folder, cell):
    """The images of train of a cell."""
    return set(Run(folder / cell).catalog.query("split == 'train'")["image_id"])


def trained_in(monkeypatch) -> list[str]:
    """The names of the runs that are trained from here on."""
    names = []

    def noting(fit):
        def noted(recipe, run, pixels, **options):
            names.append(run.folder.name)
            return fit(recipe, run, pixels, **options)

        return noted

    for name in ("fit_recipe", "fit_autoencoder"):
        monkeypatch.setattr(train_runs, name, noting(getattr(train_runs, name)))
    return names


def error_of(capsys, *words):
    assert main([str(word) for word in words]) == 1
    [line] = capsys.readouterr().err.splitlines()
    return line


# Which images


def test_there_is_a_cell_a_line_share_and_seed_and_one_encoder_before_them(curve):
    cells = [f"{line.name}-{share}-seed0" for share in SHARES for line in (A, B1, B2)]
    assert list(Study(curve).cells) == [UNET.name, *cells]
    assert all(run.finished for run in map(Run, map(Study(curve).cell_folder, Study(curve).cells)))


def test_all_lines_learn_from_the_same_images_at_a_share_and_those_of_a_smaller_one_are_among_them(curve):
    found = [{frozenset(train_images(curve, f"{line.name}-{share}-seed0")) for line in (A, B1, B2)} for share in SHARES]
    [quarter], [half], [whole] = found
    assert quarter < half < whole and [len(quarter), len(half), len(whole)] == [6, 12, 24]
    assert whole == train_images(curve, UNET.name)  # which needs no label
    for cell in Study(curve).cells:
        assert Run(curve / cell).catalog["split"].value_counts().drop(["", "train"], errors="ignore").to_dict() == {
            "validation": 12,
            "test": 12,
        }


def test_another_seed_has_other_images_and_an_encoder_may_be_kept_from_those_with_a_label(
    photographs, tmp_path, untrained
):
    words = ["--labelled", "0.5", "1", "--seeds", "2", "--seed", "5", "--encoder-data", "unlabelled"]
    assert of_the_report(photographs, tmp_path / "curve", *words) == 0
    cells = set(Study(tmp_path / "curve").cells)
    seeds = ("seed5", "seed6")
    assert cells == {
        *(f"{UNET.name}-0.5-{seed}" for seed in seeds),
        *(f"{line.name}-0.5-{seed}" for line in (A, B1, B2) for seed in seeds),
        *(f"{A.name}-1-{seed}" for seed in seeds),  # with all labels nothing is left for the encoder of the others
    }
    labelled = {seed: train_images(tmp_path / "curve", f"{B1.name}-0.5-{seed}") for seed in seeds}
    assert labelled["seed5"] != labelled["seed6"]
    for seed in seeds:
        unlabelled = train_images(tmp_path / "curve", f"{UNET.name}-0.5-{seed}")
        assert unlabelled.isdisjoint(labelled[seed]) and len(unlabelled | labelled[seed]) == 24
        for line in (B1, B2):
            weights = Recipe.of(Run(tmp_path / "curve" / f"{line.name}-0.5-{seed}")).model.weights
            assert Path(weights) == tmp_path / "curve" / f"{UNET.name}-0.5-{seed}" / "encoder.keras"


def test_a_frozen_encoder_stays_as_the_unet_left_it_and_a_free_one_does_not(curve):
    encoder = keras.saving.load_model(curve / UNET.name / "encoder.keras")
    weights = {layer.name: layer.get_weights() for layer in encoder.layers if layer.weights}
    for line, same in ((B1, True), (B2, False), (A, False)):
        model = Run(curve / f"{line.name}-0.5-seed0").load_model()
        for name, values in weights.items():
            assert all(map(np.array_equal, model.get_layer(name).get_weights(), values)) == same


def test_the_encoder_of_a_finished_run_is_taken_as_it_is(curve, photographs, tmp_path, untrained):
    words = ["--labelled", "0.5", "1", "--seeds", "1", "--encoder", curve / UNET.name]
    assert of_the_report(photographs, tmp_path / "curve", *words) == 0
    assert not [cell for cell in Study(tmp_path / "curve").cells if cell.startswith(UNET.name)]
    recipe = Recipe.of(Run(tmp_path / "curve" / f"{B2.name}-1-seed0"))
    assert Path(recipe.model.weights) == curve / UNET.name / "encoder.keras"
    begun, given = build_model(recipe, 3), keras.saving.load_model(curve / UNET.name / "encoder.keras")
    for layer in (layer for layer in given.layers if layer.weights):
        assert all(map(np.array_equal, begun.get_layer(layer.name).get_weights(), layer.get_weights()))


# What a curve leaves


def test_the_tables_say_each_share_with_its_images(curve):
    table = pd.read_csv(curve / "curve.csv")
    assert set(table["split"]) == {"validation", "test"} and (table["n"] == 12).all() and (table["seeds"] == 1).all()
    assert list(table["line"].unique()) == [A.name, B1.name, B2.name]
    assert set(zip(table["labelled"], table["images"], strict=True)) == {(0.25, 6), (0.5, 12), (1.0, 24)}
    accuracy = table.query("metric == 'accuracy' and split == 'test'").set_index(["line", "labelled"])["value"]
    for share in SHARES:
        cell = Run(curve / f"{A.name}-{share}-seed0")
        assert accuracy[A.name, float(share)] == pytest.approx(cell.metrics["test"]["accuracy"]["value"], abs=1e-6)

    differences = pd.read_csv(curve / "differences.csv")
    assert len(differences) == 2 * 3 * 2 and set(differences["line"]) == {B1.name, B2.name}
    assert differences["labelled"].unique().tolist() == [0.25, 0.5, 1.0] and (differences["n"] == 12).all()

    needed = pd.read_csv(curve / "photographs.csv", keep_default_na=False)
    assert len(needed) == 3 * (1 + len(COLOURS))
    assert set(needed.loc[needed["class_name"] == "", "images"].astype(float)) == {24.0}
    assert set(needed.loc[needed["class_name"] != "", "images"].astype(float)) == {8.0}


def test_the_results_have_a_row_a_seed_and_one_of_all_for_each_share(curve):
    table = pd.read_csv(curve / "results.csv", dtype={"seed": str})
    assert len(table) == 3 * 3 * 2 * 2 * len(PUBLISHED_METRICS) and set(table["seed"]) == {"0", "all"}
    assert set(table["metric"]) == set(PUBLISHED_METRICS) and set(table["verdict"]) == {"reduced budget"}
    assert set(zip(table["labelled"], table["n_train"], strict=True)) == {(0.25, 6), (0.5, 12), (1.0, 24)}
    assert table["published"].isna().all()  # the report has other images
    assert (table["image_size"] == 16).all() and (table["epochs"] == 1).all()


def test_the_page_stands_by_itself_and_names_every_line(curve):
    page = (curve / "curve.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    assert "Learning curve: reef" in page and all(line.name in page for line in (A, B1, B2))
    assert {path.name for path in (curve / "figures").iterdir()} >= {"accuracy_validation.png", "macro_f1_test.png"}


def test_report_writes_the_page_and_the_tables_again_as_they_were(curve, tmp_path, capsys):
    folder = shutil.copytree(curve, tmp_path / "curve")
    names = ("curve.csv", "differences.csv", "photographs.csv", "results.csv", "curve.html")
    before = {name: (folder / name).read_bytes() for name in names}
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"{folder / 'curve.html'}\n") and not (folder / "report.html").exists()
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_the_command_ends_with_what_each_line_reaches_and_needs_or_why_that_cannot_be_told():
    needed = {"frozen": make_needed(["crab"]), "scratch": make_needed(["crab"], refused=["crab"], all_said="why not")}
    assert list(results.sentences(make_table(["scratch", "frozen"]), needed)) == [
        "scratch: validation accuracy 0.500 (95% CI 0.420 to 0.580, n=100) with 2944 labels",
        "frozen: validation accuracy 0.550 (95% CI 0.470 to 0.630, n=100) with 2944 labels",
        "frozen: an error of 0.225 takes about 8,833 more photographs (8,000 to 20,000 in all)",
        "frozen: the class to photograph next is crab",
        "scratch: how many more photographs cannot be told: why not",
    ]


def test_the_list_of_recipes_has_the_figure_with_the_most_labels(curve, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "RESULTS", tmp_path)
    table = pd.read_csv(curve / "results.csv", dtype=str)
    row = {"recipe": A.name, "seed": "all", "split": "validation", "metric": "accuracy"}
    own = table[(table[list(row)] == pd.Series(row)).all(axis=1)].set_index("labelled")["ours"].astype(float)
    for part, said in ((table, f"ours {own['1.0']:.3f} (n=12"), (table[table["labelled"] != "1.0"], "")):
        part.to_csv(tmp_path / "butterflies_fractions.csv", index=False)
        assert main(["recipes", "show", A.name]) == 0
        shown = capsys.readouterr().out.split("\n\n")[0]
        said = said or f"ours {own['0.5']:.3f} with 50% of the labels (n=12"
        assert shown.count("validation ") == 1 and said in shown


def test_one_line_at_two_shares_has_no_differences_and_no_law(curve, tmp_path, capsys):
    folder = tmp_path / "curve"
    cells = [f"{A.name}-0.5-seed0", f"{A.name}-1-seed0"]
    for cell in cells:
        shutil.copytree(curve / cell, folder / cell)
    write_json(folder / "curve.json", {})
    Study.create(folder, "curve-reef", "Two shares", cells)
    assert main(["learning-curve", "--resume", str(folder)]) == 0
    assert f"curve: {folder / 'curve.html'}" in capsys.readouterr().out
    assert (folder / "curve.csv").is_file() and (folder / "results.csv").is_file()
    assert not (folder / "differences.csv").exists() and not (folder / "photographs.csv").exists()


# Going on


def test_what_is_missing_is_trained_again_and_nothing_else(curve, tmp_path, monkeypatch):
    folder = shutil.copytree(curve, tmp_path / "curve")
    scored, gone = f"{A.name}-0.5-seed0", f"{B1.name}-1-seed0"
    (folder / scored / "metrics.json").unlink()
    for path in (folder / gone).iterdir():  # as it was before its turn
        if path.name not in ("recipe.json", "contract.json", "environment.json", "catalog.csv", "split.csv"):
            path.unlink()
    tables = ("curve.csv", "differences.csv", "photographs.csv")
    before = {name: (folder / name).read_bytes() for name in tables}
    for name in (*tables, "results.csv", "curve.html"):
        (folder / name).unlink()
    names = trained_in(monkeypatch)
    assert main(["learning-curve", "--resume", str(folder)]) == 0
    assert names == [gone]
    for cell in (scored, gone):
        there = (curve / cell / "predictions.csv").read_bytes()
        assert (folder / cell / "predictions.csv").read_bytes() == there
    assert {name: (folder / name).read_bytes() for name in tables} == before


def test_to_resume_a_finished_curve_trains_nothing_and_may_ask_for_another_goal(curve, tmp_path, monkeypatch):
    folder = shutil.copytree(curve, tmp_path / "curve")
    names = trained_in(monkeypatch)
    assert main(["learning-curve", "--resume", str(folder), "--goal", "0.75"]) == 0
    assert names == []
    goals = pd.read_csv(folder / "photographs.csv")["goal"]
    assert (goals == 0.25).all() and not (pd.read_csv(curve / "photographs.csv")["goal"] == 0.25).all()


def test_a_killed_curve_says_how_to_go_on(photographs, tmp_path, monkeypatch, capsys):
    def killed(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_runs, "fit_recipe", killed)
    words = ["--recipe", A.name, "--labelled", "0.5", "--seeds", "1"]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 130
    assert f"go on with --resume {tmp_path / 'curve'}" in capsys.readouterr().err
    assert list(Study(tmp_path / "curve").cells) == [f"{A.name}-0.5-seed0"]


# Labels of its own


def test_a_line_that_labels_images_itself_learns_from_sure_ones_and_never_sees_the_truth(photographs, tmp_path, capsys):
    words = ["--recipe", SURE.name, "--labelled", "0.25", "--seeds", "1", "--epochs", "4"]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 0
    run = Run(tmp_path / "curve" / f"{SURE.name}-0.25-seed0")
    teacher, table = Run(run.path("teacher")), pd.read_csv(run.path("pseudo_labels.csv"))
    labelled = set(teacher.catalog.query("split == 'train'")["image_id"])
    unlabelled = set(teacher.catalog.query("split == ''")["image_id"])
    assert len(labelled) == 6 and len(unlabelled) == 18
    rows = teacher.catalog[teacher.catalog["image_id"].isin(unlabelled)]
    predictions = predict_table(teacher.load_model(), rows, teacher.spec, teacher.class_names)
    sure = predictions[predictions[[f"p_{name}" for name in COLOURS]].max(axis=1) >= 0.5]
    assert len(table) > 0 and list(table["image_id"]) == list(sure["image_id"])
    assert list(table["class_name"]) == list(sure["predicted_class"])
    assert f"{len(table)} of 18 images without a label got one" in capsys.readouterr().out

    catalog = run.catalog.set_index("image_id")
    assert set(catalog.query("split == 'train'").index) == labelled | set(table["image_id"])
    assert list(catalog.loc[table["image_id"], "class_name"]) == list(table["class_name"])
    rest = catalog.drop(index=table["image_id"])
    pd.testing.assert_frame_equal(rest, teacher.catalog.set_index("image_id").loc[rest.index])
    curve = pd.read_csv(tmp_path / "curve" / "curve.csv")
    assert set(curve["images"]) == {6} and set(curve["labelled"]) == {0.25}  # its own labels are none

    # The same with other classes for all that has no label.
    copy = shutil.copytree(run.path("teacher"), tmp_path / "copy")
    for name in ("timing.json", "metrics.json", "model.keras", "predictions.csv", "history.csv"):
        (copy / name).unlink()
    rows = teacher.catalog
    lies = dict(zip(COLOURS, [*COLOURS][1:] + [*COLOURS][:1], strict=True))
    rows["class_name"] = rows["class_name"].mask(rows["split"] == "", rows["class_name"].map(lies))
    rows.to_csv(copy / "catalog.csv", index=False)
    liar, recipe = Run(copy), Recipe.of(run)
    train_runs.take_pseudo_labels(liar, recipe, load_run(liar, recipe), quiet)
    again = pd.read_csv(liar.path("pseudo_labels.csv"))
    pd.testing.assert_frame_equal(again.drop(columns="right"), table.drop(columns="right"))
    assert not again["right"].equals(table["right"])


def test_a_line_that_labels_images_itself_is_drawn_where_labels_are_fewest(photographs, tmp_path, untrained):
    words = ["--recipe", A.name, SURE.name, "--labelled", "1", "0.5", "0.25", "--seeds", "1"]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 0
    cells = [cell for cell in Study(tmp_path / "curve").cells if cell.startswith(SURE.name)]
    assert cells == [f"{SURE.name}-0.25-seed0"]


def test_on_images_of_ones_own_the_curve_is_that_of_a_head(photographs, tmp_path, untrained, monkeypatch, capsys):
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: True)
    words = ["--image-size", "32", "--labelled", "0.5", "1", "--seeds", "1"]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 0
    assert list(Study(tmp_path / "curve").cells) == ["mobilenet_head-0.5-seed0", "mobilenet_head-1-seed0"]
    recipe = Run(tmp_path / "curve" / "mobilenet_head-1-seed0").read("recipe.json")
    assert recipe["title"] == "Mobilenet, frozen (data: reef)"
    assert learning_curve(photographs, tmp_path / "none", "--encoder-data", "unlabelled") == 1
    assert "None of mobilenet_head begins with an encoder." in capsys.readouterr().err


# What is refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "16", "32"], "A curve has one image size. Received [16, 32]: draw each by itself."),
        (["--resume", "somewhere", "--epochs", "2"], "--resume settles what --epochs would say"),
        (["--resume", "somewhere", "--labelled", "0.5"], "--resume settles what --labelled would say"),
        (["--resume", "somewhere"], "There is no folder somewhere."),
        (["--resume", "."], "is no study: it has no study.json"),
        (["--encoder", ".", "--encoder-data", "train"], "--encoder settles what --encoder-data would say"),
        (["--recipe", "nothing"], 'There is no recipe "nothing". Expected one of aquarium_four_conv'),
        (["--recipe", "butterflies_vae"], "butterflies_vae is for another command: autoencode --recipe"),
        (["--recipe", "aquarium_four_conv", "birds_customcnn"], "aquarium_four_conv, birds_customcnn are of different"),
    ],
)
def test_what_a_curve_refuses_before_it_makes_a_folder(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, "learning-curve", *words)
    assert not [path for path in tmp_path.iterdir() if path.name != "marinecv_home"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([B1.name, "--labelled", "1", "--encoder-data", "unlabelled"], "With all labels nothing is left without one."),
        ([SURE.name, "--labelled", "1"], "nothing is left without one. Name a smaller fraction with --labelled."),
        (
            [B1.name, "--labelled", "0.99", "--encoder-data", "unlabelled"],
            "With 99% of the labels no train image is without one",
        ),
    ],
)
def test_where_all_have_a_label_what_needs_images_without_one_is_refused(words, message, photographs, tmp_path, capsys):
    assert learning_curve(photographs, tmp_path / "curve", "--recipe", *words) == 1
    assert message in capsys.readouterr().err


def test_a_run_without_an_encoder_is_refused(curve, photographs, tmp_path, capsys):
    classifier = curve / f"{A.name}-1-seed0"
    assert of_the_report(photographs, tmp_path / "curve", "--encoder", classifier) == 1
    assert f"{classifier} has no encoder.keras. Expected a finished run of `autoencode`" in capsys.readouterr().err
    assert of_the_report(photographs, tmp_path / "curve", "--encoder", tmp_path) == 1
    assert f"{tmp_path} is no run" in capsys.readouterr().err
    assert not (tmp_path / "curve").exists()


def test_an_encoder_of_other_filters_is_refused(curve, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, B1.name, B1)
    words = ["--recipe", B1.name, "--labelled", "1", "--seeds", "1", "--encoder", curve / UNET.name]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 1
    assert "encoder.keras holds another encoder than this classifier's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labelled", "0"], "expected a number above 0 and at most 1, not 0"),
        (["--labelled", "0.5", "1.5"], "expected a number above 0 and at most 1, not 1.5"),
        (["--labelled", "nan"], "expected a number above 0 and at most 1, not nan"),
        (["--labelled", "half"], "expected a number above 0 and at most 1, not half"),
        (["--goal", "0"], "expected a number between 0 and 1, not 0"),
        (["--goal", "1"], "expected a number between 0 and 1, not 1"),
        (["--seeds", "0"], "expected a whole number from 1 to 1000, not 0"),
    ],
)
def test_shares_and_goals_that_are_none_are_wrong_command_lines(words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["learning-curve", *words])
    assert exit_.value.code == 2 and message in capsys.readouterr().err


# The lines of the report


def test_the_family_stands_for_its_lines_without_weights_where_there_are_none(monkeypatch):
    monkeypatch.setattr(weights, "weights_host_answers", lambda: False)
    monkeypatch.setenv("KERAS_HOME", "/no/such/place")
    lines = workflow.lines_of("butterflies_fractions")
    names = [line.name for line in workflow.with_weights_at_hand(lines, {}, quiet)]
    bare = {MOBILENET.name, "butterflies_mobilenet_pseudo"}
    assert names == [f"{name}_untrained" if name in bare else name for name in FRACTIONS]


def test_a_head_on_a_frozen_backbone_is_made_smaller_only_where_all_lines_are():
    changes = {"image.size": 32, "training.epochs": 2, "training.seed": 3}
    assert workflow.changes_of(A, [A, MOBILENET], changes) == changes
    assert workflow.changes_of(MOBILENET, [A, MOBILENET], changes) == {"training.seed": 3}
    assert workflow.changes_of(MOBILENET, [MOBILENET], changes) == changes


def test_published_figures_stand_at_their_share_of_their_images_alone():
    changes = {"training.seed": 1}
    line, choice = FRACTIONS[B1.name], replace(B1.data, split_by="published")
    cells = {share: workflow.cell_of(line, share, choice, changes) for share in (0.3, 0.5)}
    assert cells[0.3].published == {}
    assert cells[0.5].published == {"test": published_at(B1.name, 0.5)["test"]} and cells[0.5].data.labelled == 0.5
    assert cells[0.5].published["test"]["accuracy"] == "0.448" and cells[0.5].published["test"]["n"] == 500
    assert workflow.cell_of(line, 0.5, replace(choice, name="reef"), changes).published == {}
    assert workflow.cell_of(line, 0.5, choice, {**changes, "training.batch_size": 8}).published == {}
    assert published_at(MOBILENET.name, 0.5) == {}
    assert {name: line.published for name, line in FRACTIONS.items()} == {
        name: published_at(name, 1.0) for name in FRACTIONS
    }


def test_every_published_accuracy_is_of_500_images():
    figures = [published_at(line, share)["test"] for line, shares in PUBLISHED.items() for share in shares]
    assert len(figures) == 15
    for figure in figures:
        right = 500 * float(figure["accuracy"])
        assert right == pytest.approx(round(right)) and figure["n"] == 500


def test_the_lines_of_the_report_differ_by_what_the_report_says():
    assert (B1.model.frozen, B2.model.frozen, A.model.weights) == (True, False, "none")
    assert {B1.model.weights, B2.model.weights} == {UNET.name}
    for line in (A, B1, B2):
        assert isinstance(line.model, EncoderModel) and line.image.shape == (128, 128, 3)
        how = line.training
        assert (how.optimizer, how.learning_rate, how.batch_size, how.epochs) == ("adam", 1e-4, 64, 30)
        assert (how.monitor, how.early_stop_patience) == ("loss", 5)


def test_other_commands_name_this_one_for_its_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "RESULTS", tmp_path)
    for name in LINES:
        assert main(["recipes", "show", name]) == 0
        assert f"{name}  (learning-curve, report: butterflies, data: butterflies20)" in capsys.readouterr().out
        said = error_of(capsys, "pretrain", "--recipe", name)
        assert f"{name} is for another command: learning-curve --recipe {name}." in said


def test_a_replay_leaves_the_lines_of_a_curve_alone():
    found = {recipe.name for recipe in reproduce.chosen("butterflies", None, quiet)}
    assert not found & set(LINES) and "butterflies_unet" in found
    for name in LINES:
        with pytest.raises(ValueError, match=f"{name} is for another command: learning-curve --recipe {name}."):
            reproduce.chosen("butterflies", [name], quiet)


def test_a_study_without_a_classifier_is_no_curve(curve, tmp_path, capsys):
    shutil.copytree(curve / UNET.name, tmp_path / "study" / UNET.name)
    write_json(tmp_path / "study" / "curve.json", {})
    Study.create(tmp_path / "study", "unets", "U-Nets", [UNET.name])
    assert "No classifier of" in error_of(capsys, "learning-curve", "--resume", tmp_path / "study")


def test_the_goal_is_kept_for_the_next_time_and_a_reached_one_is_said(curve, tmp_path, capsys):
    folder = shutil.copytree(curve, tmp_path / "curve")
    assert main(["learning-curve", "--resume", str(folder), "--goal", "0.9"]) == 0
    wanted = read_table(folder / "photographs.csv")["goal"]
    assert np.allclose(wanted.astype(float), 0.1)
    assert main(["report", str(folder)]) == 0
    assert read_table(folder / "photographs.csv")["goal"].tolist() == wanted.tolist()
    reached = make_needed([]).assign(more=0.0)
    assert list(results.sentences(make_table(["scratch"]), {"scratch": reached}))[-1].endswith("is reached")


def test_flags_of_an_encoder_want_a_line_that_begins_with_one(photographs, tmp_path, capsys):
    words = ["--recipe", A.name, "--labelled", "0.5", "--encoder-data", "unlabelled"]
    assert learning_curve(photographs, tmp_path / "curve", *words) == 1
    assert f"None of {A.name} begins with an encoder. Leave out --encoder" in capsys.readouterr().err


def test_an_encoder_that_has_seen_what_judges_is_refused(curve, photographs, tmp_path, capsys):
    leaky = shutil.copytree(curve / UNET.name, tmp_path / "leaky")
    catalog = read_table(leaky / "catalog.csv")
    write_table(leaky / "catalog.csv", catalog.assign(split=catalog["split"].replace("validation", "train")))
    assert of_the_report(photographs, tmp_path / "curve", "--encoder", leaky) == 1
    assert "has learned from 12 of the " in capsys.readouterr().err
    assert not (tmp_path / "curve").exists()


def test_a_share_that_leaves_no_image_without_a_label_is_refused_before_a_teacher_is_trained(
    photographs, tmp_path, capsys
):
    assert learning_curve(photographs, tmp_path / "curve", "--recipe", SURE.name, "--labelled", "0.99") == 1
    assert "With 99% of the labels no train image is without one." in capsys.readouterr().err
    assert not (tmp_path / "curve").exists()
