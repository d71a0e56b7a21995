"""The one thing to do next about a run: the first that its findings call for."""

from collections.abc import Mapping, Sequence

import pandas as pd

from marinecv.audit.label_findings import MIN_TRAIN_IMAGES
from marinecv.evaluation.estimates import has_interval
from marinecv.evaluation.leakage import GROUPED, WITHOUT
from marinecv.language import tr
from marinecv.run_records import Calibration
from marinecv.runs import Run

WIDE = 0.2  # of the interval of an accuracy, above which it ranks few recipes


def next_step(
    run: Run,
    accuracy: Mapping,
    split: str,
    leakage: pd.DataFrame | None,
    train_classes: pd.DataFrame | None,
    calibration: Calibration | None,
    pairs: Sequence[Mapping],
) -> str:
    """Return a sentence on what to do next.

    `accuracy` is the metric of `split`, the images least used for choices; `leakage` is of `leakage_scores`,
    `train_classes` of `per_class_metrics` of train, `pairs` of `confused_pairs`, each None or empty where not known.
    """
    if run.demonstration:
        return tr("train on your own images: `train my_photos`.")
    if run.preprocessing.select_on == "test":
        return tr("evaluate the chosen recipe on images that chose nothing; its test accuracy is optimistic.")
    if leakage is None:
        return tr("check for train-test leakage: `evaluate` compares the images with those of train.")
    alone = leakage[(leakage["subset"] == WITHOUT) & (leakage["split"] == split)]["n"]
    related = accuracy["n"] - int(alone.min()) if len(alone) else 0
    if related and not run.is_external and GROUPED not in set(leakage["subset"]):
        text = (
            "evaluate with folds=5, by groups of related images: {related} of {n} {split} images are related to train."
        )
        return tr(text, related=related, n=accuracy["n"], split=tr(split))
    if not has_interval(accuracy) or accuracy["high"] - accuracy["low"] > WIDE:
        text = "label more {split} images, of other places and days: {n} are few to tell how good the model is."
        return tr(text, split=tr(split), n=accuracy["n"])
    few = [] if train_classes is None else train_classes[train_classes["support"] < MIN_TRAIN_IMAGES]["class_name"]
    if len(few):
        text = "add train images of {names}: fewer than {least} each."
        return tr(text, names=", ".join(few[:3]), least=MIN_TRAIN_IMAGES)
    if calibration and calibration.reason:
        return tr("hold out more validation images: they are too few to calibrate probabilities.")
    if pairs:
        text = "look at the images of {true} predicted as {predicted}: are they mislabeled, or alike?"
        return tr(text, true=pairs[0]["true_class"], predicted=pairs[0]["predicted_class"])
    return tr("predict new images with `predict`, and check some by hand.")
