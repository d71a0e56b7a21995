"""Every recipe, by the results file its figures go to."""

import marinecv as mcv
from marinecv.recipes import animals, aquarium, birdcnn, birds, butterflies
from marinecv.schema import no_such
from marinecv.training.model_choice import Autoencoder, ScratchModel
from marinecv.training.recipe import Recipe

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


def command_of(recipe: Recipe) -> str:
    """Which command trains it.

    An autoencoder `autoencode`, a line of a curve `learning-curve`, the rest `pretrain` from scratch or `finetune`.
    """
    if isinstance(recipe.model, Autoencoder):
        return "autoencode"
    if recipe.name in butterflies.LINES:
        return "learning-curve"
    scratch = isinstance(recipe.model, ScratchModel) or recipe.model.weights == "none"
    return "pretrain" if scratch else "finetune"


def is_own(manifest: "mcv.Manifest", recipe: Recipe) -> bool:
    """Whether images are neither those of a report's recipe nor the drawn ones that stand in for them."""
    return manifest.name != recipe.data.name and not manifest.demonstration


def named(name: str, command: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        ValueError: there is none, or another command trains it.
    """
    commands = (command, *ALSO.get(command, ()))
    if name in RECIPES and command_of(RECIPES[name]) in commands:
        return RECIPES[name]
    if name in RECIPES:
        raise ValueError(for_another(RECIPES[name]))
    raise ValueError(no_such("recipe", name, [known for known in RECIPES if command_of(RECIPES[known]) in commands]))


def for_another(recipe: Recipe) -> str:
    """Say which command trains a recipe, to one that asked another."""
    return f"{recipe.name} is for another command: {command_of(recipe)} --recipe {recipe.name}."
