"""Workflows from Python: which images they take, what they return and refuse, and going on with them."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import COLORS, draw_image, killed

import marinecv as mcv
from marinecv.console import silent
from marinecv.data.manifests import manifest_of_folder
from marinecv.experiments import Experiment
from marinecv.files.atomic import write_json
from marinecv.recipes.aquarium import BEST, MOBILENET
from marinecv.recipes.butterflies import UNET, A
from marinecv.search.space import TRAINING
from marinecv.training.recipe import Recipe
from marinecv.training.settings import read_recipe
from marinecv.workflows import learning_curve, resume, search, train_runs
from marinecv.workflows.learning_curve import LearningCurve
from marinecv.workflows.reproduce import Reproduction
from marinecv.workflows.sources import CATALOG, read_catalog_early, source_of

TINY = A.with_model(filters=(4,), bottleneck=6)
ENCODED = TINY.with_model(weights=UNET.name)
SMALL = {"image.size": 16, "training.epochs": 1}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> pd.DataFrame:
    """A catalog of one's own: of each class 4 images to train on, 2 to validate and 2 to test."""
    root = tmp_path_factory.mktemp("own") / "animals"
    for number, name in enumerate(list(COLORS) * 8):
        folder = root / ("train", "train", "valid", "test")[number // 3 % 4] / name
        folder.mkdir(parents=True, exist_ok=True)
        draw_image(name, seed=number).save(folder / f"{number}.jpg", quality=95)
    return mcv.read_catalog(manifest_of_folder(root))


@pytest.mark.slow
def test_a_search_of_a_catalog_returns_its_trials_and_the_best_run_and_says_nothing(
    catalog, tmp_path, capsys, no_pages
):
    settings = {"changes": SMALL, "batch_size": 8, "log": None, "folder": tmp_path / "search"}
    found = mcv.search(catalog, "aquarium_four_conv", trials=2, algorithm="random", **settings)
    assert capsys.readouterr() == ("", "")
    assert isinstance(found, mcv.Search) and found.report.is_file() and len(found.table()) == 2
    recipe = Recipe.of(found.base)
    assert (recipe.image.height, recipe.training.epochs, recipe.training.batch_size) == (16, 1, 8)
    assert recipe.training.calibration == 0.0  # all of validation ranks the trials
    assert found.best_run.metrics["validation"]["accuracy"]["n"] == 6
    assert mcv.resume(found.folder, log=None).trials == found.trials and capsys.readouterr() == ("", "")


def test_a_curve_of_a_catalog_returns_its_tables_and_says_nothing(catalog, tmp_path, capsys):
    settings = {"fractions": (0.5, 1.0), "seeds": 1, "changes": SMALL, "log": None}
    curve = mcv.learning_curve(catalog, TINY, **settings, folder=tmp_path / "curve")
    assert capsys.readouterr() == ("", "")
    assert curve.report.is_file() and list(curve.runs) == [f"{A.name}-0.5-seed0", f"{A.name}-1-seed0"]
    accuracy = curve.curve.query("metric == 'accuracy' and split == 'validation'")
    assert accuracy["label_fraction"].tolist() == [0.5, 1.0] and accuracy["images"].tolist() == [6.0, 12.0]
    for fraction, value in zip(("0.5", "1"), accuracy["value"], strict=True):
        metrics = curve.runs[f"{A.name}-{fraction}-seed0"].metrics
        assert value == pytest.approx(metrics["validation"]["accuracy"]["value"], abs=1e-6)
    assert curve.differences is None and curve.sample_size is None  # of one line, at two fractions
    (curve.folder / "curve.csv").unlink()
    with pytest.raises(ValueError, match=r'has no curve.csv yet. Go on with resume\("'):
        curve.curve  # noqa: B018


def test_a_setting_reaches_the_lines_of_a_curve_and_of_it_an_encoder_takes_what_it_has(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curve, "finish_curve", lambda *args, **options: None)
    changes = {**SMALL, "model.filters": (4, 6), "training.learning_rate": 0.5, "seed": 4}
    settings = {"fractions": [0.5], "seeds": 2, "folder": tmp_path / "curve", "log": None}
    curve = mcv.learning_curve(catalog, [TINY, ENCODED], changes=changes, **settings)
    recipes = {cell: Recipe.of(mcv.Run(curve.cell_folder(cell))) for cell in curve.cells}
    assert list(recipes) == [UNET.name, f"{A.name}-0.5-seed4", f"{A.name}-0.5-seed5"]
    unet, line = recipes[UNET.name], recipes[f"{A.name}-0.5-seed4"]
    assert unet.model.filters == line.model.filters == (4, 6) and unet.image == line.image
    assert (line.training.learning_rate, unet.training.learning_rate) == (0.5, UNET.training.learning_rate)
    assert (unet.training.seed, unet.training.epochs) == (4, 1)


def test_a_reproduction_returns_its_results_and_a_stopped_one_writes_them_when_it_is_resumed(
    shared_tank, tmp_path, capsys, monkeypatch, no_pages
):
    monkeypatch.chdir(tmp_path)
    settings = {"recipes": ["aquarium_three_conv"], "quick": True, "log": None, "changes": SMALL}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_runs, "fit_recipe", killed)
        mcv.reproduce("aquarium", data=manifest_of_folder(shared_tank), folder="again", seeds=2, **settings)
    done = mcv.resume("again", log=None)
    assert capsys.readouterr() == ("", "")
    assert isinstance(done, Reproduction) and done.results_dir == Path("again") / "results"
    assert [recipe.name for recipe in done.recipes] == ["aquarium_three_conv"]
    rows = done.results.query("recipe == 'aquarium_three_conv' and metric == 'accuracy' and split == 'test'")
    assert rows["seed"].tolist() == ["0", "1", "all"] and set(rows["verdict"]) == {"shortened run"}
    (done.folder / "reproduction.json").write_text('{"results_dir": 3}')
    with pytest.raises(ValueError, match="The results_dir of again"):
        Reproduction("again")


