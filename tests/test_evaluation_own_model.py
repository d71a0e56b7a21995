"""A model that was trained elsewhere becomes a run that every command but training reads."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scenes import GUIDE_SPEC as SPEC
from scenes import guide_model as guide

import marinecv as mcv
from marinecv.export.model import export_model
from marinecv.models.safe_load import check_loadable
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.training.recipe import DataConfig, Recipe
from marinecv.workflows.evaluate import run_of_model
from pipelines.cli import main


@pytest.fixture(scope="module")
def data(shared_tank):
    manifest = mcv.find_data(None, shared_tank)
    catalog = mcv.read_catalog(manifest)
    return catalog, mcv.class_names_of(catalog, manifest)


@pytest.fixture(scope="module")
def own(data, tmp_path_factory):
    catalog, names = data
    return run_of_model(tmp_path_factory.mktemp("own") / "run", guide(), catalog, SPEC, list(names))


def test_it_is_finished_and_says_what_the_model_says(own, data):
    catalog, names = data
    assert own.is_external and own.finished and not own.trained and own.class_names == names and own.spec == SPEC
    model = keras.Sequential([guide(), layers.Softmax()])
    pd.testing.assert_frame_equal(
        mcv.read_predictions(own.path("predictions.csv")),
        mcv.predict_table(model, catalog[catalog["split"] != ""], SPEC, names),
    )
    assert set(own.metrics) == {"train", "validation", "test"}
    assert "test evaluation" in own.path("log.txt").read_text("utf-8")
    assert "training" not in own.read("recipe.json")


def test_its_page_has_no_settings_of_a_training(own):
    html = write_run_report(own.folder).read_text(encoding="utf-8")
    assert "Own model: guide" in html and not any(name in html for name in ("learning rate", "epochs", "--folds"))


def said_by(capsys, *words, code=0):
    assert main(list(map(str, words))) == code
    output = capsys.readouterr()
    return output.out + output.err


def test_it_is_listed_and_predicts(own, shared_tank, tmp_path, capsys):
    assert "validation accuracy" in said_by(capsys, "runs", own.folder.parent)
    said = said_by(capsys, "predict", own.folder, shared_tank / "test", "--output", tmp_path / "p.csv")
    assert "not calibrated: the model was trained elsewhere" in said and len(pd.read_csv(tmp_path / "p.csv")) == 3


@pytest.mark.slow
def test_the_other_commands_read_it(own, shared_tank, capsys):
    said = said_by(capsys, "evaluate", own.folder)
    assert "balanced_accuracy" in said and "have a copy" in said and "--folds" not in said
    assert "--folds" not in own.path("report.html").read_text("utf-8")
    assert "accuracy" in said_by(capsys, "evaluate", own.folder, "--split", "test", "--data-dir", shared_tank)
    assert "inside the box" in said_by(capsys, "explain", own.folder, "--layer", "inner_conv")
    assert "latent.html" in said_by(capsys, "latent", own.folder, "--clusters", 2)
    assert "report.html" in said_by(capsys, "report", own.folder)


def test_it_is_compared_with_a_trained_one(own, data, tmp_path, capsys):
    other = run_of_model(tmp_path / "other", guide(layers.Softmax()), *data[:1], SPEC, data[1])
    assert "a difference of 0 of 3 images" in said_by(capsys, "compare", own.folder, other.folder)


@pytest.mark.parametrize("format", ["litert", "savedmodel", "onnx"])
def test_it_is_exported_with_its_augmentation_left_out(own, format):
    for package in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    parity = export_model(own, format)
    assert parity["agreement"]["value"] == 1 and parity["largest_difference"] < 1e-5


def test_there_is_nothing_to_train_again(own, capsys):
    for words in (("pretrain", "--resume", own.folder), ("evaluate", own.folder, "--folds", 2)):
        assert "was trained elsewhere and has no recipe" in said_by(capsys, *words, code=1)
    with pytest.raises(ValueError, match="cannot be resumed"):
        Recipe.of(own)
    assert DataConfig.of(own) == DataConfig(name="own")
    (own.folder / "timing.json").write_text("[")
    with pytest.raises(ValueError, match=r"Make the run again with run_of_model\.$"):
        _ = Run(own.folder).timing
    (own.folder / "timing.json").unlink()


class Twice(layers.Layer):
    def __init__(self, factors):
        super().__init__(name="twice")
        self.factors = factors

    def call(self, x):
        return x * self.factors[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: guide(Twice(np.ones(2)), layers.Softmax()), "'twice'"),
        (lambda: guide(layers.Lambda(lambda x: x, name="half"), layers.Softmax()), "'half' is a Lambda"),
        (lambda: flat_model(activation=own_activation), "'dense.*' is .* not Keras' own"),
        (lambda: guide(layers.Dense(4)), r"gives \(4,\) for each image"),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)]), r"takes \(8, 8, 3\)"),
    ],
)
def test_a_model_that_no_run_can_load_is_refused_and_nothing_is_left(model, said, data, tmp_path):
    with pytest.raises(ValueError, match=said):
        run_of_model(tmp_path / "run", model(), data[0], SPEC, data[1])
    assert not (tmp_path / "run").exists()


def test_a_catalog_that_no_run_can_read_is_refused_and_nothing_is_left(data, tmp_path):
    catalog, names = data
    with pytest.raises(ValueError, match="no usable validation image with a class.* Received: .'train'."):
        run_of_model(tmp_path / "run", guide(), catalog[catalog["split"] == "train"], SPEC, names)
    with pytest.raises(ValueError, match="lacks the column 'dominance'"):
        run_of_model(tmp_path / "run", guide(), catalog.drop(columns="dominance"), SPEC, names)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not empty"):
        run_of_model(tmp_path / "run", guide(), catalog, SPEC, names)
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


class OwnLoss(keras.losses.Loss):
    def call(self, true, given):
        return given


def own_activation(x):
    return keras.ops.tanh(x)


def flat_model(**settings):
    inputs = keras.Input(SPEC.shape)
    x = layers.Dense(4, **settings)(layers.Flatten()(inputs / 255))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="flat")


def test_a_loss_of_the_users_own_stays_out(data, tmp_path):
    model = flat_model()
    model.compile("adam", loss=OwnLoss())
    assert run_of_model(tmp_path / "run", model, data[0], SPEC, data[1]).finished
    with pytest.raises(ValueError, match="cannot be kept in a run: .*OwnLoss"):
        check_loadable(model)
