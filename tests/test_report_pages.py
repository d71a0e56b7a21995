"""The pages of runs and experiments, opened in a real browser where there is one."""

import contextlib
import html
import io
import json
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from pages import CLASSES, EVIL, assert_self_contained, make_run, open_in_browser, untranslated

from marinecv.audit.leakage_findings import AS_SPLIT
from marinecv.evaluation.leakage import GROUPED, WITHOUT
from marinecv.evaluation.metrics import confusion, per_class_metrics
from marinecv.evaluation.predict import MEANINGS
from marinecv.evaluation.predictions import read_predictions
from marinecv.evaluation.selective import threshold_table
from marinecv.files.atomic import write_json
from marinecv.language import language
from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.explain_page import MEASURE_NAMES
from marinecv.report.html import by_split, flatten_settings, format_number, shared_command, thumbnail, with_code
from marinecv.report.next_step import next_step
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.schema import read_json


@pytest.fixture
def run_folder(tmp_path):
    return make_run(tmp_path / "tank-1")


@pytest.fixture
def study_folder(tmp_path):
    folder = tmp_path / "grid"
    for number, right in enumerate((0.9, 0.6, 0.3)):
        make_run(folder / "runs" / str(number), seed=number, right=right, demonstration=True)
    names = ["four_conv", "NA", EVIL]
    cells = {name: f"runs/{number}" for number, name in enumerate(names)}
    write_json(folder / "experiment.json", {"name": "grid", "title": "A grid", "demonstration": True, "cells": cells})
    table = {"name": names, "test_n": 9, "test_accuracy": 0.9, "test_low": [0.51, None, 0.5]}
    table["test_high"] = [0.95, None, 0.95]
    table |= {"learning_rate": [1e-3, 1e-3, 5e-4], "best": [True, False, False]}
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    return folder


def run_page(folder):
    return write_run_report(folder).read_text(encoding="utf-8")


def study_page(folder):
    return write_experiment_report(folder).read_text(encoding="utf-8")


def test_run_page_has_every_section_and_opens_without_complaint(run_folder, tmp_path):
    page = write_run_report(run_folder)
    opened, complaints = open_in_browser(page, tmp_path)
    assert not complaints and page == run_folder / "report.html"
    for text in ("<h1>Three classes in a tank</h1>", "best: epoch 11", "of 15 images", "no k/9 gives 0.9263", "n=15"):
        assert text in opened
    for text in (
        "too few seeds",
        "one seed cannot tell",
        "not run here",
        "no box",
        "run.py pretrain --seed 1",
        "0.0001",
        "123,456",
    ):
        assert text in opened
    assert opened.count("<figure>") == opened.count("<figcaption>") == 1 + 3  # the curves, and a matrix a split
    assert opened.count("<svg") == 1
    names = {path.name for path in (run_folder / "figures").iterdir()}
    assert names == {"curves.png", *(f"confusion_{split}.png" for split in ("train", "validation", "test"))}


def test_the_matrix_on_a_page_has_the_counts_and_row_fractions_of_confusion(run_folder):
    counts = confusion(by_split(read_predictions(run_folder / "predictions.csv"))["test"])
    [matrix] = re.findall(r"<h3>Test, n=9</h3>.*?<tbody>(.*?)</tbody>", run_page(run_folder), re.DOTALL)
    rows = [re.findall(r"<td([^>]*)>(?:(\d+)<small>([\d.]+)</small>)?</td>", row) for row in matrix.split("</tr>")[:-1]]
    assert [[int(count or 0) for _, count, _ in row] for row in rows] == counts.to_numpy().tolist()
    shares = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    assert [[float(share or 0) for _, _, share in row] for row in rows] == shares.round(2).tolist()
    for row in rows:
        assert all(f"--share:{float(share):.2f}" in attributes for attributes, _, share in row if share)
    assert [html.unescape(name) for name in re.findall('scope="row"><span>(.*?)</span>', matrix)] == [*counts]


def test_the_bars_of_a_class_end_where_its_values_and_intervals_end(run_folder):
    rows = per_class_metrics(by_split(read_predictions(run_folder / "predictions.csv"))["test"])
    page = run_page(run_folder)
    bars = re.findall(
        r'class="bar" data-value=".*?" style="--value:(.*?);--low:(.*?);--high:(.*?)"',
        page[page.index('id="classes"') :],
    )
    names = [f"{name}{end}" for name in ("precision", "recall", "specificity") for end in ("", "_low", "_high")]
    assert np.array(bars[:9], float).reshape(3, 9) == pytest.approx(rows[names].to_numpy(float))


