"""Every setting of a recipe: changed by text, by `changes=` and by keyword, saved in `recipe.json`, and used.

A new setting is found by itself; `FELT` has what each one of `Training` changes in a fit.
"""

import argparse
import importlib
import json
from contextlib import suppress
from dataclasses import fields, replace
from types import NoneType, SimpleNamespace
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import keras
import numpy as np
import pandas as pd
import pytest

import marinecv as mcv
from marinecv.inputs.spec import Augmentation
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run
from marinecv.training import fit
from marinecv.training.model_config import MODELS
from marinecv.training.recipe import Recipe, Training
from marinecv.training.settings import NOT_SETTINGS, read_recipe, settings_of, to_toml, with_changes
from marinecv.workflows import prepare, train_runs
from marinecv.workflows import train as workflow
from pipelines import options

OTHER = {
    "data.boxes": "detections.json",
    "data.fractions": (0.6, 0.2, 0.2),
    "data.split_by": "stratified",
    "data.synthetic": 24,
    "image.letterbox_px": 512,
    "training.batch_size": 4,
    "training.calibration": 0.5,
    "training.jit_compile": "on",
    "training.metrics": ("accuracy", "recall"),
    "training.monitor": "loss",
    "training.augmentation.rotation_deg": 15.0,
    "data.columns": {"class": "Species"},
    "model.backbone": "mobilenetv2",
    "model.trainable_blocks": ("conv_pw_13", "conv_pw_12"),
    "model.also_pooled": ("conv_pw_11_relu",),
    "model.hidden": (64, 32),
    "model.padding": 3,
}
"""Another value of settings whose annotation does not tell one."""
BESIDE = {
    "data.boxes": {"data.crops": 0.1},
    "training.augmentation.variants": {"training.augmentation": Augmentation(flip=0.5, rotation_deg=9.0, zoom=0.1)},
}
"""What a value needs beside it."""
BASES = {kind: next(recipe for recipe in RECIPES.values() if recipe.model.kind == kind) for kind in MODELS}


def hint_of(key, recipe):
    """The annotation of a setting."""
    kind = type(recipe)
    for name in key.split("."):
        hint = get_type_hints(kind, include_extras=True)[name] if name != "model" else type(recipe.model)
        kind = next((part for part in (hint, *get_args(hint)) if part in (Augmentation,)), hint)
    return hint


def other(key, recipe):
    """Another value that a setting can have."""
    value = settings_of(recipe).get(key, getattr(Augmentation(flip=0.0), key.rpartition(".")[2], None))
    if key in OTHER:
        return OTHER[key]
    if key == "model.weights":
        return "none" if value != "none" else "encoder.keras"
    return another(hint_of(key, recipe), value)


def another(hint, value):
    """Another value of a type; a word, a number within its bounds, or twice each number of a tuple."""
    if get_origin(hint) is Literal:
        return next(word for word in reversed(get_args(hint)) if word not in (value, None, "none"))
    if get_origin(hint) is Annotated:
        kind, meta = get_args(hint)
        steps = [value * 2, value / 2, 0.25, 7, 2, 1] if value else [0.25, 7, 2, 1]
        low, high = meta.ge if meta.ge is not None else -1, meta.le if meta.le is not None else meta.lt
        return next(kind(step) for step in steps if low <= kind(step) <= high and kind(step) not in (value, 0))
    if hint is bool:
        return not value
    if get_origin(hint) is tuple:
        assert value, "no annotation tells another value of a tuple that may be empty: write it into OTHER"
        return tuple(another(get_args(hint)[0], each) for each in value)
    options = [part for part in get_args(hint) if part is not NoneType]
    assert len(options) == 1, "no annotation tells another value: write it into OTHER"
    return another(options[0], value)


def keys_of(recipe):
    """Every setting of a recipe, and those of an augmentation that it has not."""
    augmentation = [f"training.augmentation.{field.name}" for field in fields(Augmentation)]
    keys = dict.fromkeys([*settings_of(recipe), *augmentation])
    return [key for key in keys if key not in NOT_SETTINGS and key != "training.augmentation"]


CASES = [(kind, key) for kind, recipe in BASES.items() for key in keys_of(recipe)]
CASES = [(kind, key) for kind, key in CASES if kind == "cnn" or key.startswith("model.") if key != "training.head_l2"]


