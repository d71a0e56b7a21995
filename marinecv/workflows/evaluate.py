"""Score a run again, or on other images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import pandas as pd

from marinecv.atomic import write_json
from marinecv.console import Log, quiet
from marinecv.data.user_tables import as_class_names
from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.leaks import honest_scores, honest_sentences
from marinecv.evaluation.metrics import classification_metrics, per_class_metrics
from marinecv.evaluation.own_model import run_of_model
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import read_predictions, write_predictions
from marinecv.inputs.spec import ImageSpec
from marinecv.report.page import write_run_report
from marinecv.runs import OWN, Run, fresh_folder
from marinecv.tables import write_table
from marinecv.training.recipe import DataChoice, Recipe
from marinecv.workflows.folds import grouped_folds
from marinecv.workflows.leakage import fold_table, related, related_outside
from marinecv.workflows.run_images import chosen_images, other_images, readable_images
from marinecv.workflows.sources import Data, open_classifier, source_of

SHOWN = ["images", "split", "figure", "value", "low", "high", "n", "groups"]
SHOWN_OF_A_CLASS = ["class_name", "precision", "recall", "specificity", "f1", "support"]
CHANGED = 0.01  # of a probability: far more than another processor changes


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The score of a run on a split; printed, it is tables and sentences.

    Attributes:
        run: the run that was scored.
        split: which of its splits, or of those of other data.
        predictions: predictions table of the split.
        metrics: `classification_metrics`: of each metric its `value`, 95% bounds `low` and `high`, and `n`.
        per_class: `per_class_metrics`, one row a class.
        leakage: `honest_scores`: as split, on images without a related training image, and in grouped folds.
        folds: predictions table of the grouped folds, each image once; None where they are not trained.
        sentences: what `leakage` says in words.
    """

    run: Run
    split: str
    predictions: pd.DataFrame
    metrics: dict
    per_class: pd.DataFrame
    leakage: pd.DataFrame
    folds: pd.DataFrame | None
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [f"{self.run.folder} on {self.split}"]
        for name, found in self.metrics.items():
            if isinstance(found, dict):
                lines.append(f"  {name:<20} {found['value']:.4f}  ({interval_words(found, '.4f')}, n={found['n']})")
        lines.append(self.per_class[SHOWN_OF_A_CLASS].round(3).to_string(index=False))
        if len(self.leakage):  # of train there is none
            lines += ["", self.leakage[SHOWN].round(3).to_string(index=False, na_rep="-"), *self.sentences]
        return "\n".join(lines)


