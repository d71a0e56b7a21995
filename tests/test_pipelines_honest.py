"""Related images through the commands: grouped splits, splits by name, a score with and without relatives, folds."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import COLOURS, draw_image
from PIL import Image, ImageFilter

import marinecv as mcv
from marinecv.audit.links import find_links
from marinecv.data.groups import group_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.splits import keep_split
from marinecv.evaluation.leaks import GROUPED, WITHOUT, read_honest_scores
from marinecv.runs import Run
from marinecv.studies import Study
from marinecv.tables import read_table, write_table
from marinecv.workflows import folds as grouped_folds
from marinecv.workflows import leakage as honest
from marinecv.workflows import prepare as plan
from pipelines.cli import main

SCENES = {"train": 5, "valid": 2, "test": 2}
QUICK = ["--epochs", "1", "--image-size", "32", "--batch-size", "8"]


def scene(seed):
    """A textured 48x64 picture, unlike every other."""
    noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)), dtype=float)
    return Image.fromarray(((picture - picture.mean()) * 4 + 128).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders in split folders, a scene each; one test image is a copy of a train image, saved again smaller."""
    root, seed = tmp_path_factory.mktemp("related") / "scenes", 0
    for split, each in SCENES.items():
        for number, name in enumerate(COLOURS):
            (root / split / name).mkdir(parents=True)
            for place in range(each):
                seed += 1
                scene(seed).save(root / split / name / f"{chr(97 + 7 * number + place)}.png")
    copied = Image.open(root / "train" / "crab" / "a.png").resize((40, 30)).convert("RGB")
    copied.save(root / "test" / "crab" / "copied.jpg", quality=85)
    return root


@pytest.fixture(scope="module")
def run(folder):
    place = folder.parent / "run"
    assert main(["pretrain", "--data-dir", str(folder), *QUICK, "--output-dir", str(place)]) == 0
    return Run(place)


def test_a_run_knows_the_relatives_of_its_images_and_its_score_without_them(run, capsys):
    [relative] = read_table(run.path("relatives.csv")).to_dict("records")
    pair = {"image_id": "test/crab/copied.jpg", "relative": "train/crab/a.png", "kind": "near copy"}
    assert pair.items() <= relative.items()
    scores = read_honest_scores(run.path("honest.csv")).set_index(["images", "split", "figure"])
    whole, alone = (scores.loc[images, "test", "accuracy"] for images in ("as split", WITHOUT))
    assert (whole["n"], alone["n"]) == (7, 6)
    groups = run.catalog.set_index("image_id")["group"]
    assert groups["test/crab/copied.jpg"] == groups["train/crab/a.png"] and groups.nunique() == len(groups) - 1
    html = run.path("report.html").read_text(encoding="utf-8")
    assert "1 of the 7 test images have a copy, near copy or neighbouring frame in train" in html
    assert "were looked at once, by 1 run" in html


def test_evaluate_scores_both_ways_and_finds_nothing_a_second_time(run, capsys, monkeypatch):
    monkeypatch.setattr(honest, "find_links", lambda *_, **__: pytest.fail("the run knows its relatives"))
    assert main(["evaluate", str(run.folder), "--on", "test"]) == 0
    said = capsys.readouterr().out
    assert "no relative in train" in said and "on the other 6 it is" in said


