"""Run folders and studies that are broken in any way: what is said, and that no wrong figure is shown instead."""

import json
import shutil

import numpy as np
import pytest
from fuzz.targets import CATALOG, NAMES, RECIPE, make_place

from marinecv.atomic import write_json
from marinecv.data.data_yaml import read_names
from marinecv.data.manifests import load_manifest
from marinecv.data.splits import split_catalog
from marinecv.evaluation.predictions import read_predictions
from marinecv.inputs.spec import ImageSpec
from marinecv.report.page import write_run_report, write_study_report
from marinecv.runs import Run, list_runs
from marinecv.schema import Count, Share, build, convert, names, read_json
from marinecv.studies import Study, run_row
from marinecv.tables import write_table
from marinecv.training.checkpoint import read_checkpoint
from marinecv.training.recipe import Recipe
from pipelines.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("faults") / "place")


@pytest.fixture
def study(made, tmp_path):
    """Two finished runs, a and b."""
    return shutil.copytree(made / "study", tmp_path / "study")


@pytest.fixture
def run(study):
    return Run(study / "a")


def spoil(folder, name, *way, value=None):
    """Set an entry of a JSON file, or take it away where no value is given."""
    data = json.loads((folder / name).read_text(encoding="utf-8"))
    holder = data
    for key in way[:-1]:
        holder = holder[key]
    if value is None:
        del holder[way[-1]]
    else:
        holder[way[-1]] = value
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


def replace_in(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "cannot be read: Input data was truncated"),
        (b'{"name": "tank"', "cannot be read: Input data was truncated"),
        (b'{"name": "\xff"}', "cannot be read: 'utf-8' codec"),
        (b"[1, 2]", "cannot be read: Expected `object`, got `array`"),
        (b'{"epochs": NaN}', "JSON is malformed: invalid character"),
        (b'{"epochs": -Infinity}', "JSON is malformed: invalid character"),
        (b'{"epochs": 1e999}', "Number out of range"),
        (b'{"epochs": 1' + b"0" * 5000 + b"}", "Integer value out of range"),
        (b'{"name": "\\ud800, or half a pair"}', "unexpected end of escaped utf-16 surrogate pair"),
        (b'{"a":' * 100_000, "cannot be read: "),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, text, said):
    (tmp_path / "facts.json").write_bytes(text)
    with pytest.raises(ValueError, match=said) as refusal:
        read_json(tmp_path / "facts.json")
    assert type(refusal.value) is ValueError and str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("3", int, "the depth is '3'. Expected `int`, got `str`"),
        (True, int, "the depth is True. Expected `int`, got `bool`"),
        (1.5, int, "Expected `int`"),
        (float("nan"), Share, "the depth is nan. Expected `float` >= 0"),
        (10**400, float, "Number out of range"),
        (2**63, Count, "Expected `int` <= 9223372036854775807"),
        (1, bool, "Expected `bool`"),
        (None, int, "the depth is None. Expected `int`"),
        ("a", int | None, "the depth is 'a'. Expected `int . null`"),
        ([1, "a"], tuple[int, ...], "'1' of the depth is 'a'. Expected `int`"),
        ({"a": 1.5}, dict[str, int], "'a' of the depth is 1.5. Expected `int`"),
        ({"b": [{"a": 1}, {"b": 1, "a": 1.5}]}, dict[str, list[dict[str, int]]], "'b.1.a' of the depth is 1.5."),
        ([], dict[str, int], r"the depth is \[\]. Expected `object`, got `array`"),
        (7, tuple[str, ...], "the depth is 7. Expected `array`, got `int`"),
        ({1: 2}, dict[str, int], "the depth is {1: 2}. Expected `str`, got `int`"),
    ],
)
def test_a_value_of_another_kind_is_named(value, kind, said):
    with pytest.raises(ValueError, match=said):
        convert(value, kind, "the depth")


def test_a_value_of_its_kind_is_kept():
    assert convert(3, float, "") == 3 and convert(None, int | None, "") is None
    assert convert(["a"], tuple[str, ...], "") == ("a",) and convert({"a": 1}, dict[str, int], "") == {"a": 1}
    assert build(ImageSpec, {"height": 9}, "") == ImageSpec(height=9)
    assert names(["a", "b"], "") == ("a", "b")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"height": "9"}, "the depth: height is '9'. Expected `int`"),
        ({"heigth": 9}, "the depth: ImageSpec has no argument 'heigth'. Did you mean \"height\"[?] Expected some of"),
        (5, "the depth is 5. Expected `object`"),
    ],
)
def test_a_part_that_cannot_be_made_is_named(data, said):
    with pytest.raises(ValueError, match=said):
        build(ImageSpec, data, "the depth")


