"""`mcv.compare`: a table of pairs from runs, folders and experiments, and the sentences that the command prints."""

import json
import shutil

import numpy as np
import pytest

import marinecv as mcv
from marinecv.evaluation.compare import compare_runs
from marinecv.evaluation.predictions import write_predictions
from marinecv.experiments import Experiment
from pipelines.cli import main


def copy_of(run, folder, **recipe):
    """A copy of a run under another recipe; with `shift` its predictions are of the next class."""
    folder = shutil.copytree(run, folder)
    about = json.loads((folder / "recipe.json").read_text())
    about["training"]["seed"] = recipe.pop("seed", 0)
    (folder / "recipe.json").write_text(json.dumps(about | recipe))
    return folder


def test_a_row_holds_what_compare_runs_says_and_nothing_is_printed(finished_run, tmp_path, capsys):
    other = copy_of(finished_run, tmp_path / "other", name="other")
    table = mcv.read_predictions(other / "predictions.csv")
    table["predicted_class"] = np.roll(table["predicted_class"], 1)
    scores = [column for column in table if column.startswith("p_")]
    table[scores] = np.roll(table[scores], 1, axis=0)
    write_predictions(table, other / "predictions.csv")
    comparison = mcv.compare(mcv.Run(finished_run), str(other), split="test")
    assert capsys.readouterr() == ("", "")
    [row] = comparison.table.to_dict("records")
    oracle = compare_runs(mcv.read_predictions(finished_run / "predictions.csv"), table, "test")
    assert {name: row[name] for name in ("accuracy_a", "accuracy_b", "difference", "low", "high", "n", "p")} == {
        name: oracle[name] for name in ("accuracy_a", "accuracy_b", "difference", "low", "high", "n", "p")
    }
    assert (row["run_a"], row["run_b"], row["seeds"]) == (str(finished_run), str(other), 1)
    assert main(["compare", str(finished_run), str(other), "--split", "test"]) == 0
    assert capsys.readouterr().out == "\n".join(comparison.sentences) + "\n" == f"{comparison}\n"


def test_an_experiment_stands_for_its_runs_and_seeds_are_one_row(finished_run, tmp_path):
    cells = {f"{name}{seed}": copy_of(finished_run, tmp_path / f"{name}{seed}", name=name, seed=seed).name
             for name in "ab" for seed in range(3)}  # fmt: skip
    Experiment.create(tmp_path, "s", "s", list(cells))
    [row] = mcv.compare(Experiment(tmp_path)).table.to_dict("records")
    accuracy = mcv.Run(finished_run).metrics["validation"]["accuracy"]["value"]
    assert row["run_a"], row["run_b"] == ("a", "b")
    assert row["accuracy_a"] == row["accuracy_b"] == pytest.approx(accuracy)
    assert (row["difference"], row["n"], row["seeds"]) == (0, 3, 3) and np.isnan(row["p"])
