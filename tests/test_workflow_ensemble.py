"""An ensemble: the mean of the probabilities of runs on the same images, scored beside each of them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import marinecv as mcv
from marinecv.evaluation.predictions import make_table, write_predictions
from marinecv.evaluation.test_usage import count_test_evaluations
from marinecv.runs import Run
from pipelines.cli import main

NAMES = ("crab", "eel", "ray")


def other_run(finished_run, folder, change):
    """A copy of a run whose predictions table was changed: by `change(ids, splits, true classes, probabilities)`."""
    copy = shutil.copytree(finished_run, folder)
    table = mcv.read_predictions(copy / "predictions.csv")
    columns = [table[name].to_numpy(object) for name in ("image_id", "split", "true_class")]
    write_predictions(
        make_table(*change(*columns, table.filter(regex="^p_").to_numpy()), NAMES), copy / "predictions.csv"
    )
    return copy


def shuffled(ids, splits, true, probabilities):
    """Other probabilities, rows in another order."""
    return ids[::-1], splits[::-1], true[::-1], np.roll(probabilities, 1, axis=1)[::-1]


def test_the_mean_of_probabilities_is_found_by_image_and_scored_beside_each_run(finished_run, tmp_path, capsys):
    runs = [shutil.copytree(finished_run, tmp_path / "one"), other_run(finished_run, tmp_path / "two", shuffled)]
    before = count_test_evaluations(Run(runs[1]))["evaluations"]
    result = mcv.ensemble(*runs, split="test")
    one, two = (mcv.read_predictions(run / "predictions.csv").set_index(["split", "image_id"]) for run in runs)
    columns = [f"p_{name}" for name in NAMES]
    expected = ((one[columns] + two[columns]) / 2).loc["test"]
    pd.testing.assert_frame_equal(result.predictions.set_index("image_id")[columns], expected, rtol=1e-6)
    mean = mcv.classification_metrics(result.predictions)
    assert result.table["value"].iloc[-1] == mean["log_loss"]["value"] and len(result.table) == 3 * (len(mean) - 2)
    accuracy = result.table[result.table["metric"] == "accuracy"]
    assert accuracy["run"].tolist() == [*map(str, runs), "ensemble"]
    stored = [Run(run).metrics["test"]["accuracy"]["value"] for run in runs[:1]]
    assert accuracy["value"].tolist()[::2] == [*stored, mean["accuracy"]["value"]]
    assert count_test_evaluations(Run(runs[1]))["evaluations"] == before + 2  # of both runs, in one folder
    assert capsys.readouterr() == ("", "")
    out = tmp_path / "out"
    assert main(["ensemble", *map(str, runs), "--split", "test", "--output-dir", str(out)]) == 0
    assert capsys.readouterr().out == f"{result}\nwritten to {out}\n"
    assert mcv.read_predictions(out / "predictions.csv").equals(result.predictions)
    assert len(pd.read_csv(out / "ensemble.csv")) == len(result.table)


def without_one(ids, *columns):
    keep = ids != ids[0]
    return ids[keep], *(column[keep] for column in columns)


def relabeled(ids, splits, true, probabilities):
    return ids, splits, np.where(ids == ids[0], "ray", true), probabilities


def moved(ids, splits, *columns):
    return ids, np.where(ids == ids[0], "elsewhere", splits), *columns


REFUSED = {
    "another set of images": (
        without_one,
        "one and .*two: The tables differ in 1 images of split '{split}'; .*{image}",
    ),
    "another split": (moved, "one and .*two: The tables differ in 1 images of split '{split}'; .*{image}"),
    "another true class": (relabeled, "one and .*two: 1 of .* another true class .*first is {image}"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_other_images_or_labels_are_refused(change, message, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "one")
    first = mcv.read_predictions(finished_run / "predictions.csv").iloc[0]
    other_run(finished_run, tmp_path / "two", change)
    log = (tmp_path / "one" / "log.txt").read_text()
    with pytest.raises(ValueError, match=message.format(split=first["split"], image=first["image_id"])):
        mcv.ensemble(tmp_path / "one", tmp_path / "two", split=first["split"])
    assert (tmp_path / "one" / "log.txt").read_text() == log


def test_other_classes_one_run_and_a_full_folder_are_refused(finished_run, tmp_path):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    with pytest.raises(ValueError, match="two different finished runs or more.*Received: 1"):
        mcv.ensemble(copy, copy)
    with pytest.raises(ValueError, match="copy exists and is never overwritten"):
        mcv.ensemble(finished_run, copy, folder=copy)
    table = (copy / "predictions.csv").read_text().replace("ray", "shark")
    (copy / "predictions.csv").write_text(table)
    preprocessing = json.loads((copy / "preprocessing.json").read_text())
    names = {"class_names": ["crab", "eel", "shark"]}
    (copy / "preprocessing.json").write_text(json.dumps(preprocessing | names))
    with pytest.raises(ValueError, match=r"copy has the classes .*'shark'\), .*run .*'ray'\).*same classes"):
        mcv.ensemble(finished_run, copy)