@pytest.mark.parametrize("given", [["a", ""], ["a", " "], ["a", "a"]])
def test_names_that_are_empty_or_there_twice_are_refused(given):
    with pytest.raises(ValueError, match="The classes are .*: .* is empty or there twice"):
        names(given, "The classes")


CONTRACT = [
    (("class_names",), None, "Object missing required field `class_names`"),
    (("class_names",), ["crab"], "'class_names' of .* is .*Expected `array` of length >= 2"),
    (("class_names",), [], "'class_names' of .* is .*Expected `array` of length >= 2"),
    (("class_names",), ["crab", "crab"], "'crab' is empty or there twice"),
    (("class_names",), ["crab", ""], "'' is empty or there twice"),
    (("class_names",), "crab, eel", "'class_names' of .* is 'crab, eel'. Expected `array`"),
    (("image",), None, "Object missing required field `image`"),
    (("image",), [], r"'image' of .* is \[\]. Expected `object`"),
    (("image", "height"), 0, "height is 0. Expected `int` >= 1"),
    (("image", "height"), 10**9, "height is 1000000000. Expected `int` <= 4096"),
    (("image", "canvas_px"), 10**9, "canvas_px is 1000000000. Expected `int` <= 16384"),
    (("image", "depth"), 3, "has no argument 'depth'"),
    (("demonstration",), None, "Object missing required field `demonstration`"),
    (("demonstration",), "false", "'demonstration' of .* is 'false'. Expected `bool`"),
    (("data_dirs",), "/x", "'data_dirs' of .* is '/x'. Expected `array`"),
    (("images",), {"a.jpg": {"size": -1, "sha256": ""}}, "'images.a.jpg.size' of .* is -1. Expected `int` >= 0"),
]


@pytest.mark.parametrize(("way", "value", "said"), CONTRACT)
def test_a_broken_contract_is_named(run, way, value, said):
    spoil(run.folder, "contract.json", *way, value=value)
    with pytest.raises(ValueError, match=f"(?s){said}.*Bring it back from a copy"):
        _ = run.class_names, run.spec, run.demonstration


METRICS = [
    (("validation",), None, "'validation.n' of .* is None. Expected `int`"),
    (("validation", "accuracy"), None, "'validation.accuracy' of .* is None. Expected `object`"),
    (("validation", "accuracy", "value"), "0.7", "'value' of 'validation.accuracy' of .* is '0.7'. Expected `float`"),
    (("validation", "accuracy", "value"), 7.3, "'validation.accuracy' of .* is 7.3 .*Expected 0 to 1"),
    (("validation", "accuracy", "n"), 0, "'n' of 'validation.accuracy' of .* is 0. Expected `int` >= 1"),
    (("validation", "accuracy", "n"), 1.5, "'n' of 'validation.accuracy' of .* is 1.5. Expected `int`"),
    (("validation", "macro_f1", "low"), None, "'validation.macro_f1' of .*Object missing required field `low`"),
    (("validation", "log_loss"), None, "'validation.log_loss' of .* is None. Expected `object`"),
    (("validation", "log_loss"), 0.3, "'validation.log_loss' of .* is 0.3. Expected `object`"),
    (("validation", "n"), "3", "'validation.n' of .* is '3'. Expected `int`"),
    (("test",), [], r"'test' of .* is \[\]. Expected `object`"),
]


@pytest.mark.parametrize(("way", "value", "said"), METRICS)
def test_broken_figures_are_named_and_can_be_computed_again(run, way, value, said):
    spoil(run.folder, "metrics.json", *way, value=value)
    with pytest.raises(ValueError, match=said) as refusal:
        run_row(run)
    assert "Delete it. Resume it with --resume" in str(refusal.value) and "metrics.json" in str(refusal.value)