def test_run_page_is_self_contained_escapes_names_and_is_the_same_twice(run_folder):
    page = run_page(run_folder)
    assert_self_contained(page)
    assert "<img src=x" not in page and "&lt;script&gt;" in page and "data:image/jpeg;base64," in page
    assert run_page(run_folder) == page and "Demonstration" not in page


def test_the_snippet_of_a_real_page_prints_a_class_name(finished_run, tmp_path, monkeypatch):
    page = run_page(finished_run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / finished_run.name).symlink_to(finished_run)
    draw_image("crab", 1).save("photo.jpg")
    [snippet] = re.findall(r'<h2 id="use">Load this model</h2>\s*<pre>(.*?)</pre>', page, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(html.unescape(snippet), {})
    assert printed.getvalue().strip() in Run(finished_run).class_names


def data_of(run_folder):
    catalog = pd.read_csv(run_folder / "catalog.csv", keep_default_na=False)
    return {*catalog["image_id"], *catalog["problem"], *CLASSES} - {""}


@pytest.fixture
def full_run(run_folder):
    """The run with what choosing a recipe, leakage checks, attributes, heat maps and exports add to its page."""
    tables = {"choice": [], "attribute_scores": [], "leakage": [], "heat_in_box": []}
    numbers = {"accuracy": 0.5, "value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "groups": 9, "method": ""}
    for step, judged_on in (("linear probe", "train"), ("linear probe", "validation"), ("fine-tuned", "validation")):
        row = {"step": step, "network": "resnet", "image_size": "64", "pooling": "", "mirrored": "True", "head_l2": "1"}
        tables["choice"].append(
            row | numbers | {"log_loss": 1.5, "judged_on": judged_on, "seconds": "", "chosen": True}
        )
    for kind, meaning in MEANINGS.items():
        tables["attribute_scores"].append({"attributes": kind, "meaning": meaning} | numbers)
    for subset, metric in product((AS_SPLIT, WITHOUT, GROUPED), ("accuracy", "balanced_accuracy")):
        tables["leakage"].append({"subset": subset, "split": "test", "metric": metric} | numbers)
    for measure in MEASURE_NAMES:
        row = {"split": "test", "layer": "conv", "neutral": "#555555", "class_name": "all", "measure": measure}
        tables["heat_in_box"].append(row | numbers)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(run_folder / f"{name}.csv", index=False)
    recipe = read_json(run_folder / "recipe.json")
    shortened = "32 of 64 pixels, 2 of 2000 epochs, at most 5 images a split"
    training = recipe["training"] | {"augmentation": {"flip": 0.5}, "balanced": True}
    write_json(run_folder / "recipe.json", recipe | {"shortened": shortened, "training": training})
    return run_folder


@pytest.mark.slow
def test_every_text_of_a_run_page_can_be_translated(full_run, finished_run, missing):
    settings = {"tank", "Three classes in a tank", "resnet", "conv", *MEANINGS, "elsewhere"}
    for folder in (full_run, finished_run):
        with language("pseudo"):
            page = run_page(folder)
        recipe = read_json(folder / "recipe.json")
        data = data_of(folder) | {*Run(folder).class_names, recipe["title"], recipe["name"]} | settings
        assert not untranslated(page, data)
        assert '<html lang="pseudo">' in page and "⟦flip⟧" in page
        with language("es"):
            run_page(folder)
    assert not missing - {"elsewhere"}
    assert untranslated('<p title="⟦a⟧ b">⟦One⟧ Two <code>c</code></p><svg><text>three</text></svg>', ()) == {
        "b", "Two", "three"}  # fmt: skip


def test_every_text_of_an_experiment_page_can_be_translated(study_folder, missing):
    path = study_folder / "runs" / "2" / "recipe.json"
    recipe = read_json(path)
    write_json(path, recipe | {"training": recipe["training"] | {"learning_rate": 5e-4}})
    with language("pseudo"):
        page = study_page(study_folder)
    assert not untranslated(page, {"four_conv", "NA", "A grid", *CLASSES}) and "⟦learning rate⟧" in page
    with language("es"):
        assert "entrenamiento: tasa de aprendizaje" in study_page(study_folder)
    assert not missing


def test_numbers_of_a_page_are_written_as_its_language_does(run_folder):
    with language("es"):
        page = run_page(run_folder)
        assert format_number(0.5) == "0,500"
    assert '<html lang="es">' in page and "0,500" in page


def step(run_folder, accuracy=None, leakage=None, **values):
    accuracy = accuracy or {"value": 0.9, "low": 0.85, "high": 0.94, "n": 200}
    arguments = {"split": "test", "train_classes": None, "calibration": None, "pairs": []} | values
    return next_step(Run(run_folder), accuracy, leakage=leakage, **arguments)


def test_the_next_step_is_the_first_that_the_findings_call_for(run_folder):
    rows = [("as split", "test", 200), ("no related image in train", "test", 150)]
    related = pd.DataFrame(rows, columns=["subset", "split", "n"])
    clean = related.assign(n=200)
    folds = pd.concat([related, pd.DataFrame([("grouped folds", "all", 900)], columns=related.columns)])
    assert "check for train-test leakage" in step(run_folder)
    assert "folds=5, by groups of related images: 50 of 200 test images" in step(run_folder, leakage=related)
    small = {"value": 0.9, "low": 0.7, "high": 0.95, "n": 20}
    assert "label more test images" in step(run_folder, small, leakage=clean.assign(n=20))
    few_groups = small | {"low": None, "high": None}
    assert "label more test images" in step(run_folder, few_groups, leakage=folds)
    classes = pd.DataFrame({"class_name": ["crab", "eel"], "support": [19, 20]})
    assert "add train images of crab: fewer than 20" in step(run_folder, leakage=clean, train_classes=classes)
    pairs = [{"true_class": "crab", "predicted_class": "eel"}]
    assert "images of crab predicted as eel" in step(run_folder, leakage=clean, pairs=pairs)
    assert "predict new images" in step(run_folder, leakage=folds)


def test_the_next_step_of_a_demonstration_is_own_images(tmp_path):
    folder = make_run(tmp_path / "run", demonstration=True)
    assert "your own images" in step(folder)
    assert "your own images" in run_page(folder)


def test_a_threshold_splits_the_images_into_classified_and_reviewed():
    table = threshold_table(np.array([0.3, 0.6, 0.6, 0.95]), np.array([False, True, False, True]))
    assert table["threshold"].tolist() == pytest.approx(np.linspace(0, 1, 101))
    assert table[["n", "reviewed"]].iloc[[0, 30, 31, 60, 61, 95, 96]].to_numpy().tolist() == [
        [4, 0],
        [4, 0],
        [3, 1],
        [3, 1],
        [1, 3],
        [1, 3],
        [0, 4],
    ]
    assert table["accuracy"].iloc[[0, 60, 95]].tolist() == [0.5, 2 / 3, 1] and table["accuracy"].iloc[96:].isna().all()


def test_a_demonstration_is_marked_on_the_page_and_in_every_figure(tmp_path):
    page = run_page(make_run(tmp_path / "run", demonstration=True))
    assert page.count("demonstration: generated images") == page.count("<svg") == 1
    assert "do not apply to real animals" in page and "not comparable" in page and "demonstration=True" in page


def test_run_page_leaves_out_what_a_run_does_not_have(run_folder):
    for name in ("history.csv", "catalog.csv", "environment.json", "timing.json", "metrics.json"):
        (run_folder / name).unlink()
    write_json(run_folder / "recipe.json", {"name": "tank"})
    page = run_page(run_folder)
    assert "<h1>tank</h1>" in page and 'id="training"' not in page and 'id="left-out"' not in page
    assert "file not found" in page and "of 15 images" in page


@pytest.mark.parametrize(("write", "name"), [(run_page, "predictions.csv"), (study_page, "table.csv")])
def test_a_folder_without_results_is_refused(run_folder, study_folder, write, name):
    folder = run_folder if write is run_page else study_folder
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"no {name}"):
        write(folder)


def test_a_shortened_run_is_not_compared(run_folder):
    recipe = json.loads((run_folder / "recipe.json").read_text(encoding="utf-8"))
    write_json(run_folder / "recipe.json", {**recipe, "shortened": "2 epochs"})
    page = run_page(run_folder)
    assert "Shortened run (2 epochs)" in page and "not attainable" not in page


def test_the_page_of_a_stopped_experiment_says_how_many_runs_are_missing(study_folder):
    assert "not finished" not in study_page(study_folder)
    table = pd.read_csv(study_folder / "table.csv", keep_default_na=False).head(2)
    table.to_csv(study_folder / "table.csv", index=False)
    assert "1 of 3 runs are not finished." in study_page(study_folder)


def test_study_page_compares_its_runs(study_folder, tmp_path):
    page = write_experiment_report(study_folder)
    opened, complaints = open_in_browser(page, tmp_path)
    assert not complaints
    assert_self_contained(page.read_text(encoding="utf-8"))
    assert "four_conv is best on validation" in opened and "McNemar p=" in opened
    assert (
        "Demonstration on generated images." in opened
        and opened.count("<svg") == 1
        and opened.count('<table class="confusion">') == 2 * 3
    )
    assert re.search(r'<tr class="best">\s*<th scope="row">four_conv', opened)
    assert "--value:0.9;--low:0.51;--high:0.95" in opened and '<td data-value="0.9">0.900</td>' in opened
    assert "test n" not in opened and "learning rate" in opened  # equal in all runs, and not


def test_study_page_links_to_its_runs_and_shows_the_settings_that_differ(study_folder):
    write_run_report(study_folder / "runs" / "1")
    path = study_folder / "runs" / "2" / "recipe.json"
    recipe = read_json(path)
    write_json(path, recipe | {"training": recipe["training"] | {"learning_rate": 5e-4}})
    page = study_page(study_folder)
    assert_self_contained(page, links=("runs/1/report.html",))
    assert page.count('<a href="runs/1/report.html">NA</a>') == page.count("<a href=") == 1
    table = page[page.index("Settings that differ") : page.index("<h2>Training")]
    assert re.findall("<td>(.*?)</td>", table)[1::2] == ["0.0001", "0.0001", "0.0005"] and table.count("<th scope") == 2


def test_a_study_that_selects_on_test_says_so(study_folder):
    about = read_json(study_folder / "experiment.json")
    write_json(study_folder / "experiment.json", about | {"select_on": "test"})
    page = study_page(study_folder)
    assert "four_conv is best on test" in page and "test is only reported" not in page
    assert page.count("hosen on test") == 2


def test_study_of_different_images_is_not_compared(study_folder):
    path = study_folder / "runs" / "1" / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("validation/", "validation/other_"), encoding="utf-8")
    assert "evaluated on other images" in study_page(study_folder)


