"""The page of an explanation shows heat where it is and every name as text, and is self-contained."""

import re

import numpy as np
import pandas as pd
import pytest
from pages import NAMES, assert_harmless, assert_self_contained, make_run, shown
from PIL import Image

from marinecv.explain.localization import MEASURES, save_localization
from marinecv.inputs.spec import ImageSpec
from marinecv.report import explain_page
from marinecv.report.explain_page import MEASURE_NAMES, SIDE_PX, TITLES, overlay_pictures, write_explanation
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run

BOX = pd.DataFrame([{"xmin": 40, "ymin": 10, "xmax": 60, "ymax": 40}])


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (64, 48), (0, 40, 90)).save(tmp_path / "sea.png")
    return tmp_path / "sea.png"


@pytest.mark.parametrize(
    "spec", [ImageSpec(height=32, width=32, letterbox_px=128), ImageSpec(height=24, width=20, fit="stretch")]
)
def test_heat_on_the_left_of_the_tensor_is_on_the_left_of_the_picture(picture, spec):
    heat = np.zeros(spec.shape[:2], np.float32)
    heat[:, : spec.width // 2] = 1
    plain, overlay = map(np.asarray, overlay_pictures(picture, heat, spec))
    changed = (plain != overlay).any(axis=2)
    assert plain.shape == overlay.shape == (48, 64, 3)
    assert changed[:, :29].all() and not changed[:, 35:].any()


def test_heat_on_padding_is_not_shown(picture):
    spec = ImageSpec(height=32, width=32, letterbox_px=128)
    heat = np.ones((32, 32), np.float32)
    heat[10:22, 8:24] = 0  # the picture
    plain, overlay = map(np.asarray, overlay_pictures(picture, heat, spec))
    inside = slice(3, -3)  # at the edge heat is drawn as smooth as elsewhere
    np.testing.assert_array_equal(plain[inside, inside], overlay[inside, inside])


def test_boxes_are_framed_on_both_and_shrink_with_the_picture(tmp_path):
    Image.new("RGB", (4 * SIDE_PX, 2 * SIDE_PX)).save(tmp_path / "large.png")
    spec, boxes = ImageSpec(height=8, width=8, fit="stretch"), BOX * 8
    for image in overlay_pictures(tmp_path / "large.png", np.zeros((8, 8)), spec, boxes):
        assert image.size == (SIDE_PX, SIDE_PX // 2)
        rows, columns = np.asarray(image).any(axis=2).nonzero()
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (80, 20, 120, 80)


def some_figures(run, split="validation", names=("all", "crab")):
    rows = [(name, measure, 0.5, 0.25, 0.75, 7) for name in names for measure in MEASURES]
    figures = pd.DataFrame(rows, columns=["class_name", "measure", "value", "low", "high", "n"])
    figures.loc[figures["class_name"] == "crab", ["value", "low", "high"]] = np.nan
    figures.loc[figures["class_name"] == "crab", "n"] = 0
    return save_localization(run, split, "conv", "#102030", figures)


def test_every_measure_has_a_name_and_a_class_without_images_an_empty_row(tmp_path):
    run = Run(make_run(tmp_path / "run"))
    assert "heat-in-box" not in write_run_report(run.folder).read_text(encoding="utf-8")
    [table] = explain_page.localization_tables(some_figures(run))
    assert set(MEASURE_NAMES) == set(MEASURES) and explain_page.localization_tables(None) == []
    assert [row["class_name"] for row in table["rows"]] == ["all", "crab"] and table["layer"] == "conv"
    html = write_run_report(run.folder).read_text(encoding="utf-8")
    assert '<a href="#heat-in-box">' in html and "0.500 <small>0.250 to 0.750</small>" in html
    assert "#102030" in html and not re.search(r"\bnan\b", re.sub('src="[^"]*"', "", html), re.IGNORECASE)


def test_the_page_shows_every_name_and_runs_none(picture, tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    case = {"path": str(picture), "true_class": NAMES[0], "predicted_class": "eel", "probability": 0.5}
    source = explain_page.save_overlay(
        folder / "a.png", case, np.ones((8, 8)), ImageSpec(height=8, width=8), demonstration=True
    )
    with Image.open(folder / "a.png") as image:
        assert image.width == 900 and source.startswith("data:image/jpeg;base64,")
    cases = pd.DataFrame({"image_id": NAMES, "true_class": NAMES, "predicted_class": NAMES[::-1], "probability": 0.5})
    cases = cases.assign(problem="", source=source)
    cases.loc[3, "problem"] = f"no heat in {NAMES[1]}"
    figures = some_figures(Run(make_run(tmp_path / "run")), names=NAMES)
    page = write_explanation(folder, NAMES[0], "gradcam", NAMES[1], cases, figures, demonstration=True)
    assert_self_contained(page.read_text(encoding="utf-8"))
    text = shown(assert_harmless(page, tmp_path))
    assert all(" ".join(name.split()) in text for name in NAMES) and "Demonstration on generated images" in text
    assert "21 images" in text and "1 could not be explained" in text


@pytest.mark.parametrize("method", TITLES)
def test_a_page_of_many_images_shows_the_first_and_says_where_the_others_are(tmp_path, monkeypatch, method):
    monkeypatch.setattr("marinecv.report.explain_page.MOST_ON_PAGE", 2)
    cases = pd.DataFrame({"image_id": list("abc"), "true_class": "", "predicted_class": "eel", "probability": 0.5})
    page = write_explanation(tmp_path, "t", method, "", cases.assign(problem="", source="data:,"))
    html = page.read_text(encoding="utf-8")
    assert html.count("<li ") == 2 and "1 more images" in html
    assert TITLES[method] in html
