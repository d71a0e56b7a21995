"""Crops where a recipe or a user asks for them: of the boxes of a data set, or of a file of detections."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.data.boxes import CORNERS
from marinecv.data.catalog import read_boxes, source_layout
from marinecv.data.crops import NO_BOX, NOT_USED, crop_catalog
from marinecv.data.formats import printable
from marinecv.data.images import image_table
from marinecv.data.manifests import Manifest
from marinecv.data.names import EMPTY_CLASS
from marinecv.data.photos import is_of_crops, photos_of
from marinecv.data.places import with_places
from marinecv.data.readers import reader_of
from marinecv.data.readers.megadetector import read_detections
from marinecv.data.user_tables import is_usable, usable
from marinecv.data.writers import BOX_COLUMNS
from marinecv.evaluation.photos import combined, photo_table
from marinecv.evaluation.predictions import predicted_indices, write_predictions
from marinecv.runs import Run
from marinecv.training.recipe import DataConfig
from marinecv.workflows.sources import as_paths

PHOTO_PREDICTIONS = "photo_predictions.csv"
PLACES = ["camera", "taken_at", "time_source"]  # of a table of `predict`


def cropped(
    catalog: pd.DataFrame, manifest: Manifest, choice: DataConfig, log: Log, boxes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the catalog of crops that the data part of a recipe asks for; without `crops` the catalog as it is.

    `boxes` are those of the manifest where they were read. Detections have no class: their crops have that of the
    image. Raises ValueError where there are no boxes.
    """
    if choice.crops is None and is_of_crops(catalog):
        raise ValueError("These images are crops. State their margin with crops=0.1, so that others are cropped alike.")
    if choice.crops is None or is_of_crops(catalog):
        return catalog
    if not manifest.root:
        raise ValueError(
            "crops= reads the boxes of a folder. Of a DataFrame pass what crop_catalog(catalog, boxes) gives."
        )
    if choice.boxes:
        boxes, class_from = used_detections(choice.boxes, manifest.root, choice.min_confidence, log), "image"
    else:
        boxes = read_boxes(manifest) if boxes is None else boxes
        class_from = "box" if reader_of(source_layout(manifest)).class_from_boxes else "image"
    if boxes.empty:
        raise ValueError(
            f"crops= needs boxes, and {manifest.root} has none. Name those of MegaDetector with boxes=md.json, or "
            "leave out crops= to use whole photographs."
        )
    crops = crop_catalog(catalog, boxes, choice.crops, class_from)
    log(crops_line(crops, choice.crops))
    return crops


def used_detections(path: str | Path, root: Path, min_confidence: float, log: Log) -> pd.DataFrame:
    """Return the boxes of a file of detections; those of no animal, or below a confidence, are `NOT_USED`."""
    boxes = read_detections(Path(path), root)
    used = (boxes["category"].str.lower() == "animal") & (boxes["confidence"] >= min_confidence)
    boxes["problem"] = boxes["problem"].mask(is_usable(boxes) & ~used, NOT_USED)
    count = f"{is_usable(boxes).sum()} of {(boxes['category'] != '').sum()}"
    log(f"{count} detections are animals with a confidence of {min_confidence:g} or more")
    return boxes


def crops_line(crops: pd.DataFrame, margin: float) -> str:
    """Return a sentence on the number of crops and of photographs without one."""
    photos, rows = photos_of(crops), usable(crops)
    whole, boxless = (rows["box"] == "").sum(), (~is_usable(photos)).sum()
    line = f"{len(rows) - whole} crops of {len(photos) - whole - boxless} photographs, with a margin of {margin:g}"
    return line + f"; {whole} used whole" * bool(whole) + f"; {boxless} without a usable crop" * bool(boxless)


def write_photo_predictions(run: Run, predictions: pd.DataFrame, folder: Path) -> None:
    """Write the predictions of photographs, calibrated where the run is, beside those of their crops, if they are."""
    if is_of_crops(predictions):
        temperature = run.calibration.photo_temperature if run.path("calibration.json").is_file() else 1.0
        write_predictions(photo_table(predictions, temperature), folder / PHOTO_PREDICTIONS)


