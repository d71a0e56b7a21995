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
from conftest import draw_image, killed
from PIL import Image

import marinecv as mcv
from marinecv.console import silent
from marinecv.evaluation.predictions import read_predictions
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.files.lock import LOCK
from marinecv.recipes.aquarium import BEST
from marinecv.runs import Run
from marinecv.training.callbacks import EpochLine
from marinecv.training.recipe import DataConfig, Recipe
from marinecv.training.settings import full_names
from marinecv.workflows import prepare as plan
from marinecv.workflows import train, train_runs
from marinecv.workflows.run_images import data_of, other_images
from marinecv.workflows.sources import source_of
from pipelines.cli import main

RUN_FILES = ["recipe.json", "preprocessing.json", "environment.json", "history.csv", "model.keras", "predictions.csv"]
RUN_FILES += ["metrics.json", "timing.json", "catalog.csv", "report.html", "log.txt", "figures/curves.png"]
RUN_FILES += [f"figures/confusion_{split}.png" for split in ("train", "validation", "test")]


def pretrain(tank, folder, *words):
    """Two epochs at 32x32, as `finished_run` was trained."""
    known = ["--data-dir", str(tank), "--epochs", "2", "--image-size", "32", "--output-dir", str(folder)]
    return main(["pretrain", *known, *(str(word) for word in words)])


def begun(tank, folder, *words):
    """The run that the command makes."""
    assert pretrain(tank, folder, *words) == 0
    return Run(folder)


@pytest.fixture
def untrained(monkeypatch):
    """The command ends when the folders stand, before the training."""
    monkeypatch.setattr(train, "finish", lambda run, *args, **how: None)
    monkeypatch.setattr(train, "finish_experiment", lambda experiment, *args, **how: None)


@pytest.fixture(scope="module")
def grid(shared_tank, tmp_path_factory):
    """The three rows of the report as an experiment, an epoch each."""
    folder = tmp_path_factory.mktemp("grid") / "experiment"
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
    run = begun(tmp_path / "tank", tmp_path / "run")
    assert run.spec.white == Recipe.of(run).image.white == 4095


def test_a_run_folder_holds_all_that_happened_under_the_name_of_its_images(finished_run):
    assert [name for name in RUN_FILES if not (finished_run / name).is_file()] == []
    assert not list(finished_run.rglob("*.npz")) and [path.name for path in finished_run.rglob(".*")] == [LOCK]
    run = Run(finished_run)
    assert run.finished and len(run.history) == 2
    assert run.class_names == ("crab", "eel", "ray") and run.read("preprocessing.json")["demonstration"] is False
    assert set(run.read("metrics.json")) == {"train", "validation", "test"}
    assert len(read_predictions(finished_run / "predictions.csv")) == len(run.catalog) == 12
    assert "test evaluation" in (finished_run / "log.txt").read_text()
    assert run.read("environment.json")["command"] and run.read("environment.json")["keras"] == keras.__version__
    recipe = run.read("recipe.json")
    assert recipe["published"] == {} and recipe["report"] == "" and recipe["image"]["letterbox_px"] is None
    assert recipe["shortened"] == "32 of 64 pixels, 2 of 2000 epochs"
    page = (finished_run / "report.html").read_text(encoding="utf-8")
    assert recipe["title"] == "From scratch: four convolutions (data: tank)" and recipe["title"] in page
    assert "quarium" not in page and "Published metrics" not in page and "Demonstration" not in page


def test_a_finished_run_is_never_overwritten_and_to_resume_it_changes_no_figure(
    finished_run, shared_tank, tmp_path, capsys
):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.suffix in (".csv", ".json", ".keras", ".txt")}
    assert pretrain(shared_tank, copy) == 1
    assert f"--resume {copy}" in capsys.readouterr().err
    assert main(["pretrain", "--resume", str(copy)]) == 0
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.slow
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
    stopped, unbroken = Run(tmp_path / "killed"), Run(finished_run)
    assert f"go on with --resume {stopped.folder}\n" in capsys.readouterr().err
    assert not stopped.finished and len(stopped.history) == 1
    assert main(["runs", str(tmp_path)]) == 0
    assert f"stopped after 1 epochs; go on with --resume {stopped.folder}" in capsys.readouterr().out
    assert main(["pretrain", "--resume", str(stopped.folder)]) == 0
    ours, theirs = (read_predictions(run.path("predictions.csv")) for run in (stopped, unbroken))
    pd.testing.assert_frame_equal(ours, theirs)
    pd.testing.assert_frame_equal(stopped.history.drop(columns="seconds"), unbroken.history.drop(columns="seconds"))
    assert stopped.read("metrics.json") == unbroken.read("metrics.json")


