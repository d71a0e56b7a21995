"""`latent`, from Python and the shell: a page, figures and tables in the run; embeddings are cached."""

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
from marinecv.features import cache
from marinecv.features.embeddings import embed
from marinecv.workflows import latent
from pipelines.cli import main

ALL = ("--split", "train", "validation", "test")


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


def test_page_and_tables_are_written_into_the_run_and_a_second_call_embeds_nothing(run_copy, capsys, monkeypatch):
    before = (run_copy / "log.txt").read_text().count("test evaluation")
    printed = shown(capsys, run_copy, *ALL)
    folder = run_copy / "latent"
    assert printed.endswith(f"{folder / 'latent.html'}\n") and "by chance 0.000" in printed
    assert_self_contained((folder / "latent.html").read_text(encoding="utf-8"))
    assert len(list((folder / "figures").iterdir())) == 4
    catalog, points = pd.read_csv(run_copy / "catalog.csv"), read(run_copy, "points")
    assert sorted(points["image_id"]) == sorted(catalog["image_id"]) and points["cluster_code"].nunique() == 3
    assert read(run_copy, "clusters").groupby("space")["size"].sum().tolist() == [12, 12]
    measures = read(run_copy, "measures").query("measure == 'nearest'")
    assert measures["split"].tolist() == ["train", "validation", "test"]
    nearest = read(run_copy, "neighbors")
    assert set(nearest["neighbor_split"]) == {"train"} and (nearest["image_id"] != nearest["neighbor_id"]).all()
    assert (run_copy / "log.txt").read_text().count("test evaluation: latent") == 1
    assert (run_copy / "log.txt").read_text().count("test evaluation") == before + 1

    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("computed again"))
    saved = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    space = mcv.latent(run_copy, ("train", "validation", "test"), log=None)
    assert capsys.readouterr() == ("", "") and str(space).splitlines()[-1] == str(space.report)
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == saved
    assert not list(run_copy.glob(".latent*"))
    tables = {"points": space.points, "clusters": space.clusters, "measures": space.measures}
    for name, table in (tables | {"neighbors": space.neighbors}).items():
        pd.testing.assert_frame_equal(read(run_copy, name), table.reset_index(drop=True), check_dtype=False, atol=1e-6)
    run = mcv.Run(run_copy)
    pixels, catalog = mcv.load_pixels(run.catalog, run.spec)
    laid = latent_points(usable(catalog), embed(run.load_model(), catalog, run.spec, pixels))
    np.testing.assert_allclose(laid[["x", "y"]], points[["x", "y"]], atol=1e-6)


