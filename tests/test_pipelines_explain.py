"""`explain`, from Python and the shell: pictures, a table, a page, and metrics of the heat saved in the run."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image, killed, make_demonstration, refused, shown
from keras import layers
from pages import assert_self_contained

import marinecv as mcv
from marinecv.explain import cam  # after which `mcv.explain` is still the function
from marinecv.explain.localization import read_localization
from marinecv.runs import Run
from marinecv.workflows import explain
from marinecv.workflows.explain import CASES_A_CLASS, choose_examples
from pipelines.cli import main


@pytest.fixture
def run_copy(run_copy):
    """Without what is known of its own model and preprocessing alone."""
    (run_copy / "calibration.json").unlink()
    return run_copy


def rows_of(folder):
    return pd.read_csv(folder / "explanations.csv", keep_default_na=False)


@pytest.mark.slow
def test_a_split_has_examples_and_metrics_from_python_and_the_shell(run_copy, capsys):
    explanation = mcv.explain(run_copy, log=None)
    assert capsys.readouterr() == ("", "") and cam.__name__ == "marinecv.explain.cam"
    saved = read_localization(Run(run_copy))
    pd.testing.assert_frame_equal(explanation.localization.reset_index(drop=True), saved, check_exact=False)
    folder = run_copy / "explanations" / "gradcam"
    assert explanation.report == folder / "explanation.html" and explanation.report.is_file()
    assert str(explanation) == f"3 explained\n{explanation.report}"
    printed = shown(capsys, "explain", run_copy)
    rows = rows_of(folder)
    known = pd.read_csv(run_copy / "predictions.csv").query("split == 'validation'").set_index("image_id")
    assert sorted(rows["image_id"]) == sorted(known.index) == sorted(explanation.cases["image_id"])
    for row in rows.itertuples():
        assert row.true_class == known.loc[row.image_id, "true_class"]
        assert row.predicted_class == known.loc[row.image_id, "predicted_class"]
        assert row.probability == pytest.approx(known.loc[row.image_id, f"p_{row.predicted_class}"], abs=1e-5)
        assert (folder / row.picture).is_file() if not row.problem else "no heat" in row.problem
    html = (folder / "explanation.html").read_text(encoding="utf-8")
    assert_self_contained(html)
    assert "Grad-CAM at relu4" in html and 'id="heat-in-box"' in html

    figures = read_localization(Run(run_copy)).set_index(["class_name", "measure"])
    assert set(figures["split"]) == {"validation"} and set(figures["layer"]) == {"relu4"}
    right = (known["true_class"] == known["predicted_class"]).mean()
    assert figures.loc[("all", "accuracy"), ["value", "n"]].tolist() == pytest.approx([right, 3])
    assert figures.loc[("crab", "area"), "value"] == pytest.approx(36 * 30 / (64 * 48), abs=1e-6)
    assert f"accuracy                     {right:.3f}" in printed and f"{explanation.report}\n" in printed
    assert len(pd.read_csv(folder / "boxes.csv")) == 3
    assert 'id="heat-in-box"' in (run_copy / "report.html").read_text(encoding="utf-8")
    assert not [path for path in folder.parent.iterdir() if path.name not in ("gradcam", ".lock")]


@pytest.mark.slow
def test_a_test_evaluation_is_logged_and_an_earlier_page_is_replaced(run_copy, capsys):
    before = (run_copy / "log.txt").read_text().count("test evaluation")
    shown(capsys, "explain", run_copy, "--method", "saliency")
    folder = run_copy / "explanations" / "saliency"
    (folder / "mine.txt").write_text("old")
    said = shown(capsys, "explain", run_copy, "--method", "saliency", "--split", "test")
    assert f"The older {folder} is replaced." in said
    assert set(rows_of(folder)["split"]) == {"test"} and not (folder / "mine.txt").exists()
    assert (run_copy / "log.txt").read_text().count("test evaluation: explain") == 1
    assert (run_copy / "log.txt").read_text().count("test evaluation") == before + 1
    assert read_localization(Run(run_copy)) is None  # only Grad-CAM is held against the boxes


def test_an_earlier_page_stays_if_a_run_is_interrupted(run_copy, capsys, monkeypatch):
    shown(capsys, "explain", run_copy, "--method", "saliency")
    folder = run_copy / "explanations" / "saliency"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    monkeypatch.setattr(explain, "draw_examples", killed)
    assert main(["explain", str(run_copy), "--method", "saliency"]) == 130
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in sorted(folder.parent.iterdir())] == [".lock", "saliency"]


def test_with_a_limit_the_metrics_are_shown_and_not_saved(run_copy, capsys):
    assert "n=2)" in shown(capsys, "explain", run_copy, "--limit", "2") and read_localization(Run(run_copy)) is None
    page = run_copy / "explanations" / "gradcam" / "explanation.html"
    assert 'id="heat-in-box"' in page.read_text(encoding="utf-8") and len(rows_of(page.parent)) == 2


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "my photos"
    (folder / "deep").mkdir(parents=True)
    draw_image("crab", 1).save(folder / "a b.JPG")
    draw_image("eel", 2).resize((90, 200)).save(folder / "deep" / "=tall.png")
    (folder / "text.jpg").write_text("no picture")
    return folder


def test_files_of_ones_own_are_explained_and_a_broken_one_is_a_row(run_copy, photos, capsys):
    said = shown(capsys, "explain", run_copy, photos, "--method", "saliency")
    assert "2 explained, 1 not (column problem)" in said
    folder = run_copy / "explanations" / "saliency"
    rows = rows_of(folder).set_index("image_id")
    assert sorted(rows.index) == sorted(str(path) for path in photos.rglob("*.*"))
    assert "cannot be read" in rows.loc[str(photos / "text.jpg"), "problem"]
    assert sorted(rows["picture"]) == ["", "001-a_b.png", "002-_tall.png"]
    assert "text.jpg" in (folder / "explanation.html").read_text(encoding="utf-8")
    assert "explain" not in (run_copy / "log.txt").read_text()
    assert "0 explained, 1 not" in shown(capsys, "explain", run_copy, photos / "text.jpg", code=1)
    shown(capsys, "explain", run_copy, photos / "deep", photos / "a b.JPG", "--limit", "1")
    assert len(rows_of(folder.with_name("gradcam"))) == 1


def test_a_dead_gradient_is_a_row_that_names_the_image_and_the_reason(run_copy, capsys):
    pixels = keras.Input((32, 32, 3), name="pixels")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, activation="relu", name="conv")(pixels))
    constant = keras.Model(pixels, layers.Dense(3, activation="softmax", kernel_initializer="zeros")(x))
    constant.compile(loss="categorical_crossentropy")
    constant.save(run_copy / "model.keras")
    assert "0 explained, 3 not (column problem)" in shown(capsys, "explain", run_copy, code=1)
    folder = run_copy / "explanations" / "gradcam"
    rows = rows_of(folder)
    assert rows["problem"].str.startswith("no heat: ").all() and (rows["picture"] == "").all()
    html = (folder / "explanation.html").read_text(encoding="utf-8")
    assert all(image_id in html for image_id in rows["image_id"])
    figures = read_localization(Run(run_copy)).query("class_name == 'all'").set_index("measure")
    assert figures.loc["heat", "n"] == 0 and figures.loc["accuracy", "n"] == 3


@pytest.mark.slow
def test_without_boxes_or_data_one_line_says_so(run_copy, shared_tank, tmp_path, capsys):
    moved = shutil.copytree(shared_tank, tmp_path / "moved")
    for name in ("catalog.csv", "preprocessing.json"):
        (run_copy / name).write_text((run_copy / name).read_text().replace(str(shared_tank), str(moved)))
    for split in ("train", "valid", "test"):
        (moved / split / "_annotations.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n")
    assert shown(capsys, "explain", run_copy).count("No boxes are known") == 1
    assert read_localization(Run(run_copy)) is None
    for split in ("train", "valid", "test"):
        (moved / split / "_annotations.csv").unlink()
    printed = shown(capsys, "explain", run_copy)
    assert "cannot be read: No known layout in" in printed and "No boxes are known" in printed
    assert "No known layout" in refused(capsys, "explain", run_copy, "--data-dir", moved)
    shutil.rmtree(moved)
    printed = shown(capsys, "explain", run_copy, code=1)
    assert "No boxes are known" in printed and "0 explained, 3 not" in printed
    assert "name their folder with --data-dir" in printed
    assert "n=3)" in shown(capsys, "explain", run_copy, "--data-dir", shared_tank)
    other = tmp_path / "other"
    (other / "crab").mkdir(parents=True)
    draw_image("crab", 1).save(other / "crab" / "a.jpg")
    error = refused(capsys, "explain", run_copy, "--data-dir", other)
    assert f"None of the images of {run_copy} lies in {other}" in error
    catalog = mcv.read_catalog(mcv.find_data(None, shared_tank))
    assert mcv.explain(run_copy, data=catalog, limit=2, log=None).localization is None


def test_a_split_and_a_layer_that_are_not_there(run_copy, capsys):
    assert "no layer 'relu5'. Did you mean 'relu4'" in refused(capsys, "explain", run_copy, "--layer", "relu5")
    assert "saliency uses pixels" in refused(capsys, "explain", run_copy, "--method", "saliency", "--layer", "relu4")
    catalog = pd.read_csv(run_copy / "catalog.csv", keep_default_na=False)
    catalog.query("split != 'test'").to_csv(run_copy / "catalog.csv", index=False)
    error = refused(capsys, "explain", run_copy, "--split", "test")
    assert "The split test has no usable image. Expected one of" in error
    assert not (run_copy / "explanations" / "gradcam").exists()


def test_what_explain_refuses(run_copy, photos, capsys):
    assert "There is no nowhere" in refused(capsys, "explain", run_copy, "nowhere")
    assert "A path of images cannot be combined with --data." in refused(
        capsys, "explain", run_copy, photos, "--data", "reef"
    )
    with pytest.raises(ValueError, match="Leave out either images or data="):
        mcv.explain(run_copy, photos, data="reef", log=None)
    predictions = run_copy / "predictions.csv"
    text = predictions.read_text()
    predictions.write_text(text.replace("valid/", "elsewhere/"))
    assert "none of the 3 images of the split validation" in refused(capsys, "explain", run_copy)
    predictions.unlink()
    assert f"Continue it with --resume {run_copy}" in refused(capsys, "explain", run_copy)
    predictions.write_text(text)
    make_demonstration(run_copy)
    assert "generated demo images" in refused(capsys, "explain", run_copy, photos)
    shown(capsys, "explain", run_copy)
    assert "Demonstration" in (run_copy / "explanations/gradcam/explanation.html").read_text(encoding="utf-8")


def test_a_model_that_takes_attributes_is_refused(run_copy, capsys):
    pixels, attributes = keras.Input((32, 32, 3), name="pixels"), keras.Input((2,), name="attributes")
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(pixels)), attributes])
    keras.Model([pixels, attributes], layers.Dense(3, activation="softmax")(x)).save(run_copy / "model.keras")
    assert "takes attributes beside the image" in refused(capsys, "explain", run_copy)


def test_cases_are_a_few_right_and_wrong_of_each_class_drawn_by_seed():
    rng = np.random.default_rng(0)
    classes = np.array(["crab", "eel"])
    table = pd.DataFrame({"image_id": range(60), "true_class": classes[rng.integers(0, 2, 60)]})
    table["predicted_class"] = classes[rng.integers(0, 2, 60)]
    table = pd.concat([table, pd.DataFrame({"image_id": [99], "true_class": [""], "predicted_class": ["eel"]})])
    cases = choose_examples(table, ("eel", "crab"), seed=1)
    right = cases["true_class"] == cases["predicted_class"]
    assert list(cases["true_class"]) == ["eel"] * 2 * CASES_A_CLASS + ["crab"] * 2 * CASES_A_CLASS
    assert list(right) == ([True] * CASES_A_CLASS + [False] * CASES_A_CLASS) * 2
    assert cases["image_id"].is_unique and 99 not in set(cases["image_id"])
    assert list(choose_examples(table, ("eel", "crab"), seed=1)["image_id"]) == list(cases["image_id"])
    assert list(choose_examples(table, ("eel", "crab"), seed=2)["image_id"]) != list(cases["image_id"])
