"""`explain`: pictures, a table and a page; figures of heat kept in the run; one line where there is nothing to tell."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image, draw_tank
from keras import layers
from pages import assert_self_contained

from marinecv.explain.figures import read_figures
from marinecv.explain.gallery import CASES_A_CLASS, choose_cases
from marinecv.runs import Run
from marinecv.workflows import explain
from pipelines.cli import main


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A finished run that a test may change; without what is known of its own model and contract alone."""
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    (copy / "calibration.json").unlink()
    return copy


def shown(capsys, *words, code=0):
    assert main(["explain", *(str(word) for word in words)]) == code
    return capsys.readouterr().out


def refused(capsys, *words):
    assert main(["explain", *(str(word) for word in words)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def rows_of(folder):
    return pd.read_csv(folder / "explanations.csv", keep_default_na=False)


def test_a_gallery_and_figures_of_a_split(run_copy, capsys):
    said = shown(capsys, run_copy)
    folder = run_copy / "explanations" / "gradcam"
    rows = rows_of(folder)
    known = pd.read_csv(run_copy / "predictions.csv").query("split == 'validation'").set_index("image_id")
    assert sorted(rows["image_id"]) == sorted(known.index) and f"{folder / 'explanation.html'}\n" in said
    for row in rows.itertuples():
        assert row.true_class == known.loc[row.image_id, "true_class"]
        assert row.predicted_class == known.loc[row.image_id, "predicted_class"]
        assert row.probability == pytest.approx(known.loc[row.image_id, f"p_{row.predicted_class}"], abs=1e-5)
        assert (folder / row.picture).is_file() if not row.problem else "no heat" in row.problem
    html = (folder / "explanation.html").read_text(encoding="utf-8")
    assert_self_contained(html)
    assert "Grad-CAM at the layer relu4" in html and 'id="heat-in-box"' in html

    figures = read_figures(Run(run_copy)).set_index(["class_name", "measure"])
    assert set(figures["split"]) == {"validation"} and set(figures["layer"]) == {"relu4"}
    right = (known["true_class"] == known["predicted_class"]).mean()
    assert figures.loc[("all", "accuracy"), ["value", "n"]].tolist() == pytest.approx([right, 3])
    assert figures.loc[("crab", "area"), "value"] == pytest.approx(36 * 30 / (64 * 48), abs=1e-6)
    assert f"accuracy                     {right:.3f}" in said
    assert len(pd.read_csv(folder / "boxes.csv")) == 3
    assert 'id="heat-in-box"' in (run_copy / "report.html").read_text(encoding="utf-8")
    assert not [path for path in folder.parent.iterdir() if path.name not in ("gradcam", ".lock")]


def test_a_look_at_test_is_written_down_and_what_was_there_is_replaced(run_copy, capsys):
    before = (run_copy / "log.txt").read_text().count("looked at test")
    shown(capsys, run_copy, "--method", "saliency")
    folder = run_copy / "explanations" / "saliency"
    (folder / "mine.txt").write_text("old")
    assert f"What lay in {folder} is replaced." in shown(capsys, run_copy, "--method", "saliency", "--on", "test")
    assert set(rows_of(folder)["split"]) == {"test"} and not (folder / "mine.txt").exists()
    assert (run_copy / "log.txt").read_text().count("looked at test: explain") == 1
    assert (run_copy / "log.txt").read_text().count("looked at test") == before + 1
    assert read_figures(Run(run_copy)) is None  # only Grad-CAM is held against the boxes


def test_what_was_there_stays_where_a_run_is_interrupted(run_copy, capsys, monkeypatch):
    shown(capsys, run_copy, "--method", "saliency")
    folder = run_copy / "explanations" / "saliency"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(explain, "draw_cases", interrupted)
    assert main(["explain", str(run_copy), "--method", "saliency"]) == 130
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in sorted(folder.parent.iterdir())] == [".lock", "saliency"]


def test_with_a_limit_the_figures_are_shown_and_not_kept(run_copy, capsys):
    said = shown(capsys, run_copy, "--limit", "2")
    assert "n=2)" in said and read_figures(Run(run_copy)) is None
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
    said = shown(capsys, run_copy, photos, "--method", "saliency")
    assert "2 explained, 1 not (column problem)" in said
    folder = run_copy / "explanations" / "saliency"
    rows = rows_of(folder).set_index("image_id")
    assert sorted(rows.index) == sorted(str(path) for path in photos.rglob("*.*"))
    assert "cannot be read" in rows.loc[str(photos / "text.jpg"), "problem"]
    assert sorted(rows["picture"]) == ["", "001-a_b.png", "002-_tall.png"]
    assert "text.jpg" in (folder / "explanation.html").read_text(encoding="utf-8")
    assert "explain" not in (run_copy / "log.txt").read_text()
    assert "0 explained, 1 not" in shown(capsys, run_copy, photos / "text.jpg", code=1)
    shown(capsys, run_copy, photos / "deep", photos / "a b.JPG", "--limit", "1")
    assert len(rows_of(folder.with_name("gradcam"))) == 1


def deaf(shape, classes):
    """A model whose answer does not depend on the image, so that nothing has a gradient."""
    pixels = keras.Input(shape, name="pixels")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, activation="relu", name="conv")(pixels))
    model = keras.Model(pixels, layers.Dense(classes, activation="softmax", kernel_initializer="zeros")(x))
    model.compile(loss="categorical_crossentropy")
    return model