SEARCH, CURVE = (mcv.search, BEST), (mcv.learning_curve, TINY)
PRETRAIN = {"recipes": ["pretrain"]}


@pytest.mark.parametrize(
    ("call", "options", "message"),
    [
        (SEARCH, {"trials": 0}, "1 to 9999 trials. Received: trials=0."),
        (SEARCH, {"engine": "skopt"}, "no engine 'skopt'"),
        (SEARCH, {"nonsense": 3}, "has no setting 'nonsense'"),
        ((mcv.search, None), {"data": None}, "Name a recipe with recipe="),
        ((mcv.train, BEST), {"fold": "1/2"}, "data.fold is no setting"),
        ((mcv.train, MOBILENET), {"changes": {"model.weights": "nowhere.h5"}}, "no weights file nowhere.h5"),
        (CURVE, {"seeds": 0}, "Received: seeds=0."),
        (CURVE, {"goal": 1}, "between 0 and 1. Received: goal=1."),
        (CURVE, {"encoder_data": "test"}, "encoder_data='test'"),
        (CURVE, {"encoder": ".", "encoder_data": "unlabeled"}, "Leave out encoder_data="),
        ((mcv.learning_curve, []), {}, "Expected one recipe or several. Received:"),
        (CURVE, {"label_fraction": 0.5}, "Leave out label_fraction"),
        (CURVE, {"fractions": [0.5, 2]}, "above 0 and at most 1. Received: 2."),
        ((mcv.reproduce, "fish"), {}, 'no report "fish"'),
        ((mcv.reproduce, "aquarium"), {"seeds": 0}, "Received: seeds=0."),
        ((mcv.reproduce, "aquarium"), {**PRETRAIN, "epochs": 1}, "training.epochs would overwrite"),
        ((mcv.reproduce, "aquarium"), {**PRETRAIN, "quick": True, "dense": 0.5}, "model.dense"),
        ((mcv.reproduce, "aquarium"), {"recipes": ["aquarium_three_conv"]}, "Images of catalog would overwrite"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_arguments(call, options, message, catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, recipe = call
    first = {"report": recipe} if function is mcv.reproduce else {"recipe": recipe}
    first = {"recipes": recipe} if function is mcv.learning_curve else first
    with pytest.raises(ValueError, match=message):
        function(**{"data": catalog, **first, **options})
    assert not Path("runs").exists()


def test_what_is_resumed_takes_what_it_has_a_use_for(tmp_path):
    Experiment.create(tmp_path, "grid", "A grid", [])
    with pytest.raises(ValueError, match="has no use for workers=. Expected some of track, distribute, callbacks"):
        resume.resume(tmp_path, workers="ray")
    for kind, said in ((LearningCurve, "is no learning curve"), (Reproduction, "is no reproduction")):
        with pytest.raises(ValueError, match=said):
            kind(tmp_path)
    write_json(tmp_path / "curve.json", {})
    assert isinstance(resume.open_work(tmp_path), LearningCurve)
    with pytest.raises(ValueError, match="has no use for distribute=. Expected some of track, goal, or none."):
        resume.resume(tmp_path, distribute="mirrored")
    (tmp_path / "search").mkdir()
    begun = search.Search.create(tmp_path / "search", "kerastuner", "random", 3, 0, TRAINING)
    assert resume.open_work(begun.folder).best_run is None
    with pytest.raises(ValueError, match="has no use for callbacks="):
        resume.resume(begun.folder, callbacks=[object()])


def test_functions_stay_where_packages_are_called_alike():
    import marinecv.search.space  # noqa: F401

    assert mcv.search is search.search


def test_a_path_a_name_a_manifest_and_a_catalog_are_found(shared_tank, tmp_path):
    manifest = manifest_of_folder(shared_tank)
    catalog = mcv.read_catalog(manifest)
    for data in (shared_tank, str(shared_tank), manifest, source_of(manifest, BEST.data, silent)):
        source = source_of(data, BEST.data, silent)
        assert source.manifest.name == manifest.name and source.read(BEST.data, silent).equals(catalog)
    source = source_of(catalog.sample(frac=1, random_state=0), BEST.data, silent)
    assert source.manifest.name == CATALOG
    assert set(source.read(BEST.data, silent)["image_id"]) == set(catalog["image_id"])


def test_a_table_of_paths_and_classes_is_made_a_catalog(shared_tank, monkeypatch):
    catalog = mcv.read_catalog(manifest_of_folder(shared_tank))
    monkeypatch.chdir(shared_tank)
    table = pd.DataFrame({"image_id": catalog["image_id"], "file": catalog["image_id"], "label": catalog["class_name"]})
    read = source_of(table, BEST.data, silent).read(BEST.data, silent)
    columns = ["image_id", "path", "class_name", "width", "height", "problem"]
    pd.testing.assert_frame_equal(read[columns], catalog[columns])
    with pytest.raises(ValueError, match="lacks the column 'path'"):
        source_of(table.drop(columns="file"), BEST.data, silent)


def test_a_word_that_names_a_data_set_and_a_folder_or_neither_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aquarium" / "eel").mkdir(parents=True)
    draw_image("eel", 0).save(tmp_path / "aquarium" / "eel" / "a.jpg")
    with pytest.raises(ValueError, match="names a data set and a folder. Expected './aquarium'"):
        source_of("aquarium", BEST.data, silent)
    assert source_of("./aquarium", BEST.data, silent).manifest.root == tmp_path / "aquarium"
    with pytest.raises(ValueError, match="no data set 'aquarum'. Did you mean \"aquarium\""):
        mcv.train("aquarum", log=None)


def test_images_of_which_none_can_be_used_are_an_error_with_its_reason(tmp_path):
    (tmp_path / "mine" / "eel").mkdir(parents=True)
    (tmp_path / "mine" / "eel" / "a.jpg").write_bytes(b"nothing")
    manifest = manifest_of_folder(tmp_path / "mine")
    reason = (
        r"no usable image.*1 images have a problem, the first: .* \(eel/a.jpg\). `marinecv audit` shows the reasons.$"
    )
    with pytest.raises(ValueError, match=reason):
        read_catalog_early(manifest, replace(BEST.data, name=manifest.name), silent)


@pytest.mark.parametrize("text", ["", "[model]\nkind = 3\n", "model = 3\n", 'name = "a"\n'])
def test_a_file_that_is_no_recipe_is_named(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match="a.toml: "):
        read_recipe(tmp_path / "a.toml")


def test_without_a_network_the_error_names_the_demo_images(monkeypatch):
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: False)
    with pytest.raises(ConnectionError, match=r"mcv.demo_images\(\)"):
        mcv.find_data("aquarium")
