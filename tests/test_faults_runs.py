"""Run folders and experiments with broken files: errors name file and entry, and no wrong metric is shown instead."""

import json
import shutil
from functools import reduce

import numpy as np
import pytest
from fuzz.targets import CATALOG, NAMES, RECIPE, make_place

from marinecv.data.data_yaml import read_names
from marinecv.data.manifests import load_manifest
from marinecv.data.splits.split_catalog import split_catalog
from marinecv.evaluation.predictions import read_predictions
from marinecv.experiments import Experiment, run_row
from marinecv.files.csv_tables import write_table
from marinecv.inputs.spec import ImageSpec
from marinecv.report.experiment_page import write_experiment_report
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run, list_runs
from marinecv.schema import Fraction, build, convert, read_json
from marinecv.training.checkpoint import read_checkpoint
from marinecv.training.recipe import Recipe
from pipelines.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("faults") / "place")


@pytest.fixture
def experiment(made, tmp_path):
    """Two finished runs, a and b."""
    return shutil.copytree(made / "experiment", tmp_path / "experiment")


@pytest.fixture
def run(experiment):
    return Run(experiment / "a")


def spoil(folder, name, way, value=None):
    """Set an entry of a JSON file, "a.b", or remove it where no value is given."""
    data = json.loads((folder / name).read_text(encoding="utf-8"))
    *above, last = way.split(".")
    holder = reduce(dict.get, above, data)
    holder[last] = value
    if value is None:
        del holder[last]
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


def replace_in(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


JSON = [
    (b"", "truncated"),
    (b'{"name": "\xff"}', "'utf-8' codec"),
    (b"[1, 2]", "Expected `object`, got `array`"),
    (b'{"epochs": NaN}', "malformed"),
    (b'{"epochs": 1e999}', "out of range"),
    (b'{"epochs": 1' + b"0" * 5000 + b"}", "out of range"),
    (b'{"name": "\\ud800, or half a pair"}', "surrogate"),
    (b'{"a":' * 100_000, "cannot be read"),
]


@pytest.mark.parametrize(("data", "said"), JSON)
def test_bytes_that_are_no_json_object_are_a_plain_value_error_with_the_path(tmp_path, data, said):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=said) as refusal:
        read_json(tmp_path / "file")
    assert type(refusal.value) is ValueError and str(tmp_path / "file") in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("3", int, "the depth is '3'. Expected `int`"),
        (float("nan"), Fraction, "the depth is nan"),
        (10**400, float, "out of range"),
        ([1, "a"], tuple[int, ...], "'1' of the depth is 'a'"),
        ({"b": [{"a": 1}, {"b": 1, "a": 1.5}]}, dict[str, list[dict[str, int]]], "'b.1.a' of the depth is 1.5"),
        ({"height": "9"}, ImageSpec, "the depth: height is '9'"),
        ({"heigth": 9}, ImageSpec, 'Did you mean "height"'),
        (5, ImageSpec, "Expected `object`"),
    ],
)
def test_a_value_of_another_type_is_named(value, kind, said):
    read = build if kind is ImageSpec else convert
    with pytest.raises(ValueError, match=said):
        read(*((kind, value) if read is build else (value, kind)), "the depth")


JSON_ENTRIES = [
    ("preprocessing.json", "class_names", ["crab"], "length >= 2"),
    ("preprocessing.json", "class_names", ["crab", "crab"], "'crab' is empty or there twice"),
    ("preprocessing.json", "class_names", ["crab", " "], "' ' is empty or there twice"),
    ("preprocessing.json", "image", [], "'image' of .* Expected `object`"),
    ("preprocessing.json", "image.height", 0, "height is 0"),
    ("preprocessing.json", "image.depth", 3, "no argument 'depth'"),
    ("preprocessing.json", "demonstration", "false", "'demonstration' of .* Expected `bool`"),
    ("metrics.json", "validation", None, "'validation.n'"),
    ("metrics.json", "validation.accuracy", None, "'validation.accuracy'"),
    ("metrics.json", "validation.accuracy.value", 7.3, "'validation.accuracy' of .* is 7.3"),
    ("metrics.json", "validation.macro_f1.low", None, "field `low`"),
    ("metrics.json", "validation.macro_f1", {"value": 0.5, "low": None, "high": None, "n": 3}, "no bounds"),
    ("metrics.json", "validation.log_loss", None, "'validation.log_loss'"),
    ("timing.json", "epochs", "9", "'epochs' of .* is '9'"),
    ("recipe.json", "model", "cnn", "'model' of Recipe is 'cnn'"),
    ("recipe.json", "model.pooling", "best", "pooling='best'"),
    ("recipe.json", "training.epochs", "60", "'training' of Recipe: epochs is '60'"),
    ("recipe.json", "training.jit_compile", "maybe", "jit_compile to be one of"),
    ("recipe.json", "training.monitor", "luck", "monitor='luck'"),
    ("recipe.json", "training.augmentation", [], "type Augmentation"),
    ("recipe.json", "published.validation", "0.7", "'validation' of published is '0.7'"),
    ("recipe.json", "published.validation.accuracy", 0.7, "'accuracy' of the published 'validation' is 0.7"),
    ("recipe.json", "published.validation.n", 0, "'n' of the published 'validation' is 0"),
]
FIX = {"metrics.json": 'Delete it. Go on with resume."', "timing.json": 'Delete metrics.json, .* Go on with resume."'}