@pytest.mark.parametrize("value", [None, "9", True])
def test_a_broken_cost_is_named(run, value):
    spoil(run.folder, "timing.json", "epochs", value=value)
    with pytest.raises(
        ValueError,
        match="timing.json is .*(Expected `int`|missing required field `epochs`).*Delete metrics.json, and it too",
    ):
        run_row(run)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("image_id", "image", "lacks the column 'image_id'"),
        ("train/b.jpg", "train/a.jpg", "Row 2 of .*'train/a.jpg' .train., repeats an image"),
        ("train/b.jpg", "", "has no image_id"),
        (",64,48", ",-1,48", "has a size that is no whole number of pixels"),
        (",64,48", ",inf,48", "has a size that is no whole number of pixels"),
        (",64,48", ",wide,48", "has 'wide' for 'width', in row 1"),
        (",0.75", ",75", "has a share that is not from 0 to 1"),
        (",validation,", ",holdout,", "has an unknown split"),
        (",no box", "", "has 8 cells"),
    ],
)
def test_a_broken_catalog_is_named(run, before, after, said):
    replace_in(run.path("catalog.csv"), before, after)
    with pytest.raises(ValueError, match=f"{said}.*Bring it back from a copy"):
        _ = run.catalog


@pytest.fixture
def of_tank(tmp_path):
    """A run on images of the folder `tank`, and what puts another path into its catalog."""
    (tmp_path / "tank").mkdir()
    catalog = CATALOG.assign(path=[str(tmp_path / "tank" / image_id) for image_id in CATALOG["image_id"]])
    run = Run.create(tmp_path / "of tank", RECIPE.to_dict(), RECIPE.contract(NAMES), catalog)

    def put(path):
        write_table(run.path("catalog.csv"), catalog.assign(path=[str(path), *catalog["path"][1:]]))
        return run

    return run, put


@pytest.mark.parametrize("path", ["gs://tank/a.jpg", "/dev/zero", "a.jpg", "{}/tank/../a.jpg", "{}/tank2/a.jpg", ""])
def test_a_catalog_that_names_files_outside_its_data_is_refused(of_tank, tmp_path, path):
    run, put = of_tank
    assert run.read("contract.json")["data_dirs"] == [str(tmp_path / "tank")]
    put(path.format(tmp_path))
    with pytest.raises(ValueError, match="Row 1 of .*, names .*no path below the folder of the data .*tank.*Bring"):
        _ = run.catalog


@pytest.mark.parametrize("folders", [["gs://tank"], ["."], []])
def test_a_folder_of_data_that_is_no_place_on_this_machine_holds_no_image(of_tank, folders):
    run, put = of_tank
    spoil(run.folder, "contract.json", "data_dirs", value=folders)
    put("gs://tank/a.jpg")
    with pytest.raises(ValueError, match="names 'gs://tank/a.jpg', which is no path below"):
        _ = run.catalog


def test_data_behind_a_link_may_be_named_either_way(of_tank, tmp_path):
    run, put = of_tank
    (tmp_path / "link").symlink_to(tmp_path / "tank")
    assert len(put(tmp_path / "link" / "a.jpg").catalog) == len(CATALOG)
    spoil(run.folder, "contract.json", "data_dirs", value=[str(tmp_path / "link")])
    assert len(run.catalog) == len(CATALOG)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("epoch,loss", "epoch,losses", "lacks the column 'loss'"),
        ("1,0.5", "1,half", "has 'half' for 'loss', in row 1"),
        ("\n2,0.3", "\n3,0.3", r"has the epochs \[1.0, 3.0\]. Expected 1, 2, 3 and so on"),
        ("1,0.5,0.5,0.5,0.5,0.5", "1,0.5,0.5,0.5,0.5,-1", "has a learning rate that is no number from 0 on"),
    ],
)
def test_a_broken_history_is_named(run, before, after, said):
    replace_in(run.path("history.csv"), before, after)
    with pytest.raises(ValueError, match=f"{said}.*Bring it back from a copy"):
        _ = run.history


def test_a_loss_that_was_no_number_is_part_of_the_history(run):
    replace_in(run.path("history.csv"), "\n2,0.3333333333333333,", "\n2,,")
    assert np.isnan(run.history["loss"]).tolist() == [False, True]


