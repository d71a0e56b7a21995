"""Build the model to fit and its train and validation datasets: on pixels, or on cached features."""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from marinecv.console import quiet
from marinecv.features.bank import Bank, Views, make_bank_dataset, open_bank, open_shared_bank
from marinecv.features.frontier import split
from marinecv.inputs.epochs import EpochCounter
from marinecv.inputs.pipeline import ALONE, Share, label_indices, make_dataset
from marinecv.inputs.spec import NONE
from marinecv.models.flat import one_or_all
from marinecv.models.fold import fold
from marinecv.training.recipe import Recipe

Parts = dict[str, tuple[pd.DataFrame, np.ndarray]]


def learner(
    model: keras.Model,
    recipe: Recipe,
    class_names: tuple[str, ...],
    parts: Parts,
    *,
    attributes: dict[str, np.ndarray | None] | None = None,
    class_weight: dict[int, float] | None = None,
    start_epoch: int | EpochCounter = 0,
    share: Share = ALONE,
    say: Callable[[str], None] | None = None,
) -> tuple[keras.Model, tf.data.Dataset, tf.data.Dataset]:
    """Return the model to fit, its train batches and its validation batches.

    The layers of `model` are frozen as in this stage. `parts` are usable rows and their pixels, of `"train"` and
    `"validation"`, `attributes` those of their rows; `class_weight` weighs train images by class index on several
    devices. ValueError for a feature cache on several devices, or a batch that they cannot divide evenly.
    """
    training, beside = recipe.training, attributes or {}
    front, rest = split(model)
    drawn = {"training": True, "balanced": training.balanced, "seed": training.seed, "start_epoch": start_epoch}
    if training.bank and share.devices > 1:
        raise ValueError(
            "A feature cache is for one device. Expected bank=0 for several; a run that began with a feature cache is "
            "resumed on one."
        )
    if training.bank:
        moves = Views(training.augmentation or NONE, training.bank, training.seed)
        banks = _banks(front, parts, recipe, moves, say or quiet)
        datasets = []
        for name, bank, options in (("train", banks[0], drawn), ("validation", banks[1], {})):
            labels = label_indices(parts[name][0], class_names)
            options = options | {"batch_size": training.batch_size, "attributes": beside.get(name)}
            datasets.append(make_bank_dataset(bank, labels, len(class_names), **options))
        return rest, *datasets
    shared = {"spec": recipe.image, "class_names": class_names, "batch_size": training.batch_size, "share": share}
    drawn |= {"augmentation": training.augmentation, "class_weight": class_weight}
    datasets = [
        make_dataset(parts[name][0], pixels=parts[name][1], attributes=beside.get(name), **shared, **options)
        for name, options in (("train", drawn), ("validation", {}))
    ]
    return _whole(model, front, rest), *datasets


def _banks(front: keras.Model, parts: Parts, recipe: Recipe, moves: Views, say: Callable[[str], None]) -> list[Bank]:
    """The feature caches of train and validation; all folds of the same images share one."""
    both, settings = [parts["train"], parts["validation"]], {"dtype": recipe.training.bank_dtype, "say": say}
    if recipe.data.fold and moves.kind != "drawn":
        return open_shared_bank(front, both, recipe.image, moves, **settings)
    ways = zip(both, (moves, Views()), strict=True)
    return [open_bank(front, *part, recipe.image, views, **settings) for part, views in ways]


def _whole(model: keras.Model, front: keras.Model, rest: keras.Model) -> keras.Model:
    """The network on pixels, its frozen layers with fused batch normalization; trainable layers are the model's."""
    if not front.weights:
        return model
    front = fold(front)
    front.trainable = False
    beside = [keras.Input(tensor.shape[1:]) for tensor in rest.inputs[len(front.outputs) :]]
    return keras.Model(one_or_all([front.input, *beside]), rest(one_or_all([*front.outputs, *beside])))
