"""Build the model to fit and its train and validation datasets: on pixels, or on cached features."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.console import Log, silent
from marinecv.features.cache import AugmentedViews, FeatureCache, make_cached_dataset, open_cache, open_shared_cache
from marinecv.features.split_point import split_model
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import ALL_ROWS, DeviceShard, label_indices, make_dataset
from marinecv.inputs.spec import NONE
from marinecv.models.flat import one_or_all
from marinecv.models.fuse_batch_norm import fuse_batch_norm
from marinecv.training.recipe import Recipe

SplitPixels = dict[str, tuple[pd.DataFrame, np.ndarray]]


def learner(
    model: keras.Model,
    recipe: Recipe,
    class_names: tuple[str, ...],
    parts: SplitPixels,
    *,
    attributes: dict[str, np.ndarray | None] | None = None,
    class_weight: dict[int, float] | None = None,
    start_epoch: int | EpochCounter = 0,
    shard: DeviceShard = ALL_ROWS,
    log: Log | None = None,
) -> tuple[keras.Model, tf.data.Dataset, tf.data.Dataset]:
    """Return the model to fit, its train batches and its validation batches.

    The layers of `model` are frozen as in this stage. `parts` are usable rows and their pixels, of `"train"` and
    `"validation"`, `attributes` those of their rows; `class_weight` weighs train images by class index on several
    devices. ValueError for a feature cache on several devices, or a batch that they cannot divide evenly.
    """
    training, attributes_of_split = recipe.training, attributes or {}
    extractor, trainable = split_model(model)
    train_options = {"training": True, "balanced": training.balanced, "seed": training.seed, "start_epoch": start_epoch}
    if training.cache_features and shard.devices > 1:
        raise ValueError("A feature cache is for one device. Expected cache_features=0, or one device to resume on.")
    if names := [name for name in ("clip_norm", "ema") if shard.devices > 1 and getattr(training, name)]:
        raise ValueError(f"{' and '.join(names)} would act on each device alone. Expected 0, or one device.")
    if training.cache_features:
        views = AugmentedViews(training.augmentation or NONE, training.cache_features, training.seed)
        caches = _feature_caches(extractor, parts, recipe, views, log or silent)
        datasets = []
        for name, cache, options in (("train", caches[0], train_options), ("validation", caches[1], {})):
            labels = label_indices(parts[name][0], class_names)
            options = options | {"batch_size": training.batch_size, "attributes": attributes_of_split.get(name)}
            datasets.append(make_cached_dataset(cache, labels, len(class_names), **options))
        return trainable, *datasets
    shared = {"spec": recipe.image, "class_names": class_names, "batch_size": training.batch_size, "shard": shard}
    train_options |= {"augmentation": training.augmentation, "class_weight": class_weight}
    datasets = []
    for name, options in (("train", train_options), ("validation", {})):
        options = options | {"pixels": parts[name][1], "attributes": attributes_of_split.get(name)}
        datasets.append(make_dataset(parts[name][0], **shared, **options))
    return _with_fused_extractor(model, extractor, trainable), *datasets


def _feature_caches(
    extractor: keras.Model, parts: SplitPixels, recipe: Recipe, views: AugmentedViews, log: Log
) -> list[FeatureCache]:
    """The feature caches of train and validation; all folds of the same images share one."""
    both, settings = [parts["train"], parts["validation"]], {"dtype": recipe.training.cache_dtype, "log": log}
    if recipe.data.fold and views.kind != "drawn":
        return open_shared_cache(extractor, both, recipe.image, views, **settings)
    ways = zip(both, (views, AugmentedViews()), strict=True)
    return [open_cache(extractor, *part, recipe.image, of_part, **settings) for part, of_part in ways]


def _with_fused_extractor(model: keras.Model, extractor: keras.Model, trainable: keras.Model) -> keras.Model:
    """The network on pixels, its frozen layers with fused batch normalization; trainable layers are the model's."""
    if not extractor.weights:
        return model
    extractor = fuse_batch_norm(extractor)
    extractor.trainable = False
    beside = [keras.Input(tensor.shape[1:]) for tensor in trainable.inputs[len(extractor.outputs) :]]
    return keras.Model(one_or_all([extractor.input, *beside]), trainable(one_or_all([*extractor.outputs, *beside])))