def test_files_that_are_gone_are_named(run):
    for name in ("catalog.csv", "history.csv"):
        run.path(name).unlink()
    with pytest.raises(ValueError, match="No such file.*catalog.csv.*Bring it back from a copy"):
        _ = run.catalog
    with pytest.raises(ValueError, match="No such file.*history.csv.*Bring it back from a copy"):
        _ = run.history


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("p_crab", "p_eel", "its header names 'p_eel' twice"),
        ("p_crab", "crab", "This is no predictions table"),
        ("p_crab", "p_", "'' is empty or there twice"),
        ("p_crab", "p_cod", r"Expected the classes \('crab', 'eel', '=NA'\), in order, as the run has them. Found"),
        ("0.699999988", "many", "has 'many' for 'p_crab'"),
        ("0.699999988", "7", r"1 of 3 rows are no probabilities"),
        ("0.699999988", "nan", r"1 of 3 rows are no probabilities"),
        ("train/b.jpg", "train/a.jpg", "1 of 3 rows repeat an image"),
        ("crab,crab", "cod,crab", "1 of 3 images have a class the model does not know"),
        ("crab,crab", "crab,eel", "train/a.jpg .train. has the predicted class 'eel', and the largest .* for 'crab'"),
    ],
)
def test_broken_predictions_are_named(run, before, after, said):
    replace_in(run.path("predictions.csv"), before, after)
    with pytest.raises(ValueError, match=f"predictions.csv .*{said}"):
        read_predictions(run.path("predictions.csv"), NAMES)


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        (("title",), None, "Object missing required field `title`"),
        (("cells",), ["a", "b"], r"'cells' of .* is \['a', 'b'\]. Expected `object`"),
        (("cells", "a"), 1, "'cells.a' of .* is 1. Expected `str`"),
        (("cells", "a"), "../../etc", "Cell 'a' lies in '../../etc'. Expected a folder below"),
        (("cells", "a"), "/etc", "lies in '/etc'"),
        (("cells", "a"), "C:\\runs", "lies in"),
        (("cells", "a"), "b", "'b' is empty or there twice"),
        (("cells", "a"), "", "'' is empty or there twice"),
        (("cells", "a"), ".", r"lies in '\.'"),
        (("demonstration",), "no", "'demonstration' of .* is 'no'. Expected `bool`"),
    ],
)
def test_a_broken_study_is_named(study, way, value, said):
    spoil(study, "study.json", *way, value=value)
    with pytest.raises(ValueError, match=f"{said}.*Bring it back from a copy, or open the runs below"):
        Study(study)


def test_a_cell_that_is_no_run_is_named(study):
    spoil(study, "study.json", "cells", "a", value="elsewhere")
    with pytest.raises(ValueError, match="elsewhere is no run: it has no recipe.json"):
        _ = Study(study).finished_runs


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("name,", "names,", "lacks the column 'name'"),
        ("\na,", "\nc,", "names 'c', which is no cell of the study"),
        ("\na,", "\nb,", "'b' is empty or there twice"),
        (",False\n", ",True\n", r"has \['True', 'True'\] for best. Expected True once"),
        (",False\n", ",no\n", "for best. Expected True once"),
        ("\na,0", "\na,x", "has 'x.*' for 'validation_accuracy', in row 1"),
    ],
)
def test_a_broken_table_of_a_study_is_named_and_can_be_written_again(study, before, after, said):
    replace_in(study / "table.csv", before, after)
    with pytest.raises(ValueError, match=f"{said}.*Write it again: `marinecv report"):
        _ = Study(study).table


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        (("model",), "cnn", "'model' of Recipe is 'cnn'. Expected `object`"),
        (("model", "pools"), [2, 0], "'1' of pools is 0. Expected `int` >= 1"),
        (("model", "pooling"), "best", "Expected pooling to be one of .*Received: pooling='best'"),
        (("training", "epochs"), 0, "epochs is 0. Expected `int` >= 1"),
        (("training", "epochs"), "60", "'training' of Recipe: epochs is '60'. Expected `int`"),
        (("training", "batch_size"), -32, "batch_size is -32. Expected `int` >= 1"),
        (("training", "jit_compile"), "maybe", "Expected jit_compile to be one of"),
        (("training", "monitor"), "luck", 'There is no monitor "luck". Expected one of val_loss'),
        (("training", "augmentation", "flip"), 2, "flip is 2. Expected `float` <= 1"),
        (("training", "augmentation"), [], r"Expected augmentation of type Augmentation or NoneType. Received: \[\]"),
        (("training", "seed"), -1, "seed is -1. Expected `int` >= 0"),
        (("data", "label_rule"), "loudest", "Expected label_rule to be one of"),
        (("data", "limit"), 0, "limit is 0. Expected `int` >= 1"),
        (("published", "validation"), "0.7", "'validation' of published is '0.7'. Expected `object`"),
        (
            ("published", "validation", "accuracy"),
            0.7,
            "'accuracy' of the published 'validation' is 0.7. Expected `str`",
        ),
        (("published", "validation", "n"), 0, "'n' of the published 'validation' is 0. Expected `int` >= 1"),
    ],
)
def test_a_broken_recipe_is_named(run, way, value, said):
    spoil(run.folder, "recipe.json", *way, value=value)
    with pytest.raises(ValueError, match=f"recipe.json: This is no recipe .*{said}.*Bring it back from a copy"):
        Recipe.of(run)


