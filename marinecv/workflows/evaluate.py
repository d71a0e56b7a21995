"""Evaluation of a run on one of its splits or on other images, with the leakage check."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import pandas as pd

from marinecv.choices import FOLD_BY, SPLITS
from marinecv.console import Log, silent
from marinecv.data.splits.split_catalog import write_split
from marinecv.data.user_tables import as_class_names, usable
from marinecv.evaluation.cameras import camera_sentence
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.events import event_accuracy, parse_gap
from marinecv.evaluation.folds import fold_cameras, fold_predictions
from marinecv.evaluation.leakage import WITHOUT, leakage_scores, leakage_sentences
from marinecv.evaluation.metrics import per_class_metrics
from marinecv.evaluation.photos import metrics_of
from marinecv.evaluation.predict import predict_table
from marinecv.evaluation.predictions import read_predictions, write_predictions
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.inputs.pixel_cache import load_pixels, rows_of
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import check_graph, flat
from marinecv.models.outputs import with_probabilities
from marinecv.models.safe_load import check_loadable
from marinecv.models.save import save_model
from marinecv.report.run_page import write_run_report
from marinecv.runs import EXTERNAL, Run, fresh_folder
from marinecv.schema import check_choice
from marinecv.training.recipe import DataConfig, Recipe
from marinecv.workflows.crops import write_photo_predictions
from marinecv.workflows.folds import camera_folds, grouped_folds
from marinecv.workflows.label_errors import LABEL_ERRORS, label_errors_of_folds
from marinecv.workflows.leakage import fold_table, folds_folder, related, related_outside, save_leakage_scores
from marinecv.workflows.run_images import check_images, chosen_images, other_images, readable_images
from marinecv.workflows.sources import Data, open_classifier, source_of

LEAKAGE_COLUMNS = ["subset", "split", "metric", "value", "low", "high", "n", "groups"]
CLASS_COLUMNS = ["class_name", "precision", "recall", "specificity", "f1", "support"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of `evaluate`; printed, it is tables and sentences.

    Attributes:
        run: the run that was scored.
        split: one of its splits, or of those of other data.
        predictions: predictions table of the split.
        metrics: `classification_metrics`: each metric with `value`, 95% bounds `low` and `high`, and `n`.
        per_class: `per_class_metrics`, one row a class.
        leakage: `leakage_scores`: as split, on images without a related train image, and in grouped folds.
        folds: predictions table of the folds by group or camera, each image once; None where they are not trained.
        sentences: on `leakage`, `cameras` and `events`.
        cameras: `camera, n, accuracy` of folds by camera, a row a camera; None without them.
        events: accuracy by event, where `event_gap` is given and events have one true class.
    """

    run: Run
    split: str
    predictions: pd.DataFrame
    metrics: dict
    per_class: pd.DataFrame
    leakage: pd.DataFrame
    folds: pd.DataFrame | None
    sentences: tuple[str, ...]
    cameras: pd.DataFrame | None = None
    events: dict | None = None

    def __repr__(self) -> str:
        lines = [f"{self.run.folder} on {self.split}"]
        for name, metric in self.metrics.items():
            if isinstance(metric, dict):
                lines.append(f"  {name:<20} {metric['value']:.4f}  ({interval_text(metric, '.4f')}, n={metric['n']})")
        lines.append(self.per_class[CLASS_COLUMNS].round(3).to_string(index=False))
        if len(self.leakage):  # train has none
            lines += ["", self.leakage[LEAKAGE_COLUMNS].round(3).to_string(index=False, na_rep="-"), *self.sentences]
        elif self.sentences:
            lines += ["", *self.sentences]
        if self.cameras is not None:
            lines += ["", self.cameras.round(3).to_string(index=False, max_rows=40)]
        return "\n".join(lines)


