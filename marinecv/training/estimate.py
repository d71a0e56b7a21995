"""About how long a training takes on this machine, from one measured batch."""

import functools
import time
from dataclasses import replace

import keras
import numpy as np

from marinecv.features.bank import bytes_per_view
from marinecv.features.frontier import frontier
from marinecv.features.views import Views
from marinecv.training.build import build_model
from marinecv.training.recipe import BackboneModel, Recipe

BACKWARD = 2.0  # a backward pass costs about two forward passes of the layers it goes through


def estimate_seconds(
    recipe: Recipe, train_images: int, validation_images: int, num_classes: int, *, rows: int = 1
) -> float:
    """Seconds for all epochs of a recipe, if it never stops early.

    One forward pass of a batch of zeros is timed; layers that learn count three times. Start-up is left out. Of a bank
    that several rows share, each pays its part.
    """
    training = recipe.training
    seconds, share, _ = _measure(recipe.model, recipe.image, training.batch_size, num_classes)
    front, rest = (1 - share) * seconds, share * seconds
    all_images = train_images + validation_images
    epochs = training.epochs * (rest * all_images + BACKWARD * rest * train_images)
    if not training.bank:
        return epochs + training.epochs * front * all_images
    views = Views(training.augmentation, training.bank).count
    return epochs + front * (views * train_images + validation_images) / rows


def bank_bytes_per_view(recipe: Recipe, num_classes: int) -> int:
    """How much of a bank one view of one image takes."""
    return _measure(recipe.model, recipe.image, recipe.training.batch_size, num_classes)[2]


@functools.cache
def _measure(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float, int]:
    """Seconds of a forward pass of an image, the share of layers a backward pass goes through, bytes at the cut."""
    if isinstance(model_part, BackboneModel):
        model_part = replace(model_part, weights="none")  # random ones take as long
    recipe = Recipe(name="", title="", data=None, image=image, model=model_part, training=None)
    model = build_model(recipe, num_classes)
    batch = np.zeros((batch_size, *image.shape), np.float32)
    model.predict_on_batch(batch)
    start = time.perf_counter()
    model.predict_on_batch(batch)
    seconds = time.perf_counter() - start
    learns = [bool(layer.trainable_weights) for layer in model.layers]
    num_bytes = bytes_per_view(frontier(model))
    keras.backend.clear_session()
    return seconds / batch_size, 1 - learns.index(True) / len(learns), num_bytes