def test_the_recipe_of_a_run_is_read(run):
    assert Recipe.of(run) == RECIPE


def test_a_checkpoint_of_other_things_is_refused(tmp_path):
    path, rows = tmp_path / "checkpoint.npz", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("nan")}]
    state = {"epochs_done": 2, "first": 0, "learning_rate": 0.1, "stage": "all", "stopped": False, "mode": "min"}
    state |= {"identity": {}, "history": rows}
    np.savez(path, state=np.array(json.dumps(state)))
    assert read_checkpoint(path)[0].epochs_done == 2
    broken = [
        ({**state, "epochs_done": "2"}, {}, "'epochs_done' of its state is '2'"),
        ({**state, "epochs_done": 0}, {}, "'epochs_done' of its state is 0. Expected `int` >= 1"),
        ({**state, "history": [{"epoch": 2, "loss": "low"}]}, {}, "'history.0.loss' of its state is 'low'"),
        ([], {}, "its state is .*Expected `object`"),
    ]
    for wrong, arrays, said in broken:
        np.savez(path, state=np.array(json.dumps(wrong)), **arrays)
        with pytest.raises(ValueError, match=f"is no checkpoint of marinecv: .*{said}.*Delete it to train from"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'name = "\xff"', "cannot be read: 'utf-8' codec"),
        (b'name = 5\nlayout = "yolo"', "name is 5. Expected `str`"),
        (b'name = "../tank"\nlayout = "yolo"', "'name' of .* is '../tank'. Expected the name of a file or folder"),
        (b'name = "t"\nlayout = "yolo"\nhashes = "/etc/passwd"', "'hashes' of .* is '/etc/passwd'"),
        (b'name = "t"\nlayout = "yolo"\narchive_subdir = "a/../.."', "'archive_subdir' of .*Expected"),
        (b'name = "t"\nlayout = "yolo"\nroot = 5', "root is 5. Expected `Path`"),
        (b'name = "t"\nlayout = "yolo"\nclass_names = "ab"', "class_names is 'ab'. Expected `array`"),
        (b'name = "t"\nlayout = "yolo"\nclass_names = ["a", "a"]', "'a' is empty or there twice"),
        (b'name = "t"\nlayout = "yolo"\nexpected = 3', "expected is 3. Expected `object`"),
        (b'name = "t"\nlayout = "yolo"\nexpected = {fish = {}}', "'fish' of expected is|Invalid enum value 'fish'"),
        (b'name = "t"\nlayout = "yolo"\nexpected = {images = {train = "2"}}', "'images.train' of expected is '2'"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path, text, said):
    (tmp_path / "tank.toml").write_bytes(text)
    with pytest.raises(ValueError, match=said) as refusal:
        load_manifest(tmp_path / "tank.toml")
    assert "tank.toml" in str(refusal.value)


@pytest.mark.parametrize("text", [b"names: ['fish, shark]", b"nc: 2\nnames: ['', 'a']"])
def test_names_of_classes_that_are_cut_are_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_bytes(text)
    with pytest.raises(ValueError, match="data.yaml(:1 cannot be read as YAML: .*end of stream| are .*: '' is empty)"):
        read_names(tmp_path / "data.yaml")


def test_names_of_classes_in_another_encoding_are_refused(tmp_path):
    (tmp_path / "data.yaml").write_bytes("names: ['étoile']".encode("latin-1"))
    with pytest.raises(ValueError, match="data.yaml is not UTF-8: .*Save it as UTF-8"):
        read_names(tmp_path / "data.yaml")


@pytest.mark.parametrize("split_by", ["random", "stratified", "grouped"])
def test_a_catalog_without_a_usable_image_cannot_be_split(split_by):
    broken = CATALOG.assign(problem="cannot be read")
    with pytest.raises(
        ValueError, match="None of the 4 images can be used, the first: cannot be read. Expected images"
    ):
        split_catalog(broken, split_by)
    with pytest.raises(ValueError, match="catalog has no row. Expected one an image.*call split_catalog"):
        split_catalog(broken.head(0), split_by)


