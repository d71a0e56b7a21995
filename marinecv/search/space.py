"""The space of a search: hyper-parameters and their bounds as data, and the recipe that some values make."""

from collections.abc import Sequence
from dataclasses import replace
from math import isclose
from typing import Any

from msgspec import Struct

from marinecv.training.recipe import Recipe

LARGEST_FILTERS = 256


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hyper-parameter: a number between two bounds, whose logarithm may be drawn evenly, or one of some choices.

    Its name is that of a setting; `recipe_of` knows where it belongs. `grid` is what a grid search tries, empty for the
    choices; `needs` the name and the value of an earlier one, without which this one plays no part.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    grid: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()

    def __post_init__(self):
        bounded = self.low is not None and self.high is not None and (not self.log or self.low > 0)
        if not self.choices and not (bounded and self.low < self.high):
            raise ValueError(
                f"Expected choices for {self.name!r}, or bounds with low < high (above 0 on a logarithmic scale). "
                f"Received: choices={self.choices}, low={self.low}, high={self.high}."
            )

    def holds(self, value: Any) -> bool:
        """Whether a value is within the bounds, or one of the choices."""
        if self.choices:
            return value in (*self.choices, *self.grid)
        return isinstance(value, int | float) and self.low <= value <= self.high

    def plays(self, values: dict[str, Any]) -> bool:
        """Whether it acts beside some values, which hold all before it."""
        return not self.needs or values.get(self.needs[0]) == self.needs[1]


# A grid varies the last one first: what matters most stands last, so that a short grid has seen all of it.
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
    """Return what is searched for a recipe: a network from scratch has a shape to find, others have their own."""
    return SCRATCH if recipe.model.is_cnn else TRAINING


def recipe_of(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return a recipe with the values of a trial; it is no row of the report any more.

    The convolutions of a network from scratch double their filters up to 256 and halve the map while it can be halved.
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
        filters=tuple(min(values["filters"] * 2**number, LARGEST_FILTERS) for number in numbers),
        kernels=(kernel,) * len(numbers),
        pools=tuple(pools),
        dropout=values["dropout"],
    )


def are_same(values: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two trials differ in nothing, or in a number by less than a thousandth, which no figure would show."""
    return values.keys() == others.keys() and all(
        isclose(value, others[name], rel_tol=1e-3) if isinstance(value, float) else value == others[name]
        for name, value in values.items()
    )


def check_values(space: Sequence[Parameter], values: dict[str, Any], what: object) -> None:
    """Raise ValueError where a value is missing, unknown, out of the bounds of the space, or plays no part."""
    expected = [parameter.name for parameter in space if parameter.plays(values)]
    if sorted(values) != sorted(expected):
        raise ValueError(f"{what} has values for {', '.join(values) or 'nothing'}. Expected {', '.join(expected)}.")
    for parameter in space:
        if parameter.name in values and not parameter.holds(values[parameter.name]):
            raise ValueError(
                f"{what} has {parameter.name}={values[parameter.name]!r:.60}, which its space does not hold."
            )
