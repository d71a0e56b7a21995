"""A run notices that its images or labels have changed: named, refused for scores, recorded where accepted."""

import json
import os
import shutil

import numpy as np
import pytest
from conftest import draw_image, killed, refused, shown
from PIL import Image

import marinecv as mcv
from marinecv.data.find_data import find_data
from marinecv.data.shards.write import pack
from marinecv.data.stamps import compare_images, stamp_images
from marinecv.experiments import Experiment
from marinecv.inputs import pixel_cache
from marinecv.inputs.decode import read_decodable
from marinecv.runs import Run
from marinecv.training import fit
from marinecv.workflows import run_images
from pipelines.cli import main

REFUSED = "1 with other bytes (valid/crab_valid_0.jpg). The {} would take 1 of them for the same. Bring back"


def stamped(catalog):
    """The stamps as they are read back from a run."""
    return stamp_images(catalog).astype({"bytes": float, "modified": float})


def catalog_of(folder, crops=False):
    manifest = find_data(data_dir=folder)
    catalog = mcv.read_catalog(manifest)
    return mcv.crop_catalog(catalog, mcv.read_boxes(manifest)) if crops else catalog


def shorten(path):
    os.truncate(path, path.stat().st_size - 1)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    os.utime(path, (1, 1))


CHANGES = {
    "nothing": (lambda path: None, [], []),
    "touched": (lambda path: os.utime(path, (1, 1)), [], []),
    "written again": (lambda path: path.write_bytes(path.read_bytes()), [], []),
    "one byte, the same size": (flip_a_byte, ["valid/crab_valid_0.jpg"], []),
    "shorter": (shorten, ["valid/crab_valid_0.jpg"], []),
    "gone": (os.unlink, [], ["valid/crab_valid_0.jpg"]),
}