def as_text(value):
    """A value as a person types it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'{name} = "{entry}"' for name, entry in value.items()) + "}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def typed(*words):
    """The changes that a command line asks for."""
    parser = argparse.ArgumentParser()
    options.add(parser, "--set")
    return options.changes(parser.parse_args(["--set", *words]))


@pytest.mark.parametrize("name", ["train", "pretrain", "finetune", "autoencode", "search", "learning_curve"])
def test_a_command_takes_the_seed_of_its_recipe_unless_one_is_typed(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"pipelines.commands.{name}").add_arguments(parser)
    assert "training.seed" not in options.changes(parser.parse_args([]))
    assert options.changes(parser.parse_args(["--seed", "0"]))["training.seed"] == 0


def changed(key, recipe):
    """The settings of a recipe when one has its other value."""
    values = settings_of(with_changes(recipe, BESIDE.get(key, {}))) | {key: other(key, recipe)}
    if key.startswith("training.augmentation"):
        moves = vars(Augmentation(flip=0.0))
        values = {f"training.augmentation.{name}": value for name, value in moves.items()} | values
        values.pop("training.augmentation", None)
    return values


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_a_setting_is_changed_by_text_by_name_and_by_keyword_and_comes_back_from_files(kind, key, tmp_path):
    recipe, value, name = BASES[kind], other(key, BASES[kind]), key.rpartition(".")[2]
    expected, beside = changed(key, recipe), BESIDE.get(key, {})
    assert expected != settings_of(recipe)
    recipe = with_changes(recipe, beside)
    assert settings_of(with_changes(recipe, typed(f"{key}={as_text(value)}"))) == expected
    again = with_changes(recipe, {key: value})
    assert settings_of(again) == expected
    (tmp_path / "a.toml").write_text(to_toml(again), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(again.to_dict()), encoding="utf-8")
    assert read_recipe(tmp_path / "a.toml") == read_recipe(tmp_path / "a.json") == again
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert settings_of(with_changes(recipe, {key: np.asarray(value)[()]})) == expected
    namesakes = [each for each in keys_of(recipe) if each.rpartition(".")[2] == name]
    if namesakes == [key]:
        assert settings_of(with_changes(recipe, **{name: value})) == expected
    else:
        with pytest.raises(ValueError, match=f"{name!r} matches several settings: {', '.join(namesakes)}"):
            with_changes(recipe, **{name: value})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_in_a_file_is_read_back_equal(name, tmp_path):
    for recipe in (RECIPES[name], RECIPES[name].with_training(augmentation=None)):
        (tmp_path / "a.toml").write_text(to_toml(recipe), encoding="utf-8")
        (tmp_path / "a.json").write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
        assert read_recipe(tmp_path / "a.toml") == read_recipe(tmp_path / "a.json") == recipe


@pytest.fixture
def untrained(monkeypatch):
    """A training ends when the folder of the run stands; how long it would take is not asked."""
    monkeypatch.setattr(workflow, "finish", lambda run, *args, **how: None)
    monkeypatch.setattr(prepare, "estimate_seconds", lambda *args, **how: 1.0)
    monkeypatch.setattr(prepare, "choose_cache", lambda *args: (0, ""))
    monkeypatch.setattr("marinecv.workflows.prepare.weights_host_answers", lambda: False)
    monkeypatch.setattr(prepare.synthesize, "candidates", lambda *args: pd.DataFrame({"image_id": ["a"]}))
    monkeypatch.setattr(train_runs, "synthesize", lambda train, *args: train.iloc[:0])
    monkeypatch.setattr(train_runs, "contact_sheet", lambda rows: SimpleNamespace(save=lambda path: None))


@pytest.mark.parametrize("kind", ["cnn", "backbone"])
def test_settings_end_up_in_the_recipe_of_a_run(kind, shared_tank, tmp_path, untrained):
    recipe, group = BASES[kind], {}
    keys = [key for each, key in CASES if each == kind and key != "data.columns"]  # there is no table
    for key in keys:  # as many as can be changed at once
        with suppress(ValueError):
            both = {**BESIDE.get(key, {}), **group, key: other(key, recipe)}
            with_changes(recipe, both)
            group = both
    run = mcv.train(shared_tank, recipe, changes=group, folder=tmp_path / "run", log=None)
    found, asked = settings_of(Recipe.of(Run(run.folder))), settings_of(with_changes(recipe, group))
    changed = {key for key in asked if asked[key] != settings_of(recipe).get(key)}
    assert len(changed) >= 5 and {key: found[key] for key in changed} == {key: asked[key] for key in changed}


SMALL = {
    "cnn": BASES["cnn"],
    "backbone": BASES["backbone"].with_model(backbone="mobilenet", weights="none", alpha=0.25, trainable_layers=2),
}
SMALL = {kind: with_changes(replace(recipe, training=Training()), {"image.size": 32}) for kind, recipe in SMALL.items()}


OPTIMIZER = ("learning_rate", "optimizer", "weight_decay", "clip_norm")
CALLBACKS = ("early_stop_patience", "early_stop_reductions", "lr_factor", "lr_patience", "monitor", "schedule")
FELT = {
    **dict.fromkeys(OPTIMIZER, ("cnn", {}, {"optimizer"})),
    **dict.fromkeys(CALLBACKS, ("cnn", {}, {"callbacks"})),
    **dict.fromkeys(("augmentation", "balanced", "batch_size"), ("cnn", {}, {"batches"})),
    **{name: ("cnn", {}, {name}) for name in ("class_weights", "epochs", "jit_compile", "metrics")},
    "momentum": ("cnn", {"optimizer": "sgd"}, {"optimizer"}),
    "ema": ("cnn", {}, {"optimizer", "callbacks"}),
    "warmup_epochs": ("cnn", {"schedule": "cosine"}, {"callbacks"}),
    "focal_gamma": ("cnn", {}, {"loss"}),
    "l2": ("cnn", {}, {"penalty"}),
    "decay_scope": ("cnn", {"l2": 0.1}, {"penalty"}),
    "label_smoothing": ("cnn", {}, {"loss"}),
    "head_epochs": ("backbone", {}, {"epochs", "batches", "callbacks"}),
    "head_learning_rate": ("backbone", {"head_epochs": 1}, {"optimizer"}),
    "mixed_precision": ("cnn", {}, {"policy"}),
    "cache_features": ("backbone", {}, {"input", "batches", "weights"}),
    "cache_dtype": ("backbone", {"cache_features": 2}, {"batches"}),
    "calibration": ("cnn", {}, {"validation", "callbacks"}),
    "seed": ("cnn", {}, {"weights", "batches"}),
}
"""Setting of a training -> a network, the settings it needs beside it, and all that it changes of a fit."""
SOLVED = ("head_l2", "keep_if_better")  # act beside the fit: test_workflow_choose.py


def fitted(recipe, run, pixels):
    """What Keras is asked to fit, and how, in each stage of a training; nothing is trained."""
    stages = []

    def record(model, train, **how):
        plain = (bool, int, float, str, type(None))
        described = [
            (type(own).__name__, {name: value for name, value in vars(own).items() if isinstance(value, plain)})
            for own in how["callbacks"]
        ]
        config = model.get_compile_config()
        acted_on = [variable.name for variable in model.trainable_variables if variable.regularizer is not None]
        stages.append(
            {
                "optimizer": (type(model.optimizer), model.optimizer.get_config() | {"name": ""}),
                "loss": config["loss"],
                "metrics": str([config["metrics"], config["weighted_metrics"]]),
                "jit_compile": config["jit_compile"],
                "penalty": (acted_on, [float(loss) for loss in model.losses]),
                "callbacks": described,
                "epochs": (how["initial_epoch"], how["epochs"]),
                "class_weights": how["class_weight"],
                "batches": [np.asarray(part).tolist() for part in next(iter(train))],
                "input": model.inputs[0].shape,
                "policy": keras.config.dtype_policy().name,
                "validation": sum(len(batch[0]) for batch in how["validation_data"]),
                "weights": [array.tolist() for array in model.get_weights()[:2]],
            }
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", record)
        for name in ("check_finite", "keep"):
            patch.setattr(fit, name, lambda *args: None)
        fit.fit_recipe(recipe, run, pixels)
    keras.config.set_dtype_policy("float32")
    return {name: [stage[name] for stage in stages] for name in stages[0]}


@pytest.fixture(scope="module")
def small(shared_tank, tmp_path_factory):
    """A run that is not trained, and its pixels."""
    recipe, catalog = SMALL["cnn"], mcv.read_catalog(mcv.find_data(data_dir=shared_tank))
    folder = tmp_path_factory.mktemp("small")
    run = Run.create(folder, recipe.to_dict(), recipe.preprocessing(mcv.class_names_of(catalog)), catalog)
    return run, fit.load_run(run, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("key", [field.name for field in fields(Training) if field.name not in SOLVED])
def test_a_setting_of_a_training_is_felt(key, small):
    assert key in FELT, f"what does training.{key} change of a fit? Write it into FELT"
    kind, beside, changed = FELT[key]
    without = SMALL[kind].with_training(**beside)
    name = f"training.{key}"
    value = Augmentation(flip=1.0) if key == "augmentation" else other(name, without)
    before, after = (fitted(recipe, *small) for recipe in (without, with_changes(without, {name: value})))
    stages = min(len(before["epochs"]), len(after["epochs"]))  # a stage for the head alone comes first
    assert {part for part in before if before[part][-stages:] != after[part][-stages:]} == changed