def crops_of_files(run: Run, files: Sequence[Path], how: SimpleNamespace, log: Log) -> pd.DataFrame | None:
    """Return the catalog of the crops that `predict` is to predict, with their `file`; None without boxes."""
    margin, folders = run.preprocessing.crops if how.crops is None else how.crops, as_paths(how.paths)
    if not how.boxes:
        if how.crops is not None:
            raise ValueError("crops= is the margin of boxes. Name a file of detections with boxes=, or leave it out.")
        if margin is not None:
            log("This model was trained on crops, and whole photographs are given to it; boxes= names their boxes.")
        return None
    if margin is None:
        raise ValueError(
            f"{run.folder} was trained on whole images, and boxes= gives it crops. Leave it out; or if these images "
            "were crops, add crops=0.1, their margin."
        )
    if len(folders) != 1 or not folders[0].is_dir():
        raise ValueError(f"boxes= names images below one folder. Received: {', '.join(map(str, folders))}.")
    catalog = with_places(image_table(folders[0], [(file, "") for file in files]))
    detections = used_detections(how.boxes, folders[0], how.min_confidence, log)
    rows = crop_catalog(catalog, detections, margin, "image")
    log(crops_line(rows, margin))
    rows["file"] = [printable((folders[0] / name).as_posix()) for name in rows["photo"]]
    return rows.join(_fractions(detections, catalog), on="image_id")


def _fractions(detections: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the `detection` of each crop, its place in the file, and `BOX_COLUMNS`; the index is the crop's id."""
    number = detections.groupby("image_id").cumcount() + 1
    sizes = catalog.set_index("image_id")[["width", "height"]].reindex(detections["image_id"]).to_numpy(float)
    low, high = np.split(detections[CORNERS].to_numpy(float), 2, axis=1)
    boxes = np.concatenate([low / sizes, (high - low) / sizes], axis=1).round(6)
    table = pd.DataFrame(boxes, columns=BOX_COLUMNS, index=detections["image_id"] + "#" + number.astype(str))
    return table.assign(detection=detections["source"].to_numpy())


def predictions_of_crops(
    crops: pd.DataFrame, predicted: pd.DataFrame, class_names: Sequence[str], temperature: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of all rows of `crops_of_files`, and those of their photographs.

    `predicted` are the calibrated ones of the usable crops by `path`; `temperature` is what photographs need beside. A
    photograph without an animal is of class "empty".
    """
    columns = [f"p_{name}" for name in class_names]
    numbers = ["probability", *columns]
    predicted = predicted.drop_duplicates("path").drop(columns=PLACES)
    rows = crops[["file", "box", "detection", *BOX_COLUMNS, *PLACES, "path"]].merge(predicted, on="path", how="left")
    text = rows.select_dtypes(exclude="number").columns
    rows[text] = rows[text].fillna("")
    rows["problem"] = crops["problem"].where(~is_usable(crops), rows["problem"])
    rows["predicted_class"] = rows["predicted_class"].mask(rows["problem"].isin([NO_BOX, NOT_USED]), EMPTY_CLASS)
    rows = rows.drop(columns="path").rename(columns={"file": "path"})

    photos = rows.drop_duplicates("path").set_index("path")
    photos = photos[["predicted_class", *numbers, *PLACES, "problem"]].assign(crops=0)
    good = rows[is_usable(rows)].groupby("path", sort=False)
    probabilities = combined(good.obj[columns].to_numpy(), good.ngroup().to_numpy(), temperature)
    found = pd.DataFrame(probabilities, good.size().index, columns)
    found["predicted_class"] = np.array(class_names, object)[predicted_indices(probabilities)]
    found = found.assign(probability=probabilities.max(axis=1, initial=0.0), problem="", crops=good.size())
    photos.loc[found.index, [*found]] = found
    return rows, photos.reset_index()
