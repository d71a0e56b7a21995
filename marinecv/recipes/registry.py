"""Every recipe, by the results file its figures go to; and the one that is meant by a name, a file or the images."""

import os
from pathlib import Path

from marinecv.data.manifests import Manifest
from marinecv.recipes import animals, aquarium, birdcnn, birds, butterflies, own_data
from marinecv.schema import no_such
from marinecv.training.recipe import Recipe
from marinecv.training.settings import read_recipe

FAMILIES = {
    "aquarium_pretrain": aquarium.SCRATCH,
    "aquarium_finetune": aquarium.PRETRAINED,
    "birds": birds.RECIPES,
    "birdcnn": birdcnn.RECIPES,
    "animals": animals.RECIPES,
    "butterflies_autoencoders": butterflies.RECIPES,
    butterflies.FAMILY: butterflies.LINES,
}
RECIPES = {name: recipe for family in FAMILIES.values() for name, recipe in family.items()}
ALSO = {"search": ("pretrain", "finetune"), "learning-curve": ("pretrain", "finetune")}  # what else a command trains
REPORTS = tuple(dict.fromkeys(recipe.report for recipe in RECIPES.values()))
QUICK = {"training.epochs": 2, "data.limit": 120}  # what a quick look leaves of a recipe


def command_of(recipe: Recipe) -> str:
    """Which command trains it."""
    if recipe.model.is_autoencoder:
        return "autoencode"
    if recipe.name in butterflies.LINES:
        return "learning-curve"
    return "finetune" if recipe.model.is_pretrained else "pretrain"


def is_own(manifest: Manifest, recipe: Recipe) -> bool:
    """Whether images are neither those of a report's recipe nor the drawn ones that stand in for them."""
    return manifest.name != recipe.data.name and not manifest.demonstration


def recipe_for(manifest: Manifest | None) -> Recipe:
    """Return the recipe for images where none is named: the report's best on its own, else a head on MobileNet."""
    best = aquarium.row("mobilenetv3large", aquarium.WINNER)
    return own_data.head() if manifest and is_own(manifest, best) else best


def recipe_named(recipe: Recipe | str | os.PathLike, command: str = "") -> Recipe:
    """Return the recipe that is meant: itself, one by name, or that of a `.toml` or `.json` file or a run's folder."""
    commands = (command, *ALSO.get(command, ()))
    if not isinstance(recipe, Recipe):
        path = Path(recipe)
        if path.is_dir():
            recipe = read_recipe(path / "recipe.json")
        elif path.suffix in (".toml", ".json"):
            recipe = read_recipe(path)
        elif str(recipe) in RECIPES:
            recipe = RECIPES[str(recipe)]
        else:
            known = [name for name, known in RECIPES.items() if not command or command_of(known) in commands]
            raise ValueError(no_such("recipe", str(recipe), known))
    if command and command_of(recipe) not in commands:
        raise ValueError(for_another(recipe))
    return recipe


def for_another(recipe: Recipe) -> str:
    """Say which command trains a recipe, to one that asked another."""
    return f"{recipe.name} is for another command: {command_of(recipe)} --recipe {recipe.name}."