@pytest.mark.parametrize("crops", [False, True], ids=["images", "crops"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_image_has_changed_where_its_bytes_have(change, crops, roboflow_folder):
    catalog, (act, changed, missing) = catalog_of(roboflow_folder, crops), CHANGES[change]
    stamps = stamped(catalog)
    assert len(stamps) == 12 and stamps["sha256"].str.len().eq(64).all()
    act(roboflow_folder / "valid" / "crab_valid_0.jpg")
    assert compare_images(stamps, catalog) == (changed, missing)


def test_files_of_equal_size_and_time_are_not_read_and_hashes_of_a_set_only_once(roboflow_folder, monkeypatch):
    catalog = catalog_of(roboflow_folder)
    catalog.loc[0, "problem"] = "no box"
    stamps, read = stamped(catalog), []
    assert catalog["image_id"][0] not in set(stamps["image_id"]) and len(stamps) == 11
    monkeypatch.setattr("marinecv.data.stamps.read_bytes", lambda path: read.append(path) or b"")
    assert compare_images(stamps, catalog) == ([], []) and stamped(catalog).equals(stamps) and not read
    assert stamp_images(catalog.iloc[:1]).empty and stamp_images(catalog.iloc[:0]).empty
    os.utime(catalog["path"][1], (1, 1))
    assert compare_images(stamps, catalog) == ([catalog["image_id"][1]], []) and read == [catalog["path"][1]]


@pytest.mark.parametrize("crops", [False, True], ids=["images", "crops"])
@pytest.mark.parametrize("change", ["nothing", "one byte, the same size", "shorter", "gone"])
def test_images_of_a_pack_and_its_files_are_the_same_by_their_bytes(change, crops, roboflow_folder, tmp_path):
    loose = catalog_of(roboflow_folder, crops)
    pack(find_data(data_dir=roboflow_folder), tmp_path / "pack", read_decodable)
    packed = catalog_of(tmp_path / "pack", crops)
    assert stamp_images(packed).empty
    act, changed, missing = CHANGES[change]
    act(roboflow_folder / "valid" / "crab_valid_0.jpg")
    assert compare_images(stamped(packed), packed, loose) == (changed, missing)
    if change != "gone":
        assert compare_images(stamped(loose), loose, packed) == (changed, [])
    assert compare_images(stamped(packed), packed, packed) == ([], [])
    shutil.rmtree(tmp_path / "pack")
    assert len(compare_images(stamped(packed), packed)[1]) == 12


@pytest.fixture
def moved(finished_run, shared_tank, tmp_path):
    """A finished run and its images, both the test's own."""
    run, tank = shutil.copytree(finished_run, tmp_path / "run"), shutil.copytree(shared_tank, tmp_path / "tank")
    for name in ("catalog.csv", "preprocessing.json"):
        (run / name).write_text((run / name).read_text().replace(str(shared_tank), str(tank)))
    (run / "calibration.json").unlink()  # it is of another preprocessing.json
    return run, tank


USES = {
    "evaluate RUN": "evaluation of validation",
    "explain RUN": "explanation of validation",
    "latent RUN": "embedding space",
    "export RUN --format savedmodel": "parity check of savedmodel",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", USES)
def test_validation_images_replaced_by_copies_of_train_images_are_refused_unless_accepted(words, moved, capsys):
    run, tank = moved
    shutil.copy(tank / "train" / "crab_train_3.jpg", tank / "valid" / "crab_valid_0.jpg")
    words = words.replace("RUN", str(run)).split()
    assert REFUSED.format(USES[" ".join(words).replace(str(run), "RUN")]) in refused(capsys, *words)
    if "evaluate" in words:
        assert "WARNING: Images have changed" in shown(capsys, *words, "--split", "test")  # which have not
    assert not Run(run).accepted_changes
    assert main([*words, "--accept-changes"]) == 0
    [sentence] = Run(run).accepted_changes
    assert sentence.startswith("Changed images accepted: 1 in the ") and str(tank) not in sentence
    assert main(["report", str(run)]) == 0
    assert sentence in (run / "report.html").read_text(encoding="utf-8")


def test_the_metrics_of_an_accepted_score_count_the_changed_images(moved, tmp_path):
    run, tank = moved
    before = mcv.evaluate(run, log=None)
    assert "changed_images" not in before.metrics
    shutil.copy(tank / "train" / "crab_train_3.jpg", tank / "valid" / "crab_valid_0.jpg")
    with pytest.raises(ValueError, match="accept_changes=True takes them as they are and records it"):
        mcv.evaluate(run, log=None)
    scored = mcv.evaluate(run, accept_changes=True, folder=tmp_path / "scored", log=None)
    assert scored.metrics["changed_images"] == 1
    assert json.loads((tmp_path / "scored" / "metrics.json").read_text())["validation"]["changed_images"] == 1


def test_missing_new_and_relabeled_images_are_named_and_the_score_is_that_of_the_recorded_labels(moved, capsys):
    run, tank = moved
    expected = mcv.evaluate(run, "validation", log=None).metrics
    draw_image("ray", seed=9).save(tank / "valid" / "late.jpg")
    (tank / "train" / "eel_train_1.jpg").unlink()
    table = tank / "valid" / "_annotations.csv"
    table.write_text(table.read_text().replace("crab_valid_0.jpg,64,48,crab", "crab_valid_0.jpg,64,48,ray"))
    said = shown(capsys, "evaluate", run)
    for part in (
        "1 without a file (train/eel_train_1.jpg)",
        "1 that are new (valid/late.jpg)",
        "1 with another label, in place of which that of catalog.csv is taken (valid/crab_valid_0.jpg)",
    ):
        assert part in said
    assert mcv.evaluate(run, "validation", log=None).metrics == expected and not Run(run).accepted_changes
    table.write_text("filename\n")
    assert "WARNING: The labels of these images cannot be read now" in shown(capsys, "evaluate", run)


def test_of_many_changed_images_the_first_are_named(moved, capsys):
    run, tank = moved
    for path in (tank / "train").glob("*.jpg"):
        Image.open(path).rotate(180).save(path)
    said = refused(capsys, "evaluate", run, "--split", "train")
    assert "6 with other bytes (train/crab_train_0.jpg, " in said and " and others)" in said
    assert said.count("train/") == run_images.NAMED


@pytest.mark.slow
def test_images_at_another_place_are_compared_by_their_bytes(finished_run, run_copy, roboflow_folder, capsys):
    path = roboflow_folder / "valid" / "crab_valid_0.jpg"
    assert "changed since" not in shown(capsys, "latent", run_copy, "--data-dir", roboflow_folder)
    flip_a_byte(path)
    words = ("latent", run_copy, "--data-dir", roboflow_folder)
    assert "1 with other bytes (valid/crab_valid_0.jpg)" in refused(capsys, *words)
    path.unlink()
    assert "1 without a file (valid/crab_valid_0.jpg)" in shown(capsys, *words)


@pytest.mark.slow
def test_a_stopped_training_goes_on_with_changed_images_only_if_they_are_accepted(
    roboflow_folder, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    words = ["--data-dir", roboflow_folder, "--epochs", "2", "--image-size", "32", "--output-dir", run]
    with monkeypatch.context() as patch:
        patch.setattr(fit, "keep", killed)
        assert main(["pretrain", *map(str, words)]) == 130
    shutil.copy(roboflow_folder / "train" / "crab_train_3.jpg", roboflow_folder / "valid" / "crab_valid_0.jpg")
    capsys.readouterr()
    assert REFUSED.format("resumed training") in refused(capsys, "pretrain", "--resume", run)
    assert "--accept-changes is for the images of a run" in refused(capsys, "pretrain", "--accept-changes")
    assert not (run / "metrics.json").exists()
    assert main(["pretrain", "--resume", str(run), "--accept-changes"]) == 0
    metrics = Run(run).metrics
    assert {split: each["changed_images"] for split, each in metrics.items()} == dict.fromkeys(metrics, 1)
    assert "Changed images accepted: 1 in the resumed training" in (run / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert "changed since" not in shown(capsys, "evaluate", run)  # they are its images now


@pytest.mark.slow
def test_an_experiment_is_not_finished_on_other_images(roboflow_folder, tmp_path, monkeypatch, no_pages):
    how = {"epochs": 1, "size": 16, "log": None}
    with monkeypatch.context() as patch:
        patch.setattr("marinecv.workflows.train_runs.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            mcv.grid(roboflow_folder, "aquarium_four_conv", folds=2, folder=tmp_path / "folds", **how)
    flip_a_byte(roboflow_folder / "train" / "crab_train_0.jpg")
    with pytest.raises(ValueError, match="1 with other bytes .*The resumed training would take 1"):
        mcv.resume(tmp_path / "folds", log=None)
    mcv.resume(tmp_path / "folds", accept_changes=True, log=None)
    runs = Experiment(tmp_path / "folds").finished_runs
    assert [len(run.accepted_changes) for run in runs.values()] == [1, 1]


@pytest.mark.slow
def test_a_search_is_not_finished_on_other_images(roboflow_folder, tmp_path, monkeypatch, no_pages):
    how = {"epochs": 1, "size": 16, "log": None, "trials": 1, "folder": tmp_path / "search"}
    with monkeypatch.context() as patch:
        patch.setattr("marinecv.workflows.search.train_winner", killed)
        with pytest.raises(KeyboardInterrupt):
            mcv.search(roboflow_folder, "aquarium_four_conv", **how)
    flip_a_byte(roboflow_folder / "train" / "crab_train_0.jpg")
    with pytest.raises(ValueError, match="1 with other bytes"):
        mcv.resume(tmp_path / "search", log=None)
    assert mcv.resume(tmp_path / "search", accept_changes=True, log=None).best_run.finished
    assert len(Run(tmp_path / "search" / "base").accepted_changes) == 1
    mcv.resume(tmp_path / "search", log=None)  # finished: only its page is written again


def test_folds_of_a_run_are_not_trained_on_other_images(moved, no_pages):
    run, tank = moved
    flip_a_byte(tank / "train" / "crab_train_0.jpg")
    with pytest.raises(ValueError, match="1 with other bytes"):
        mcv.evaluate(run, folds=2, log=None)
    assert not list(run.glob("grouped*"))


@pytest.mark.parametrize("budget", [pixel_cache.MEMORY_BUDGET_BYTES, 0], ids=["in memory", "on disk"])
def test_an_image_that_changes_while_it_is_read_is_a_row_with_the_reason(budget, roboflow_folder, monkeypatch):
    catalog = catalog_of(roboflow_folder)
    states, path = pixel_cache.file_state, catalog["path"][3]
    times = []

    def growing(each):
        times.append(each)
        return states(each) if each != path or times.count(path) != 2 else (0, 0, "")

    monkeypatch.setattr(pixel_cache, "file_state", growing)
    pixels, read = mcv.load_pixels(catalog, mcv.ImageSpec(height=16, width=16), memory_budget_bytes=budget)
    bad = read[read["problem"] != ""]
    assert bad[["path", "problem"]].to_numpy().tolist() == [[path, pixel_cache.CHANGING]]
    expected = mcv.load_pixels(catalog.drop(3), mcv.ImageSpec(height=16, width=16))[0]
    np.testing.assert_array_equal(pixels, expected)