def evaluate(
    run: str | os.PathLike | Run | keras.Model,
    split: str = "validation",
    data: Data = None,
    *,
    folds: int | None = None,
    fold_by: str = "group",
    limit: int | None = None,
    split_by: str | None = None,
    frame_order: str | None = None,
    label_rule: str | None = None,
    images_without_boxes: str | None = None,
    crops: float | None = None,
    boxes: str | os.PathLike | None = None,
    min_confidence: float | None = None,
    event_gap: str | None = None,
    spec: ImageSpec | None = None,
    class_names: Sequence[str] | None = None,
    folder: str | os.PathLike | None = None,
    accept_changes: bool = False,
    batch_size: int = 32,
    seed: int = 0,
    log: Log | None = print,
) -> Evaluation:
    """Score a run on one of its splits or on other images, with and without related train images.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.evaluate(run, "test", log=None).metrics["accuracy"]["n"]
        24

    Args:
        run: a run, its folder, or your own Keras model, which becomes a run first.
        split: `"train"`, `"validation"` or `"test"`. Other images without splits are all scored.
        data: other images, as in `train`; None takes the run's own.
        folds: cross-validate the recipe of the run in so many folds that keep related images together; trained folds
            stay below the run.
        fold_by: "group" keeps groups of related images in one fold; "camera" whole cameras, in one fold a camera (at
            most 10) unless `folds` says how many. It tells what to expect of the next camera, from six cameras on.
        limit: at most so many images a split, stratified.
        split_by, frame_order, label_rule, images_without_boxes, crops, boxes, min_confidence: how other images are
            split, labeled and cropped, as in `DataConfig`; None takes their own splits and boxes, and the rest of the
            run.
        event_gap: also score by event: images of one camera with pauses of at most this, such as "30m".
        spec: of your own model: the `ImageSpec` it was trained with.
        class_names: of your own model: in the order of its outputs.
        folder: new, for predictions, metrics and leakage check; of your own model, for its run.
        accept_changes: score images of the run that have changed since its training; run, page and metrics say so.
        batch_size: images a step.
        seed: of everything random.
        log: called with each line of text; None is silent.
    Returns:
        The evaluation. The first one of a run adds the leakage check to its page.
    Raises:
        ValueError: it is no run of a classifier, has no such images, they have changed, or their classes are unknown;
            arguments do not go together; or of a model, `data`, `spec`, `class_names` or `folder` is missing.
    """
    log = log or silent
    if event_gap is not None:
        parse_gap(event_gap)
    reading_options = {"split_by": split_by, "frame_order": frame_order, "label_rule": label_rule}
    reading_options |= {"images_without_boxes": images_without_boxes, "crops": crops, "boxes": boxes and str(boxes)}
    reading_options |= {"min_confidence": min_confidence}
    reading_options = {name: value for name, value in reading_options.items() if value is not None}
    if reading_options and data is None:
        raise ValueError(
            f"{' and '.join(f'{name}=' for name in reading_options)} would set how other images are read. Name these "
            "with data=, or leave that out: the run's own images are read as in its training."
        )
    check_choice(FOLD_BY, fold_by=fold_by)
    in_folds = bool(folds) or fold_by == "camera"
    if in_folds and (data is not None or limit):
        name = "folds=" if folds else 'fold_by="camera"'
        raise ValueError(f"{name} trains on all of the run's own images. Leave out data= and limit=.")
    if isinstance(run, keras.Model):
        required = {"data": data, "spec": spec, "class_names": class_names, "folder": folder}
        if missing := [f"{name}=" for name, value in required.items() if value is None]:
            raise ValueError(
                f"Your own model needs {' and '.join(missing)}. Expected images to score it on, the ImageSpec that it "
                "was trained with, its classes in the order of its outputs, and a folder for its run."
            )
        choice = DataConfig(name=EXTERNAL, **reading_options)
        catalog = other_images(source_of(data, choice, log), choice, as_class_names(class_names), split, seed, log)
        run, data, folder = run_of_model(folder, run, catalog, spec, class_names), None, None
    elif spec is not None or class_names is not None:
        raise ValueError("A run has its own spec and class_names. Leave them out: they are for a Keras model.")
    run = open_classifier(run)
    if in_folds:
        Recipe.of(run)  # ValueError where the run has none to train by
        folds = camera_folds(run, folds) if fold_by == "camera" else folds
    catalog, source_text, num_changed = run.catalog, "", 0
    if data is not None:
        choice = replace(DataConfig.of(run), columns={})  # those of the run's own table
        other = {"split_by": None, "boxes": None, **reading_options}
        source, choice = source_of(data, choice, log), replace(choice, **other)
        catalog = other_images(source, choice, run.class_names, split, seed, log, run.demonstration)
        source_text = f" on {source.manifest.root or source.manifest.name}"
    part = chosen_images(catalog, [split], limit, seed, log)
    if data is None:
        used = catalog if in_folds else part
        num_changed = check_images(run, f"evaluation of {split}", used, log, accept=accept_changes)
    folder = folder and fresh_folder(folder)
    model = run.load_model()
    run.note(f"{split} evaluation: evaluate{source_text}")
    pixels, part = readable_images(part, run.spec, log)
    attributes = run.attributes if run.path("attributes.csv").is_file() and data is None else None
    how = {"batch_size": batch_size, "pixels": pixels, "attributes": attributes}
    predictions = predict_table(model, part, run.spec, run.class_names, **how)
    if data is None:
        groups, related_images = related(run, log)
        by_group = None if fold_by == "camera" else folds
        of_folds, searched = _leakage_of_run(run, by_group, accept_changes, log), ()
    else:
        groups, related_images, trained_on = related_outside(run, part, catalog, frame_order, log)
        of_folds, searched = None, ("copy or near-duplicate", trained_on)
    leakage = leakage_scores(predictions, groups, related_images, of_folds)
    if all(searched):  # what is "" was not there
        sentences = leakage_sentences(leakage, *searched, retrain=not run.is_external)
    else:
        sentences = ["Train-test leakage was not checked: no train image is where it was. Bring them back to check."]
        leakage = leakage[leakage["subset"] != WITHOUT]
    metrics, per_class = metrics_of(predictions, groups), per_class_metrics(predictions)
    metrics |= {"changed_images": num_changed} if num_changed else {}
    if folder:
        write_predictions(predictions, folder / "predictions.csv")
        write_photo_predictions(run, predictions, folder)
        write_json(folder / "metrics.json", {split: metrics})
        write_table(folder / "leakage.csv", leakage)
    cameras, events = None, None
    if folds and fold_by == "group":
        table, sentence = label_errors_of_folds(run, of_folds, log)
        write_table(path := folds_folder(run, folds) / LABEL_ERRORS, table)
        sentences.append(f"{sentence} They are in {path}.")
    if fold_by == "camera":
        runs = grouped_folds(run, folds, log, fold_by, accept_changes).finished_runs.values()
        [of_folds], [cameras] = fold_predictions(runs).values(), fold_cameras(runs).values()
        sentences.append(camera_sentence(cameras))
    if event_gap is not None:
        events, sentence = event_accuracy(predictions, part, event_gap, seed)
        sentences.append(sentence)
    return Evaluation(run, split, predictions, metrics, per_class, leakage, of_folds, tuple(sentences), cameras, events)