@pytest.mark.parametrize(("keep", "best", "said"), [(1, True, "four_conv is best"), (3, False, "No run is marked")])
def test_study_of_one_run_or_of_no_best(study_folder, keep, best, said):
    table = pd.read_csv(study_folder / "table.csv", keep_default_na=False).head(keep)
    table.assign(best=[best] + [False] * (keep - 1)).to_csv(study_folder / "table.csv", index=False)
    page = study_page(study_folder)
    assert said in page and "Against the next" not in page


def test_thumbnail_of_no_image_is_none(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert thumbnail(tmp_path / "broken.jpg") is thumbnail(tmp_path / "absent.jpg") is None


NUMBERS = {0.12345: "0.123", 61.25: "61.2", 0.0: "0.000", 6.47e-5: "6.47e-05", 1234567: "1,234,567", "a": "a"}


def test_numbers_are_written_for_a_reader():
    assert {value: format_number(value) for value in NUMBERS} == NUMBERS
    assert format_number(float("nan")) == "" and format_number(True) == "True"


def test_settings_are_flattened():
    settings = {"image": {"letterbox_px": None, "sizes": [3, 5]}, "balanced": False, "augmentation": {}}
    expected = [("image letterbox px", "none"), ("image sizes", "3, 5"), ("balanced", "no"), ("augmentation", "none")]
    assert flatten_settings(settings) == expected
    assert flatten_settings({"boxes": "/home/me/md.json"}) == [("boxes", "md.json")]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (
            "marinecv train '/home/a b/photos/' --output-dir=/x/run --minutes 3",
            "marinecv train photos --output-dir=run --minutes 3",
        ),
        ("run.py train C:/photos ../b 1/2 'open", "run.py train photos ../b 1/2 'open"),
    ],
)
def test_a_command_on_a_page_names_no_folder_of_this_machine(command, shown):
    assert shared_command(command) == shown


def test_commands_in_a_sentence_are_code_and_the_rest_is_escaped():
    assert with_code("type `train a<b` & wait") == "type <code>train a&lt;b</code> &amp; wait"
