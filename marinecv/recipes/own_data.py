"""Recipes for your own images: a linear probe and fine-tuning, a head trained step by step, a CNN from scratch."""

from dataclasses import replace
from pathlib import Path

from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.recipes import animals
from marinecv.recipes.aquarium import ALPHAS, BEST
from marinecv.training.model_config import BackboneModel
from marinecv.training.recipe import DataConfig, Recipe, Training

FOUR_CONV = replace(BEST, name="four_conv", image=ImageSpec(height=64, width=64))
PATIENCE_STEPS, PATIENCE_EPOCHS = 600, (12, 200)

PROBE = Recipe(  # network, size, pooling and penalty are chosen by the images
    name="default",
    title="Linear probe, then fine-tuning",
    data=DataConfig(name=""),
    image=ImageSpec(antialias=True),
    model=BackboneModel(backbone="mobilenet", alpha=0.75, trainable_layers=20, dropout=0.0),
    training=Training(
        optimizer="adam",
        learning_rate=1e-5,
        head_l2=1e-5,
        keep_if_better=True,
        epochs=11,
        monitor="loss",  # all epochs: validation only tells whether to keep them
        early_stop_patience=11,
        lr_patience=11,
        augmentation=Augmentation(flip=0.5),
    ),
)


def head(backbone: str = "mobilenet") -> Recipe:
    """Return a recipe that trains a head on a frozen backbone step by step."""
    stem = Path(backbone).stem  # of a file; a name is its own
    model = {"backbone": backbone, "alpha": ALPHAS.get(backbone, 1.0)}
    return replace(animals.MOBILENET, name=f"{stem}_head", title=f"{stem}, frozen").with_model(**model)


def until_it_stops_improving(recipe: Recipe, train_images: int) -> Recipe:
    """Return a recipe that trains until validation loss has not improved for many steps, however few an epoch has."""
    steps = -(-train_images // recipe.training.batch_size)
    patience = max(PATIENCE_EPOCHS[0], min(-(-PATIENCE_STEPS // steps), PATIENCE_EPOCHS[1]))
    return recipe.with_training(epochs=10 * patience, early_stop_patience=patience, lr_patience=patience // 3)
