"""The space of a search: hyperparameters and their bounds as data, and the recipe of some values."""

from dataclasses import replace
from math import isclose
from typing import Any

from msgspec import Struct

from marinecv.training.recipe import Recipe

MAX_FILTERS = 256


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hyperparameter: a number between two bounds, on a linear or logarithmic scale, or one of some choices.

    `grid` has the values of a grid search, empty for the choices; `needs` the name and value of an earlier parameter,
    without which this one plays no part.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    grid: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()

    def plays(self, values: dict[str, Any]) -> bool:
        """Return whether it plays a part, given the values of all parameters before it."""
        return not self.needs or values.get(self.needs[0]) == self.needs[1]


# A grid varies the last one first, so the most important ones stand last.
TRAINING = (
    Parameter(name="batch_size", choices=(16, 32, 64)),
    Parameter(name="optimizer", choices=("adam", "sgd")),
    Parameter(name="momentum", low=0.8, high=0.99, grid=(0.9,), needs=("optimizer", "sgd")),
    Parameter(name="learning_rate", low=1e-5, high=1e-3, log=True, grid=(1e-5, 1e-4, 1e-3)),
)
SCRATCH = (
    Parameter(name="dropout", low=0.2, high=0.6, grid=(0.5,)),
    Parameter(name="kernel", choices=(3, 5)),
    Parameter(name="filters", choices=(16, 32, 64), grid=(32,)),
    Parameter(name="layers", choices=(2, 3, 4, 5), grid=(3, 4)),
    *TRAINING,
)


def space_of(recipe: Recipe) -> tuple[Parameter, ...]:
    """Return the space of a recipe: a network from scratch also has a shape to search."""
    return SCRATCH if recipe.model.is_cnn else TRAINING


def recipe_of(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return a recipe with the values of a trial, without published metrics.

    Convolutions double their filters up to 256 and halve the map while it is larger than 1.
    """
    training = {parameter.name: values[parameter.name] for parameter in TRAINING if parameter.name in values}
    changed = replace(recipe.with_training(**training), published={})
    if "layers" not in values:
        return changed
    numbers, kernel, padding = range(values["layers"]), values["kernel"], recipe.model.padding
    pools, side = [], min(recipe.image.height, recipe.image.width)
    for _ in numbers:
        side += 0 if padding is None else 2 * padding - kernel + 1
        pools.append(2 if side > 1 else 1)
        side //= pools[-1]
    return changed.with_model(
        filters=tuple(min(values["filters"] * 2**number, MAX_FILTERS) for number in numbers),
        kernels=(kernel,) * len(numbers),
        pools=tuple(pools),
        dropout=values["dropout"],
    )


def are_same(values: dict[str, Any], others: dict[str, Any]) -> bool:
    """Return whether the values of two trials are equal, numbers to a thousandth."""
    return values.keys() == others.keys() and all(
        isclose(value, others[name], rel_tol=1e-3) if isinstance(value, float) else value == others[name]
        for name, value in values.items()
    )
