"""Show where a run looks, and how much of the heat falls on the animals."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import pandas as pd

from marinecv.atomic import replaced
from marinecv.console import Log, quiet
from marinecv.data.layouts import printable
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.figures import interval_words
from marinecv.evaluation.predictions import read_predictions
from marinecv.explain.cases import explain_cases
from marinecv.explain.figures import ALL, COLUMNS, box_figures, chance_sentence, keep_figures
from marinecv.explain.gallery import choose_cases
from marinecv.explain.heatmaps import layer_of
from marinecv.explain.in_box import measure_boxes, neutral_colour
from marinecv.hold import hold
from marinecv.inputs.pixels import load_pixels
from marinecv.report.explain_page import MEASURE_NAMES, save_overlay, write_explanation
from marinecv.report.page import write_run_report
from marinecv.runs import Run
from marinecv.tables import write_table
from marinecv.workflows.run_images import boxes_of, chosen_images, moved_images
from marinecv.workflows.sources import Data, Paths, find_images, open_classifier

CHUNK = 8


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where a run looks; printed, it is the number of images and the place of the page.

    Attributes:
        cases: one row an image: `image_id, path, split, true_class, predicted_class, probability`, `problem` (why
            there is no heat, else "") and `picture`, the PNG beside the page.
        localization: of Grad-CAM on a split whose boxes are known, the rows of `box_figures`, how much of the heat
            falls into the boxes; else None.
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
    seed: int = 0,
    log: Log | None = print,
) -> Explanation:
    """Draw images beside the heat of what a run predicts of them, and hold the heat of a split against its boxes.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> mcv.explain(run, limit=8, log=None).report.name
        'explanation.html'

    Args:
        run: a run or its folder. The page is written into it, in place of an earlier one of the method.
        images: files or folders of your own; None takes right and wrong cases of each class.
        method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"saliency"` (SmoothGrad) or `"lime"`.
        split: the cases are of `"train"`, `"validation"` or `"test"`.
        layer: whose maps; None takes the final convolution. Only for the first three methods.
        data: where the images of the run lie now, as `train` takes it; None looks where they lay.
        limit: at most so many images of your own, or of the split, whose `localization` is not kept in the run then.
        seed: of everything random.
        log: called with each line of text; None tells nothing.
    Returns:
        The explanation.
    Raises:
        ValueError: it is no run of a classifier of images alone, or there are no such images, method or layer.
    """
    log, run = log or quiet, open_classifier(run)
    rows, boxes = None, None
    if images:
        cases = cases_of_files(run, images, data, limit, seed)
    else:
        catalog, boxes = (usable(run.catalog), boxes_of(run, log)) if data is None else moved_images(run, data, log)
        rows = chosen_images(catalog, [split], limit, seed, log)
        if boxes is not None and not boxes["image_id"].isin(rows["image_id"]).any():
            boxes = None
        if boxes is None and method == "gradcam":
            log("No boxes are known of these images, so how much heat falls on the animals is left out.")
        cases = cases_of_run(run, rows, split, seed)
    model = run.load_model()
    if len(model.inputs) > 1:
        raise ValueError(
            f"The model of {run.folder} takes attributes beside the image, which explain does not hand over. From "
            "Python: marinecv.heatmaps(run.load_model(), (pixels, attributes), classes)."
        )
    layer = layer_of(model, method, layer)
    if rows is not None:
        run.note(f"looked at {split}: explain")
    place, localization, chance = run.path("explanations", method), None, ""
    place.parent.mkdir(exist_ok=True)
    with hold(place.parent), replaced(place, log) as folder:
        how = {"spec": run.spec, "class_names": run.class_names, "method": method, "layer": layer, "seed": seed}
        cases = draw_cases(run, partial(explain_cases, model, **how), cases, boxes, folder, log)
        write_table(folder / "explanations.csv", cases.drop(columns=["path", "source"]), float_format="%.6f")
        if method == "gradcam" and boxes is not None:
            localization, chance = measure(run, model, layer, rows, boxes, folder, log)
        if localization is not None and not limit:
            keep_figures(run, split, layer, localization["neutral"].iloc[0], localization)
        title = f"Where {run.folder.resolve().name} looks" + ("" if rows is None else f": {split}")
        page = write_explanation(folder, title, method, layer, cases, localization, run.demonstration, chance)
    if localization is not None and not limit and run.path("report.html").is_file():
        write_run_report(run.folder)
    if rows is not None and not is_usable(cases).any():
        log("None of these images can be read. If they have moved, name their folder with data=.")
    return Explanation(cases.drop(columns="source"), localization, place / page.name)


def cases_of_files(run: Run, images: Paths, data: Data, limit: int | None, seed: int) -> pd.DataFrame:
    """A row a file of the user's."""
    if run.demonstration:
        raise ValueError(
            f"{run.folder} was trained on drawn pictures, so what it sees in photographs means nothing. Leave out your "
            "images to look at its own pictures, or train on real ones."
        )
    if data is not None:
        raise ValueError("Images of your own are explained as they are. Leave them out, or data=.")
    files = find_images(images, limit, seed)
    names = [printable(file.as_posix()) for file in files]
    return pd.DataFrame({"image_id": names, "path": [str(file) for file in files], "split": "", "true_class": ""})


def cases_of_run(run: Run, rows: pd.DataFrame, split: str, seed: int) -> pd.DataFrame:
    """A row an image of the gallery."""
    file = run.path("predictions.csv")
    if not file.is_file():
        raise ValueError(
            f"{run.folder} has no predictions.csv to choose images from: it is not finished. Go on with "
            f'resume("{run.folder}"), or name images of your own.'
        )
    predictions = read_predictions(file, run.class_names)
    predictions = predictions[predictions["split"] == split].merge(rows[["image_id", "path"]])
    cases = choose_cases(predictions, run.class_names, seed)
    if cases.empty:
        raise ValueError(f"{file} knows none of the {len(rows)} images of the split {split}. Name images of your own.")
    return cases


def draw_cases(
    run: Run, explained: Callable, cases: pd.DataFrame, boxes: pd.DataFrame | None, folder: Path, log: Log
) -> pd.DataFrame:
    """Explain the cases some at a time, and save a PNG of each: the table with `picture` and `source`."""
    done, spec, demonstration = [], run.spec, run.demonstration
    for start in range(0, len(cases), CHUNK):
        chunk = cases[["image_id", "path", "split", "true_class"]].iloc[start : start + CHUNK].reset_index(drop=True)
        said, heats = explained(chunk["path"])
        chunk = pd.concat([chunk, said], axis=1).assign(picture="", source="")
        for place in chunk.index[is_usable(chunk)]:
            row = chunk.loc[place]
            stem = re.sub(r"[^\w.-]", "_", Path(row["image_id"]).stem)[:60]
            chunk.loc[place, "picture"] = f"{start + place + 1:03d}-{stem}.png"
            own = None if boxes is None else boxes[(boxes["image_id"] == row["image_id"]) & is_usable(boxes)]
            chunk.loc[place, "source"] = save_overlay(
                folder / chunk.loc[place, "picture"], row, heats[place], spec, own, demonstration
            )
        done.append(chunk)
        log(f"  {start + len(chunk)}/{len(cases)} images explained")
    return pd.concat(done, ignore_index=True)


def measure(
    run: Run, model: keras.Model, layer: str, rows: pd.DataFrame, boxes: pd.DataFrame, folder: Path, log: Log
) -> tuple[pd.DataFrame | None, str]:
    """Hold the heat of a whole split against its boxes: the figures, None where no image can be read, and in words."""
    pixels, rows = load_pixels(rows, run.spec, log=log)
    if not len(pixels):
        return None, ""
    neutral = neutral_colour(pixels, rows, run.spec)
    measured = measure_boxes(model, pixels, rows, boxes, run.spec, run.class_names, neutral, layer)
    write_table(folder / "boxes.csv", measured, float_format="%.6f")
    groups, split = rows.set_index("image_id")["group"], rows["split"].iloc[0]
    figures, chance = box_figures(measured, run.class_names, groups=groups), chance_sentence(measured, groups)
    log(f"Grad-CAM at {layer} on {split}")
    for row in figures[figures["class_name"] == ALL].itertuples():
        log(f"  {MEASURE_NAMES[row.measure]:<28} {row.value:.3f}  ({interval_words(row._asdict())}, n={row.n})")
    if chance:
        log(chance)
    colour = "#" + "".join(f"{int(level):02x}" for level in neutral)
    return figures.assign(split=split, layer=layer, neutral=colour)[COLUMNS], chance
