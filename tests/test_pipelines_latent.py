"""`latent`: a page, figures and tables in the run; the same again costs nothing; one line where it cannot be."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from keras import layers
from pages import assert_self_contained

import marinecv as mcv
from marinecv.data.user_tables import usable
from marinecv.evaluation.latent import latent_points
from marinecv.features import bank
from marinecv.features.embeddings import embed
from marinecv.workflows import latent
from pipelines.cli import main

ALL = ("--on", "train", "validation", "test")


@pytest.fixture(autouse=True)
def few_halves(monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 5)


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A finished run that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "copy")


def shown(capsys, *words):
    assert main(["latent", *(str(word) for word in words)]) == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    assert main(["latent", *(str(word) for word in words)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def read(run, name):
    return pd.read_csv(run / "latent" / f"{name}.csv")


def test_the_space_of_a_run_is_left_in_it(run_copy, capsys, monkeypatch):
    before = (run_copy / "log.txt").read_text().count("looked at test")
    said = shown(capsys, run_copy, *ALL)
    folder = run_copy / "latent"
    assert said.endswith(f"{folder / 'latent.html'}\n") and "by chance 0.000" in said
    assert_self_contained((folder / "latent.html").read_text(encoding="utf-8"))
    assert len(list((folder / "figures").iterdir())) == 4
    catalog = pd.read_csv(run_copy / "catalog.csv")
    points = read(run_copy, "points")
    assert sorted(points["image_id"]) == sorted(catalog["image_id"]) and points["cluster_code"].nunique() == 3
    assert read(run_copy, "clusters").groupby("of")["size"].sum().tolist() == [12, 12]
    measures = read(run_copy, "measures")
    assert measures.query("measure == 'nearest'")["split"].tolist() == ["train", "validation", "test"]
    nearest = read(run_copy, "neighbours")
    assert set(nearest["neighbour_split"]) == {"train"} and (nearest["image_id"] != nearest["neighbour_id"]).all()
    assert (run_copy / "log.txt").read_text().count("looked at test: latent") == 1
    assert (run_copy / "log.txt").read_text().count("looked at test") == before + 1

    monkeypatch.setattr(bank, "_build", lambda *args: pytest.fail("computed again"))
    kept = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    assert f"What lay in {folder} is replaced." in shown(capsys, run_copy, *ALL)
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == kept
    assert not list(run_copy.glob(".latent*"))

    run = mcv.Run(run_copy)  # and the same in a few lines of Python
    pixels, catalog = mcv.load_pixels(run.catalog, run.spec)
    codes = embed(run.load_model(), catalog, run.spec, pixels)
    laid = latent_points(usable(catalog), codes)
    np.testing.assert_allclose(laid[["x", "y"]], points[["x", "y"]], atol=1e-6)


def test_clusters_and_images_to_look_at_are_as_asked(run_copy, capsys):
    asked = pd.read_csv(run_copy / "catalog.csv").query("split == 'validation'")["image_id"].tolist()[:2]
    shown(capsys, run_copy, "--clusters", "2", "--limit", "4", "--neighbours", *asked)
    assert read(run_copy, "points")["cluster_points"].nunique() == 2
    assert read(run_copy, "points")["split"].value_counts().to_dict() == {"train": 4, "validation": 3}
    page = (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")
    assert page.count("This image: ") == 2 and all(f'alt="{image}"' in page for image in asked)
    assert "looked at test: latent" not in (run_copy / "log.txt").read_text()
    error = refused(capsys, run_copy, "--neighbours", asked[0].replace("jpg", "jpeg"))
    assert f'is not among the 9 images of these splits. Did you mean "{asked[0]}"?' in error


def test_a_linear_classifier_is_fitted_where_there_are_enough_images(run_copy, capsys, monkeypatch):
    assert "probe" not in shown(capsys, run_copy) and "probe" not in set(read(run_copy, "measures")["measure"])
    monkeypatch.setattr("marinecv.evaluation.probe.FOLDS", 2)
    assert "  probe       validation " in shown(capsys, run_copy)
    [found] = read(run_copy, "measures").query("measure == 'probe'").to_dict("records")
    assert (found["of"], found["split"], found["n"]) == ("code", "validation", 3)
    assert found["low"] <= found["value"] <= found["high"]
    assert "A linear classifier on the code" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


def test_noise_is_laid_on_beside_and_nothing_of_it_is_kept_in_the_store(run_copy, capsys, monkeypatch):
    shown(capsys, run_copy)
    kept = {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")}
    monkeypatch.setattr(bank, "_build", lambda *args: pytest.fail("kept"))
    assert shown(capsys, run_copy, "--noise", *ALL).endswith(f"{run_copy / 'latent-noisy' / 'latent.html'}\n")
    page = (run_copy / "latent-noisy" / "latent.html").read_text(encoding="utf-8")
    assert ", under noise</h1>" in page and "10% of its pixels white and 10% black" in page
    assert "looked at test: latent-noisy" in (run_copy / "log.txt").read_text()
    noisy = pd.read_csv(run_copy / "latent-noisy" / "neighbours.csv").query("split != 'test'")
    clean = read(run_copy, "neighbours")
    assert noisy["image_id"].tolist() == clean["image_id"].tolist()
    assert (noisy["similarity"].to_numpy() != clean["similarity"].to_numpy()).all()
    shown(capsys, run_copy)
    assert {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")} == kept


def test_the_output_of_an_encoder_is_the_code(run_copy, capsys):
    encoder = keras.Sequential([keras.Input((32, 32, 3)), layers.AveragePooling2D(16), layers.Flatten()])
    encoder.save(run_copy / "encoder.keras")
    shown(capsys, run_copy)
    assert "each as the code of 12 numbers" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


def test_what_was_there_stays_where_it_is_interrupted(run_copy, monkeypatch):
    (run_copy / "latent").mkdir()
    (run_copy / "latent" / "latent.html").write_text("before")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(latent, "write_latent_report", interrupted)
    assert main(["latent", str(run_copy)]) == 130
    assert (run_copy / "latent" / "latent.html").read_text() == "before" and not list(run_copy.glob(".latent*"))


def test_data_that_has_moved_is_found_where_the_flag_says_and_a_lost_image_is_told(
    run_copy, shared_tank, tmp_path, capsys
):
    catalog = (run_copy / "catalog.csv").read_text().replace(str(shared_tank), f"{shared_tank}/gone")
    (run_copy / "catalog.csv").write_text(catalog)
    moved = shutil.copytree(shared_tank, tmp_path / "moved")
    next((moved / "train").glob("*.jpg")).write_bytes(b"broken")
    assert "1 of 9 images left out; the first, train/" in shown(capsys, run_copy, "--data-dir", moved)
    assert len(read(run_copy, "points")) == 8
    (tmp_path / "other" / "crab").mkdir(parents=True)
    draw_image("crab", 1).save(tmp_path / "other" / "crab" / "a.jpg")
    error = refused(capsys, run_copy, "--data-dir", tmp_path / "other")
    assert f"None of the images of {run_copy} lies in {tmp_path / 'other'}." in error
    assert "None of these images can be read. If they have moved" in refused(capsys, run_copy)


def test_a_split_that_is_not_there_and_too_many_clusters(run_copy, capsys):
    assert "9 clusters cannot be made of 9 images of 3 classes" in refused(capsys, run_copy, "--clusters", "9")
    catalog = pd.read_csv(run_copy / "catalog.csv", keep_default_na=False)
    catalog.query("split != 'test'").to_csv(run_copy / "catalog.csv", index=False)
    assert "The split test has no usable image. Expected one of" in refused(capsys, run_copy, *ALL)


def test_a_model_that_takes_attributes_is_refused(run_copy, capsys):
    pixels, told = keras.Input((32, 32, 3)), keras.Input((4,))
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(pixels), told])
    keras.Model([pixels, told], layers.Dense(3, activation="softmax")(both)).save(run_copy / "model.keras")
    assert "takes 2 inputs and gives 1 outputs. Expected one image and one tensor." in refused(capsys, run_copy)
    assert not (run_copy / "latent").exists()
