"""`finetune` from the command line: where weights come from, which layers learn, what the run says of it."""

import shutil
from dataclasses import replace

import keras
import pytest

from marinecv.evaluation.predictions import read_predictions
from marinecv.runs import Run
from marinecv.training.build import build_model
from marinecv.training.recipe import Recipe
from marinecv.workflows import train, train_runs
from marinecv.workflows.weights import weights_host_answers
from pipelines.cli import main


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    """No weights on this machine, no network, and no time for figures."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: False)
    monkeypatch.setattr(train_runs, "write_run_report", lambda folder: folder)


def finetune(tank, folder, *words):
    known = ["--data-dir", str(tank), "--epochs", "1", "--image-size", "32", "--output-dir", str(folder)]
    return main(["finetune", *known, "--backbone", "mobilenet", *(str(word) for word in words)])


def test_a_small_backbone_without_weights_is_trained_and_says_so(shared_tank, tmp_path, capsys):
    assert finetune(shared_tank, tmp_path / "run", "--weights", "none", "--alpha", 0.25) == 0
    assert "no pretrained weights, so this is no fine-tuning" in capsys.readouterr().out
    run = Run(tmp_path / "run")
    recipe = run.read("recipe.json")
    assert recipe["name"] == "mobilenet_head_untrained"
    assert recipe["title"] == "Mobilenet (no pretrained weights); here alpha 0.25 (data: tank)"
    assert recipe["report"] == ""
    assert recipe["model"]["alpha"] == 0.25 and recipe["published"] == {}
    assert run.finished and run.load_model().input_shape == (None, 32, 32, 3)
    assert main(["finetune", "--resume", str(run.folder)]) == 0
    assert "weights" not in capsys.readouterr().out  # what the run needs it has
    probabilities = read_predictions(run.path("predictions.csv"))["p_crab"]
    assert probabilities.nunique() > 1  # no constant predictor


def test_no_trainable_layer_leaves_the_head_alone_to_learn(shared_tank, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "finish", lambda run, *args, **how: None)
    flags = ["--weights", "none", "--alpha", 0.25, "--trainable-layers", 0]
    assert finetune(shared_tank, tmp_path / "run", *flags) == 0
    assert "note: The backbone is frozen with random weights" in capsys.readouterr().out
    recipe = Recipe.from_dict(Run(tmp_path / "run").read("recipe.json"))
    assert [tuple(weights.shape) for weights in build_model(recipe, 3).trainable_variables] == [(256, 3), (3,)]
    assert "here alpha 0.25, trainable layers 0" in recipe.title


def test_weights_from_a_file_are_named_in_the_recipe(shared_tank, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "finish", lambda run, *args, **how: None)
    file = tmp_path / "mine.weights.h5"
    network = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3))
    network.save_weights(file)
    assert finetune(shared_tank, tmp_path / "run", "--weights", file, "--alpha", 0.25) == 0
    recipe = Run(tmp_path / "run").read("recipe.json")
    assert recipe["model"]["weights"] == str(file) and recipe["name"] == "mobilenet_head"


def test_weights_that_are_not_to_be_had_are_an_error_only_when_named(shared_tank, tmp_path, monkeypatch, capsys):
    assert finetune(shared_tank, tmp_path / "run", "--weights", "/no/such.h5") == 1
    assert "There is no weights file /no/such.h5. Expected imagenet, none, or a file" in capsys.readouterr().err
    assert finetune(shared_tank, tmp_path / "run", "--weights", "imagenet") == 1
    error = capsys.readouterr().err
    assert "mobilenet_7_5_224_tf_no_top.h5" in error and "--weights none" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(train, "finish", lambda run, *args, **how: None)
    assert finetune(shared_tank, tmp_path / "run") == 0
    assert Run(tmp_path / "run").read("recipe.json")["model"]["weights"] == "none"


def planned(monkeypatch):
    """The recipes of the runs that are begun, none of which is trained."""
    seen = []
    monkeypatch.setattr(train, "start", lambda folder, recipe, *args: seen.append(recipe))
    for name in ("finish", "finish_study", "Run"):
        monkeypatch.setattr(train, name, lambda *args, **how: None)
    return seen


def test_weights_at_hand_or_a_network_are_enough(shared_tank, tmp_path, monkeypatch):
    seen = planned(monkeypatch)
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: True)
    assert finetune(shared_tank, tmp_path / "grid", "--grid") == 0
    weights_host_answers.cache_clear()
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: False)
    file = tmp_path / "keras" / "models" / "mobilenet_7_5_224_tf_no_top.h5"
    file.parent.mkdir(parents=True)
    file.touch()
    assert finetune(shared_tank, tmp_path / "run", "--weights", "imagenet") == 0
    names = [f"aquarium_mobilenet_p{patience}" for patience in (8, 4, 2)]
    assert [recipe.name for recipe in seen] == [*names, "mobilenet_head"]
    assert {recipe.model.weights for recipe in seen} == {"imagenet"}


def test_several_backbones_are_a_study(shared_tank, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "finish_study", lambda study, *args, **how: names.extend(study.cells) or 0)
    names = []
    assert finetune(shared_tank, tmp_path / "study", "--backbone", "mobilenet", "mobilenetv2", "--weights", "none") == 0
    assert names == ["mobilenet_head_untrained", "mobilenetv2_head_untrained"]


def test_on_images_of_ones_own_only_a_head_learns_or_the_last_layers_after_it(shared_tank, tmp_path, monkeypatch):
    seen = planned(monkeypatch)
    monkeypatch.setattr("marinecv.data.network.reachable", lambda url: True)
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--trainable-layers", 5], ["--head-epochs", 3], ["--recipe", "animals_mobilenet"]):
        assert main(["finetune", "--data-dir", str(shared_tank), *map(str, words)]) == 0
    head, last5, last20, named = seen
    assert replace(named, name=head.name, title=head.title, training=head.training) == head
    assert replace(named.training, bank=head.training.bank) == head.training
    learn = [(recipe.model.trainable_layers, recipe.training.head_epochs) for recipe in (last5, last20)]
    assert learn == [(5, 8), (20, 3)] and last5.training.learning_rate < head.training.learning_rate
    aquarium = shutil.copytree(shared_tank, tmp_path / "aquarium")
    for table in aquarium.rglob("_annotations.csv"):
        named = table.read_text(encoding="utf-8").replace(",crab,", ",fish,").replace(",eel,", ",shark,")
        table.write_text(named.replace(",ray,", ",stingray,"), encoding="utf-8")
    assert main(["finetune", "--data", "aquarium", "--data-dir", str(aquarium)]) == 0
    assert seen[-1].name == "aquarium_mobilenetv3large_p2"  # the report's images, by name


def test_a_width_that_a_network_does_not_have_is_an_error_before_the_run(shared_tank, tmp_path, capsys):
    assert finetune(shared_tank, tmp_path / "run", "--backbone", "mobilenetv3large", "--alpha", 0.5) == 1
    assert "mobilenetv3large has no width multiplier" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--resume", "runs/x", "--epochs", "3"], "--resume settles what --epochs would say"),
        (["--recipe", "aquarium_mobilenet_p2", "--grid"], "--recipe settles what --grid would say"),
        (["--recipe", "aquarium_mobilenet_p2", "--backbone", "resnet50"], "--recipe settles what --backbone would say"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(words, sentence, capsys):
    assert main(["finetune", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_trainable_layers_cannot_be_negative(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["finetune", "--trainable-layers", "-3"])
    assert exit_.value.code == 2 and "--trainable-layers" in capsys.readouterr().err
