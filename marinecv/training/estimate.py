"""About how long a training takes on this machine, from one measured batch."""

import functools
import hashlib
import json
import platform
import time
from contextlib import suppress
from dataclasses import replace

import keras
import numpy as np

from marinecv.atomic import write_text
from marinecv.data.store import store_path
from marinecv.features.bank import Views, values_per_view
from marinecv.features.frontier import split
from marinecv.inputs.spec import NONE
from marinecv.models.flat import one_or_all
from marinecv.models.fold import fold
from marinecv.training.build import build_model
from marinecv.training.recipe import DataChoice, Recipe, Training

BACKWARD = 2.0  # a backward pass costs about two forward passes of the layers it goes through
DAY_S = 86_400


def estimate_seconds(
    recipe: Recipe, train_images: int, validation_images: int, num_classes: int, *, rows: int = 1
) -> float:
    """Seconds for all epochs of a recipe, if it never stops early.

    One forward pass of a batch of zeros is timed; layers that learn count three times. Start-up is left out. Of a bank
    that several rows share, each pays its part.
    """
    training = recipe.training
    front, rest, _ = _measure(recipe.model, recipe.image, training.batch_size, num_classes)
    moves = training.augmentation or NONE
    shown = moves.copies * train_images
    epochs = training.epochs * (rest * (shown + validation_images) + BACKWARD * rest * shown)
    if not training.bank:
        return epochs + training.epochs * front * (shown + validation_images)
    views = Views(moves, training.bank).count
    return epochs + front * (views * train_images + validation_images) / rows


def bank_bytes_per_view(recipe: Recipe, num_classes: int) -> int:
    """How much of a bank one view of one image takes."""
    values = _measure(recipe.model, recipe.image, recipe.training.batch_size, num_classes)[2]
    return values * np.dtype(recipe.training.bank_dtype).itemsize


@functools.cache
def _measure(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float, int]:
    """Seconds an image of a forward pass through the frozen front and through the rest; numbers at the cut.

    What was measured within a day is believed, for to build the network takes longer than all else before the first
    step of a training that finds its bank.
    """
    facts = f"{platform.node()}\0{keras.__version__}\0{model_part!r}\0{image!r}\0{batch_size}\0{num_classes}"
    place = store_path("timings", hashlib.sha256(facts.encode()).hexdigest()[:32] + ".json")
    with suppress(OSError, ValueError):
        if time.time() - place.stat().st_mtime < DAY_S:
            front, rest, values = json.loads(place.read_text(encoding="utf-8"))
            return float(front), float(rest), int(values)
    measured = _time_batch(model_part, image, batch_size, num_classes)
    with suppress(OSError):  # a store that cannot be written to
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps(measured))
    return measured


def _time_batch(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float, int]:
    if model_part.is_pretrained:
        model_part = replace(model_part, weights="none")  # random ones take as long
    recipe = Recipe(name="", title="", data=DataChoice(name=""), image=image, model=model_part, training=Training())
    front, rest = split(build_model(recipe, num_classes))
    front = fold(front)
    images = np.zeros((batch_size, *image.shape), np.float32)
    beside = [np.zeros((batch_size, *tensor.shape[1:]), np.float32) for tensor in rest.inputs[len(front.outputs) :]]

    def go_on(activations):
        rest(one_or_all([*keras.tree.flatten(activations), *beside]))

    go_on(front(images))  # the first call makes what the second finds
    start = time.perf_counter()
    activations = front(images)
    middle = time.perf_counter()
    go_on(activations)
    end = time.perf_counter()
    values = values_per_view(front.outputs)
    keras.utils.clear_session(free_memory=False)  # to collect garbage would take longer than all this
    return (middle - start) / batch_size, (end - middle) / batch_size, values
