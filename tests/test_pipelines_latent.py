"""`latent`, from Python and the shell: a page, figures and tables in the run; embeddings are cached."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import refused, shown
from keras import layers
from pages import assert_self_contained

import marinecv as mcv
from marinecv.data.user_tables import usable
from marinecv.evaluation.latent import latent_points
from marinecv.features import cache
from marinecv.features.embeddings import embed

ALL = ("--split", "train", "validation", "test")


@pytest.fixture(autouse=True)
def few_halves(monkeypatch):
    monkeypatch.setattr("marinecv.evaluation.latent.HALVES", 5)


def read(run, name):
    return pd.read_csv(run / "latent" / f"{name}.csv")


@pytest.mark.slow
def test_page_and_tables_are_written_into_the_run_and_a_second_call_embeds_nothing(run_copy, capsys, monkeypatch):
    before = (run_copy / "log.txt").read_text().count("test evaluation")
    printed = shown(capsys, "latent", run_copy, *ALL)
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
    shown(capsys, "latent", run_copy, "--clusters", "2", "--limit", "4", "--neighbors", *asked)
    assert read(run_copy, "points")["cluster_points"].nunique() == 2
    assert read(run_copy, "points")["split"].value_counts().to_dict() == {"train": 4, "validation": 3}
    page = (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")
    assert page.count("This image: ") == 2 and all(f'alt="{image}"' in page for image in asked)
    assert "test evaluation: latent" not in (run_copy / "log.txt").read_text()
    error = refused(capsys, "latent", run_copy, "--neighbors", asked[0].replace("jpg", "jpeg"))
    assert f'Did you mean "{asked[0]}"?' in error


@pytest.mark.slow
def test_a_linear_classifier_is_fitted_where_there_are_enough_images(run_copy, capsys, monkeypatch):
    assert "probe" not in shown(capsys, "latent", run_copy)
    assert "probe" not in set(read(run_copy, "measures")["measure"])
    monkeypatch.setattr("marinecv.evaluation.linear_probe.FOLDS", 2)
    assert "  probe       validation " in shown(capsys, "latent", run_copy)
    [found] = read(run_copy, "measures").query("measure == 'probe'").to_dict("records")
    assert (found["space"], found["split"], found["n"]) == ("code", "validation", 3)
    assert found["low"] <= found["value"] <= found["high"]
    assert "Linear probe" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_noise_has_a_page_of_its_own_and_is_not_cached(run_copy, capsys, monkeypatch):
    shown(capsys, "latent", run_copy)
    kept = {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")}
    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("kept"))
    assert shown(capsys, "latent", run_copy, "--noise", *ALL).endswith(f"{run_copy / 'latent-noisy' / 'latent.html'}\n")
    page = (run_copy / "latent-noisy" / "latent.html").read_text(encoding="utf-8")
    assert ", with noise</h1>" in page and "10% of its pixels white and 10% black" in page
    assert "test evaluation: latent-noisy" in (run_copy / "log.txt").read_text()
    noisy = pd.read_csv(run_copy / "latent-noisy" / "neighbors.csv").query("split != 'test'")
    clean = read(run_copy, "neighbors")
    assert noisy["image_id"].tolist() == clean["image_id"].tolist()
    assert (noisy["similarity"].to_numpy() != clean["similarity"].to_numpy()).all()
    shown(capsys, "latent", run_copy)
    assert {path.name: path.read_bytes() for path in (run_copy / "latent").glob("*.*")} == kept


def test_the_output_of_an_encoder_is_the_code(run_copy, capsys):
    encoder = keras.Sequential([keras.Input((32, 32, 3)), layers.AveragePooling2D(16), layers.Flatten()])
    encoder.save(run_copy / "encoder.keras")
    shown(capsys, "latent", run_copy)
    assert "12 values" in (run_copy / "latent" / "latent.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_data_that_has_moved_is_found_and_a_lost_image_is_logged(run_copy, shared_tank, tmp_path, capsys):
    catalog = (run_copy / "catalog.csv").read_text().replace(str(shared_tank), f"{shared_tank}/gone")
    (run_copy / "catalog.csv").write_text(catalog)
    moved = shutil.copytree(shared_tank, tmp_path / "moved")
    next((moved / "train").glob("*.jpg")).write_bytes(b"broken")
    words = ("latent", run_copy, "--data-dir", moved, "--accept-changes")
    assert "1 of 9 images left out; the first, train/" in shown(capsys, *words)
    assert len(read(run_copy, "points")) == 8
    space = mcv.latent(run_copy, "train", clusters=2, data=mcv.read_catalog(mcv.find_data(None, shared_tank)), log=None)
    assert set(space.points["split"]) == {"train"} and len(space.points) == 6
    assert "None of these images can be read" in refused(capsys, "latent", run_copy)


def test_too_many_clusters_are_refused(run_copy, capsys):
    assert "9 clusters" in refused(capsys, "latent", run_copy, "--clusters", "9")
