"""Where the weights of a pretrained network come from, decided before anything is trained."""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from marinecv.choices import WEIGHTS
from marinecv.data import network
from marinecv.models.backbones import BACKBONES, WEIGHTS_URL, weights_file
from marinecv.training.recipe import Recipe
from marinecv.training.settings import with_changes
from marinecv.workflows.sources import check_weights_file

LEARNING = ", (last 20 layers|frozen|all of it frozen|its last [a-z ]+learns?)"  # parts of a title that need weights


def with_available_weights(recipe: Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe with weights of ImageNet or of a file; without weights where ImageNet's are not available.

    Raises ValueError where weights that `changes` ask for are not available.
    """
    if not recipe.model.has_backbone:
        return recipe
    changes = changes or {}
    network_changes = {name: changes[name] for name in ("model.backbone", "model.alpha") if name in changes}
    model, asked = with_changes(recipe, network_changes).model, changes.get("model.weights")
    if "model.alpha" in changes and not BACKBONES[model.backbone].has_alpha:
        raise ValueError(f"{model.backbone} has no width multiplier. Leave out alpha={model.alpha}.")
    weights = asked or model.weights
    if weights not in WEIGHTS:
        check_weights_file(weights)
        return recipe.with_model(weights=str(Path(weights).resolve()))
    if weights == "none":
        return without_pretrained_weights(recipe) if asked else recipe
    file = weights_file(model.backbone, model.alpha)
    if file.is_file() or weights_host_answers():
        return recipe.with_model(weights="imagenet")
    if asked:
        raise ValueError(
            f"The ImageNet weights of {model.backbone} are not at hand and {WEIGHTS_URL} does not answer. Put "
            f'{file.name} into {file.parent}, name a file with weights=PATH, or train with weights="none".'
        )
    return without_pretrained_weights(recipe)


def without_pretrained_weights(recipe: Recipe) -> Recipe:
    """Return a recipe that trains all layers of the network from random weights, on small images."""
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
    """Return whether the host of Keras' weights can be reached; asked once in a process."""
    return network.reachable(WEIGHTS_URL)
