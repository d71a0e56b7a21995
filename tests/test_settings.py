"""Every setting of a recipe: changed by the command line, by `changes=` and by keyword, kept in `recipe.json`, and felt.

A new setting is found by itself; one of `Training` is asked of `FELT` what it changes in a training.
"""

import argparse
import json
from dataclasses import fields, replace
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import keras
import numpy as np
import pytest

import marinecv as mcv
from marinecv.inputs.spec import Augmentation
from marinecv.recipes.registry import RECIPES
from marinecv.runs import Run
from marinecv.training import fit
from marinecv.training.model_choice import MODELS
from marinecv.training.recipe import Recipe, Training
from marinecv.training.settings import OF_THE_DATA, named_changes, read_recipe, settings_of, to_toml, with_changes
from marinecv.workflows import train as workflow
from pipelines import options

OTHER = {
    "data.fractions": (0.6, 0.2, 0.2),
    "data.split_by": "stratified",
    "image.canvas_px": 512,
    "training.metrics": ("accuracy", "recall"),
    "training.monitor": "loss",
    "training.augmentation.rotation_deg": 15.0,
    "model.backbone": "mobilenetv2",
    "model.trainable_blocks": ("conv_pw_13", "conv_pw_12"),
    "model.also_pooled": ("conv_pw_11_relu",),
    "model.hidden": (64, 32),
    "model.padding": 3,
}
"""Another value of what no annotation tells one of."""
BESIDE = {
    "image.reduced_decoding": {"image.canvas_px": 512},
    "training.augmentation.variants": {
        "training.augmentation": Augmentation(flip=0.5, rotation_deg=9.0, zoom=0.1),
    },
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
        return "none" if value != "none" else "imagenet"
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
    return [key for key in keys if key not in OF_THE_DATA and key != "training.augmentation"]


CASES = [(kind, key) for kind, recipe in BASES.items() for key in keys_of(recipe)]
CASES = [(kind, key) for kind, key in CASES if kind == "cnn" or key.startswith("model.")]


def as_text(value):
    """A value as a person types it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def typed(*words):
    """The changes that a command line asks for."""
    parser = argparse.ArgumentParser()
    options.add_settings(parser)
    return options.changes(parser.parse_args(["--set", *words]))


def changed(key, recipe):
    """The settings of a recipe when one has its other value."""
    values = settings_of(with_changes(recipe, BESIDE.get(key, {}))) | {key: other(key, recipe)}
    if key.startswith("training.augmentation"):
        values = {
            f"training.augmentation.{name}": value for name, value in vars(Augmentation(flip=0.0)).items()
        } | values
        values.pop("training.augmentation", None)
    return values


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_a_setting_is_changed_by_text_by_name_and_by_keyword(kind, key):
    recipe, value, name = BASES[kind], other(key, BASES[kind]), key.rpartition(".")[2]
    expected, beside = changed(key, recipe), BESIDE.get(key, {})
    assert expected != settings_of(recipe)
    recipe = with_changes(recipe, beside)
    assert settings_of(with_changes(recipe, typed(f"{key}={as_text(value)}"))) == expected
    assert settings_of(with_changes(recipe, {key: value})) == expected
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert settings_of(with_changes(recipe, {key: np.asarray(value)[()]})) == expected
    namesakes = [each for each in keys_of(recipe) if each.rpartition(".")[2] == name]
    if namesakes == [key]:
        assert settings_of(with_changes(recipe, **{name: value})) == expected
    else:
        with pytest.raises(ValueError, match=f"{name!r} stands for several settings: {', '.join(namesakes)}. Write it"):
            with_changes(recipe, **{name: value})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_in_a_file_is_read_back_equal(name, tmp_path):
    for number, recipe in enumerate([RECIPES[name], *(RECIPES[name].with_training(augmentation=None),)]):
        (tmp_path / f"{number}.toml").write_text(to_toml(recipe), encoding="utf-8")
        assert read_recipe(tmp_path / f"{number}.toml") == recipe


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_a_changed_recipe_in_a_file_is_read_back_equal(kind, key, tmp_path):
    recipe = with_changes(BASES[kind], {**BESIDE.get(key, {}), key: other(key, BASES[kind])})
    (tmp_path / "a.toml").write_text(to_toml(recipe), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
    assert read_recipe(tmp_path / "a.toml") == read_recipe(tmp_path / "a.json") == recipe


def together(recipe, keys):
    """Changes of as many settings as can be changed at once, and those of the others, and so on."""
    groups = []
    for key in keys:
        own = {**BESIDE.get(key, {}), key: other(key, recipe)}
        for group in groups:
            try:
                found = settings_of(with_changes(recipe, {**group, **own}))
            except ValueError:
                continue
            if all(found[name] == value for name, value in {**group, **own}.items()):
                group.update(own)
                break
        else:
            groups.append(own)
    return groups


@pytest.fixture
def untrained(monkeypatch):
    """A training ends when the folder of the run stands."""
    monkeypatch.setattr(workflow, "finish", lambda run, *args, **how: None)


@pytest.mark.parametrize("kind", BASES)
def test_settings_end_up_in_the_recipe_of_a_run(kind, shared_tank, tmp_path, untrained):
    recipe = BASES[kind]
    keys = [key for key in keys_of(recipe) if kind == "cnn" or key.startswith("model.")]
    for number, group in enumerate(together(recipe, keys)):
        run = mcv.train(shared_tank, recipe, changes=group, folder=tmp_path / str(number), log=None)
        found = settings_of(Recipe.of(Run(run.folder)))
        assert {key: found[key] for key in group} == group