def test_a_dead_gradient_is_a_row_that_names_the_image_and_what_it_means(run_copy, capsys):
    deaf((32, 32, 3), 3).save(run_copy / "model.keras")
    said = shown(capsys, run_copy, code=1)
    assert "0 explained, 3 not (column problem)" in said
    folder = run_copy / "explanations" / "gradcam"
    rows = rows_of(folder)
    assert rows["problem"].str.startswith("no heat: ").all() and (rows["picture"] == "").all()
    html = (folder / "explanation.html").read_text(encoding="utf-8")
    assert all(image_id in html for image_id in rows["image_id"]) and "gives every image the same answer" in html
    figures = read_figures(Run(run_copy)).query("class_name == 'all'").set_index("measure")
    assert figures.loc["heat", "n"] == 0 and figures.loc["accuracy", "n"] == 3


def test_without_boxes_one_line_says_so(run_copy, shared_tank, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(shared_tank, moved)
    for name in ("catalog.csv", "contract.json"):
        (run_copy / name).write_text((run_copy / name).read_text().replace(str(shared_tank), str(moved)))
    for split in ("train", "valid", "test"):
        (moved / split / "_annotations.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n")
    said = shown(capsys, run_copy)
    assert said.count("No boxes are known of these images") == 1 and read_figures(Run(run_copy)) is None
    for split in ("train", "valid", "test"):
        (moved / split / "_annotations.csv").unlink()
    said = shown(capsys, run_copy)
    assert (
        "The boxes of these images cannot be read: No known layout in" in said
        and "No boxes are known of these images" in said
    )
    assert "No known layout" in refused(capsys, run_copy, "--data-dir", moved)
    shutil.rmtree(moved)
    assert "No boxes are known of these images" in shown(capsys, run_copy, code=1)


def test_data_that_has_moved_is_found_where_the_flag_says(run_copy, shared_tank, tmp_path, capsys):
    catalog = (run_copy / "catalog.csv").read_text().replace(str(shared_tank), f"{shared_tank}/gone")
    (run_copy / "catalog.csv").write_text(catalog)
    said = shown(capsys, run_copy, code=1)
    assert "0 explained, 3 not" in said and "If they have moved, name their folder with --data-dir." in said
    assert "n=3)" in shown(capsys, run_copy, "--data-dir", shared_tank)
    other = draw_tank(tmp_path / "other")
    for split in ("train", "valid", "test"):
        (other / split / "_annotations.csv").unlink()
        for path in list((other / split).iterdir()):
            (other / split / "crab").mkdir(exist_ok=True)
            path.rename(other / split / "crab" / path.name)
    assert f"None of the images of {run_copy} lies in {other}." in refused(capsys, run_copy, "--data-dir", other)


def test_a_split_and_a_layer_that_are_not_there(run_copy, capsys):
    assert "no layer 'relu5'. Did you mean 'relu4'" in refused(capsys, run_copy, "--layer", "relu5")
    assert "saliency looks at pixels" in refused(capsys, run_copy, "--method", "saliency", "--layer", "relu4")
    catalog = pd.read_csv(run_copy / "catalog.csv", keep_default_na=False)
    catalog.query("split != 'test'").to_csv(run_copy / "catalog.csv", index=False)
    assert "The split test has no usable image. Expected one of" in refused(capsys, run_copy, "--on", "test")
    assert not (run_copy / "explanations" / "gradcam").exists()


def test_what_explain_refuses(run_copy, photos, capsys):
    assert "There is no nowhere. Expected an image file or a folder." in refused(capsys, run_copy, "nowhere")
    assert "Images of your own are explained as they are. Leave them out, or --data-dir." in refused(
        capsys, run_copy, photos, "--data", "reef"
    )
    predictions = run_copy / "predictions.csv"
    kept = predictions.read_text()
    predictions.write_text(kept.replace("valid/", "elsewhere/"))
    assert "knows none of the 3 images of the split validation" in refused(capsys, run_copy)
    predictions.unlink()
    assert f"Go on with --resume {run_copy}, or name images of your own." in refused(capsys, run_copy)
    predictions.write_text(kept)
    contract = json.loads((run_copy / "contract.json").read_text())
    (run_copy / "contract.json").write_text(json.dumps({**contract, "demonstration": True}))
    assert "trained on drawn pictures" in refused(capsys, run_copy, photos)
    assert "Demonstration on generated images" in (
        shown(capsys, run_copy) and (run_copy / "explanations/gradcam/explanation.html").read_text(encoding="utf-8")
    )


def test_a_model_that_takes_attributes_is_explained_from_python(run_copy, capsys):
    pixels, told = keras.Input((32, 32, 3), name="pixels"), keras.Input((2,), name="attributes")
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(pixels)), told])
    keras.Model([pixels, told], layers.Dense(3, activation="softmax")(x)).save(run_copy / "model.keras")
    assert "takes attributes beside the image" in refused(capsys, run_copy)


def test_cases_are_a_few_right_and_wrong_of_each_class_drawn_by_seed():
    rng = np.random.default_rng(0)
    classes = np.array(["crab", "eel"])
    table = pd.DataFrame({"image_id": range(60), "true_class": classes[rng.integers(0, 2, 60)]})
    table["predicted_class"] = classes[rng.integers(0, 2, 60)]
    table = pd.concat([table, pd.DataFrame({"image_id": [99], "true_class": [""], "predicted_class": ["eel"]})])
    cases = choose_cases(table, ("eel", "crab"), seed=1)
    right = cases["true_class"] == cases["predicted_class"]
    assert list(cases["true_class"]) == ["eel"] * 2 * CASES_A_CLASS + ["crab"] * 2 * CASES_A_CLASS
    assert list(right) == ([True] * CASES_A_CLASS + [False] * CASES_A_CLASS) * 2
    assert cases["image_id"].is_unique and 99 not in set(cases["image_id"])
    assert list(choose_cases(table, ("eel", "crab"), seed=1)["image_id"]) == list(cases["image_id"])
    assert list(choose_cases(table, ("eel", "crab"), seed=2)["image_id"]) != list(cases["image_id"])
