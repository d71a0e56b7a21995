import json

import keras
import numpy as np
import pandas as pd
import pytest

from marinecv import runs as room
from marinecv.environment import environment
from marinecv.files.atomic import whole_file, write_json, write_text
from marinecv.files.csv_tables import write_table
from marinecv.runs import Run, fresh_folder, list_runs, next_folder

CONTRACT = {"class_names": ["crab", "NA", "Bärtierchen"], "image": {}, "demonstration": False}
CATALOG = pd.DataFrame(
    {
        "image_id": ["train/a b.jpg", "train/ü.jpg", "test/007.jpg"],
        "path": ["/x/a b.jpg", "/x/ü.jpg", "/x/007.jpg"],
        "split": ["train", "train", "test"],
        "class_name": ["crab", "NA", ""],
        "group": ["", "001", "nan"],
        "width": [64, 0, 640],
        "height": [48, 0, 480],
        "dominance": [0.75, 1.0, np.nan],
        "problem": ["", "", "no box"],
    }
)


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs" / "Größe 1", {"name": "tank"}, CONTRACT, CATALOG)


def test_an_existing_run_is_never_overwritten(run):
    with pytest.raises(ValueError, match="is a run already .*resume.*Größe 1"):
        Run.create(run.folder, {"name": "another"}, CONTRACT | {"demonstration": True}, CATALOG[:1])
    assert run.read("recipe.json") == {"name": "tank"} and not run.demonstration and len(run.catalog) == 3


def test_a_folder_killed_while_it_was_made_is_no_run(tmp_path, monkeypatch):
    def interrupted(path, data):
        if path.name == "recipe.json":
            raise KeyboardInterrupt
        write_json(path, data)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(room, "write_json", interrupted)
        Run.create(tmp_path / "half", {}, CONTRACT, CATALOG)
    with pytest.raises(ValueError, match="half is no run: it has no recipe.json"):
        Run(tmp_path / "half")


def test_the_model_of_a_run_is_loaded(run):
    with pytest.raises(ValueError, match="has no model.keras"):
        run.load_model()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(run.path("model.keras"))
    values = np.float32([[1, 2, 3], [3, 2, 0]])
    np.testing.assert_array_equal(run.load_model()(values), model(values))


def test_notes_are_lines_with_the_time(run):
    run.note("first")
    run.note("zweitens, ä")
    lines = run.path("log.txt").read_text(encoding="utf-8").splitlines()
    assert [line[21:] for line in lines] == ["first", "zweitens, ä"]
    assert pd.to_datetime(lines[0][:19]).year > 2000


def test_an_empty_folder_may_be_taken_and_a_file_may_not(tmp_path):
    for _ in range(2):
        assert fresh_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for taken in ("a", "file"):
        with pytest.raises(ValueError, match="exists and is not empty"):
            fresh_folder(tmp_path / taken)


def test_a_file_is_whole_or_the_old_one_stands(tmp_path):
    path = tmp_path / "Tief see.txt"
    write_text(path, "eins\nä\n")
    assert path.read_bytes() == "eins\nä\n".encode()
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        assert part.suffix == path.suffix and part.parent == path.parent
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "eins\nä\n"
    write_json(path, {"ü": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_run_reads_back_what_it_was_given_text_as_text(run):
    again = Run(run.folder)
    assert again.read("recipe.json") == {"name": "tank"} and not again.finished
    assert again.class_names == ("crab", "NA", "Bärtierchen")
    pd.testing.assert_frame_equal(again.catalog, CATALOG, check_dtype=False)
    pd.testing.assert_frame_equal(run.catalog, again.catalog)
    assert set(environment()) == set(again.read("environment.json"))
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1 / 3, 0.1 + 0.2]})
    write_table(run.path("history.csv"), history)
    pd.testing.assert_frame_equal(run.history, history, check_exact=True)
    write_json(run.path("metrics.json"), {})
    assert run.finished


@pytest.mark.parametrize("extra", [["a", None, "=1"], [1.5, None, 2]])
def test_a_new_run_holds_the_catalog_that_its_file_gives(extra, tmp_path):
    catalog = CATALOG.astype({"dominance": float}).assign(extra=extra).set_index(pd.Index([5, 3, 4]))
    run = Run.create(tmp_path / "run", {}, CONTRACT, catalog)
    pd.testing.assert_frame_equal(run.catalog, Run(run.folder).catalog)


def test_runs_below_a_folder_are_listed_by_path_and_of_a_search_the_best_alone(run, tmp_path):
    other = Run.create(tmp_path / "runs" / "experiment" / "cell", {}, CONTRACT, CATALOG)
    assert [found.folder for found in list_runs(tmp_path)] == [run.folder, other.folder]
    for name in ("base", "trials/0001", "best"):
        (tmp_path / "search" / name).mkdir(parents=True)
        (tmp_path / "search" / name / "recipe.json").touch()
    assert len(list_runs(tmp_path / "search")) == 3
    (tmp_path / "search" / "search.json").touch()
    assert [found.folder.name for found in list_runs(tmp_path / "search")] == ["best"]
    assert next_folder(tmp_path, "demo") == tmp_path / "demo-1"
    (tmp_path / "demo-3").mkdir()
    assert next_folder(tmp_path, "demo") == tmp_path / "demo-2"
