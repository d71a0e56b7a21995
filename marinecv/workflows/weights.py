"""Where the weights of a pretrained network come from, settled before anything is trained."""

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

LEARNING = ", (last 20 layers|frozen|all of it frozen|its last [a-z ]+learns?)"  # of a title, what needs weights


def with_available_weights(recipe: Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe with the weights that are to be had: of ImageNet, those of a file, or none."""
    changes = changes or {}
    if not recipe.model.has_backbone:
        return recipe
    asked, of_file = changes.get("model.weights"), ("model.backbone", "model.alpha")
    model = with_changes(recipe, {name: changes[name] for name in of_file if name in changes}).model
    file = weights_file(model.backbone, model.alpha)
    if "model.alpha" in changes and not BACKBONES[model.backbone].has_alpha:
        raise ValueError(f"{model.backbone} has no width multiplier. Leave out alpha={model.alpha}.")
    named = asked or (model.weights if model.weights != "imagenet" else None)
    if named not in (None, *WEIGHTS):
        if not Path(named).is_file():
            raise ValueError(f"There is no weights file {named}. Expected imagenet, none, or a file without top (.h5).")
        return recipe.with_model(weights=str(Path(named).resolve()))
    if model.weights == "none" and asked is None:
        return recipe
    is_to_be_had = named != "none" and (file.is_file() or weights_host_answers())
    if named == "imagenet" and not is_to_be_had:
        raise ValueError(
            f"The ImageNet weights of {model.backbone} are not at hand and {WEIGHTS_URL} does not answer. Put "
            f'{file.name} into {file.parent}, name a file with weights=PATH, or train with weights="none".'
        )
    return recipe if is_to_be_had else without_pretrained_weights(recipe)


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
    """Whether the host of Keras' weights can be reached; asked once a process."""
    return network.reachable(WEIGHTS_URL)
