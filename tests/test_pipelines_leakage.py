"""Related images through the commands: grouped splits, splits by name, the leakage check, grouped folds."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import COLORS, shown
from PIL import Image, ImageFilter

import marinecv as mcv
from marinecv.audit.pairs import find_pairs
from marinecv.data.groups import group_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits.split_catalog import save_split
from marinecv.evaluation.leakage import GROUPED, WITHOUT, read_leakage_scores
from marinecv.experiments import Experiment
from marinecv.files.csv_tables import read_table, write_table
from marinecv.runs import Run
from marinecv.workflows import folds as grouped_folds
from marinecv.workflows import leakage as leakage_workflow
from marinecv.workflows import prepare as plan
from pipelines.cli import main

SCENES = {"train": 5, "valid": 2, "test": 2}
QUICK = ["--epochs", "1", "--image-size", "32", "--batch-size", "8"]
PAIR = {"test/crab/copied.jpg", "train/crab/a.png"}


def scene(seed):
    """A textured 48x64 picture, unlike every other."""
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)), dtype=float)
    return Image.fromarray(((picture - picture.mean()) * 4 + 128).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders in split folders, a scene each; one test image is a smaller copy of a train image."""
    root, seed = tmp_path_factory.mktemp("related") / "scenes", 0
    for split, each in SCENES.items():
        for number, name in enumerate(COLORS):
            (root / split / name).mkdir(parents=True)
            for place in range(each):
                seed += 1
                scene(seed).save(root / split / name / f"{chr(97 + 7 * number + place)}.png")
    copied = Image.open(root / "train" / "crab" / "a.png").resize((40, 30)).convert("RGB")
    copied.save(root / "test" / "crab" / "copied.jpg", quality=85)
    return root


@pytest.fixture(scope="module")
def catalog(folder):
    return mcv.read_catalog(manifest_of_folder(folder))


@pytest.fixture(scope="module")
def run(folder):
    place = folder.parent / "run"
    assert main(["pretrain", "--data-dir", str(folder), *QUICK, "--output-dir", str(place)]) == 0
    return Run(place)


@pytest.mark.slow
def test_a_run_knows_its_related_images_and_its_score_without_them(run, capsys, monkeypatch):
    [related] = read_table(run.path("related.csv")).to_dict("records")
    assert {related["image_id"], related["related_image"]} == PAIR
    scores = read_leakage_scores(run.path("leakage.csv")).set_index(["subset", "split", "metric"])
    assert [scores.loc[images, "test", "accuracy"]["n"] for images in ("as split", WITHOUT)] == [7, 6]
    groups = run.catalog.set_index("image_id")["group"]
    assert groups[list(PAIR)].nunique() == 1 and groups.nunique() == len(groups) - 1
    html = run.path("report.html").read_text(encoding="utf-8")
    assert "1 of the 7 test images have a copy" in html and "were evaluated once, by 1 run" in html
    monkeypatch.setattr(leakage_workflow, "find_pairs", None)  # the run has a table of its related images
    said = shown(capsys, "evaluate", run.folder, "--split", "test")
    assert WITHOUT in said and "on the other 6" in said
    assert "DataFrame" not in shown(capsys, "evaluate", run.folder, "--split", "train")


def test_evaluate_searches_related_images_of_a_run_without_their_table(run, tmp_path, capsys):
    old = shutil.copytree(run.folder, tmp_path / "old")
    (old / "related.csv").unlink()
    assert "1 of the 7 test images have a copy" in shown(capsys, "evaluate", old, "--split", "test")


@pytest.mark.slow
def test_grouped_folds_score_each_image_once_and_stay(run, tmp_path, capsys, no_pages):
    own = shutil.copytree(run.folder, tmp_path / "own")
    (own / "grouped-2-folds" / "fold1").mkdir(parents=True)  # stopped before the experiment was made
    said = shown(capsys, "evaluate", own, "--split", "test", "--folds", "2")
    assert "grouped folds" in said and f"They are in {own / 'grouped-2-folds' / 'label_errors.csv'}." in said
    experiment = Experiment(own / "grouped-2-folds")
    parts = [fold.catalog.query("split == 'validation'")["image_id"] for fold in experiment.finished_runs.values()]
    assert sorted(pd.concat(parts)) == sorted(Run(own).catalog["image_id"])
    assert any(set(part) >= PAIR for part in parts)
    errors = read_table(experiment.folder / "label_errors.csv")
    pd.testing.assert_frame_equal(errors.astype({"probability": float}), mcv.label_errors(own, log=None))
    assert set(errors["image_id"]) <= set(Run(own).catalog["image_id"])
    scores = read_leakage_scores(own / "leakage.csv").set_index(["subset", "metric"])
    assert scores.loc[(GROUPED, "accuracy"), "n"].item() == len(Run(own).catalog)
    assert "Cross-validated by groups" in (own / "report.html").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("model.keras")}
    shown(capsys, "evaluate", own, "--split", "validation", "--folds", "2")
    assert before == {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("model.keras")}