@pytest.mark.slow
def test_a_run_killed_while_it_is_scored_is_not_trained_again(shared_tank, tmp_path, monkeypatch, no_pages):
    with monkeypatch.context() as patch:
        patch.setattr(train_runs, "write_predictions", killed)
        assert pretrain(shared_tank, tmp_path / "run", "--epochs", 1) == 130
    run = Run(tmp_path / "run")
    assert not run.finished
    monkeypatch.setattr(train_runs, "fit_recipe", killed)
    assert main(["pretrain", "--resume", str(run.folder)]) == 0
    assert run.finished and not run.path("checkpoint.npz").exists()


@pytest.mark.slow
def test_a_grid_leaves_a_study_with_the_best_on_validation_marked(grid):
    table = pd.read_csv(grid / "table.csv")
    assert list(table["name"]) == ["aquarium_four_conv", "aquarium_three_conv", "aquarium_five_conv"]
    best = table.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])["name"].iloc[0]
    assert table["name"][table["best"]].tolist() == [best]
    assert f"{best} is best on validation" in (grid / "report.html").read_text(encoding="utf-8")
    assert len(Experiment(grid).finished_runs) == 3


def test_a_study_goes_on_cell_by_cell(grid, tmp_path, capsys, no_pages):
    copy = shutil.copytree(grid, tmp_path / "experiment")
    for cell in Experiment(copy).cells:
        (copy / cell / "report.html").touch()
    for name in ("metrics.json", "predictions.csv"):
        (copy / "aquarium_five_conv" / name).unlink()
    assert main(["runs", str(copy)]) == 0
    assert "2 of 3 runs finished" in capsys.readouterr().out
    assert main(["pretrain", "--resume", str(copy)]) == 0
    assert "[3/3]" in (shown := capsys.readouterr().out) and "[1/3]" not in shown
    pd.testing.assert_frame_equal(pd.read_csv(copy / "table.csv"), pd.read_csv(grid / "table.csv"))


def test_several_image_sizes_are_compared(shared_tank, tmp_path, untrained):
    assert pretrain(shared_tank, tmp_path / "sizes", "--image-size", 24, 32) == 0
    runs = {cell: Run(tmp_path / "sizes" / cell) for cell in Experiment(tmp_path / "sizes").cells}
    shapes = {cell: run.spec.shape[:2] for cell, run in runs.items()}
    assert shapes == {"four_conv_24px": (24, 24), "four_conv_32px": (32, 32)}


