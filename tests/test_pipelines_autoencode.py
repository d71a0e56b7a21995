"""`autoencode` from the command line: what a run leaves, its page, and what others say of it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from pages import assert_self_contained, untranslated

from marinecv.data.manifests import load_manifest
from marinecv.experiments import Experiment
from marinecv.language import language
from marinecv.models.safe_load import load_model
from marinecv.recipes.butterflies import DENOISE, VAE
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from pipelines.cli import main


@pytest.fixture(scope="module")
def restored(shared_tank, tmp_path_factory):
    """A small variational autoencoder of the tank. Only to be read."""
    folder = tmp_path_factory.mktemp("autoencoder") / "run"
    words = ["--recipe", VAE.name, "--data-dir", str(shared_tank), "--epochs", "2", "--output-dir", str(folder)]
    assert main(["autoencode", *words]) == 0
    return Run(folder)


@pytest.mark.slow
def test_it_leaves_an_encoder_a_decoder_figures_and_a_page(restored, capsys):
    assert restored.finished and restored.is_autoencoder and not restored.path("checkpoint.npz").exists()
    embeddings = load_model(restored.path("encoder.keras"))(np.zeros((1, 28, 28, 3)))
    assert embeddings.shape == (1, 32)
    assert load_model(restored.path("decoder.keras"))(embeddings).shape == (1, 28, 28, 1)
    assert set(restored.metrics["validation"]) == {"n", "mse", "mse_of_input", "mse_of_mean"}
    page = restored.path("report.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    value = restored.metrics["validation"]["mse"]["value"]
    assert f"the mean squared error is {value:.4f}" in page and "2 of 50 epochs" in page
    figures = {path.name for path in restored.path("figures").iterdir()}
    assert figures == {"curves.png", "restored.png", "samples.png", "walk.png"}
    assert main(["runs", str(restored.folder.parent)]) == 0
    assert f"validation mean squared error {value:.4f} (n=3)" in capsys.readouterr().out


def test_every_text_of_its_page_can_be_translated(restored, tmp_path, missing):
    copy = Run(shutil.copytree(restored.folder, tmp_path / "copy"))
    with language("pseudo"):
        page = write_run_report(copy).read_text(encoding="utf-8")
    assert not untranslated(page, {copy.read("recipe.json")["title"]})
    with language("es"):
        write_run_report(copy)
    assert not missing


def test_to_resume_and_to_report_again_change_no_figure(restored):
    before = {name: restored.path(name).read_bytes() for name in ("metrics.json", "reconstructions.csv", "report.html")}
    assert main(["autoencode", "--resume", str(restored.folder)]) == 0
    assert main(["report", str(restored.folder)]) == 0
    assert {name: restored.path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("command", ["evaluate", "explain", "predict", "compare", "ensemble"])
def test_what_asks_for_classes_says_that_there_are_none(restored, shared_tank, command, capsys):
    words = {"predict": [str(shared_tank)], "compare": [str(restored.folder)], "ensemble": [str(restored.folder)]}.get(
        command, []
    )
    assert main([command, str(restored.folder), *words]) == 1
    assert "the run of an autoencoder" in capsys.readouterr().err


def test_a_broken_file_of_pictures_is_named_with_what_to_do(restored, tmp_path, capsys):
    shutil.copytree(restored.folder, copy := tmp_path / "copy")
    (copy / "restorations.npz").write_text("no pictures")
    assert main(["report", str(copy)]) == 1
    assert "restorations.npz" in (said := capsys.readouterr().err) and "Delete metrics.json" in said


@pytest.mark.slow
def test_a_replay_gives_errors_beside_the_published_one_and_no_best(tmp_path, monkeypatch, capsys):
    for split in ("train", "valid"):
        for name in load_manifest("butterflies20").folder_classes:
            (tmp_path / "data" / split / name).mkdir(parents=True)
            draw_image("eel", 0).save(tmp_path / "data" / split / name / "0.jpg")
    monkeypatch.chdir(tmp_path)
    words = ["--recipes", DENOISE.name, VAE.name, "--data-dir", "data", "--epochs", "1", "--results-dir", "results"]
    assert main(["recipes", "reproduce", "butterflies", *words, "--output-dir", "experiment"]) == 0
    said = capsys.readouterr().out
    assert "best on validation" not in said and "published mean squared error 0.0315; ours 0." in said
    table = pd.read_csv("results/butterflies_autoencoders.csv")
    assert set(table["recipe"]) == {DENOISE.name, VAE.name}
    assert set(table["metric"]) == {"mse", "mse_of_input", "mse_of_mean"}
    assert not Experiment("experiment").table["best"].any()
    assert "validation mse" in Path("experiment/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "name"), [([], "denoise"), (["--recipe", DENOISE.name], DENOISE.name), (["--recipe", VAE.name], VAE.name)]
)
def test_on_own_images_only_a_recipe_asked_for_names_its_report(shared_tank, monkeypatch, words, name):
    seen = []
    monkeypatch.setattr("marinecv.workflows.train.train", lambda data, recipe, **how: seen.append(recipe.name))
    assert main(["autoencode", "--data-dir", str(shared_tank), *words]) == 0 and seen == [name]