def test_fractions_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="The fractions of train, validation and test are"):
        split_catalog(CATALOG, "random", fractions=(float("nan"), 0.5, 0.5))


def test_figures_that_contradict_the_predictions_give_no_page(run):
    spoil(run.folder, "metrics.json", "train", "accuracy", "n", value=3)
    with pytest.raises(
        ValueError, match=r"contradict each other: the train accuracy is 1.0 \(n=3\) .*2 of 2 in the other"
    ):
        write_run_report(run.folder)
    assert not run.path("report.html").exists()


@pytest.mark.parametrize(
    ("name", "way", "value", "said"),
    [
        ("recipe.json", ("title",), 5, "'title' of .*recipe.json is 5. Expected `str`"),
        ("recipe.json", ("data",), [], "'data' of .*recipe.json is .*Expected `object`"),
        ("recipe.json", ("published", "validation"), 5, "'validation' of 'published' of .*Expected `object`"),
        ("recipe.json", ("published", "validation", "n"), "x", "'n' of the published 'validation' is 'x'"),
        ("timing.json", ("best_epoch",), "x", "'best_epoch' of .*timing.json is 'x'. Expected `int`"),
        ("contract.json", ("class_names",), ["eel", "crab", "=NA"], "Expected the classes .* in order"),
        ("environment.json", ("cores",), float("nan"), "environment.json cannot be read: JSON is malformed"),
    ],
)
def test_a_broken_file_gives_no_page(run, name, way, value, said):
    spoil(run.folder, name, *way, value=value)
    with pytest.raises(ValueError, match=said):
        write_run_report(run.folder)


def test_predictions_without_a_true_class_give_no_page(run):
    table = read_predictions(run.path("predictions.csv")).assign(true_class="")
    write_table(run.path("predictions.csv"), table, float_format="%.9g")
    with pytest.raises(ValueError, match="has no image with a true class, so nothing can be reported"):
        write_run_report(run.folder)


def test_a_picture_that_has_become_something_else_costs_a_thumbnail_and_no_page(run, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"II*\0" + b"\xff" * 60)
    write_table(run.path("catalog.csv"), CATALOG.assign(path=str(tmp_path / "a.jpg")))
    spoil(run.folder, "contract.json", "data_dirs", value=[str(tmp_path)])
    assert write_run_report(run.folder).is_file()


def test_a_study_whose_run_has_another_history_gives_no_page(study):
    replace_in(study / "b" / "history.csv", "val_loss", "val_mse")
    with pytest.raises(
        ValueError,
        match="history.csv lacks the column 'val_loss'. Expected val_loss, val_accuracy; found .*. Bring it back",
    ):
        write_study_report(study)


def test_a_broken_run_hides_no_other_in_the_list(study, capsys):
    (study / "a" / "metrics.json").write_text("{}")
    assert main(["runs", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{study}  study, 2 of 2 runs finished"
    assert lines[1].startswith(f"{study / 'a'}  broken: 'validation.n' of ") and "Delete it." in lines[1]
    assert lines[2].startswith(f"{study / 'b'}  validation accuracy 0.000 (n=1)")


def test_a_broken_study_hides_no_run_in_the_list(study, capsys):
    (study / "study.json").write_text("{")
    (study / "recipe.json").mkdir()
    assert main(["runs", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{study}  broken: ") and len(lines) == 3
    assert [run.folder.name for run in list_runs(study)] == ["a", "b"]


@pytest.mark.parametrize("words", [["report"], ["evaluate"], ["compare"], ["pretrain", "--resume"]])
def test_a_command_on_a_broken_run_ends_with_one_line(run, capsys, words):
    for name in ("contract.json", "recipe.json", "metrics.json", "predictions.csv", "catalog.csv"):
        (run.folder / name).write_bytes(b"\xff\0{")
    again = [str(run.folder), str(run.folder.parent / "b")] if words == ["compare"] else [str(run.folder)]
    assert main([*words, *again]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and str(run.folder) in error


def test_a_json_file_that_is_a_folder_is_named(run):
    run.path("contract.json").unlink()
    run.path("contract.json").mkdir()
    with pytest.raises(ValueError, match="contract.json cannot be read: .*Bring it back from a copy"):
        _ = run.class_names
    write_json(run.path("figures.json"), {})
    assert run.read("figures.json") == {}