def test_clusters_and_images_to_show_are_as_asked(run_copy, capsys):
    asked = pd.read_csv(run_copy / "catalog.csv").query("split == 'validation'")["image_id"].tolist()[:2]
    shown(capsys, run_copy, "--clusters", "2", "--limit", "4", "--neighbors", *asked)
    assert read(run_copy, "points")["cluster_points"].nunique() == 2
    assert read(run_copy, "points")["split"].value_counts().to_dict() == {"train": 4, "validation": 3}
    page = (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")
    assert page.count("This image: ") == 2 and all(f'alt="{image}"' in page for image in asked)
    assert "test evaluation: latent" not in (run_copy / "log.txt").read_text()
    error = refused(capsys, run_copy, "--neighbors", asked[0].replace("jpg", "jpeg"))
    assert f'Did you mean "{asked[0]}"?' in error


def test_a_linear_classifier_is_fitted_where_there_are_enough_images(run_copy, capsys, monkeypatch):
    assert "probe" not in shown(capsys, run_copy) and "probe" not in set(read(run_copy, "measures")["measure"])
    monkeypatch.setattr("marinecv.evaluation.linear_probe.FOLDS", 2)
    assert "  probe       validation " in shown(capsys, run_copy)
    [found] = read(run_copy, "measures").query("measure == 'probe'").to_dict("records")
    assert (found["space"], found["split"], found["n"]) == ("code", "validation", 3)
    assert found["low"] <= found["value"] <= found["high"]
    assert "Linear probe" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


def test_noise_has_a_page_of_its_own_and_is_not_cached(run_copy, capsys, monkeypatch):
    shown(capsys, run_copy)
    kept = {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")}
    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("kept"))
    assert shown(capsys, run_copy, "--noise", *ALL).endswith(f"{run_copy / 'latent-noisy' / 'latent.html'}\n")
    page = (run_copy / "latent-noisy" / "latent.html").read_text(encoding="utf-8")
    assert ", with noise</h1>" in page and "10% of its pixels white and 10% black" in page
    assert "test evaluation: latent-noisy" in (run_copy / "log.txt").read_text()
    noisy = pd.read_csv(run_copy / "latent-noisy" / "neighbors.csv").query("split != 'test'")
    clean = read(run_copy, "neighbors")
    assert noisy["image_id"].tolist() == clean["image_id"].tolist()
    assert (noisy["similarity"].to_numpy() != clean["similarity"].to_numpy()).all()
    shown(capsys, run_copy)
    assert {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")} == kept


def test_the_output_of_an_encoder_is_the_code(run_copy, capsys):
    encoder = keras.Sequential([keras.Input((32, 32, 3)), layers.AveragePooling2D(16), layers.Flatten()])
    encoder.save(run_copy / "encoder.keras")
    shown(capsys, run_copy)
    assert "12 values" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


def test_an_earlier_page_stays_if_it_is_interrupted(run_copy, monkeypatch):
    (run_copy / "latent").mkdir()
    (run_copy / "latent" / "latent.html").write_text("before")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(latent, "write_latent_report", interrupted)
    assert main(["latent", str(run_copy)]) == 130
    assert (run_copy / "latent" / "latent.html").read_text() == "before" and not list(run_copy.glob(".latent*"))


def test_data_that_has_moved_is_found_and_a_lost_image_is_logged(run_copy, shared_tank, tmp_path, capsys):
    catalog = (run_copy / "catalog.csv").read_text().replace(str(shared_tank), f"{shared_tank}/gone")
    (run_copy / "catalog.csv").write_text(catalog)
    moved = shutil.copytree(shared_tank, tmp_path / "moved")
    next((moved / "train").glob("*.jpg")).write_bytes(b"broken")
    assert "1 of 9 images left out; the first, train/" in shown(capsys, run_copy, "--data-dir", moved)
    assert len(read(run_copy, "points")) == 8
    space = mcv.latent(run_copy, "train", clusters=2, data=mcv.read_catalog(mcv.find_data(None, shared_tank)), log=None)
    assert set(space.points["split"]) == {"train"} and len(space.points) == 6
    (tmp_path / "other" / "crab").mkdir(parents=True)
    draw_image("crab", 1).save(tmp_path / "other" / "crab" / "a.jpg")
    assert "None of the images of" in refused(capsys, run_copy, "--data-dir", tmp_path / "other")
    assert "None of these images can be read" in refused(capsys, run_copy)


def test_a_split_without_images_and_too_many_clusters_are_refused(run_copy, capsys):
    assert "9 clusters" in refused(capsys, run_copy, "--clusters", "9")
    catalog = pd.read_csv(run_copy / "catalog.csv", keep_default_na=False)
    catalog.query("split != 'test'").to_csv(run_copy / "catalog.csv", index=False)
    assert "split test has no usable image" in refused(capsys, run_copy, *ALL)


def test_a_model_that_takes_attributes_is_refused(run_copy, capsys):
    pixels, attributes = keras.Input((32, 32, 3)), keras.Input((4,))
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(pixels), attributes])
    keras.Model([pixels, attributes], layers.Dense(3, activation="softmax")(both)).save(run_copy / "model.keras")
    assert "takes 2 inputs" in refused(capsys, run_copy)
    assert not (run_copy / "latent").exists()
