"""`finetune` from the command line: where weights come from, which layers learn, what the run says of it."""

import keras
import pytest

from marinecv.evaluation.predictions import read_predictions
from marinecv.models.backbone_table import BACKBONES
from marinecv.recipes.own_data import PROBE
from marinecv.recipes.registry import recipe_named
from marinecv.runs import Run
from marinecv.training.recipe import Recipe
from marinecv.workflows import prepare, train, train_runs
from marinecv.workflows.choose import Choice
from pipelines.cli import main


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    """No weights on this machine, no network, and no time for figures."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: False)
    monkeypatch.setattr(train_runs, "write_run_report", lambda folder: folder)


@pytest.fixture
def planned(monkeypatch):
    """The recipes of the runs that are begun, none of which is trained."""
    recipes = []
    monkeypatch.setattr(train, "start", lambda folder, recipe, *args, **how: recipes.append(recipe))
    monkeypatch.setattr(train, "finish", lambda *args, **how: None)
    monkeypatch.setattr(train, "finish_experiment", lambda *args, **how: None)
    monkeypatch.setattr(train, "Run", lambda *args: None)
    return recipes


def finetune(tank, folder, *words):
    known = ["--data-dir", str(tank), "--epochs", "1", "--image-size", "32", "--output-dir", str(folder)]
    return main(["finetune", *known, *(str(word) for word in ("--backbone", "mobilenet", *words))])


@pytest.mark.slow
def test_a_small_backbone_without_weights_is_trained_and_says_so(shared_tank, tmp_path, capsys):
    assert finetune(shared_tank, tmp_path / "run", "--weights", "none", "--alpha", 0.25) == 0
    assert "no pretrained weights" in capsys.readouterr().out
    run = Run(tmp_path / "run")
    recipe = run.read("recipe.json")
    assert recipe["name"] == "mobilenet_head_untrained" and recipe["report"] == "" and recipe["published"] == {}
    assert recipe["title"] == "Mobilenet (no pretrained weights); here alpha 0.25 (data: tank)"
    assert run.finished and run.load_model().input_shape == (None, 32, 32, 3)
    assert main(["finetune", "--resume", str(run.folder)]) == 0
    assert "weights" not in capsys.readouterr().out  # what the run needs it has
    assert read_predictions(run.path("predictions.csv"))["p_crab"].nunique() > 1  # no constant predictor


@pytest.mark.slow
def test_weights_from_a_file_are_named_in_the_recipe(shared_tank, tmp_path):
    file = tmp_path / "mine.weights.h5"
    network = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3))
    network.save_weights(file)
    assert finetune(shared_tank, tmp_path / "run", "--weights", file, "--alpha", 0.25) == 0
    recipe = Recipe.of(Run(tmp_path / "run"))
    assert recipe.model.weights == str(file) and recipe.name == "mobilenet_0.25_32px" and recipe.is_linear_probe


@pytest.mark.parametrize("words", [(), ("--weights", "imagenet"), ("--backbone", "resnet50")])
def test_weights_that_are_not_to_be_had_are_an_error_on_images_of_ones_own(
    words, shared_tank, tmp_path, planned, capsys
):
    assert finetune(shared_tank, tmp_path / "run", *words) == 1
    error = capsys.readouterr().err
    name = "resnet50_weights" if "resnet50" in words else "mobilenet_1_0_224_tf_no_top.h5"
    assert error.count("\n") == 1 and not planned and not (tmp_path / "run").exists()
    assert all(part in error for part in (name, "--set model.weights=none", "--backbone list", str(tmp_path / "keras")))
    assert finetune(shared_tank, tmp_path / "run", "--weights", "/no/such.h5") == 1
    assert "no weights file /no/such.h5" in capsys.readouterr().err


def test_without_weights_the_report_s_own_command_says_first_that_it_tunes_nothing(
    tmp_path, planned, monkeypatch, capsys
):
    monkeypatch.setenv("MARINECV_DATA", str(tmp_path))
    monkeypatch.setattr(prepare, "read_data", lambda *args: 1 / 0)
    for words in ([], ["--backbone", "convnexttiny"]):
        with pytest.raises(ZeroDivisionError):
            main(["finetune", *words])
        first = capsys.readouterr().out.splitlines()[0]
        assert f"{(words or ['mobilenetv3large'])[-1]}: no pretrained weights, so this is no fine-tuning" in first
    lines = []
    recipe = recipe_named("aquarium_mobilenetv3large_p2")
    prepare.with_logged_weights(None, [recipe], {"model.backbone": "convnexttiny"}, lines.append)  # as of `mcv.train`
    assert lines[0].startswith("convnexttiny: no pretrained weights")


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_all_networks_are_listed(command, capsys):
    assert main([command, "--backbone", "list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mobilenet", "224", "3.23", "70.4", "signed", "Apache-2.0"] in lines and len(lines) > len(BACKBONES)


@pytest.mark.slow
def test_a_keras_file_is_a_backbone_which_a_run_keeps_by_path_and_content(shared_tank, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((48, 48, 3)), *parts, keras.layers.Dense(5, activation="softmax")]).save("own.keras")
    assert finetune(shared_tank, tmp_path / "run", "--backbone", "own.keras") == 0
    run = Run(tmp_path / "run")
    assert run.finished and "no fine-tuning" not in capsys.readouterr().out
    model = Recipe.of(run).model
    assert model.backbone == model.weights == str(tmp_path / "own.keras") and len(model.backbone_sha256) == 64
    monkeypatch.chdir(tmp_path / "run")
    planned = ["--set", "model.backbone=../own.keras", "training.epochs=1", "--image-size", "32"]
    assert main(["finetune", "--data-dir", str(shared_tank), *planned, "--output-dir", str(tmp_path / "again")]) == 0
    again = Recipe.of(Run(tmp_path / "again")).model
    assert (again.backbone, again.backbone_sha256) == (model.backbone, model.backbone_sha256)
    assert finetune(shared_tank, tmp_path / "no", "--backbone", "no.keras") == 1
    assert "There is no Keras file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_s_grid_is_trained_on_other_images_too(shared_tank, tmp_path, planned, monkeypatch):
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: True)
    words = ["--backbone", "mobilenet", "mobilenetv2", "--grid"]
    assert finetune(shared_tank, tmp_path / "grid", *words) == 0
    names = [f"aquarium_{name}_p{patience}" for name in ("mobilenet", "mobilenetv2") for patience in (8, 4, 2)]
    assert [recipe.name for recipe in planned] == names
    assert {recipe.model.weights for recipe in planned} == {"imagenet"}


def test_on_images_of_ones_own_the_recipe_is_chosen_unless_it_is_named(shared_tank, tmp_path, planned, monkeypatch):
    monkeypatch.setattr("marinecv.data.download.network.reachable", lambda url: True)
    monkeypatch.chdir(tmp_path)
    asked = []

    def chosen(recipe, catalog, class_names, models, minutes, log, named):
        asked.append((minutes, [model.backbone for model in models], {*named} - {"training.seed"}))
        return Choice(recipe, catalog, [])

    monkeypatch.setattr(prepare, "choose", chosen)
    named = ["--trainable-layers", "5", "--minutes", "3", "--backbone", "resnet50", "vgg16"]
    for words in ([], named, ["--weights", "none"], ["--recipe", "animals_mobilenet"]):
        assert main(["finetune", "--data-dir", str(shared_tank), *words]) == 0
    first, second, from_scratch, named = planned
    assert asked == [
        (10.0, ["efficientnetv2b0"], set()),
        (3.0, ["resnet50", "vgg16"], {"model.trainable_layers"}),
    ]
    assert first.model.trainable_layers == PROBE.model.trainable_layers and second.model.trainable_layers == 5
    assert from_scratch.name == "mobilenet_head_untrained" and named.name == "animals_mobilenet"