@pytest.mark.slow
def test_folds_by_camera_score_cameras_that_training_never_saw(tmp_path, capsys):
    for number in range(18):
        name, place = list(COLORS)[number % 3], f"cam{1 + number // 3}"
        (tmp_path / "data" / name / place).mkdir(parents=True, exist_ok=True)
        scene(500 + number).save(tmp_path / "data" / name / place / "a.png")
    scene(600).save(tmp_path / "data" / "crab" / "of_no_camera.png")
    shown(capsys, "pretrain", "--data-dir", tmp_path / "data", *QUICK, "--output-dir", tmp_path / "run")
    said = shown(capsys, "evaluate", tmp_path / "run", "--fold-by", "camera", "--folds", "2")
    assert "1 of 19 images are left out of the folds: no camera is known" in said
    sentence = "On 6 cameras that training never saw: 0."
    assert said.count(sentence) == 2 and "; the next camera is expected between 0." in said
    experiment = Experiment(tmp_path / "run" / "camera-2-folds")
    for fold in experiment.finished_runs.values():
        catalog = fold.catalog
        assert catalog.groupby("camera")["split"].nunique().max() == 1
        assert catalog.loc[catalog["camera"] == "", "problem"].tolist() == [grouped_folds.NO_CAMERA]
    cameras = read_table(experiment.folder / "cameras.csv")
    assert cameras["camera"].tolist() == [f"cam{number}" for number in range(1, 7)] and set(cameras["n"]) == {"3"}
    assert sentence in (experiment.folder / "report.html").read_text(encoding="utf-8")
    assert {*mcv.read_predictions(tmp_path / "run" / "predictions.csv")} >= {"camera", "taken_at"}
    assert grouped_folds.camera_folds(Run(tmp_path / "run"), None) == 6
    with pytest.raises(ValueError, match="come from 6 known cameras. Expected at least 7"):
        grouped_folds.camera_folds(Run(tmp_path / "run"), 7)


@pytest.mark.parametrize("data", [{"synthetic": True}, {"label_fraction": 0.5}, {"pseudo_labels": 0.9}])
def test_no_fold_is_scored_on_unlabeled_or_synthetic_images_or_of_an_unfinished_run(run, tmp_path, monkeypatch, data):
    begun = Run(shutil.copytree(run.folder, tmp_path / "begun"))
    begun.path("metrics.json").unlink()
    with pytest.raises(ValueError, match="is not finished"):
        grouped_folds.grouped_folds(begun, 2, print)
    recipe = mcv.Recipe.of(run)
    other = replace(recipe, data=replace(recipe.data, **data))
    monkeypatch.setattr(grouped_folds.Recipe, "of", lambda _: other)
    with pytest.raises(ValueError, match="synthetic images"):
        grouped_folds.grouped_folds(run, 2, print)


@pytest.mark.slow
def test_a_grouped_split_keeps_copies_together_and_is_taken_again_by_its_name(folder, tmp_path, capsys, no_pages):
    words = ["pretrain", "--data-dir", str(folder), *QUICK]
    assert main([*words, "--split-by", "grouped", "--output-dir", str(tmp_path / "image_a")]) == 0
    name = next(line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("split scenes-"))
    first = Run(tmp_path / "image_a")
    assert first.catalog.set_index("image_id")["split"][list(PAIR)].nunique() == 1
    digest = first.preprocessing.split_sha256
    assert name.removeprefix("scenes-grouped-") == digest[:8]
    assert main([*words, "--split-by", name, "--seed", "1", "--output-dir", str(tmp_path / "again")]) == 0
    assert Run(tmp_path / "again").preprocessing.split_sha256 == digest
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--split-by", "scenes-grouped-00000000"])
    assert name in capsys.readouterr().err


def test_too_many_images_are_not_searched_and_pseudo_labels_bring_their_related_images(
    run, catalog, monkeypatch, tmp_path
):
    recipe = mcv.Recipe.of(run)
    unlabeled = catalog.assign(split=catalog["split"].mask(catalog["image_id"] == "train/crab/a.png", ""))
    leakage_workflow.note_relatives(tmp_path, recipe, unlabeled, print)
    assert read_table(tmp_path / "related.csv").empty
    leakage_workflow.note_relatives(tmp_path, recipe, catalog, print)
    assert read_table(tmp_path / "related.csv")["image_id"].tolist() == ["test/crab/copied.jpg"]
    monkeypatch.setattr(leakage_workflow, "MAX_IMAGES_SEARCHED", 3)
    (tmp_path / "related.csv").unlink()
    assert leakage_workflow.note_relatives(tmp_path, recipe, catalog, print) is catalog
    assert not (tmp_path / "related.csv").exists()


def test_folds_of_a_split_that_is_taken_again_by_its_name_are_grouped_too(catalog):
    catalog = group_catalog(catalog, find_pairs(catalog))
    for name in ("grouped", save_split(catalog, "odd:name/of-grouped")):
        choice = mcv.DataConfig(name="scenes", split_by=name)
        for part, split in plan.folded(choice, catalog, 2, seed=0).values():
            assert part.split_by == "grouped" and split.set_index("image_id")["split"][list(PAIR)].nunique() == 1


@pytest.mark.slow
def test_other_images_are_checked_against_the_train_images_that_are_as_they_were(run, folder, tmp_path, capsys):
    words = ["--data-dir", folder, "--split", "test"]
    said = shown(capsys, "evaluate", run.folder, *words, "--split-by", "grouped")
    assert "on test" in said and "test images have a copy or near-duplicate in train" in said
    moved = Run(shutil.copytree(run.folder, tmp_path / "moved"))
    write_table(moved.path("catalog.csv"), moved.catalog.assign(path=str(folder / "gone.png")))
    assert "test images have a copy or near-duplicate in train" in shown(capsys, "evaluate", moved.folder, *words)
    alone = shutil.copytree(folder / "test", tmp_path / "alone")
    words[1] = alone
    said = shown(capsys, "evaluate", moved.folder, *words)
    assert "Train-test leakage was not checked: no train image is where it was" in said
    assert "no related image in train" not in said
    catalog = run.catalog
    catalog.loc[(catalog["split"] == "train").idxmax(), "path"] = str(folder / "test" / "crab" / "copied.jpg")
    write_table(moved.path("catalog.csv"), catalog)
    assert "the 14 of 15 train images that are as they were" in shown(capsys, "evaluate", moved.folder, *words)
