"""Looks at test are counted by the hash of the split: over a run, its study, and what lies beside them."""

import pandas as pd
import pytest

from marinecv import looks
from marinecv.atomic import write_json
from marinecv.runs import Run
from marinecv.studies import Study

LOOK = "looked at test: the score of the finished training"


def make_run(folder, split="1a2b3c4d5e", noted=()):
    contract = {"class_names": ["crab", "eel"], "image": {}, "demonstration": False, "split_sha256": split}
    run = Run.create(folder, {"name": folder.name}, contract, pd.DataFrame({"image_id": []}))
    for text in noted:
        run.note(text)
    return run


def counted(run):
    found = looks.looks_at_test(run)
    return found["looks"], found["runs"]


def test_a_run_alone_counts_its_own_looks_and_no_others(tmp_path):
    run = make_run(tmp_path / "out" / "run", noted=["training, seed 0", LOOK, "looked at validation: explain"])
    run.note("looked at test: explain")
    assert looks.looks_at_test(run) == {
        "looks": 2,
        "runs": 1,
        "split_sha256": "1a2b3c4d5e",
        "sentence": "The test images of this split (hash 1a2b3c4d) were looked at 2 times, by 1 run in this folder; "
        "each look makes choosing by them easier and their figure less certain.",
    }


def test_runs_beside_it_and_cells_of_studies_and_the_best_of_a_search_count(tmp_path):
    run = make_run(tmp_path / "run", noted=[LOOK])
    make_run(tmp_path / "other", noted=[LOOK, "looked at test: latent-noisy"])
    for cell in ("a", "b"):
        make_run(tmp_path / "study" / cell, noted=[LOOK])
    study = Study.create(tmp_path / "study", "s", "S", ["a", "b"])
    make_run(tmp_path / "search" / "best", noted=[LOOK])
    write_json(tmp_path / "search" / "search.json", {})
    assert counted(run) == (6, 5)
    assert all(counted(Run(place)) == (6, 5) for place in (study.cell_folder("b"), tmp_path / "search" / "best"))
    assert counted(make_run(tmp_path / "study" / "a" / "teacher")) == (6, 5)
    assert "6 times, by 5 runs in this folder" in looks.looks_at_test(run)["sentence"]


def test_another_split_another_folder_and_runs_deeper_down_do_not_count(tmp_path):
    run = make_run(tmp_path / "out" / "run", noted=[LOOK])
    make_run(tmp_path / "out" / "other_split", split="ffff", noted=[LOOK])
    make_run(tmp_path / "elsewhere", noted=[LOOK])
    make_run(tmp_path / "out" / "photographs" / "deep" / "run", noted=[LOOK])
    (tmp_path / "out" / "a file").write_text("no run")
    assert counted(run) == (1, 1)
    assert "were looked at once, by 1 run" in looks.looks_at_test(run)["sentence"]


def test_a_broken_neighbour_is_passed_over(tmp_path):
    run = make_run(tmp_path / "run", noted=[LOOK])
    make_run(tmp_path / "broken", noted=[LOOK]).path("contract.json").write_text("{")
    assert counted(run) == (1, 1)


def test_images_from_elsewhere_are_not_the_test_images_of_the_run(tmp_path):
    run = make_run(tmp_path / "run", noted=["looked at test: evaluate", "looked at test: evaluate on reef"])
    assert counted(run) == (1, 1)


@pytest.mark.parametrize("noted", [(), ("training, seed 0",)])
def test_a_run_that_never_looked_says_so(tmp_path, noted):
    found = looks.looks_at_test(make_run(tmp_path / "run", noted=noted))
    assert (found["looks"], found["runs"]) == (0, 0)
    assert found["sentence"] == "The test images of this split (hash 1a2b3c4d) were not looked at yet."


def test_an_old_contract_without_the_hash_counts_its_own_run_alone(tmp_path):
    run = make_run(tmp_path / "run", split="", noted=[LOOK])
    make_run(tmp_path / "other", split="", noted=[LOOK])
    found = looks.looks_at_test(run)
    assert (found["looks"], found["runs"], found["split_sha256"]) == (1, 1, "")
    assert found["sentence"].startswith("The test images were looked at once")
