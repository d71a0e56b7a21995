"""Estimate how long a training takes on this machine, from one timed batch, and whether a feature cache is worth it."""

import functools
import hashlib
import json
import platform
import shutil
import time
from contextlib import suppress
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from marinecv.data.cache_dir import cache_home, cache_path
from marinecv.features.cache import BUDGET_BYTES, AugmentedViews, values_per_view
from marinecv.features.inference_engine import images_a_batch, run_extractor
from marinecv.features.split_point import split_model
from marinecv.files.atomic import write_text
from marinecv.inputs.spec import NONE
from marinecv.models.backbone_table import backbone_path
from marinecv.models.flat import one_or_all
from marinecv.progress import duration
from marinecv.training.build import build_model
from marinecv.training.recipe import DataConfig, Recipe, Training

BACKWARD = 2.0  # a backward pass costs about two forward passes of the same layers
DAY_S = 86_400
MAX_AUGMENTED_VIEWS = 8  # of an image, for continuous augmentation; results/feature_cache.csv has the lost accuracy
MAX_TIME_FRACTION = 0.7  # a feature cache that takes more than this fraction of the time is not worth its disk space


def estimate_seconds(
    recipe: Recipe, train_images: int, validation_images: int, num_classes: int, *, rows: int = 1
) -> float:
    """Estimate the seconds of all epochs of a recipe without early stopping, from a timed forward pass of zeros.

    Trainable layers count three times, start-up not at all; `rows` recipes share the cost of a feature cache.
    """
    training = recipe.training
    extractor, trainable, _ = measure(recipe.model, recipe.image, training.batch_size, num_classes)
    augment = training.augmentation or NONE
    augmented = augment.copies * train_images
    epochs = training.epochs * (trainable * (augmented + validation_images) + BACKWARD * trainable * augmented)
    if not training.cache_features:
        return epochs + training.epochs * extractor * (augmented + validation_images)
    views = AugmentedViews(augment, training.cache_features).count
    return epochs + extractor * (views * train_images + validation_images) / rows


def choose_cache(recipe: Recipe, images: dict[str, int], num_classes: int, rows: int = 1) -> tuple[int, str]:
    """Choose `Training.cache_features` by time and disk space: the augmented views of an image, 0 for no feature cache.

    `images` counts the usable images of `"train"` and `"validation"`; `rows` recipes share the cache. Returns the
    number and the reason, for a line of the plan, which is empty if no layer is frozen.
    """
    if not recipe.model.has_backbone or recipe.model.trainable_layers is None:
        return 0, ""
    training = recipe.training
    if (training.augmentation or NONE).mixes:
        return 0, "mixup and cutmix mix the pixels of two images, so no cache can hold their features"
    views = AugmentedViews(training.augmentation or NONE, min(MAX_AUGMENTED_VIEWS, training.epochs))
    values = measure(recipe.model, recipe.image, training.batch_size, num_classes)[2]
    bytes_per_view = values * np.dtype(training.cache_dtype).itemsize
    needed_bytes = bytes_per_view * (views.count * images["train"] + images["validation"])
    free_bytes = min(BUDGET_BYTES, _free_bytes() // 2)
    if needed_bytes > free_bytes:
        sizes = f"{needed_bytes / 1e9:.1f} GB of {free_bytes / 1e9:.1f}"
        return 0, f"a cache of the frozen layers' features would take {sizes}"
    counts = images["train"], images["validation"], num_classes
    uncached = estimate_seconds(recipe.with_training(cache_features=0), *counts)
    cached = estimate_seconds(recipe.with_training(cache_features=views.count), *counts, rows=rows)
    if cached > MAX_TIME_FRACTION * uncached:
        return 0, f"a cache of the frozen layers' features would save little in {training.epochs} epochs"
    has_copies = views.augmentation.copies > 1
    drawn = f"each image and {views.count - 1} drawn variants" if has_copies else f"{views.count} drawn views"
    contents = {"still": "each image", "mirrored": "each image and its mirror image", "drawn": drawn}[views.kind]
    cost = f"({needed_bytes / 1e6:.0f} MB): about {duration(cached)} instead of {duration(uncached)}"
    count = views.drawn if views.kind == "drawn" else views.count
    return count, f"the frozen layers are computed once, for {contents} {cost}"


def _free_bytes() -> int:
    folder = cache_home()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@functools.cache
def measure(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float, int]:
    """Seconds an image of the feature extractor and of the trainable layers, and the numbers between them.

    A measurement is kept for a day: to build the network takes longer than a training needs that finds its cache.
    """
    key = f"{platform.node()}\0{keras.__version__}\0{model_part!r}\0{image!r}\0{batch_size}\0{num_classes}"
    path = cache_path("timings", hashlib.sha256(key.encode()).hexdigest()[:32] + ".json")
    with suppress(OSError, ValueError):
        if time.time() - path.stat().st_mtime < DAY_S:
            extractor, trainable, values = json.loads(path.read_text(encoding="utf-8"))
            return float(extractor), float(trainable), int(values)
    measured = _time_batch(model_part, image, batch_size, num_classes)
    with suppress(OSError):  # a cache that is not writable
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(measured))
    return measured


def _time_batch(model_part, image, batch_size: int, num_classes: int) -> tuple[float, float, int]:
    if model_part.is_pretrained and not backbone_path(getattr(model_part, "backbone", "")):
        model_part = replace(model_part, weights="none")  # random ones take as long
    recipe = Recipe(name="", title="", data=DataConfig(name=""), image=image, model=model_part, training=Training())
    extractor, trainable = split_model(build_model(recipe, num_classes))
    extract = run_extractor(extractor, views=0)
    go_on = tf.function(trainable, autograph=False) if keras.backend.backend() == "tensorflow" else trainable
    batch_size = min(batch_size, images_a_batch((batch_size, *image.shape)))
    images = np.zeros((batch_size, *image.shape), np.float32)
    others = trainable.inputs[len(extractor.outputs) :]
    other_inputs = [np.zeros((batch_size, *tensor.shape[1:]), np.float32) for tensor in others]

    def run() -> tuple[float, float]:
        start = time.perf_counter()
        activations = keras.tree.map_structure(np.asarray, extract(images))  # which waits for them
        middle = time.perf_counter()
        keras.tree.map_structure(np.asarray, go_on(one_or_all([*activations, *other_inputs])))
        return (middle - start) / batch_size, (time.perf_counter() - middle) / batch_size

    run()  # the first batch of a shape takes up to ten times as long
    extractor_s, trainable_s = run()
    values = values_per_view(extractor.outputs)
    keras.utils.clear_session(free_memory=False)  # garbage collection would take longer than all this
    return extractor_s, trainable_s, values
