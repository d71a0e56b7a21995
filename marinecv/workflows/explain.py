"""Explain a run: heat maps of example images, and the fraction of the heat inside the boxes."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.formats import printable
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.estimates import interval_text
from marinecv.evaluation.predictions import predicted_indices, read_predictions
from marinecv.explain import localization as measures
from marinecv.explain.heatmaps import NO_HEAT, heatmaps, layers_of
from marinecv.files.atomic import replaced_folder
from marinecv.files.csv_tables import write_table
from marinecv.files.lock import lock_folder
from marinecv.inputs.pixel_cache import load_pixels, read_pixels
from marinecv.models.outputs import with_probabilities
from marinecv.report.explain_page import MEASURE_NAMES, save_overlay, write_explanation
from marinecv.report.run_page import write_run_report
from marinecv.runs import Run
from marinecv.workflows.run_images import boxes_of, check_images, chosen_images, moved_images
from marinecv.workflows.sources import Data, Paths, find_images, open_classifier

CASES_A_CLASS = 3
CHUNK = 8


@dataclass(frozen=True, repr=False)
class Explanation:
    """The heat maps of a run; printed, it is the number of images and the path of the page.

    Attributes:
        cases: one row an image: `image_id, path, split, true_class, predicted_class, probability`, `problem` (why
            there is no heat, else "") and `picture`, the PNG beside the page.
        localization: for Grad-CAM on a split with boxes, the rows of `average_localization`; else None.
        report: the page.
    """

    cases: pd.DataFrame
    localization: pd.DataFrame | None
    report: Path

    def __repr__(self) -> str:
        failed = int((~is_usable(self.cases)).sum())
        count = f"{len(self.cases) - failed} explained" + (f", {failed} not (column problem)" if failed else "")
        return f"{count}\n{self.report}"


def explain(
    run: str | os.PathLike | Run,
    images: Paths | None = None,
    method: str = "gradcam",
    *,
    split: str = "validation",
    layer: str | None = None,
    data: Data = None,
    limit: int | None = None,
    accept_changes: bool = False,
    seed: int = 0,
    log: Log | None = print,
) -> Explanation:
    """Draw images beside heat maps of the predicted class, and measure the heat of a split inside its boxes.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.explain(run, limit=8, log=None).report.name
        'explanation.html'

    Args:
        run: a run or its folder. The page is written into it and replaces an earlier one of the method.
        images: files or folders of your own; None takes correct and wrong predictions of each class.
        method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"saliency"` (SmoothGrad) or `"lime"`.
        split: `"train"`, `"validation"` or `"test"`, from which the example images are.
        layer: name of the layer whose maps are weighed, for the first three methods; None takes all that feed the head.
        data: the data set where the images of the run are now, as in `train`; None takes the recorded paths.
        limit: at most so many images of your own, or of the split, whose `localization` is then not saved in the run.
        accept_changes: explain images of the run that have changed since its training; the run and its page say so.
        seed: of everything random.
        log: called with each line of text; None prints nothing.
    Returns:
        The explanation.
    Raises:
        ValueError: the run has no classifier of images alone, or the images, method or layer do not exist.
    """
    log, run = log or silent, open_classifier(run)
    rows, boxes = None, None
    if images:
        cases = user_examples(run, images, data, limit, seed)
    else:
        catalog, boxes = (usable(run.catalog), boxes_of(run, log)) if data is None else moved_images(run, data, log)
        rows, moved = chosen_images(catalog, [split], limit, seed, log), None if data is None else catalog
        check_images(run, f"explanation of {split}", rows, log, accept=accept_changes, moved=moved)
        if boxes is not None and not boxes["image_id"].isin(rows["image_id"]).any():
            boxes = None
        if boxes is None and method == "gradcam":
            log("No boxes are known of these images, so the heat inside boxes is not measured.")
        cases = run_examples(run, rows, split, seed)
    model = run.load_model()
    if len(model.inputs) > 1:
        raise ValueError(
            f"The model of {run.folder} takes attributes beside the image, which explain does not support. Call "
            "marinecv.heatmaps(run.load_model(), (pixels, attributes), classes)."
        )
    model, names = with_probabilities(model, run.class_names), ", ".join(layers_of(model, method, layer))
    if rows is not None:
        run.note(f"{split} evaluation: explain")
    target, localization, chance = run.path("explanations", method), None, ""
    target.parent.mkdir(exist_ok=True)
    with lock_folder(target.parent):
        with replaced_folder(target, log) as folder:
            heat_of = partial(heatmaps, model, method=method, layer=layer, seed=seed)
            cases = draw_examples(run, model, heat_of, cases, boxes, folder, log)
            write_table(folder / "explanations.csv", cases.drop(columns=["path", "source"]), float_format="%.6f")
            if method == "gradcam" and boxes is not None:
                localization, chance = measure_localization(run, model, layer, rows, boxes, folder, log)
            title = f"Heat maps of {run.folder.resolve().name}" + ("" if rows is None else f": {split}")
            page = write_explanation(folder, title, method, names, cases, localization, run.demonstration, chance)
        if localization is not None and not limit:
            measures.save_localization(run, split, names, localization["neutral"].iloc[0], localization)
            if run.path("report.html").is_file():
                write_run_report(run.folder)
    if rows is not None and not is_usable(cases).any():
        log("None of these images can be read. If they have moved, name their folder with data=.")
    return Explanation(cases.drop(columns="source"), localization, target / page.name)


def user_examples(run: Run, images: Paths, data: Data, limit: int | None, seed: int) -> pd.DataFrame:
    """Return a row for each of the user's image files."""
    if run.demonstration:
        raise ValueError(
            f"{run.folder} was trained on generated demo images, so its heat on photographs means nothing. Leave out "
            "your images to explain the demo images, or train on photographs."
        )
    if data is not None:
        raise ValueError("Images of your own are explained as they are. Leave out either images or data=.")
    files = find_images(images, limit, seed)
    names = [printable(file.as_posix()) for file in files]
    return pd.DataFrame({"image_id": names, "path": [str(file) for file in files], "split": "", "true_class": ""})


def run_examples(run: Run, rows: pd.DataFrame, split: str, seed: int) -> pd.DataFrame:
    """Return a row for each example image of a split."""
    file = run.path("predictions.csv")
    if not file.is_file():
        raise ValueError(
            f"{run.folder} has no predictions.csv to choose images from: it is not finished. Continue it with "
            f'resume("{run.folder}"), or name images of your own.'
        )
    predictions = read_predictions(file, run.class_names)
    predictions = predictions[predictions["split"] == split].merge(rows[["image_id", "path"]])
    cases = choose_examples(predictions, run.class_names, seed)
    if cases.empty:
        raise ValueError(f"{file} has none of the {len(rows)} images of the split {split}. Name images of your own.")
    return cases


def choose_examples(predictions: pd.DataFrame, class_names: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Sample at most 3 correct and 3 wrong predictions of each true class: class by class, the correct ones first."""
    shuffled = predictions.sample(frac=1, random_state=seed)
    right = shuffled["true_class"] == shuffled["predicted_class"]
    chosen = [
        shuffled[(shuffled["true_class"] == name) & (right == wanted)].head(CASES_A_CLASS)
        for name in class_names
        for wanted in (True, False)
    ]
    return pd.concat(chosen)


def draw_examples(
    run: Run, model: keras.Model, heat_of: Callable, cases: pd.DataFrame, boxes: pd.DataFrame | None, folder: Path, log
) -> pd.DataFrame:
    """Predict the cases, 8 at a time, and save a PNG of each with its heat, `heat_of(images, classes)`.

    Returns the cases of `Explanation`, and `source`, the picture for the page, as of `save_overlay`.
    """
    chunks = []
    for start in range(0, len(cases), CHUNK):
        chunk = cases[["image_id", "path", "split", "true_class"]].iloc[start : start + CHUNK].reset_index(drop=True)
        pixels, reasons = read_pixels(chunk["path"], run.spec)
        problems = [reasons.get(index, "") for index in chunk.index]
        chunk = chunk.assign(predicted_class="", probability=np.nan, problem=problems, picture="", source="")
        good = chunk.index[is_usable(chunk)]
        images = pixels[good].astype(np.float32)
        probabilities = model.predict(images, verbose=0) if len(good) else np.empty((0, len(run.class_names)))
        best = predicted_indices(probabilities)
        chunk.loc[good, "predicted_class"] = [run.class_names[index] for index in best]
        chunk.loc[good, "probability"] = probabilities.max(axis=1).astype(float)
        for index, heat in zip(good, heat_of(images, best), strict=True):
            if not heat.any():
                chunk.loc[index, "problem"] = NO_HEAT
                continue
            row = chunk.loc[index]
            stem = re.sub(r"[^\w.-]", "_", Path(row["image_id"]).stem)[:60]
            name = f"{start + index + 1:03d}-{stem}.png"
            image_boxes = None if boxes is None else boxes[(boxes["image_id"] == row["image_id"]) & is_usable(boxes)]
            source = save_overlay(folder / name, row, heat, run.spec, image_boxes, run.demonstration)
            chunk.loc[index, ["picture", "source"]] = name, source
        chunks.append(chunk)
        log(f"  {start + len(chunk)}/{len(cases)} images explained")
    return pd.concat(chunks, ignore_index=True)


def measure_localization(
    run: Run, model: keras.Model, layer: str | None, rows: pd.DataFrame, boxes: pd.DataFrame, folder: Path, log: Log
) -> tuple[pd.DataFrame | None, str]:
    """Measure the heat of a split inside its boxes: metrics, None if no image can be read, and `chance_sentence`."""
    pixels, rows = load_pixels(rows, run.spec, log=log)
    if not len(pixels):
        return None, ""
    neutral = measures.mean_color(pixels, rows, run.spec)
    measured = measures.measure_boxes(model, pixels, rows, boxes, run.spec, run.class_names, neutral, layer)
    write_table(folder / "boxes.csv", measured, float_format="%.6f")
    groups, split = rows.set_index("image_id")["group"], rows["split"].iloc[0]
    figures = measures.average_localization(measured, run.class_names, groups=groups)
    chance = measures.chance_sentence(measured, groups)
    names = ", ".join(layers_of(model, "gradcam", layer))
    log(f"Grad-CAM at {names} on {split}")
    for row in figures[figures["class_name"] == measures.ALL].itertuples():
        log(f"  {MEASURE_NAMES[row.measure]:<28} {row.value:.3f}  ({interval_text(row._asdict())}, n={row.n})")
    if chance:
        log(chance)
    color = "#" + "".join(f"{int(level):02x}" for level in neutral)
    return figures.assign(split=split, layer=names, neutral=color)[measures.COLUMNS], chance