def test_evaluate_looks_for_the_relatives_of_an_older_run(run, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(run.folder, old)
    (old / "relatives.csv").unlink()
    assert main(["evaluate", str(old), "--on", "test"]) == 0
    assert "1 of the 7 test images have a copy" in capsys.readouterr().out


def test_grouped_folds_beside_a_run_judge_each_image_once_and_stay(run, tmp_path, capsys, no_pages):
    own = tmp_path / "own"
    shutil.copytree(run.folder, own)
    (own / "grouped-2-folds" / "fold1").mkdir(parents=True)  # stopped before the study was made
    assert main(["evaluate", str(own), "--on", "test", "--folds", "2"]) == 0
    assert "grouped folds" in capsys.readouterr().out
    study = Study(own / "grouped-2-folds")
    parts = [fold.catalog.query("split == 'validation'")["image_id"] for fold in study.finished_runs.values()]
    assert sorted(pd.concat(parts)) == sorted(Run(own).catalog["image_id"])
    pair = {"test/crab/copied.jpg", "train/crab/a.png"}
    assert any(pair <= set(part) for part in parts)
    scores = read_honest_scores(own / "honest.csv").set_index(["images", "figure"])
    assert scores.loc[(GROUPED, "accuracy"), "n"].item() == len(Run(own).catalog)
    assert "Cross-validated by groups of related images: " in (own / "report.html").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in study.folder.rglob("model.keras")}
    assert main(["evaluate", str(own), "--on", "validation", "--folds", "2"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in study.folder.rglob("model.keras")}


@pytest.mark.parametrize("flag", [["--limit", "3"], ["--data-dir", "."]])
def test_folds_are_of_the_runs_own_images_all_of_them(run, flag, capsys):
    assert main(["evaluate", str(run.folder), "--folds", "2", *flag]) == 1
    assert "--folds trains on the run's own images" in capsys.readouterr().err


@pytest.mark.parametrize("data", [{"synthetic": True}, {"labelled": 0.5}, {"pseudo_labels": 0.9}])
def test_no_fold_judges_what_was_not_labelled(run, monkeypatch, data):
    recipe = mcv.Recipe.of(run)
    other = replace(recipe, data=replace(recipe.data, **data))
    monkeypatch.setattr(grouped_folds.Recipe, "of", lambda _: other)
    with pytest.raises(ValueError, match="on synthetic images, or on the labels of some images only"):
        grouped_folds.grouped_folds(run, 2, print)


def test_folds_of_a_run_that_is_not_finished_are_refused(run, tmp_path):
    begun = Run(shutil.copytree(run.folder, tmp_path / "begun"))
    begun.path("metrics.json").unlink()
    with pytest.raises(ValueError, match="is not finished. Go on with --resume"):
        grouped_folds.grouped_folds(begun, 2, print)


def test_a_grouped_split_keeps_copies_together_and_is_taken_again_by_its_name(folder, tmp_path, capsys, no_pages):
    words = ["pretrain", "--data-dir", str(folder), *QUICK]
    assert main([*words, "--split-by", "grouped", "--output-dir", str(tmp_path / "first")]) == 0
    name = next(line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("split scenes-"))
    first = Run(tmp_path / "first")
    splits = first.catalog.set_index("image_id")["split"]
    assert splits["test/crab/copied.jpg"] == splits["train/crab/a.png"]
    assert name.removeprefix("scenes-grouped-") == first.read("contract.json")["split_sha256"][:8]
    assert main([*words, "--split-by", name, "--seed", "1", "--output-dir", str(tmp_path / "again")]) == 0
    again = Run(tmp_path / "again")
    assert again.read("contract.json")["split_sha256"] == first.read("contract.json")["split_sha256"]
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--split-by", "scenes-grouped-00000000"])
    assert name in capsys.readouterr().err


def test_many_images_are_not_searched_unasked(run, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(honest, "MOST", 3)
    catalog = mcv.read_catalog(manifest_of_folder(folder))
    assert honest.note_relatives(tmp_path, mcv.Recipe.of(run), catalog, print) is catalog and not list(
        tmp_path.iterdir()
    )


def test_groups_of_a_catalog_are_those_of_its_links(folder):
    catalog = mcv.read_catalog(manifest_of_folder(folder))
    links = find_links(catalog)
    assert links[["first", "second", "kind"]].values.tolist() == [
        ["train/crab/a.png", "test/crab/copied.jpg", "near copy"]
    ] and set(group_catalog(catalog, links)["group"]) == set(catalog["image_id"]) - {"train/crab/a.png"}


def test_drawn_tanks_have_no_relatives(shared_tank):
    catalog = mcv.read_catalog(manifest_of_folder(shared_tank))
    assert draw_image("crab", 0).size == (64, 48) and "neighbour" not in set(find_links(catalog)["kind"])


def test_folds_of_a_split_that_is_taken_again_by_its_name_are_grouped_too(folder):
    catalog = mcv.read_catalog(manifest_of_folder(folder))
    catalog = group_catalog(catalog, find_links(catalog))
    for name in ("grouped", keep_split(catalog, "odd:name/of-grouped")):
        choice = mcv.DataChoice(name="scenes", split_by=name)
        for part, split in plan.folded(choice, catalog, 2, seed=0).values():
            sides = split.set_index("image_id")["split"]
            assert part.split_by == "grouped" and sides["test/crab/copied.jpg"] == sides["train/crab/a.png"]


def test_pseudo_labels_bring_their_own_relatives(run, folder, tmp_path):
    catalog = mcv.read_catalog(manifest_of_folder(folder))
    unlabelled = catalog.assign(split=catalog["split"].mask(catalog["image_id"] == "train/crab/a.png", ""))
    recipe = mcv.Recipe.of(run)
    honest.note_relatives(tmp_path, recipe, unlabelled, print)
    assert read_table(tmp_path / "relatives.csv").empty
    honest.note_relatives(tmp_path, recipe, catalog, print)
    assert read_table(tmp_path / "relatives.csv")["image_id"].tolist() == ["test/crab/copied.jpg"]


def test_images_from_elsewhere_are_split_in_groups_too(run, folder, capsys):
    words = ["--data-dir", str(folder), "--split-by", "grouped", "--on", "test"]
    assert main(["evaluate", str(run.folder), *words]) == 0
    said = capsys.readouterr().out
    assert "on test" in said and "test images have a copy or near copy in train" in said


def test_train_images_that_are_gone_are_told(run, folder, tmp_path, capsys):
    moved = Run(shutil.copytree(run.folder, tmp_path / "moved"))
    write_table(moved.path("catalog.csv"), moved.catalog.assign(path=str(folder / "gone.png")))
    assert main(["evaluate", str(moved.folder), "--data-dir", str(folder), "--on", "test"]) == 0
    said = capsys.readouterr().out
    searched = "have a copy or near copy in the 0 of 15 train images that are still there."
    assert f"None of the 7 test images was found to {searched}" in said


def test_of_train_no_honest_score_is_printed(run, capsys):
    assert main(["evaluate", str(run.folder), "--on", "train"]) == 0
    assert "DataFrame" not in capsys.readouterr().out
