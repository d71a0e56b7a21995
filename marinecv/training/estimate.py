"""About how long a training takes on this machine, from one measured batch."""

import functools
import time
from dataclasses import replace

import keras
import numpy as np

from marinecv.training.build import build_model
from marinecv.training.recipe import BackboneModel, Recipe

BACKWARD = 2.0  # a backward pass costs about two forward passes of the layers it goes through


def estimate_seconds(recipe: Recipe, train_images: int, validation_images: int, num_classes: int) -> float:
    """Seconds for all epochs of a recipe, if it never stops early.

    One forward pass of a batch of zeros is timed; layers that learn count three times. Start-up is left out.
    """
    forward, share = _forward_seconds(recipe.model, recipe.image, recipe.training.batch_size, num_classes)
    an_image = forward / recipe.training.batch_size
    return recipe.training.epochs * an_image * (train_images * (1 + BACKWARD * share) + validation_images)


@functools.cache
def _forward_seconds(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float]:
    """Seconds of a forward pass, and the share of layers that a backward pass goes through."""
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
    keras.backend.clear_session()
    return seconds, 1 - learns.index(True) / len(learns)
