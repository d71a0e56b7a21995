"""The pages, opened in a real browser where there is one."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image

from marinecv.atomic import write_json
from marinecv.evaluation.metrics import classification_metrics
from marinecv.evaluation.predictions import make_table, write_predictions
from marinecv.inputs.spec import ImageSpec
from marinecv.report.html import number_text, thumbnail
from marinecv.report.page import render, write_run_report, write_study_report
from marinecv.report.parts import by_split, flat
from marinecv.schema import read_json
from marinecv.tables import write_table

EVIL = "<script>console.error('class')</script>"
CLASSES = ("crab", "eel", EVIL)
COUNTS = {"train": 24, "validation": 15, "test": 9}


def make_run(folder, seed=0, demonstration=False, right=0.7):
    """A finished run of 48 images of 48x64, one of them with a script for a name, and one unusable."""
    rng = np.random.default_rng(seed)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows, probabilities = [], []
    for split, count in COUNTS.items():
        for number in range(count):
            name = f"{split}_{number}.jpg" if number else f"{split}_<img src=x onerror=alert(1)>.jpg"
            draw_image(("crab", "eel", "ray")[number % 3], seed=number).save(pictures / name)
            rows.append([f"{split}/{name}", str(pictures / name), split, CLASSES[number % 3], "", 64, 48, 1.0, ""])
            likely = number % 3 if rng.random() < right else rng.integers(3)
            probabilities.append(rng.dirichlet(np.eye(3)[likely] * 6 + 0.5))
    columns = ["image_id", "path", "split", "class_name", "group", "width", "height", "share", "problem"]
    good = pd.DataFrame(rows, columns=columns)
    bad = good.iloc[[0]].assign(image_id="train/none.jpg", class_name="", problem="no box")
    write_table(folder / "catalog.csv", pd.concat([good, bad]))
    table = make_table(good["image_id"], good["split"], good["class_name"], np.array(probabilities), CLASSES)
    write_predictions(table, folder / "predictions.csv")
    write_json(folder / "metrics.json", {split: classification_metrics(t) for split, t in by_split(table).items()})
    contract = {"class_names": CLASSES, "image": asdict(ImageSpec()), "demonstration": demonstration}
    contract["data_dirs"] = [str(pictures)]
    write_json(folder / "contract.json", contract)
    write_json(folder / "environment.json", {"command": "run.py pretrain --seed 1", "python": "3.12", "cores": 2})
    timing = {
        "best_epoch": 11,
        "train_seconds": 61.25,
        "seconds_per_epoch": 5.1,
        "parameters": 123456,
        "device": "cpu",
        "epochs": 12,
    }
    write_json(folder / "timing.json", timing | {"latency_ms_per_image": 3.0, "trainable_parameters": 900})
    write_json(
        folder / "recipe.json",
        {
            "name": "tank",
            "title": "Three classes in a tank",
            "data": {"name": "tank", "split_by": None},
            "image": {"height": 48, "width": 64, "fit": "pad"},
            "training": {"learning_rate": 1e-4, "monitor": "val_loss", "augmentation": None},
            "published": {
                "validation": {"accuracy": "0.7333", "macro_f1": "0.70", "n": 15},
                "test": {"accuracy": "0.9263", "n": 9},
                "elsewhere": {"accuracy": "0.5"},
            },
            "budget": "",
        },
    )
    epochs = np.arange(1, 13)
    loss = 1.1 * np.exp(-epochs / 6) + rng.normal(0, 0.02, 12)
    history = {"epoch": epochs, "loss": loss, "accuracy": 1 - loss / 1.3, "val_loss": loss + 0.004 * (epochs - 7) ** 2}
    history |= {"val_accuracy": 1 - history["val_loss"] / 1.3, "learning_rate": np.where(epochs < 8, 1e-3, 2e-4)}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    return folder


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
    write_json(folder / "study.json", {"name": "grid", "title": "A grid", "demonstration": True, "cells": cells})
    table = {"name": names, "learning_rate": [1e-3, 1e-3, 5e-4], "test_n": 9, "pipe|d": [0.5, None, 0.25]}
    pd.DataFrame({**table, "best": [True, False, False]}).to_csv(folder / "table.csv", index=False)
    return folder


def open_in_browser(page, tmp_path):
    """The page's elements after its scripts would have run, and what the browser complained of."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("needs a browser: neither chromium nor chrome is installed")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    log = ["--enable-logging=stderr", "--v=0"]
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        *log,
        profile,
        "--dump-dom",
        page.as_uri(),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return answer.stdout, [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


def assert_self_contained(html):
    loads = re.findall(r"""(?:src|href)=["']([^"']*)|url\(["']?([^"')]*)""", html)
    loads = [attribute or address for attribute, address in loads]
    assert loads
    assert not [load for load in loads if not load.startswith(("#", "data:"))]
    assert "<script" not in html


def test_run_page_opens_and_says_what_a_reader_wants(run_folder, tmp_path):
    page = write_run_report(run_folder)
    html, complaints = open_in_browser(page, tmp_path)
    assert not complaints
    assert page == run_folder / "report.html"
    for text in (
        "<h1>Three classes in a tank</h1>",
        "best: epoch 11",
        "Of 15 validation images",
        "no k/9 gives 0.9263",
        "consistent",
        "not run here",
        "no box",
        "run.py pretrain --seed 1",
        "0.0001",
        "123,456",
        "read_pixels",
        "n=15",
    ):
        assert text in html
    # curves, and for each of three splits two matrices and the class bars
    assert html.count("<figure>") == html.count("<svg") == html.count("<figcaption>") == 10
    assert "Demonstration" not in html


def test_run_page_is_self_contained_and_escapes_names(run_folder):
    html = write_run_report(run_folder).read_text(encoding="utf-8")
    assert_self_contained(html)
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html
    assert "data:image/jpeg;base64," in html


def test_run_page_keeps_its_figures_as_png(run_folder):
    write_run_report(run_folder)
    names = {path.name for path in (run_folder / "figures").iterdir()}
    assert {"curves.png", "confusion_test.png", "confusion_test_shares.png", "classes_validation.png"} <= names
    assert all(name.endswith(".png") for name in names)


def test_run_page_is_the_same_twice(run_folder):
    assert write_run_report(run_folder).read_bytes() == write_run_report(run_folder).read_bytes()


def test_demonstration_is_said_on_the_page_and_in_every_figure(tmp_path):
    html = write_run_report(make_run(tmp_path / "run", demonstration=True)).read_text(encoding="utf-8")
    assert "These figures say nothing about real animals." in html
    assert html.count("demonstration: drawn pictures") == html.count("<svg")
    assert "not comparable" in html  # the published figures are about photographs


def test_run_page_leaves_out_what_a_run_does_not_have(run_folder):
    for name in ("history.csv", "catalog.csv", "environment.json", "timing.json", "metrics.json"):
        (run_folder / name).unlink()
    write_json(run_folder / "recipe.json", {"name": "tank"})
    html = write_run_report(run_folder).read_text(encoding="utf-8")
    assert "<h1>tank</h1>" in html
    assert 'id="training"' not in html
    assert 'id="left-out"' not in html
    assert "file not found" in html
    assert "Of 15 validation images" in html


def test_run_without_predictions_is_refused(run_folder):
    (run_folder / "predictions.csv").unlink()
    with pytest.raises(ValueError, match=r"has no predictions.csv.*resume it"):
        write_run_report(run_folder)


def test_a_run_on_a_smaller_budget_is_not_judged(run_folder):
    recipe = json.loads((run_folder / "recipe.json").read_text(encoding="utf-8"))
    write_json(run_folder / "recipe.json", {**recipe, "budget": "2 epochs"})
    html = write_run_report(run_folder).read_text(encoding="utf-8")
    assert "smaller than its recipe (2 epochs)" in html
    assert "reduced budget" in html
    assert "not attainable" not in html


def test_study_page_compares_its_runs(study_folder, tmp_path):
    page = write_study_report(study_folder)
    html, complaints = open_in_browser(page, tmp_path)
    assert not complaints
    assert_self_contained(page.read_text(encoding="utf-8"))
    assert "four_conv is best on validation" in html
    assert "McNemar p=" in html
    assert "Demonstration on drawn pictures." in html
    assert html.count("<svg") == 1 + 2 * 3
    assert re.search(r'<tr class="best">\s*<td>four_conv', html)


def test_study_table_in_markdown(study_folder):
    write_study_report(study_folder)
    lines = (study_folder / "table.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "| name | learning_rate | test_n | pipe\\|d |"
    assert lines[2] == "| **four_conv** | **0.001** | **9** | **0.500** |"
    assert lines[3] == "| NA | 0.001 | 9 |  |"


def test_a_study_that_selects_on_test_says_that_this_flatters(study_folder):
    about = read_json(study_folder / "study.json")
    write_json(study_folder / "study.json", about | {"select_on": "test"})
    html = write_study_report(study_folder).read_text(encoding="utf-8")
    assert "four_conv is best on test" in html and "test is only reported" not in html
    assert html.count("hosen on test, so its test score is optimistic") == 2


def test_study_of_different_images_is_not_compared(study_folder):
    path = study_folder / "runs" / "1" / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("validation/", "validation/other_"), encoding="utf-8")
    html = write_study_report(study_folder).read_text(encoding="utf-8")
    assert "was judged on other images" in html


@pytest.mark.parametrize(("keep", "best", "said"), [(1, True, "four_conv is best"), (3, False, "No row is marked")])
def test_study_of_one_row_or_of_no_best(study_folder, keep, best, said):
    table = pd.read_csv(study_folder / "table.csv", keep_default_na=False).head(keep)
    table.assign(best=[best] + [False] * (keep - 1)).to_csv(study_folder / "table.csv", index=False)
    html = write_study_report(study_folder).read_text(encoding="utf-8")
    assert said in html
    assert "Against the next" not in html


def test_folder_without_a_table_is_no_study(study_folder):
    (study_folder / "table.csv").unlink()
    with pytest.raises(ValueError, match=r"has no table.csv"):
        write_study_report(study_folder)


def test_other_pages_share_the_base():
    html = render("base.html", title="A & B", demonstration=False)
    assert "<h1>A &amp; B</h1>" in html
    assert "prefers-color-scheme" in html


def test_thumbnail_of_no_image_is_none(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert thumbnail(tmp_path / "broken.jpg") is None
    assert thumbnail(tmp_path / "absent.jpg") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (61.25, "61.2"),
        (0.0, "0.000"),
        (6.47e-5, "6.47e-05"),
        (1234567, "1,234,567"),
        (float("nan"), ""),
        (True, "True"),
        ("a", "a"),
    ],
)
def test_numbers_are_written_for_a_reader(value, text):
    assert number_text(value) == text


def test_settings_are_flattened_into_words():
    settings = {"image": {"canvas_px": None, "sizes": [3, 5]}, "balanced": False, "augmentation": {}}
    expected = [("image canvas px", "none"), ("image sizes", "3, 5"), ("balanced", "no"), ("augmentation", "none")]
    assert flat(settings) == expected