@pytest.mark.parametrize(("name", "way", "value", "said"), JSON_ENTRIES)
def test_a_broken_entry_of_a_json_file_is_named_with_a_fix(run, name, way, value, said):
    spoil(run.folder, name, way, value)
    with pytest.raises(ValueError, match=f"(?s){said}.*{FIX.get(name, 'from a copy')}") as refusal:
        _ = Recipe.of(run) if name == "recipe.json" else (run.preprocessing, run_row(run))
    assert name in str(refusal.value)


TABLE_CELLS = [
    ("catalog.csv", "image_id", "image", "lacks the column 'image_id'"),
    ("catalog.csv", "train/b.jpg", "train/a.jpg", "Row 2 of .*'train/a.jpg', repeats an image"),
    ("catalog.csv", "train/b.jpg", "", "no image_id"),
    ("catalog.csv", ",64,48", ",-1,48", "whole number of pixels"),
    ("catalog.csv", ",64,48", ",wide,48", "'wide' for 'width', in row 1"),
    ("catalog.csv", ",0.75", ",75", "from 0 to 1"),
    ("catalog.csv", ",validation,", ",holdout,", "unknown split"),
    ("catalog.csv", ",no box", "", "8 cells"),
    ("images.csv", ",sha256", ",hash", "lacks the column 'sha256'"),
    ("history.csv", "epoch,loss", "epoch,losses", "lacks the column 'loss'"),
    ("history.csv", "1,0.5", "1,half", "'half' for 'loss', in row 1"),
    ("history.csv", "\n2,0.3", "\n3,0.3", r"epochs \[1.0, 3.0\]"),
    ("history.csv", "1,0.5,0.5,0.5,0.5,0.5", "1,0.5,0.5,0.5,0.5,-1", "learning rate"),
    ("predictions.csv", "p_crab", "p_eel", "twice"),
    ("predictions.csv", "p_crab", "crab", "no predictions table"),
    ("predictions.csv", "p_crab", "p_", "'' is empty"),
    ("predictions.csv", "p_crab", "p_cod", r"Expected the classes \('crab', 'eel', '=NA'\), in order"),
    ("predictions.csv", "0.699999988", "many", "'many' for 'p_crab'"),
    ("predictions.csv", "0.699999988", "nan", "1 of 3 rows are no probabilities"),
    ("predictions.csv", "train/b.jpg", "train/a.jpg", "1 of 3 rows repeat an image"),
    ("predictions.csv", "crab,crab", "cod,crab", "1 of 3 rows have an unknown class"),
    ("predictions.csv", "crab,crab", "crab,eel", "train/a.jpg .train. has the predicted class 'eel', .* for 'crab'"),
    ("../table.csv", "name,", "names,", "lacks the column 'name'"),
    ("../table.csv", "\na,", "\nc,", "names 'c'"),
    ("../table.csv", "\na,", "\nb,", "'b' is empty or there twice"),
    ("../table.csv", ",False\n", ",True\n", r"\['True', 'True'\] for best"),
    ("../table.csv", ",False\n", ",no\n", "for best"),
    ("../table.csv", "\na,0", "\na,x", "'x.*' for 'validation_accuracy', in row 1"),
]


@pytest.mark.parametrize(("name", "before", "after", "said"), TABLE_CELLS)
def test_a_broken_table_is_named(run, experiment, name, before, after, said):
    replace_in(run.path(name), before, after)
    with pytest.raises(ValueError, match=said) as refusal:
        if name == "predictions.csv":
            read_predictions(run.path(name), NAMES)
        elif name == "../table.csv":
            _ = Experiment(experiment).table
        else:
            _ = run.stamps if name == "images.csv" else getattr(run, name.removesuffix(".csv"))
    assert name.strip("./") in str(refusal.value)


def test_a_run_that_is_not_below_another_working_directory_says_so(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.folder.parent)
    relative = Run(run.folder.name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"{run.folder.name} is not in .*full path"):
        _ = relative.metrics