def run_of_model(
    folder: str | Path, model: keras.Model, catalog: pd.DataFrame, spec: ImageSpec, class_names: Sequence[str]
) -> Run:
    """Make a finished run of a model that was trained elsewhere, scored on the splits of a catalog.

    It has no recipe and no calibration; `model.keras` is the model as one flat graph that gives probabilities.

    Args:
        folder: new or empty.
        model: as of `predict_table`, with images as its only input, and of stock Keras layers: a run loads no others.
        catalog: one row an image, with `split` `train`, `validation` (some at least) or `test`.
        spec: the `ImageSpec` the model was trained with.
        class_names: (C,) in the order of the model's outputs.
    Raises:
        ValueError: as `predict_table`; the folder is not empty, no validation image has a class, the model has layers
            that are not Keras' own, or no run can read the catalog.
    """
    check_graph(model, shape=spec.shape)
    class_names = as_class_names(class_names)
    model = with_probabilities(flat(model), class_names)
    model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # without the loss it was compiled with
    check_loadable(model)
    pixels, catalog = load_pixels(catalog, spec)
    rows = usable(catalog)
    if not ((rows["split"] == "validation") & (rows["class_name"] != "")).any():
        raise ValueError(
            "The catalog has no usable validation image with a class. Expected some rows with the split 'validation'. "
            f"Received: {sorted(set(rows['split']))}. split_catalog makes splits."
        )
    folder = fresh_folder(folder)
    try:
        image = {"image": asdict(spec)}
        preprocessing = {"class_names": list(class_names), **image, "data": EXTERNAL, "demonstration": False}
        preprocessing["split_sha256"] = write_split(catalog, folder / "split.csv")
        about = {"kind": EXTERNAL, "name": model.name, "parameters": model.count_params()}
        recipe = {"name": EXTERNAL, "title": f"Own model: {model.name}", "data": {"name": EXTERNAL}, **image}
        run = Run.create(folder, recipe | {"model": about}, preprocessing, catalog)
        save_model(model, run.path("model.keras"), preprocessing)
        judged = rows["split"].isin(SPLITS).to_numpy().nonzero()[0]
        rows, pixels = usable(run.catalog).iloc[judged], rows_of(pixels, judged)
        predictions = predict_table(run.load_model(), rows, spec, run.class_names, pixels=pixels)
        write_predictions(predictions, run.path("predictions.csv"))
        if (rows["split"] == "test").any():
            run.note("test evaluation: a model that was trained elsewhere")
        groups = rows.set_index("image_id")["group"]
        metrics = {split: metrics_of(part, groups) for split, part in predictions.groupby("split", sort=False)}
        write_json(run.path("metrics.json"), metrics)
    except BaseException:
        shutil.rmtree(folder)  # which was empty before
        raise
    return run


def _leakage_of_run(run: Run, folds: int | None, accept_changes: bool, log: Log) -> pd.DataFrame | None:
    """Train folds, or write the leakage check of a finished run that has none; return the predictions of folds."""
    path = run.path("predictions.csv")
    if folds:
        grouped_folds(run, folds, log, accept_changes=accept_changes)
    elif path.is_file() and run.finished and not run.path("leakage.csv").is_file():
        save_leakage_scores(run, read_predictions(path, run.class_names), log)
        write_run_report(run.folder)
    return fold_table(run, folds)