def test_runs_are_named_by_their_data_and_say_how_little_of_the_input_is_picture(
    shared_tank, tmp_path, untrained, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for words in (["--recipe", "aquarium_three_conv"], ["--grid"], [], []):
        assert main(["pretrain", "--data-dir", str(shared_tank), *words, "--epochs", "1"]) == 0
        assert ("the median image fills 0.3% of the input" in capsys.readouterr().out) == bool(words)
    names = ["tank_four_conv-1", "tank_four_conv-2", "tank_pretrain-1", "tank_three_conv-1"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
    recipe = Run(tmp_path / "runs" / "tank_three_conv-1").read("recipe.json")
    assert recipe["model"]["pools"] == [3, 2, 2] and recipe["image"]["letterbox_px"] == 1024 and recipe["report"] == ""


@pytest.mark.parametrize(
    ("words", "part", "settings"),
    [
        (["--class-weights", "--balanced"], "training", {"class_weights": True, "balanced": True}),
        (["--batch-size", 5, "--mixed-precision"], "training", {"batch_size": 5, "mixed_precision": True}),
        (["--limit", 2], "data", {"limit": 2, "split_by": "published"}),
        (["--split-by", "grouped"], "data", {"split_by": "grouped"}),
    ],
)
def test_flags_reach_the_recipe(shared_tank, tmp_path, untrained, words, part, settings):
    recipe = begun(shared_tank, tmp_path / "run", *words).read("recipe.json")
    assert recipe[part] | settings == recipe[part]
    assert ("at most 2 images a split" in recipe["shortened"]) == ("limit" in settings)


def test_the_seed_reaches_recipe_and_split(shared_tank, tmp_path, untrained):
    splits = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = begun(shared_tank, tmp_path / name, "--split-by", "random", "--seed", seed)
        assert Recipe.of(run).training.seed == seed
        splits.append(run.catalog.set_index("image_id")["split"].sort_index().to_dict())
    assert splits[0] == splits[1] != splits[2]


def test_the_class_level_that_is_named_is_part_of_the_recipe(tmp_path, untrained, capsys):
    for number, place in enumerate(("north/crab", "north/eel", "south/crab", "south/eel") * 3):
        path = tmp_path / "data" / place / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_image(path.parent.name, seed=number).save(path)
    (tmp_path / "data" / "notes.xml").touch()
    words = ["--split-by", "stratified"]
    assert begun(tmp_path / "data", tmp_path / "first", *words).class_names == ("north", "south")
    assert "--class-level leaf" in (said := capsys.readouterr().out) and "not read: 1 .xml\n" in said
    run = begun(tmp_path / "data", tmp_path / "leaf", *words, "--class-level", "leaf")
    assert run.class_names == ("crab", "eel")
    assert Recipe.of(run).data.class_level == data_of(run, silent).class_level == "leaf"


def test_the_columns_that_are_named_are_part_of_the_recipe_but_not_of_images_from_elsewhere(
    shared_tank, tmp_path, untrained
):
    rows = []
    for number, name in enumerate(("crab", "eel") * 4):
        draw_image(name, seed=number).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{name},x\n")
    (tmp_path / "data.csv").write_text("Bild,Art,class\n" + "".join(rows))
    columns = {"file": "Bild", "class": "Art"}
    words = [f"{what}={name}" for what, name in columns.items()]
    run = begun(tmp_path, tmp_path / "run", "--split-by", "stratified", "--columns", *words)
    assert run.class_names == ("crab", "eel") and Recipe.of(run).data.columns == columns
    assert data_of(run, silent).columns == columns
    how = {"columns": columns, "split_by": "stratified", "weights": "none"}
    again = mcv.train(tmp_path, folder=tmp_path / "again", log=None, **how)
    assert Recipe.of(again).data.columns == columns and again.class_names == run.class_names
    assert source_of(shared_tank, replace(DataConfig.of(run), columns={}), silent).manifest.root == shared_tank


def test_the_label_rule_decides_the_classes(shared_tank, tmp_path, untrained):
    runs = {rule: begun(shared_tank, tmp_path / rule, "--label-rule", rule) for rule in ("dominant", "area", "count")}
    labels = {rule: run.catalog.set_index("image_id")["class_name"] for rule, run in runs.items()}
    assert labels["dominant"].equals(labels["area"])
    changed = labels["dominant"].index[labels["dominant"] != labels["count"]]
    assert list(changed) == ["train/ray_train_5.jpg"]  # an eel and a ray: equal in number, eel sorts first
    assert runs["count"].read("preprocessing.json")["label_rule"] == "count"


def test_merge_case_reaches_catalog_boxes_recipe_and_images_from_elsewhere(
    finished_run, roboflow_folder, tmp_path, untrained, capsys
):
    for table in roboflow_folder.rglob("_annotations.csv"):
        table.write_text(table.read_text().replace(",eel,", ",Eel,"))
    names, choice = Run(finished_run).class_names, DataConfig(name="tank")
    with pytest.raises(ValueError, match="does not know, the first: 'Eel'"):
        other_images(source_of(roboflow_folder, choice, silent), choice, names, "test", 0, silent)
    source = source_of(roboflow_folder, replace(choice, merge_case=True), silent)
    assert set(other_images(source, choice, names, "test", 0, silent)["class_name"]) == {"crab", "eel", "ray"}

    table = roboflow_folder / "test" / "_annotations.csv"
    table.write_text(table.read_text().replace(",Eel,", ",eel,"))
    assert pretrain(roboflow_folder, tmp_path / "refused") == 1
    assert '"Eel"' in (said := capsys.readouterr().err) and '"eel"' in said and not (tmp_path / "refused").exists()
    run = begun(roboflow_folder, tmp_path / "run", "--merge-case", "--synthetic")
    assert len(set(run.catalog["class_name"])) == len(run.class_names) == 3 and Recipe.of(run).data.merge_case
    assert set(mcv.read_boxes(data_of(run, silent))["class_name"]) == set(run.class_names)


def test_what_cannot_be_read_is_counted_and_named_before_a_training(roboflow_folder, tmp_path, untrained, capsys):
    with (roboflow_folder / "train" / "_annotations.csv").open("a") as table:
        table.write("crab_train_0.jpg,64,48,crab,4,6,x,36\n")
    broken = min((roboflow_folder / "train").glob("*.jpg"))
    broken.write_bytes(b"no image")
    begun(roboflow_folder, tmp_path / "run")
    said = capsys.readouterr().out
    assert "1 of 18 annotation rows cannot be read" in said and "train/_annotations.csv:11" in said
    assert f"1 cannot be used, the first, train/{broken.name}: " in said


def test_an_image_without_a_box_is_left_out_or_a_class_of_its_own(roboflow_folder, tmp_path, untrained):
    draw_image("eel", 9).save(roboflow_folder / "train" / "nothing.jpg")
    skip, empty = (begun(roboflow_folder, tmp_path / way, "--images-without-boxes", way) for way in ("skip", "empty"))
    rows = [run.catalog.set_index("image_id").loc["train/nothing.jpg"] for run in (skip, empty)]
    assert rows[0]["problem"] == "no box" and "empty" not in skip.class_names
    assert rows[1]["class_name"] == "empty" and "empty" in empty.class_names


def test_synthetic_images_are_written_below_the_run_and_trained_on(shared_tank, tmp_path, no_pages):
    before = sorted(shared_tank.rglob("*"))
    run = begun(shared_tank, tmp_path / "run", "--synthetic", "--epochs", 1)
    new = run.catalog[run.catalog["image_id"].str.startswith("synthetic/")]
    assert sorted(new["class_name"]) == ["eel", "eel"] and set(new["split"]) == {"train"}
    assert all(Path(path).is_relative_to(run.path("synthetic")) for path in new["path"])
    assert run.path("synthetic", "contact_sheet.jpg").is_file() and run.read("metrics.json")["train"]["n"] == 8
    assert before == sorted(shared_tank.rglob("*"))


def test_synthetic_images_are_of_the_recipe_that_asks_for_them_and_an_error_where_none_can_be_made(
    shared_tank, roboflow_folder, tmp_path, capsys
):
    rows = [replace(BEST, data=replace(BEST.data, synthetic=True)), BEST]
    choice = plan.read_data(shared_tank, rows, {}, silent)[2]
    assert [plan.adapted_recipe(row, choice, {}).data.synthetic for row in rows] == [True, False]
    for table in roboflow_folder.rglob("_annotations.csv"):
        lines = [line for line in table.read_text().splitlines() if ",50,2,56,8" not in line]
        table.write_text("\n".join(lines) + "\n")
    assert pretrain(roboflow_folder, tmp_path / "run", "--synthetic") == 1
    assert "Leave out --synthetic." in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_bare_folder_of_classes_is_trained_at_once_and_says_what_is_wrong_with_its_labels(
    tmp_path, monkeypatch, untrained, capsys
):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("crab", "eel") * 6):
        place = tmp_path / "mine" / name / f"{'abcdefghijkl'[number]}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)).save(place)
    shutil.copy(tmp_path / "mine" / "crab" / "a.png", tmp_path / "mine" / "eel" / "same.png")
    assert main(["pretrain", "--data-dir", "mine"]) == 0
    said = capsys.readouterr().out
    assert "split in 12 groups of 13 images" in said and "split mine-grouped-" in said
    assert "under two labels: crab/a.png and eel/same.png\n" in said
    for name in ("eel", "crab", "ray"):
        (tmp_path / "other" / "valid" / name).mkdir(parents=True)
        draw_image(name, 0).save(tmp_path / "other" / "valid" / name / "v.jpg")
    shutil.move(tmp_path / "mine", tmp_path / "other" / "train")
    assert main(["pretrain", "--data-dir", "other"]) == 0
    said = capsys.readouterr().out
    assert "no train image of ray" in said and "no test image of ray" in said


@pytest.mark.slow
def test_control_c_leaves_a_run_that_can_be_resumed(shared_tank, tmp_path):
    """The same with a true signal to a true process."""
    root = Path(mcv.__file__).resolve().parents[1]
    words = ["--data-dir", shared_tank, "--epochs", "200", "--image-size", "32", "--output-dir", tmp_path / "run"]
    how = {"cwd": root, "stderr": subprocess.PIPE, "text": True}
    program = subprocess.Popen([sys.executable, "run.py", "pretrain", *map(str, words)], **how)
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
    [({"seed": 3, "epochs": 2, "size": 32}, True)]
    + [(changed, False) for changed in ({"batch_size": 8}, {"calibration": 0.5}, {"dropout": 0.4}, {"size": 96})],
)
def test_another_experiment_is_not_compared_with_the_published_figure(settings, kept):
    choice = replace(BEST.data, split_by="published", limit=40)
    assert bool(plan.adapted_recipe(BEST, choice, full_names(BEST, **settings)).published) == kept
    assert not plan.adapted_recipe(BEST, replace(choice, label_rule="area"), full_names(BEST, **settings)).published


