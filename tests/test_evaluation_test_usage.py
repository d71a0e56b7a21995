"""Test evaluations are counted by the hash of the split: of a run, its experiment, and the runs beside it."""

import pandas as pd

from marinecv.evaluation.test_usage import count_test_evaluations
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_json
from marinecv.runs import Run

LOOK = "test evaluation: the end of the training"


def make_run(folder, split="1a2b3c4d5e", noted=()):
    preprocessing = {"class_names": ["crab", "eel"], "image": {}, "demonstration": False, "split_sha256": split}
    run = Run.create(folder, {"name": folder.name}, preprocessing, pd.DataFrame({"image_id": []}))
    for text in noted:
        run.note(text)
    return run


def counted(run):
    found = count_test_evaluations(run)
    return found["evaluations"], found["runs"]


def test_a_run_alone_counts_its_own_evaluations_on_its_own_test_images(tmp_path):
    noted = ["training, seed 0", LOOK, "validation evaluation: explain", "test evaluation: evaluate on reef"]
    run = make_run(tmp_path / "out" / "run", noted=noted)
    assert counted(run) == (1, 1)
    assert "(hash 1a2b3c4d) were evaluated once, by 1 run " in count_test_evaluations(run)["sentence"]
    run.note("test evaluation: evaluate")
    assert counted(run) == (2, 1) and count_test_evaluations(run)["split_sha256"] == "1a2b3c4d5e"
    fresh = make_run(tmp_path / "fresh" / "run", noted=["training, seed 0"])
    assert counted(fresh) == (0, 0) and "not evaluated yet" in count_test_evaluations(fresh)["sentence"]


def test_runs_beside_it_and_those_of_experiments_and_the_best_of_a_search_count(tmp_path):
    run = make_run(tmp_path / "run", noted=[LOOK])
    make_run(tmp_path / "other", noted=[LOOK, "test evaluation: latent-noisy"])
    for cell in ("a", "b"):
        make_run(tmp_path / "experiment" / cell, noted=[LOOK])
    Experiment.create(tmp_path / "experiment", "s", "S", ["a", "b"])
    make_run(tmp_path / "search" / "best", noted=[LOOK])
    write_json(tmp_path / "search" / "search.json", {})
    make_run(tmp_path / "experiment" / "a" / "teacher")
    for folder in ("run", "experiment/b", "search/best", "experiment/a/teacher"):
        assert counted(Run(tmp_path / folder)) == (6, 5)
    assert "6 times, by 5 runs" in count_test_evaluations(run)["sentence"]


def test_another_split_another_folder_runs_deeper_down_and_broken_ones_do_not_count(tmp_path):
    run = make_run(tmp_path / "out" / "run", noted=[LOOK])
    make_run(tmp_path / "out" / "other_split", split="ffff", noted=[LOOK])
    make_run(tmp_path / "elsewhere", noted=[LOOK])
    make_run(tmp_path / "out" / "photographs" / "deep" / "run", noted=[LOOK])
    make_run(tmp_path / "out" / "broken", noted=[LOOK]).path("preprocessing.json").write_text("{")
    (tmp_path / "out" / "a file").write_text("no run")
    assert counted(run) == (1, 1)


def test_a_contract_without_the_hash_counts_its_own_run_alone(tmp_path):
    run = make_run(tmp_path / "run", split="", noted=[LOOK])
    make_run(tmp_path / "other", split="", noted=[LOOK])
    assert counted(run) == (1, 1) and "test images were evaluated once" in count_test_evaluations(run)["sentence"]
