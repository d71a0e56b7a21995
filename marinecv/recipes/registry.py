"""All recipes, by their results file; find one by name, file, run folder or images."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from marinecv.data.manifests import Manifest
from marinecv.recipes import animals, aquarium, birdcnn, birds, butterflies, own_data
from marinecv.schema import unknown_name
from marinecv.training.recipe import Recipe
from marinecv.training.settings import read_recipe, recipe_hash

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
OTHER_COMMANDS = dict.fromkeys(("train", "search", "learning-curve"), ("pretrain", "finetune"))
"""Commands -> those whose recipes they take too."""
REPORTS = tuple(dict.fromkeys(recipe.report for recipe in RECIPES.values()))
PRETRAINED_TITLE_PART = ", (last 20 layers|frozen|all of it frozen|its last [a-z ]+learns?)"  # needs weights
QUICK = {"training.epochs": 2, "data.limit": 120}  # settings of a shortened run


def command_of(recipe: Recipe) -> str:
    """Return the command that trains a recipe."""
    if recipe.model.is_autoencoder:
        return "autoencode"
    if recipe.name in butterflies.LINES:
        return "learning-curve"
    return "finetune" if recipe.model.is_pretrained else "pretrain"


def without_pretrained_weights(recipe: Recipe) -> Recipe:
    """Return a recipe that trains all layers of the network from random weights, on small images."""
    training = replace(recipe.training, optimizer="adam", learning_rate=1e-3, epochs=20, head_epochs=0, head_l2=0.0)
    return replace(
        recipe,
        name=f"{recipe.name}_untrained",
        title=f"{re.sub(PRETRAINED_TITLE_PART, '', recipe.title)} (no pretrained weights)",
        image=replace(recipe.image, height=96, width=96),
        model=replace(recipe.model, weights="none", trainable_layers=None, trainable_blocks=()),
        training=replace(training, cache_features=0),
        published={},
        assumptions="all layers learn, 96 pixels, Adam 1e-3, 20 epochs; batch statistics set by one pass over train",
    )


def is_stale(row: Mapping[str, str]) -> bool:
    """Return whether a row of a results file was measured with other settings than its recipe has now, or unknown ones.

    Read are `recipe`, the name, and `recipe_hash`.
    """
    name = row["recipe"].removesuffix("_untrained")
    if name not in RECIPES:
        return True
    recipe = RECIPES[name] if name == row["recipe"] else without_pretrained_weights(RECIPES[name])
    return row["recipe_hash"] != recipe_hash(recipe)


def is_own(manifest: Manifest, recipe: Recipe) -> bool:
    """Return whether images are neither those of the recipe nor generated demo images."""
    return manifest.name != recipe.data.name and not manifest.demonstration


def recipe_for(manifest: Manifest | None) -> Recipe:
    """Return the default recipe for images: that of the aquarium report, else a MobileNet head."""
    best = aquarium.row("mobilenetv3large", aquarium.BEST_PATIENCE)
    return own_data.head() if manifest and is_own(manifest, best) else best


def recipe_named(recipe: Recipe | str | os.PathLike, command: str = "") -> Recipe:
    """Return a recipe by name, `.toml` or `.json` file or run folder; ValueError if `command` does not train it."""
    commands = (command, *OTHER_COMMANDS.get(command, ()))
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
            raise ValueError(unknown_name("recipe", str(recipe), known))
    if command and command_of(recipe) not in commands:
        raise ValueError(wrong_command_message(recipe))
    return recipe


def wrong_command_message(recipe: Recipe) -> str:
    """Return the error message that names the command for a recipe."""
    return f"{recipe.name} is for another command: {command_of(recipe)} --recipe {recipe.name}."
