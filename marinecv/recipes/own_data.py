"""Recipes for your own images: a head on a frozen backbone, and a small CNN from scratch."""

from dataclasses import replace
from pathlib import Path

from marinecv.inputs.spec import ImageSpec
from marinecv.recipes import animals
from marinecv.recipes.aquarium import ALPHAS, BEST, LARGE
from marinecv.training.recipe import Recipe

FOUR_CONV = replace(BEST, name="four_conv", image=ImageSpec(height=64, width=64))


def head(backbone: str = "mobilenet", trainable_layers: int = 0) -> Recipe:
    """Return a recipe that trains a head on a frozen backbone, and then its last layers if there are any to train."""
    stem = Path(backbone).stem  # of a file; a name is its own
    model = {"backbone": backbone, "alpha": ALPHAS.get(backbone, 1.0), "trainable_layers": trainable_layers}
    frozen = replace(animals.MOBILENET, name=f"{stem}_head", title=f"{stem}, frozen").with_model(**model)
    if not trainable_layers:
        return frozen
    return replace(frozen, name=f"{stem}_last{trainable_layers}", title=stem, training=LARGE.training)