def evaluate(
    run: str | os.PathLike | Run | keras.Model,
    split: str = "validation",
    data: Data = None,
    *,
    folds: int | None = None,
    limit: int | None = None,
    split_by: str | None = None,
    frames: str | None = None,
    label_rule: str | None = None,
    no_box: str | None = None,
    spec: ImageSpec | None = None,
    class_names: Sequence[str] | None = None,
    folder: str | os.PathLike | None = None,
    batch_size: int = 32,
    seed: int = 0,
    log: Log | None = print,
) -> Evaluation:
    """Score a run on one of its splits, or on images from elsewhere, with and without related training images.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.evaluate(run, "test", log=None).metrics["accuracy"]["n"]
        24

    Args:
        run: a run, its folder, or a Keras model of your own, of which a run is made first.
        split: `"train"`, `"validation"` or `"test"`. Other images without splits are all taken.
        data: other images, as `train` takes them; None takes the run's own.
        folds: train the recipe of the run so many times, below it, with related images kept together; what is trained
            already stays.
        limit: at most so many images a split, stratified.
        split_by, frames, label_rule, no_box: how other images are split and labeled, as in `DataChoice`; None takes
            the splits that they have, and labels them as the run's own were.
        spec: of a model of your own: the `ImageSpec` it was trained with.
        class_names: of a model of your own: in the order of its outputs.
        folder: to be made for predictions, metrics and leakage check; of a model of your own, for its run.
        batch_size: images at a time.
        seed: of everything random.
        log: called with each line of text; None tells nothing.
    Returns:
        The evaluation. The first one of a run adds the leakage check to its page.
    Raises:
        ValueError: it is no run of a classifier, has no such images, or does not know their classes; the images were
            split or labeled otherwise; or of a model, `data`, `spec`, `class_names` or `folder` is missing.
    """
    log = log or quiet
    reading = {"split_by": split_by, "frames": frames, "label_rule": label_rule, "no_box": no_box}
    reading = {name: value for name, value in reading.items() if value}
    if reading and data is None:
        raise ValueError(
            f"{' and '.join(f'{name}=' for name in reading)} would say how other images are read. Name these with "
            "data=, or leave that out: the run's own are read as for its training."
        )
    if folds and (data is not None or limit):
        raise ValueError("folds= trains on the run's own images, all of them. Leave out data= and limit=.")
    if isinstance(run, keras.Model):
        given = {"data": data, "spec": spec, "class_names": class_names, "folder": folder}
        if missing := [f"{name}=" for name, value in given.items() if value is None]:
            raise ValueError(
                f"A model of your own does not say {' and '.join(missing)}. Expected images to judge it by, the "
                "ImageSpec that it was trained with, its classes in the order of its outputs, and a folder for its run."
            )
        choice = DataChoice(name=OWN, **reading)
        catalog = other_images(source_of(data, choice, log), choice, as_class_names(class_names), split, seed, log)
        run, data, folder = run_of_model(folder, run, catalog, spec, class_names), None, None
    elif spec is not None or class_names is not None:
        raise ValueError("A run knows its own spec and class_names. Leave them out: they are of a Keras model.")
    run = open_classifier(run)
    if folds:
        Recipe.of(run)  # which must be one to train by
    catalog, where = run.catalog, ""
    if data is not None:
        choice = DataChoice.of(run)
        source, choice = source_of(data, choice, log), replace(choice, **{"split_by": None, **reading})
        catalog = other_images(source, choice, run.class_names, split, seed, log, run.demonstration)
        where = f" on {source.manifest.root or source.manifest.name}"
    part = chosen_images(catalog, [split], limit, seed, log)
    folder = folder and fresh_folder(folder)
    model = run.load_model()
    run.note(f"looked at {split}: evaluate{where}")
    pixels, part = readable_images(part, run.spec, log)
    attributes = run.attributes if run.path("attributes.csv").is_file() and data is None else None
    how = {"batch_size": batch_size, "pixels": pixels, "attributes": attributes}
    predictions = predict_table(model, part, run.spec, run.class_names, **how)
    if data is None:
        groups, relatives = related(run, log)
        of_folds, searched = beside_the_run(run, predictions, groups, relatives, folds, log), ()
    else:
        groups, relatives, trained_on = related_outside(run, part, frames, log)
        of_folds, searched = None, ("copy or near copy", trained_on)
    leakage = honest_scores(predictions, groups, relatives, of_folds)
    metrics, per_class = classification_metrics(predictions, groups=groups), per_class_metrics(predictions)
    if folder:
        write_predictions(predictions, folder / "predictions.csv")
        write_json(folder / "metrics.json", {split: metrics})
        write_table(folder / "honest.csv", leakage)
    sentences = tuple(honest_sentences(leakage, *searched, retrain=not run.own))
    return Evaluation(run, split, predictions, metrics, per_class, leakage, of_folds, sentences)


def beside_the_run(
    run: Run, predictions: pd.DataFrame, groups: pd.Series, relatives: pd.DataFrame, folds: int | None, log: Log
) -> pd.DataFrame | None:
    """Hold new predictions of a run's images against its own, keep its leakage check, and return those of its folds."""
    kept = run.path("predictions.csv")
    before = read_predictions(kept, run.class_names) if kept.is_file() else None
    if before is not None:
        name_changes(predictions, before, log)
    if folds:
        grouped_folds(run, folds, log)
    elif before is not None and run.finished and not run.path("honest.csv").is_file():
        write_table(run.path("honest.csv"), honest_scores(before, groups, relatives, fold_table(run)))
        write_run_report(run.folder)
    return fold_table(run, folds)


def name_changes(predictions: pd.DataFrame, before: pd.DataFrame, log: Log) -> None:
    """Name the images that no longer give what they gave right after the training."""
    now, before = (table.set_index("image_id").filter(regex="^p_") for table in (predictions, before))
    difference = (now - before).abs().max(axis=1)
    if changed := list(difference.index[difference > CHANGED]):
        log(
            f"WARNING: {len(changed)} of {len(now)} images have changed since the training: their probabilities differ "
            f"from those in predictions.csv. They are {', '.join(changed[:5])}{' and others' * (len(changed) > 5)}."
        )