@pytest.mark.parametrize("split", ["validation", "test"])
def test_selecting_on_test_alone_is_said_loudly_and_kept_in_study_and_contracts(
    split, shared_tank, tmp_path, untrained, capsys
):
    assert pretrain(shared_tank, tmp_path / "s", "--grid", "--select-on", split) == 0
    assert ("WARNING: the best row will be chosen on test" in capsys.readouterr().out) == (split == "test")
    experiment = Experiment(tmp_path / "s")
    assert experiment.select_on == split
    contracts = [Run(experiment.cell_folder(cell)).read("preprocessing.json") for cell in experiment.cells]
    assert [preprocessing.get("select_on", "validation") for preprocessing in contracts] == [split] * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "makes one run. Expected several recipes, several image sizes or --folds 5. Leave out --select-on test,"),
        (("--grid", "--folds", "2"), "--select-on test needs test images"),
    ],
)
def test_selecting_on_test_without_a_choice_or_without_test_is_refused(shared_tank, tmp_path, capsys, words, said):
    assert pretrain(shared_tank, tmp_path / "s", "--select-on", "test", *words) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_figures_of_all_folds_over_few_groups_say_so_on_the_console_and_the_page(finished_run, tmp_path, capsys):
    run = Run(shutil.copytree(finished_run, tmp_path / "a"))
    recipe = run.read("recipe.json")
    recipe["data"]["fold"] = "1/1"
    write_json(run.path("recipe.json"), recipe)
    write_table(run.path("catalog.csv"), run.catalog.assign(group="tank"))
    train_runs.finish_experiment(Experiment.create(tmp_path, "s", "S", ["a"]), print)
    said = "no interval"
    assert said in capsys.readouterr().out and said in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_best_on_test_is_named_with_its_warning(finished_run, tmp_path, capsys):
    for cell in ("a", "b"):
        shutil.copytree(finished_run, tmp_path / cell)
    metrics = json.loads((tmp_path / "b" / "metrics.json").read_text())
    metrics["test"]["accuracy"] |= {"value": 1.0, "high": 1.0}
    (tmp_path / "b" / "metrics.json").write_text(json.dumps(metrics))
    train_runs.finish_experiment(Experiment.create(tmp_path, "s", "S", ["a", "b"], select_on="test"), print)
    said = capsys.readouterr().out
    assert "best on test: b (1.000, n=3)" in said and "best on validation" not in said
    assert "WARNING: chosen on test" in said
    assert "b is best on test" in (tmp_path / "report.html").read_text(encoding="utf-8")
