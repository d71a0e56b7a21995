import pandas as pd
import pytest

from marinecv import experiments
from marinecv.experiments import Experiment, is_experiment, resumable, run_row
from marinecv.files.atomic import write_json
from marinecv.runs import Run

COSTS = {"train_seconds": 12.5, "seconds_per_epoch": 1.2, "epochs": 9, "best_epoch": 6, "latency_ms_per_image": 3.0}
COSTS |= {"parameters": 1000, "trainable_parameters": 900, "device": "2 CPU cores"}
NO_IMAGE = pd.DataFrame({"image_id": []})


def metric(value):
    return {"value": value, "low": max(value - 0.1, 0), "high": min(value + 0.1, 1), "n": 127}


def finish(run, right, loss, splits=("validation", "test", "train"), **test):
    """Write what training and evaluation write; `test` replaces metrics of test."""
    of_split = {"n": 127, "accuracy": metric(right), "log_loss": metric(loss)}
    metrics = {split: of_split for split in splits}
    if test:
        metrics["test"] = of_split | {name: metric(value) for name, value in test.items()}
    write_json(run.path("timing.json"), COSTS)
    write_json(run.path("metrics.json"), metrics)


@pytest.fixture
def experiment(tmp_path):
    """Four runs, none of which is finished."""
    folder = tmp_path / "grid"
    cells = ["one", "two", "drei ü", "NA"]
    for cell in cells:
        Run.create(folder / cell, {"name": cell}, {"class_names": []}, NO_IMAGE)
    return Experiment.create(folder, "tank_grid", "A grid of tanks", cells)


def best_of(experiment):
    table = experiment.write_table()
    return table.loc[table["best"], "name"].tolist()


def test_an_experiment_reads_back_and_resume_opens_it_or_a_run(experiment, tmp_path):
    again = resumable(experiment.folder)
    assert isinstance(again, Experiment) and again.title == "A grid of tanks" and again.select_on == "validation"
    assert list(again.cells) == ["one", "two", "drei ü", "NA"]
    assert Run(again.cell_folder("drei ü")).read("recipe.json") == {"name": "drei ü"}
    assert is_experiment(experiment.folder) and not is_experiment(experiment.cell_folder("one"))
    assert isinstance(resumable(experiment.cell_folder("one")), Run)
    with pytest.raises(ValueError, match="is no run: it has no recipe.json"):
        resumable(tmp_path)
    with pytest.raises(ValueError, match="no experiment.json"):
        Experiment(tmp_path)


def test_unfinished_runs_are_left_out_of_the_table(experiment):
    assert experiment.finished_runs == {}
    with pytest.raises(ValueError, match="No run of .* is finished"):
        experiment.write_table()
    with pytest.raises(ValueError, match="no table.csv"):
        _ = experiment.table
    finish(Run(experiment.cell_folder("two")), 0.5, 1.0)
    finish(Run(experiment.cell_folder("NA")), 0.75, 1.0)
    table = experiment.write_table()
    assert table["name"].tolist() == list(experiment.finished_runs) == ["two", "NA"]
    assert table["best"].tolist() == [False, True]
    pd.testing.assert_frame_equal(experiment.table, table, check_dtype=False)


@pytest.mark.parametrize(
    ("select_on", "finished", "best"),
    [
        ("validation", {"one": (0.75, 0.9), "two": (0.8, 0.7), "drei ü": (0.8, 0.6), "NA": (0.8, 0.6)}, "drei ü"),
        ("validation", {"one": (0.9, 0.5, 0.1, 0.5), "two": (0.8, 0.5, 1.0, 0.5)}, "one"),
        ("test", {"one": (0.9, 0.5, 0.1, 0.5), "two": (0.8, 0.5, 0.9, 0.6), "NA": (0.7, 0.5, 0.9, 0.4)}, "NA"),
    ],
)
def test_the_best_run_has_the_highest_accuracy_on_the_split_then_the_lower_loss_then_comes_first(
    experiment, select_on, finished, best
):
    experiment = Experiment.create(experiment.folder, "s", "S", list(experiment.cells), select_on=select_on)
    for cell, (right, loss, *test) in finished.items():
        of_test = dict(zip(("accuracy", "log_loss"), test, strict=False))
        finish(Run(experiment.cell_folder(cell)), right, loss, **of_test)
    assert best_of(experiment) == [best] and Experiment(experiment.folder).select_on == select_on


def test_without_the_split_to_select_on_and_of_folds_no_run_is_the_best(experiment, tmp_path):
    finish(Run(experiment.cell_folder("one")), 0.5, 1.0, splits=("validation", "train"))
    assert best_of(Experiment.create(experiment.folder, "s", "S", list(experiment.cells), select_on="test")) == []
    assert not [name for name in run_row(Run(experiment.cell_folder("one"))) if name.startswith("test")]
    for fold in ("1/2", "2/2"):
        run = Run.create(tmp_path / fold[0], {"data": {"fold": fold}}, {}, NO_IMAGE)
        assert run.fold == fold
        finish(run, 0.5, 1.0)
    folds = Experiment.create(tmp_path, "folds", "Two folds", ["1", "2"])
    assert best_of(folds) == [] and not folds.table["best"].any()


def test_a_row_holds_each_split_with_its_interval_and_the_costs(experiment):
    run = Run(experiment.cell_folder("one"))
    finish(run, 0.75, 0.5)
    row = run_row(run)
    assert all(row[name] == COSTS[name] for name in experiments.COSTS)
    for split in ("validation", "test"):
        found = {bound: row[f"{split}_{bound}"] for bound in ("accuracy", "low", "high", "n")}
        assert found == {"accuracy": 0.75, "low": 0.65, "high": 0.85, "n": 127}
    assert (row["train_accuracy"], row["validation_loss"]) == (0.75, 0.5) and "train_n" not in row
    run.path("timing.json").unlink()
    with pytest.raises(ValueError, match="timing.json cannot be read"):
        experiment.write_table()