def test_a_table_that_is_gone_is_named_and_a_loss_may_be_missing(run):
    replace_in(run.path("history.csv"), "\n2,0.3333333333333333,", "\n2,,")
    assert np.isnan(run.history["loss"]).tolist() == [False, True]
    for name in ("catalog", "history"):
        run.path(f"{name}.csv").unlink()
        with pytest.raises(ValueError, match=f"No such file.*{name}.csv.*from a copy"):
            getattr(run, name)


@pytest.fixture
def of_tank(tmp_path):
    """A run on images of the folder `tank`, and a function that puts another path into its catalog."""
    (tmp_path / "tank").mkdir()
    catalog = CATALOG.assign(path=[str(tmp_path / "tank" / image_id) for image_id in CATALOG["image_id"]])
    run = Run.create(tmp_path / "of tank", RECIPE.to_dict(), RECIPE.preprocessing(NAMES), catalog)

    def put(path):
        write_table(run.path("catalog.csv"), catalog.assign(path=[str(path), *catalog["path"][1:]]))
        return run

    return run, put


@pytest.mark.parametrize("path", ["gs://tank/a.jpg", "/dev/zero", "a.jpg", "{}/tank/../a.jpg", "{}/tank2/a.jpg", ""])
def test_a_catalog_that_names_files_outside_its_data_is_refused(of_tank, tmp_path, path):
    run, put = of_tank
    assert run.read("preprocessing.json")["data_dirs"] == [str(tmp_path / "tank")]
    put(path.format(tmp_path))
    with pytest.raises(ValueError, match="Row 1 of .* names .*no path below the data folders"):
        _ = run.catalog


@pytest.mark.parametrize("folders", [["gs://tank"], ["."], []])
def test_data_folders_that_are_no_absolute_paths_hold_no_image(of_tank, folders):
    run, put = of_tank
    spoil(run.folder, "preprocessing.json", "data_dirs", folders)
    put("gs://tank/a.jpg")
    with pytest.raises(ValueError, match="names 'gs://tank/a.jpg'"):
        _ = run.catalog


def test_data_behind_a_link_may_be_named_either_way(of_tank, tmp_path):
    run, put = of_tank
    (tmp_path / "link").symlink_to(tmp_path / "tank")
    assert len(put(tmp_path / "link" / "a.jpg").catalog) == len(CATALOG)
    spoil(run.folder, "preprocessing.json", "data_dirs", [str(tmp_path / "link")])
    assert len(run.catalog) == len(CATALOG)


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("cells", ["a", "b"], "'cells' of .*Expected `object`"),
        ("cells.a", 1, "'cells.a' of .* is 1"),
        ("cells.a", "../../etc", "'../../etc'. Expected one below"),
        ("cells.a", "C:\\runs", "Expected one below"),
        ("cells.a", ".", "Expected one below"),
        ("cells.a", "b", "'b' is empty or there twice"),
        ("cells.a", "", "'' is empty or there twice"),
        ("select_on", "train", "select_on='train'"),
    ],
)
def test_a_broken_experiment_is_named(experiment, way, value, said):
    spoil(experiment, "experiment.json", way, value)
    with pytest.raises(ValueError, match=f"{said}.*from a copy"):
        Experiment(experiment)


def test_a_folder_of_an_experiment_that_is_no_run_is_named(experiment):
    spoil(experiment, "experiment.json", "cells.a", "elsewhere")
    with pytest.raises(ValueError, match="elsewhere is no run"):
        _ = Experiment(experiment).finished_runs


