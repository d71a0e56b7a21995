import pandas as pd
import pytest

from marinecv import studies
from marinecv.atomic import write_json
from marinecv.runs import Run
from marinecv.studies import Study, is_study, resumable, run_row

COSTS = {
    "seconds_per_epoch": 1.2,
    "epochs": 9,
    "best_epoch": 6,
    "train_seconds": 12.5,
    "latency_ms_per_image": 3.0,
    "parameters": 1000,
    "trainable_parameters": 900,
    "device": "2 CPU cores",
}


def accuracy(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 127}


def finish(run, right, loss, splits=("validation", "test", "train")):
    """What training and evaluation leave of a run."""
    figures = {"n": 127, "accuracy": accuracy(right), "log_loss": accuracy(loss)}
    metrics = {split: figures for split in splits}
    write_json(run.path("timing.json"), COSTS)
    write_json(run.path("metrics.json"), metrics)


@pytest.fixture
def study(tmp_path):
    """Four cells, none of which is finished."""
    folder = tmp_path / "grid"
    cells = ["one", "two", "drei ü", "NA"]
    for cell in cells:
        Run.create(folder / cell, {"name": cell}, {"class_names": []}, pd.DataFrame({"image_id": []}))
    return Study.create(folder, "tank_grid", "A grid of tanks", cells)


def test_a_study_reads_back_what_it_was_given(study):
    again = Study(study.folder)
    assert again.title == "A grid of tanks"
    assert list(again.cells) == ["one", "two", "drei ü", "NA"]
    assert Run(again.cell_folder("drei ü")).read("recipe.json") == {"name": "drei ü"}
    assert Run(study.folder / "one").read("recipe.json") == {"name": "one"}


def test_unfinished_runs_are_left_out_of_the_table(study):
    assert study.finished_runs == {}
    finish(Run(study.cell_folder("two")), 0.5, 1.0)
    finish(Run(study.cell_folder("NA")), 0.75, 1.0)
    assert list(study.finished_runs) == ["two", "NA"]
    table = study.write_table()
    assert table["name"].tolist() == ["two", "NA"]
    assert table["best"].tolist() == [False, True]
    written = pd.read_csv(study.folder / "table.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(written, table, check_dtype=False)


def test_ties_go_to_the_lower_validation_loss_and_then_to_the_first(study):
    for cell, right, loss in (("one", 0.75, 0.9), ("two", 0.8, 0.7), ("drei ü", 0.8, 0.6), ("NA", 0.8, 0.6)):
        finish(Run(study.cell_folder(cell)), right, loss)
    table = study.write_table()
    assert table.loc[table["best"], "name"].tolist() == ["drei ü"]
    assert table["name"].tolist() == list(study.cells)  # in the order of the study


def test_the_best_is_chosen_on_validation_and_never_on_test(study):
    for cell, validation, test in (("one", 0.9, 0.1), ("two", 0.8, 1.0)):
        run = Run(study.cell_folder(cell))
        finish(run, validation, 0.5)
        metrics = run.read("metrics.json")
        metrics["test"]["accuracy"] = accuracy(test)
        write_json(run.path("metrics.json"), metrics)
    table = study.write_table()
    assert table.loc[table["best"], "name"].tolist() == ["one"]


def test_a_study_that_selects_on_test_says_so_and_takes_the_best_of_test_and_of_equals_the_lower_loss(study):
    selecting = Study.create(study.folder, "tank_grid", "A grid of tanks", list(study.cells), select_on="test")
    for cell, validation, test, loss in (("one", 0.9, 0.1, 0.5), ("two", 0.8, 0.9, 0.6), ("drei ü", 0.7, 0.9, 0.4)):
        run = Run(study.cell_folder(cell))
        finish(run, validation, 0.5)
        metrics = run.read("metrics.json")
        metrics["test"] |= {"accuracy": accuracy(test), "log_loss": accuracy(loss)}
        write_json(run.path("metrics.json"), metrics)
    table = selecting.write_table()
    assert table.loc[table["best"], "name"].tolist() == ["drei ü"]
    assert Study(study.folder).select_on == "test"


def test_a_study_that_says_nothing_selects_on_validation_and_another_word_is_refused(study):
    about = {"name": "s", "title": "S", "demonstration": False, "cells": {"one": "one"}}
    write_json(study.folder / "study.json", about)
    assert Study(study.folder).select_on == "validation"
    write_json(study.folder / "study.json", about | {"select_on": "train"})
    with pytest.raises(
        ValueError,
        match="Expected select_on to be one of .'validation', 'test'.. Received: select_on='train'.*Bring it back",
    ):
        Study(study.folder)


def test_without_the_split_to_select_on_none_is_the_best(study):
    finish(Run(study.cell_folder("one")), 0.5, 1.0, splits=("validation", "train"))
    selecting = Study.create(study.folder, "tank_grid", "A grid of tanks", list(study.cells), select_on="test")
    assert not selecting.write_table()["best"].any()


def test_of_folds_none_is_the_best(tmp_path):
    for fold in ("1/2", "2/2"):
        run = Run.create(tmp_path / fold[0], {"data": {"fold": fold}}, {}, pd.DataFrame({"image_id": []}))
        assert run.fold == fold
        finish(run, 0.5, 1.0)
    study = Study.create(tmp_path, "folds", "Two folds", ["1", "2"])
    assert not study.write_table()["best"].any() and not study.table["best"].any()


def test_a_row_holds_each_split_with_its_interval_and_what_it_cost(study):
    run = Run(study.cell_folder("one"))
    finish(run, 0.75, 0.5)
    row = run_row(run)
    assert {name: row[name] for name in studies.COSTS} == {name: COSTS[name] for name in studies.COSTS}
    for split in ("validation", "test"):
        found = {bound: row[f"{split}_{bound}"] for bound in ("accuracy", "low", "high", "n")}
        assert found == {"accuracy": 0.75, "low": 0.65, "high": 0.85, "n": 127}
    assert (row["train_accuracy"], row["validation_loss"]) == (0.75, 0.5)
    assert "train_n" not in row


def test_a_split_that_is_not_there_has_no_columns(study):
    run = Run(study.cell_folder("one"))
    finish(run, 0.75, 0.5, splits=("validation", "train"))
    assert not [name for name in run_row(run) if name.startswith("test")]


def test_a_finished_run_without_its_timing_is_refused(study):
    run = Run(study.cell_folder("one"))
    finish(run, 0.75, 0.5)
    run.path("timing.json").unlink()
    with pytest.raises(ValueError, match="timing.json cannot be read"):
        study.write_table()


def test_resume_opens_a_study_or_a_run(study):
    assert is_study(study.folder) and not is_study(study.cell_folder("one"))
    assert isinstance(resumable(study.folder), Study)
    assert isinstance(resumable(study.cell_folder("one")), Run)


def test_what_is_neither_cannot_be_resumed(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no run: it has no recipe.json"):
        resumable(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is no run: it has no recipe.json"):
        resumable(tmp_path)
    with pytest.raises(ValueError, match="is no study: it has no study.json. Expected a folder that --grid made"):
        Study(tmp_path)


def test_a_study_without_a_finished_run_has_no_table(tmp_path):
    Run.create(tmp_path / "a", {}, {}, pd.DataFrame({"image_id": []}))
    with pytest.raises(ValueError, match="No run of .* is finished. Go on with --resume"):
        Study.create(tmp_path, "s", "S", ["a"]).write_table()
