"""Whatever files and classes are called, pages, figures, CSV and Markdown show the name and do nothing else."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from pages import NAMES, assert_harmless, shown
from scenes import FORMULA, as_a_spreadsheet_reads

from marinecv.audit.findings import Finding, make_cases
from marinecv.audit.tables import describe_data_set
from marinecv.audit.thumbnails import load_thumbs
from marinecv.data.catalog import read_boxes, read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.evaluation.metrics import classification_metrics, confusion
from marinecv.evaluation.predictions import make_table, read_predictions, write_predictions
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import read_table, write_table
from marinecv.report.audit_page import write_audit_report
from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.figures import confusion_figure, figure_svg, save_png
from marinecv.report.html import by_split
from marinecv.report.run_page import write_run_report
from marinecv.report.style import short_name

COLUMNS = ["image_id", "path", "split", "class_name", "group", "width", "height", "dominance", "problem"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of as many images a split as there are names; each class and each file has one of them."""
    folder = tmp_path_factory.mktemp("odd") / "run <b>"
    folder.mkdir()
    rng, rows, probabilities = np.random.default_rng(0), [], []
    draw_image("crab", seed=0).save(folder / "a.jpg")
    for split in ("validation", "test"):
        for number, name in enumerate(NAMES):
            rows.append([f"{split}/{name}", str(folder / "a.jpg"), split, name, "", 64, 48, 1.0, ""])
            probabilities.append(rng.dirichlet(np.eye(len(NAMES))[number if number % 3 else 0] * 9 + 0.1))
    good = pd.DataFrame(rows, columns=COLUMNS)
    bad = [good.iloc[[0]].assign(image_id=f"train/{name}", class_name="", problem=f"no {name}") for name in NAMES]
    write_table(folder / "catalog.csv", pd.concat([good, *bad]))
    table = make_table(good["image_id"], good["split"], good["class_name"], np.array(probabilities), NAMES)
    write_predictions(table, folder / "predictions.csv")
    write_json(folder / "metrics.json", {split: classification_metrics(t) for split, t in by_split(table).items()})
    preprocessing = {"class_names": NAMES, "demonstration": False, "image": {"height": 48, "width": 64}}
    write_json(folder / "preprocessing.json", preprocessing | {"data_dirs": [str(folder)]})
    write_json(folder / "environment.json", {"command": f"run.py {NAMES[0]}", "platform": NAMES[1]})
    write_json(folder / "recipe.json", {"name": "odd", "title": NAMES[0], "data": {"name": NAMES[1]}})
    return folder


def test_the_page_of_a_run_shows_every_name_and_runs_none(run_folder, tmp_path):
    text = shown(assert_harmless(write_run_report(run_folder), tmp_path))
    for name in NAMES:
        assert " ".join(name.split()) in text


def test_the_page_of_an_audit_shows_every_name_and_runs_none(roboflow_folder, tmp_path):
    manifest = manifest_of_folder(roboflow_folder)
    catalog, boxes = load_thumbs(read_catalog(manifest))[1], read_boxes(manifest)
    for places, table in ((range(12), catalog), (range(len(boxes)), boxes)):
        table["class_name"] = [NAMES[place % len(NAMES)] for place in places]
    catalog["problem"] = ["", "", "", *(f"cannot be read: {name}" for name in NAMES)][: len(catalog)]
    (tmp_path / "out").mkdir()
    said = dict.fromkeys(("name", "unit", "what", "why", "todo"), NAMES[0])
    cases = make_cases(pd.Series(catalog["image_id"]), pd.Series(NAMES[:12]), catalog["image_id"].iloc[::-1].to_numpy())
    finding = Finding(serious=True, count=1, of=2, cases=cases, **said)
    page = write_audit_report(tmp_path / "out", NAMES[0], catalog, boxes, describe_data_set(catalog, boxes), [finding])
    text = shown(assert_harmless(page, tmp_path))
    assert f"Audit of {NAMES[0]}" in text and all(f"cannot be read: {name}" in text for name in NAMES[:8])
    for file in (tmp_path / "out").glob("*.csv"):
        assert_no_formula(file)


def test_the_page_of_a_study_shows_every_name_and_runs_none(run_folder, tmp_path):
    folder, cells = tmp_path / "experiment", {name: f"run{number}" for number, name in enumerate(NAMES)}
    for cell in cells.values():
        (folder / cell).mkdir(parents=True)
        for name in ("recipe.json", "preprocessing.json", "predictions.csv", "metrics.json"):
            shutil.copy(run_folder / name, folder / cell / name)
    write_json(folder / "experiment.json", {"name": "s", "title": NAMES[1], "demonstration": False, "cells": cells})
    best = [number == 0 for number in range(len(NAMES))]
    write_table(folder / "table.csv", pd.DataFrame({"name": NAMES, "a|b": -0.5, "best": best}))
    opened = assert_harmless(write_experiment_report(folder), tmp_path)
    assert all(" ".join(name.split()) in shown(opened) for name in NAMES)
    assert_no_formula(folder / "table.csv")


def assert_no_formula(file):
    rows = as_a_spreadsheet_reads(file.read_text(encoding="utf-8"))
    assert rows and {len(row) for row in rows} == {len(rows[0])}
    cells = [cell for row in rows for cell in row if not re.fullmatch(r"-?[\d.e+-]+", cell)]
    assert not [cell for cell in cells if cell.startswith(FORMULA)]


def test_the_tables_of_a_run_keep_every_name_and_no_formula(run_folder):
    for name in ("catalog.csv", "predictions.csv"):
        assert_no_formula(run_folder / name)
    predictions = read_predictions(run_folder / "predictions.csv")
    assert tuple(predictions.columns[4:]) == tuple(f"p_{name}" for name in NAMES)
    assert list(predictions["true_class"]) == list(NAMES) * 2
    assert list(read_table(run_folder / "catalog.csv")["class_name"][: len(NAMES)]) == list(NAMES)


def test_a_figure_draws_any_name_on_one_line_and_cuts_a_long_one(run_folder, tmp_path):
    predictions = by_split(read_predictions(run_folder / "predictions.csv"))["test"]
    figure = confusion_figure(confusion(predictions))
    save_png(figure, tmp_path / "a.png")
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == [short_name(name) for name in NAMES]
    assert "$\\frac" in labels and "two lines" in labels and all(len(text) <= 40 for text in labels)
    assert labels[-1].endswith("…") and "<script" not in figure_svg(figure)
