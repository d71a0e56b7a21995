"""Where the weights of a pretrained network come from, settled before anything is trained."""

import functools
import re
from dataclasses import replace
from pathlib import Path

from marinecv.choices import WEIGHTS
from marinecv.data.network import reachable
from marinecv.models.backbones import BACKBONES, WEIGHTS_URL, weights_file
from marinecv.recipes.registry import command_of
from marinecv.training.recipe import Recipe

LEARNING = ", (last 20 layers|frozen|all of it frozen|its last [a-z ]+learns?)"  # of a title, what needs weights


def without_pretrained_weights(recipe: Recipe) -> Recipe:
    """The same network from random weights: all of it learns, from small images, which teaches it much in minutes."""
    return replace(
        recipe,
        name=f"{recipe.name}_untrained",
        title=f"{re.sub(LEARNING, '', recipe.title)} (no pretrained weights)",
        image=replace(recipe.image, height=96, width=96),
        model=replace(recipe.model, weights="none", trainable_layers=None, trainable_blocks=()),
        training=replace(recipe.training, optimizer="adam", learning_rate=1e-3, epochs=20, head_epochs=0, bank=0),
        published={},
        chosen="all layers learn, 96 pixels, Adam 1e-3, 20 epochs; batch statistics set by one pass over train",
    )


@functools.cache
def weights_host_answers() -> bool:
    """Whether the host of Keras' weights can be reached; asked once a command."""
    return reachable(WEIGHTS_URL)


def with_weights(recipe: Recipe, weights: str | None, alpha: float | None = None) -> Recipe:
    """Settle where the weights come from, before anything is trained.

    Raises:
        ValueError: weights were named and are not to be had, or a width that the network does not come in.
    """
    if alpha and not BACKBONES[recipe.model.backbone].has_alpha:
        raise ValueError(f"{recipe.model.backbone} has no width multiplier. Leave out --alpha.")
    if weights not in (None, *WEIGHTS):
        return recipe.with_model(weights=str(Path(weights).resolve()))
    file = weights_file(recipe.model.backbone, alpha or recipe.model.alpha)
    if weights == "none" or (weights is None and not file.is_file() and not weights_host_answers()):
        return without_pretrained_weights(recipe)
    if not file.is_file() and not weights_host_answers():
        raise ValueError(
            f"The ImageNet weights of {recipe.model.backbone} are not at hand and {WEIGHTS_URL} does not answer. Put "
            f"{file.name} into {file.parent}, name a file with --weights PATH, or train with --weights none."
        )
    return recipe


def settled(recipe: Recipe) -> Recipe:
    """The recipe with its weights, or without where there are none to be had."""
    return with_weights(recipe, None) if command_of(recipe) == "finetune" else recipe
