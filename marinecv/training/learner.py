"""What learns, and what it is shown: a network on pixels, or the rest of it on what its frozen front gave."""

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
    """Return the model to fit, its training batches and its validation batches.

    Its layers are frozen as this part of the training wants them; with `bank` the frozen front is computed beforehand.
    The parts are usable rows and their pixels, of `"train"` and `"validation"`; `attributes` are those of each part.
    ValueError of several devices and a bank, or a batch that cannot be dealt evenly to them.
    """
    training, beside = recipe.training, attributes or {}
    front, rest = split(model)
    drawn = {"training": True, "balanced": training.balanced, "seed": training.seed, "start_epoch": start_epoch}
    if training.bank and share.devices > 1:
        raise ValueError(
            "What the frozen layers give is kept for one device alone, and this recipe asks for it. Expected bank=0 "
            "for several; a run that was begun with a bank goes on with one."
        )
    if training.bank:
        moves = Views(training.augmentation or NONE, training.bank, training.seed)
        banks = _banks(front, parts, recipe, moves, say or quiet)
        datasets = {}
        for name, bank, options in (("train", banks[0], drawn), ("validation", banks[1], {})):
            rows = parts[name][0]
            labels = label_indices(rows, class_names)
            options = options | {"batch_size": training.batch_size, "attributes": beside.get(name)}
            datasets[name] = make_bank_dataset(bank, labels, len(class_names), **options)
        return rest, datasets["train"], datasets["validation"]
    shared = {"spec": recipe.image, "class_names": class_names, "batch_size": training.batch_size, "share": share}
    (train, train_pixels), (validation, validation_pixels) = parts["train"], parts["validation"]
    return (
        _whole(model, front, rest),
        make_dataset(
            train,
            pixels=train_pixels,
            augmentation=training.augmentation,
            attributes=beside.get("train"),
            class_weight=class_weight,
            **shared,
            **drawn,
        ),
        make_dataset(validation, pixels=validation_pixels, attributes=beside.get("validation"), **shared),
    )


def _banks(front: keras.Model, parts: Parts, recipe: Recipe, moves: Views, say: Callable[[str], None]) -> list[Bank]:
    """What the frozen front gives of train and of validation; all folds of the same images share it."""
    both, settings = [parts["train"], parts["validation"]], {"dtype": recipe.training.bank_dtype, "say": say}
    if recipe.data.fold and moves.kind != "drawn":
        return open_shared_bank(front, both, recipe.image, moves, **settings)
    ways = zip(both, (moves, Views()), strict=True)
    return [open_bank(front, *part, recipe.image, views, **settings) for part, views in ways]


def _whole(model: keras.Model, front: keras.Model, rest: keras.Model) -> keras.Model:
    """The network on pixels with its frozen front folded; what learns is the model's own."""
    if not front.weights:
        return model
    front = fold(front)
    front.trainable = False
    beside = [keras.Input(tensor.shape[1:]) for tensor in rest.inputs[len(front.outputs) :]]
    return keras.Model(one_or_all([front.input, *beside]), rest(one_or_all([*front.outputs, *beside])))