def test_a_checkpoint_of_other_things_is_refused(tmp_path):
    path, rows = tmp_path / "checkpoint.npz", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("nan")}]
    state = {"epochs_done": 2, "first": 0, "learning_rate": 0.1, "stage": "all", "stopped": False, "mode": "min"}
    state |= {"identity": {}, "history": rows}
    np.savez(path, state=np.array(json.dumps(state)))
    assert read_checkpoint(path)[0].epochs_done == 2
    broken = [
        ({**state, "epochs_done": "2"}, "'epochs_done' of its state is '2'"),
        ({**state, "epochs_done": 0}, "'epochs_done' of its state is 0"),
        ({**state, "history": [{"epoch": 2, "loss": "low"}]}, "'history.0.loss' of its state is 'low'"),
        ([], "its state is .*Expected `object`"),
    ]
    for wrong, said in broken:
        np.savez(path, state=np.array(json.dumps(wrong)))
        with pytest.raises(ValueError, match=f"is no checkpoint of marinecv: .*{said}"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'name = "\xff"', "'utf-8' codec"),
        (b'name = "../tank"', "'name' of .* is '../tank'"),
        (b'name = "t"\nhashes = "/etc/passwd"', "'hashes' of .* is '/etc/passwd'"),
        (b'name = "t"\narchive_subdir = "a/../.."', "'archive_subdir' of"),
        (b'name = "t"\nclass_names = "ab"', "class_names is 'ab'"),
        (b'name = "t"\nclass_names = ["a", "a"]', "'a' is empty or there twice"),
        (b'name = "t"\nexpected = {fish = {}}', "'fish'"),
        (b'name = "t"\nexpected = {images = {train = "2"}}', "'images.train' of expected is '2'"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path, text, said):
    (tmp_path / "tank.toml").write_bytes(text + b'\nlayout = "yolo"')
    with pytest.raises(ValueError, match=said) as refusal:
        load_manifest(tmp_path / "tank.toml")
    assert "tank.toml" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"names: ['fish, shark]", "cannot be read as YAML"),
        (b"nc: 2\nnames: ['', 'a']", "'' is empty"),
        ("names: ['étoile']".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_broken_data_yaml_is_named(tmp_path, text, said):
    (tmp_path / "data.yaml").write_bytes(text)
    with pytest.raises(ValueError, match=f"data.yaml.*{said}"):
        read_names(tmp_path / "data.yaml")


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped"])
def test_a_catalog_without_a_usable_image_cannot_be_split(split_by):
    broken = CATALOG.assign(problem="cannot be read")
    with pytest.raises(ValueError, match="None of the 4 images can be used, the first: cannot be read"):
        split_catalog(broken, split_by)
    with pytest.raises(ValueError, match="catalog has no row"):
        split_catalog(broken.head(0), split_by)
    with pytest.raises(ValueError, match="three that sum to 1"):
        split_catalog(CATALOG, "random", fractions=(float("nan"), 0.5, 0.5))


PAGE_ENTRIES = [
    ("metrics.json", "train.accuracy.n", 3, r"contradict each other: the train accuracy is 1.0 \(n=3\)"),
    ("recipe.json", "title", 5, "'title' of .* is 5"),
    ("recipe.json", "data", [], "'data' of .*Expected `object`"),
    ("recipe.json", "published.validation", 5, "'validation' of 'published'"),
    ("recipe.json", "published.validation.n", "x", "'n' of the published 'validation' is 'x'"),
    ("timing.json", "best_epoch", "x", "'best_epoch' of .* is 'x'"),
    ("preprocessing.json", "class_names", ["eel", "crab", "=NA"], "Expected the classes .* in order"),
    ("environment.json", "cores", float("nan"), "malformed"),
]


@pytest.mark.parametrize(("name", "way", "value", "said"), PAGE_ENTRIES)
def test_a_broken_file_gives_no_page(run, name, way, value, said):
    spoil(run.folder, name, way, value)
    with pytest.raises(ValueError, match=said):
        write_run_report(run.folder)
    assert not run.path("report.html").exists()


def test_predictions_without_a_true_class_give_no_page(run):
    table = read_predictions(run.path("predictions.csv")).assign(true_class="")
    write_table(run.path("predictions.csv"), table, float_format="%.9g")
    with pytest.raises(ValueError, match="no image with a true class"):
        write_run_report(run.folder)


def test_an_image_file_that_is_broken_since_costs_a_thumbnail_and_no_page(run, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"II*\0" + b"\xff" * 60)
    write_table(run.path("catalog.csv"), CATALOG.assign(path=str(tmp_path / "a.jpg")))
    spoil(run.folder, "preprocessing.json", "data_dirs", [str(tmp_path)])
    assert write_run_report(run.folder).is_file()


def test_an_experiment_whose_run_has_another_history_gives_no_page(experiment):
    replace_in(experiment / "b" / "history.csv", "val_loss", "val_mse")
    with pytest.raises(ValueError, match="history.csv lacks the column 'val_loss'"):
        write_experiment_report(experiment)


def test_a_broken_run_or_experiment_hides_no_other_in_the_list(experiment, capsys):
    (experiment / "a" / "metrics.json").write_text("{}")
    assert main(["runs", str(experiment)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 of 2 runs finished" in lines[0]
    assert lines[2].startswith(f"{experiment / 'b'}  validation accuracy 0.000 (n=1)")
    assert lines[1].startswith(f"{experiment / 'a'}  broken: ") and "Delete it." in lines[1]
    (experiment / "experiment.json").write_text("{")
    (experiment / "recipe.json").mkdir()
    assert main(["runs", str(experiment)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{experiment}  broken: ") and len(lines) == 3
    assert [run.folder.name for run in list_runs(experiment)] == ["a", "b"]


@pytest.mark.parametrize("words", [["report"], ["evaluate"], ["compare"], ["pretrain", "--resume"]])
def test_a_command_on_a_broken_run_ends_with_one_line(run, capsys, words):
    for name in ("preprocessing.json", "recipe.json", "metrics.json", "predictions.csv", "catalog.csv"):
        (run.folder / name).write_bytes(b"\xff\0{")
    again = [str(run.folder), str(run.folder.parent / "b")] if words == ["compare"] else [str(run.folder)]
    assert main([*words, *again]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and str(run.folder) in error
