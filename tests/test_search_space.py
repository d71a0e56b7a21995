"""The space of a search: what engines may suggest, and the recipe that it makes."""

from dataclasses import replace

import keras_tuner
import pytest

from marinecv.recipes.aquarium import BEST
from marinecv.recipes.registry import RECIPES
from marinecv.search.kerastuner_engine import hyperparameters
from marinecv.search.space import SCRATCH, TRAINING, are_same, recipe_of, space_of
from marinecv.training.build import build_model
from marinecv.training.model_config import BackboneModel

ADAM = {"batch_size": 16, "optimizer": "adam", "learning_rate": 3e-4}
SGD = {"batch_size": 64, "optimizer": "sgd", "momentum": 0.85, "learning_rate": 1e-5}
SHAPE = {"dropout": 0.3, "kernel": 5, "filters": 64, "layers": 4}


def test_only_a_network_from_scratch_has_a_shape_to_find():
    for recipe in RECIPES.values():
        names = {parameter.name for parameter in space_of(recipe)}
        assert ({"layers", "filters", "kernel", "dropout"} <= names) == (type(recipe.model).__name__ == "ScratchModel")


@pytest.mark.parametrize("values", [ADAM, SGD])
def test_values_reach_the_training_of_any_recipe_and_nothing_else(values):
    base = replace(BEST, model=BackboneModel(), published={"validation": {"accuracy": "0.9", "n": 10}})
    made = recipe_of(base, values)
    assert {name: getattr(made.training, name) for name in values} == values
    assert made == replace(base.with_training(**values), published={})


def test_filters_double_up_to_a_largest_and_kernels_are_of_one_size():
    recipe = recipe_of(BEST, ADAM | SHAPE)
    model = recipe.model
    assert recipe.training.momentum == BEST.training.momentum  # without SGD
    assert model.filters == (64, 128, 256, 256) and model.kernels == (5, 5, 5, 5) and model.dropout == 0.3
    assert model.pools == (2, 2, 2, 2)
    assert (model.dense, model.normalization) == (BEST.model.dense, BEST.model.normalization)


@pytest.mark.parametrize("side", [8, 9, 64])
def test_the_map_is_halved_only_while_there_is_something_to_halve(side):
    base = replace(BEST, image=replace(BEST.image, height=side, width=side + 5))
    recipe = recipe_of(base, ADAM | {**SHAPE, "layers": 5, "filters": 16})
    assert recipe.model.pools == ((2, 2, 2, 2, 2) if side == 64 else (2, 2, 2, 1, 1))
    assert build_model(recipe, 3).output_shape == (None, 3)


@pytest.mark.parametrize("space", [SCRATCH, TRAINING])
@pytest.mark.parametrize("is_grid", [False, True])
def test_what_keras_tuner_suggests_is_of_the_space(space, is_grid):
    space_of_it = hyperparameters(space, is_grid)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", seed=1, hyperparameters=space_of_it)
    seen = [oracle.populate_space(str(number))["values"] for number in range(12 if is_grid else 60)]
    for values in seen:
        assert [*values] == [parameter.name for parameter in space if parameter.plays(values)]
        assert all(p.low <= values[p.name] <= p.high for p in space if not p.choices and p.name in values)
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
    assert {values["optimizer"] for values in seen} == {"adam", "sgd"}
    if is_grid:
        assert {values["learning_rate"] for values in seen} <= {1e-5, 1e-4, 1e-3}


def test_trials_are_the_same_that_differ_by_less_than_a_thousandth():
    assert are_same(ADAM, {**ADAM, "learning_rate": 3.0001e-4})
    assert not are_same(ADAM, {**ADAM, "learning_rate": 3.01e-4})
    assert not are_same(ADAM, {**ADAM, "batch_size": 32}) and not are_same(ADAM, SGD)
