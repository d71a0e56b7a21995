"""`pretrain` from the command line: what a run leaves, what each flag does, and going on after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image, draw_tank
from PIL import Image

import marinecv as mcv
from marinecv.console import quiet
from marinecv.evaluation.predictions import read_predictions
from marinecv.hold import LOCK
from marinecv.recipes.aquarium import BEST
from marinecv.runs import Run
from marinecv.studies import Study
from marinecv.training import learner
from marinecv.training.callbacks import EpochLine
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.training.settings import named_changes
from marinecv.workflows import prepare as plan
from marinecv.workflows import train, train_runs
from marinecv.workflows.run_images import data_of, other_images
from marinecv.workflows.sources import source_of
from pipelines.cli import main

RUN_FILES = ["recipe.json", "contract.json", "environment.json", "history.csv", "model.keras", "predictions.csv"]
RUN_FILES += ["metrics.json", "timing.json", "catalog.csv", "report.html", "log.txt", "figures/curves.png"]
RUN_FILES += [f"figures/confusion_{split}.png" for split in ("train", "validation", "test")]


def pretrain(tank, folder, *words):
    """Two epochs at 32x32, as `finished_run` was trained."""
    known = ["--data-dir", str(tank), "--epochs", "2", "--image-size", "32", "--output-dir", str(folder)]
    return main(["pretrain", *known, *(str(word) for word in words)])


@pytest.fixture
def untrained(monkeypatch):
    """The command ends when the run folder stands, before the training."""
    monkeypatch.setattr(train, "finish", lambda run, *args, **how: None)


@pytest.fixture(scope="module")
def grid(shared_tank, tmp_path_factory):
    """The three rows of the report as a study, an epoch each."""
    folder = tmp_path_factory.mktemp("grid") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_runs, "write_run_report", lambda folder: folder)
        assert pretrain(shared_tank, folder, "--grid", "--epochs", 1) == 0
    return folder


def test_a_run_records_the_one_white_of_its_images(tmp_path, untrained):
    for number in range(12):
        place = tmp_path / "tank" / ("train", "valid", "test")[number % 3] / ("crab", "eel")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 300 if number else 4095, (48, 64)).astype(np.uint16)
        Image.fromarray(pixels).save(place / f"{number}.png")
    assert pretrain(tmp_path / "tank", tmp_path / "run") == 0
    assert Run(tmp_path / "run").spec.white == Recipe.of(Run(tmp_path / "run")).image.white == 4095


def test_a_run_folder_holds_all_that_happened(finished_run):
    assert [name for name in RUN_FILES if not (finished_run / name).is_file()] == []
    assert not list(finished_run.rglob("*.npz"))
    assert [path.name for path in finished_run.rglob(".*")] == [LOCK]
    run = Run(finished_run)
    assert run.finished and len(run.history) == 2
    assert run.class_names == ("crab", "eel", "ray") and run.read("contract.json")["demonstration"] is False
    assert set(run.read("metrics.json")) == {"train", "validation", "test"}
    assert len(read_predictions(finished_run / "predictions.csv")) == len(run.catalog) == 12
    assert "test evaluation" in (finished_run / "log.txt").read_text()


def test_images_of_ones_own_are_named_and_not_judged_by_a_published_figure(finished_run):
    recipe = Run(finished_run).read("recipe.json")
    assert recipe["published"] == {} and recipe["report"] == "" and recipe["image"]["canvas_px"] is None
    assert recipe["budget"] == "32 of 64 pixels, 2 of 60 epochs"
    page = (finished_run / "report.html").read_text(encoding="utf-8")
    assert recipe["title"] == "From scratch: four convolutions (data: tank)" and recipe["title"] in page
    assert "quarium" not in page and "Published metrics" not in page and "Demonstration" not in page


def test_a_folder_that_exists_is_never_overwritten(finished_run, shared_tank, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    assert pretrain(shared_tank, finished_run) == 1
    assert f"exists and is never overwritten. Go on with --resume {finished_run}" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}


def test_to_resume_a_finished_run_changes_no_figure(finished_run, tmp_path, capsys):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    kept = [name for name in RUN_FILES if name.endswith((".csv", ".json", ".keras", ".txt"))]
    before = {name: (copy / name).read_bytes() for name in kept}
    assert main(["pretrain", "--resume", str(copy)]) == 0
    assert before == {name: (copy / name).read_bytes() for name in kept}
    assert "report.html" in capsys.readouterr().out


def test_a_killed_training_goes_on_to_the_same_predictions(
    finished_run, shared_tank, tmp_path, monkeypatch, capsys, no_pages
):
    def killed_in_the_second_epoch(line, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        line.started = 0.0

    with monkeypatch.context() as patch:
        patch.setattr(EpochLine, "on_epoch_begin", killed_in_the_second_epoch)
        assert pretrain(shared_tank, tmp_path / "killed") == 130
    killed = Run(tmp_path / "killed")
    assert f"Stopped. What is done is kept; go on with --resume {killed.folder}\n" in capsys.readouterr().err
    assert not killed.finished and len(killed.history) == 1
    assert main(["runs", str(tmp_path)]) == 0
    assert f"stopped after 1 epochs; go on with --resume {killed.folder}" in capsys.readouterr().out
    assert main(["pretrain", "--resume", str(killed.folder)]) == 0
    unbroken = Run(finished_run)
    ours, theirs = (read_predictions(run.path("predictions.csv")) for run in (killed, unbroken))
    pd.testing.assert_frame_equal(ours, theirs)
    pd.testing.assert_frame_equal(killed.history.drop(columns="seconds"), unbroken.history.drop(columns="seconds"))
    assert killed.read("metrics.json") == unbroken.read("metrics.json")


def test_a_run_killed_while_it_is_scored_is_not_trained_again(shared_tank, tmp_path, monkeypatch, no_pages):
    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_runs, "write_predictions", killed)
        assert pretrain(shared_tank, tmp_path / "run", "--epochs", 1) == 130
    run = Run(tmp_path / "run")
    assert not run.finished
    monkeypatch.setattr(train_runs, "fit_recipe", killed)
    assert main(["pretrain", "--resume", str(run.folder)]) == 0
    assert run.finished and not run.path("checkpoint.npz").exists()


def test_a_grid_leaves_a_study_with_the_best_on_validation_marked(grid):
    table = pd.read_csv(grid / "table.csv")
    assert list(table["name"]) == ["aquarium_four_conv", "aquarium_three_conv", "aquarium_five_conv"]
    order = table.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    assert table["best"].sum() == 1 and table["name"][table["best"]].item() == order["name"].iloc[0]
    best = order["name"].iloc[0]
    page = (grid / "report.html").read_text(encoding="utf-8")
    assert f"{best} is best on validation" in page and "tank" in page
    assert all(run.finished for run in Study(grid).finished_runs.values()) and len(Study(grid).finished_runs) == 3


def test_a_study_goes_on_cell_by_cell(grid, tmp_path, capsys, no_pages):
    copy = shutil.copytree(grid, tmp_path / "study")
    for cell in Study(copy).cells:
        (copy / cell / "report.html").touch()
    for name in ("metrics.json", "predictions.csv"):
        (copy / "aquarium_five_conv" / name).unlink()
    assert main(["runs", str(copy)]) == 0
    assert "study, 2 of 3 runs finished" in capsys.readouterr().out
    assert main(["pretrain", "--resume", str(copy)]) == 0
    assert "[3/3]" in (shown := capsys.readouterr().out) and "[1/3]" not in shown
    pd.testing.assert_frame_equal(pd.read_csv(copy / "table.csv"), pd.read_csv(grid / "table.csv"))


def test_several_image_sizes_are_compared(shared_tank, tmp_path, untrained, monkeypatch):
    monkeypatch.setattr(train, "finish_study", lambda study, *args, **how: 0)
    assert pretrain(shared_tank, tmp_path / "sizes", "--image-size", 24, 32) == 0
    sizes = {
        cell: Run(tmp_path / "sizes" / cell).read("recipe.json")["image"] for cell in Study(tmp_path / "sizes").cells
    }
    assert {cell: (image["height"], image["width"]) for cell, image in sizes.items()} == {
        "four_conv_24px": (24, 24),
        "four_conv_32px": (32, 32),
    }


def test_runs_without_a_name_are_called_by_their_data_and_numbered(shared_tank, tmp_path, untrained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["pretrain", "--data-dir", str(shared_tank)]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["tank_four_conv-1", "tank_four_conv-2"]


def test_a_recipe_named_runs_whole_and_says_in_one_line_how_little_of_the_input_is_picture(
    shared_tank, tmp_path, untrained, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "finish_study", lambda study, *args, **how: 0)
    for words in (["--recipe", "aquarium_three_conv"], ["--grid"], []):
        assert main(["pretrain", "--data-dir", str(shared_tank), *words, "--epochs", "1"]) == 0
        line = "note: the median image fills 0.3% of the input: it is centered on a black square of 1024 pixels"
        assert capsys.readouterr().out.count(line) == bool(words)
    recipe = Run(tmp_path / "runs" / "tank_three_conv-1").read("recipe.json")
    assert recipe["model"]["pools"] == [3, 2, 2] and recipe["image"]["canvas_px"] == 1024
    assert recipe["title"] == "From scratch: three convolutions (data: tank)" and recipe["report"] == ""
    assert (tmp_path / "runs" / "tank_pretrain-1" / "aquarium_four_conv").is_dir()


def catalog_of(tank, folder, *words):
    assert pretrain(tank, folder, *words) == 0
    return Run(folder).catalog


def test_limit_keeps_so_many_images_a_split_and_says_so(shared_tank, tmp_path, untrained):
    catalog = catalog_of(shared_tank, tmp_path / "run", "--limit", 2)
    assert catalog["split"].value_counts().to_dict() == {"train": 2, "validation": 2, "test": 2}
    recipe = Run(tmp_path / "run").read("recipe.json")
    assert recipe["data"]["limit"] == 2 and "at most 2 images a split" in recipe["budget"]


def test_the_seed_reaches_recipe_and_split(shared_tank, tmp_path, untrained):
    splits = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        catalog = catalog_of(shared_tank, tmp_path / name, "--split-by", "random", "--seed", seed)
        assert Run(tmp_path / name).read("recipe.json")["training"]["seed"] == seed
        splits.append(catalog.set_index("image_id")["split"].sort_index().to_dict())
    assert splits[0] == splits[1] != splits[2]


def test_split_by_is_kept_in_the_recipe(shared_tank, tmp_path, untrained):
    for way in (None, "stratified", "grouped"):
        catalog_of(shared_tank, tmp_path / f"{way}", *(["--split-by", way] if way else []))
        assert Run(tmp_path / f"{way}").read("recipe.json")["data"]["split_by"] == (way or "published")


def test_the_class_level_that_is_named_is_part_of_the_recipe(tmp_path, untrained, capsys):
    for number, place in enumerate(("north/crab", "north/eel", "south/crab", "south/eel") * 3):
        path = tmp_path / "data" / place / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_image(path.parent.name, seed=number).save(path)
    (tmp_path / "data" / "notes.xml").touch()
    words = ["--split-by", "stratified"]
    assert set(catalog_of(tmp_path / "data", tmp_path / "first", *words)["class_name"]) == {"north", "south"}
    said = capsys.readouterr().out
    assert "groups of images, such as crab (else: --class-level leaf)" in said and "not read: 1 .xml\n" in said
    catalog = catalog_of(tmp_path / "data", tmp_path / "leaf", *words, "--class-level", "leaf")
    assert set(catalog["class_name"]) == {"crab", "eel"}
    run = Run(tmp_path / "leaf")
    assert Recipe.of(run).data.class_level == "leaf"
    assert data_of(run, quiet).class_level == "leaf"


def test_the_label_rule_decides_the_classes(shared_tank, tmp_path, untrained):
    labels = {
        rule: catalog_of(shared_tank, tmp_path / rule, "--label-rule", rule).set_index("image_id")["class_name"]
        for rule in ("dominant", "area", "count")
    }
    assert labels["dominant"].equals(labels["area"])
    changed = labels["dominant"].index[labels["dominant"] != labels["count"]]
    assert list(changed) == ["train/ray_train_5.jpg"]  # an eel and a ray: equal in number, eel sorts first
    assert Run(tmp_path / "count").read("contract.json")["label_rule"] == "count"


def test_merge_case_reaches_catalog_boxes_and_recipe_and_what_reads_the_data_again(
    roboflow_folder, tmp_path, untrained, capsys
):
    table = roboflow_folder / "test" / "_annotations.csv"
    table.write_text(table.read_text().replace(",eel,", ",Eel,"))
    assert pretrain(roboflow_folder, tmp_path / "refused") == 1
    assert '"eel" (5 images) and "Eel" (1)' in capsys.readouterr().err and not (tmp_path / "refused").exists()
    catalog = catalog_of(roboflow_folder, tmp_path / "run", "--merge-case", "--synthetic")
    run = Run(tmp_path / "run")
    assert set(catalog["class_name"]) == set(run.class_names) == {"crab", "eel", "ray"}
    assert Recipe.of(run).data.merge_case
    assert set(mcv.read_boxes(data_of(run, quiet))["class_name"]) == {"crab", "eel", "ray"}


def test_other_images_take_the_spelling_of_the_run(finished_run, roboflow_folder):
    for table in roboflow_folder.rglob("_annotations.csv"):
        table.write_text(table.read_text().replace(",eel,", ",Eel,"))
    names, choice = Run(finished_run).class_names, DataChoice(name="tank")
    with pytest.raises(ValueError, match="does not know, the first: 'Eel'"):
        other_images(source_of(roboflow_folder, choice, quiet), choice, names, "test", 0, quiet)
    source = source_of(roboflow_folder, replace(choice, merge_case=True), quiet)
    assert set(other_images(source, choice, names, "test", 0, quiet)["class_name"]) == {"crab", "eel", "ray"}


def test_annotation_rows_that_cannot_be_read_are_counted_before_a_training(
    roboflow_folder, tmp_path, untrained, capsys
):
    with (roboflow_folder / "train" / "_annotations.csv").open("a") as table:
        table.write("crab_train_0.jpg,64,48,crab,4,6,x,36\n")
    catalog_of(roboflow_folder, tmp_path / "run")
    said = (
        "1 of 18 annotation rows cannot be read; the first, train/_annotations.csv:11: bad row 'crab_train_0.jpg,64,48,"
    )
    assert said in capsys.readouterr().out


def test_an_image_without_a_box_is_left_out_or_a_class_of_its_own(roboflow_folder, tmp_path, untrained):
    draw_image("eel", 9).save(roboflow_folder / "train" / "nothing.jpg")
    skipped = catalog_of(roboflow_folder, tmp_path / "skip").set_index("image_id").loc["train/nothing.jpg"]
    assert skipped["problem"] == "no box" and "empty" not in Run(tmp_path / "skip").class_names
    empty = catalog_of(roboflow_folder, tmp_path / "empty", "--no-box", "empty").set_index("image_id")
    assert empty.loc["train/nothing.jpg", "class_name"] == "empty" and "empty" in Run(tmp_path / "empty").class_names


@pytest.mark.parametrize("flag", ["--class-weights", "--balanced", "--batch-size"])
def test_flags_of_the_training_reach_keras(flag, roboflow_folder, tmp_path, monkeypatch):
    for number in (0, 3):
        (roboflow_folder / "train" / f"crab_train_{number}.jpg").rename(tmp_path / f"{number}.jpg")
    draw_image("eel", 9).save(roboflow_folder / "train" / "crab_train_3.jpg")  # 1 crab, 2 eels, 2 rays
    seen = {}

    def fit_nothing(model, data, **options):
        seen.update(options)
        raise KeyboardInterrupt

    def make_dataset(catalog, **options):
        seen.update(options if options.get("training") else {})
        return catalog

    monkeypatch.setattr(keras.Model, "fit", fit_nothing)
    monkeypatch.setattr(learner, "make_dataset", make_dataset)
    assert pretrain(roboflow_folder, tmp_path / "run", flag, *([5] if flag == "--batch-size" else [])) == 130
    weights = seen["class_weight"]
    assert (weights is not None) == (flag == "--class-weights")
    assert seen["balanced"] == (flag == "--balanced")
    assert seen["batch_size"] == (5 if flag == "--batch-size" else 32)
    if weights:
        assert weights[0] == pytest.approx(2 * weights[1]) == pytest.approx(2 * weights[2])


def test_synthetic_images_are_written_below_the_run_and_trained_on(shared_tank, tmp_path, no_pages):
    before = sorted(shared_tank.rglob("*"))
    assert pretrain(shared_tank, tmp_path / "run", "--synthetic", "--epochs", 1) == 0
    run = Run(tmp_path / "run")
    new = run.catalog[run.catalog["image_id"].str.startswith("synthetic/")]
    assert sorted(new["class_name"]) == ["eel", "eel"] and set(new["split"]) == {"train"}
    assert all(Path(path).is_relative_to(run.path("synthetic")) for path in new["path"])
    assert run.path("synthetic", "contact_sheet.jpg").is_file() and run.read("metrics.json")["train"]["n"] == 8
    assert before == sorted(shared_tank.rglob("*"))


def test_a_recipe_that_asks_for_synthetic_images_asks_for_itself_alone(shared_tank):
    rows = [replace(BEST, data=replace(BEST.data, synthetic=True)), BEST]
    choice = plan.read_data(shared_tank, rows, {}, quiet)[2]
    assert [plan.adjusted(row, choice, {}).data.synthetic for row in rows] == [True, False]


def test_a_bare_folder_of_classes_is_trained_at_once_and_says_what_is_wrong_with_its_labels(
    tmp_path, monkeypatch, untrained, capsys
):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("crab", "eel") * 6):
        place = tmp_path / "mine" / name / f"{'abcdefghijkl'[number]}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(place)
    shutil.copy(tmp_path / "mine" / "crab" / "a.png", tmp_path / "mine" / "eel" / "same.png")
    assert main(["pretrain", "--data-dir", "mine"]) == 0
    said = capsys.readouterr().out
    assert "split in 12 groups of 13 images by related images" in said and "split mine-grouped-" in said
    assert "note: one picture under two labels: crab/a.png and eel/same.png\n" in said
    shutil.move(tmp_path / "mine", tmp_path / "train")
    for name in ("eel", "crab", "ray"):
        (tmp_path / "other" / "valid" / name).mkdir(parents=True)
        draw_image(name, 0).save(tmp_path / "other" / "valid" / name / "v.jpg")
    shutil.move(tmp_path / "train", tmp_path / "other" / "train")
    assert main(["pretrain", "--data-dir", "other"]) == 0
    said = capsys.readouterr().out
    assert "note: no train image of ray: its other images (1) cannot be predicted right\n" in said
    assert "note: no test image of ray, of which the test score says nothing\n" in said


def test_synthetic_images_that_cannot_be_made_are_an_error_before_the_run(roboflow_folder, tmp_path, capsys):
    for table in roboflow_folder.rglob("_annotations.csv"):
        lines = [line for line in table.read_text().splitlines() if ",50,2,56,8" not in line]
        table.write_text("\n".join(lines) + "\n")
    assert pretrain(roboflow_folder, tmp_path / "run", "--synthetic") == 1
    assert "Leave out --synthetic." in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_the_recipe_as_it_was_run_is_kept_with_its_command(finished_run):
    environment = json.loads((finished_run / "environment.json").read_text())
    assert environment["command"] and environment["keras"] == keras.__version__


@pytest.mark.slow
def test_control_c_leaves_a_run_that_can_be_resumed(shared_tank, tmp_path):
    """The same with a true signal to a true process."""
    root = Path(mcv.__file__).resolve().parents[1]
    words = ["--data-dir", shared_tank, "--epochs", "200", "--image-size", "32", "--output-dir", tmp_path / "run"]
    program = subprocess.Popen(
        [sys.executable, "run.py", "pretrain", *map(str, words)], cwd=root, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run" / "checkpoint.npz").is_file():
        assert program.poll() is None
        time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130 and "--resume" in said and "Traceback" not in said
    assert main(["pretrain", "--resume", str(tmp_path / "run")]) == 0
    assert Run(tmp_path / "run").finished


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"seed": 3, "epochs": 2}, True),
        ({"batch_size": 8}, False),
        ({"class_weights": True}, False),
        ({"balanced": True}, False),
        ({"calibration": 0.5}, False),
        ({"dropout": 0.4}, False),
        ({"size": 96}, False),
        ({"size": 32}, True),
    ],
)
def test_another_experiment_is_not_held_against_the_published_figure(settings, kept):
    changes = named_changes(BEST, **settings)
    choice = replace(BEST.data, split_by="published", limit=40)
    assert bool(plan.adjusted(BEST, choice, changes).published) == kept
    assert not plan.adjusted(BEST, replace(choice, label_rule="area"), changes).published
    smaller = plan.adjusted(BEST, replace(choice, limit=None), {"image.size": "32"})
    assert smaller.budget == "32 of 64 pixels" and smaller.image.width == 32


def test_the_first_image_that_cannot_be_used_is_named_before_the_training(tmp_path, untrained, capsys):
    tank = draw_tank(tmp_path / "tank")
    broken = min((tank / "train").glob("*.jpg"))
    broken.write_bytes(b"no image")
    assert pretrain(tank, tmp_path / "run") == 0
    assert f"; 1 cannot be used, the first, train/{broken.name}: cannot be read: " in capsys.readouterr().out
