"""Crops where a recipe or a user asks for them: of the boxes of a data set, or of a file of detections."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.console import Log
from marinecv.data.catalog import EMPTY_CLASS, read_boxes, source_layout
from marinecv.data.crops import NO_BOX, NOT_USED, crop_catalog
from marinecv.data.formats import printable
from marinecv.data.images import image_table
from marinecv.data.manifests import Manifest
from marinecv.data.photos import is_of_crops, photos_of
from marinecv.data.readers import reader_of
from marinecv.data.readers.megadetector import read_detections
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.photos import combined, photo_table
from marinecv.evaluation.predictions import predicted_indices, write_predictions
from marinecv.runs import Run
from marinecv.training.recipe import DataConfig

PHOTO_PREDICTIONS = "photo_predictions.csv"


def cropped(catalog: pd.DataFrame, manifest: Manifest, choice: DataConfig, log: Log) -> pd.DataFrame:
    """Return the catalog of crops that the data part of a recipe asks for; without `crops` the catalog as it is.

    Detections have no class: their crops have that of the image. Raises ValueError where there are no boxes.
    """
    if choice.crops is None and is_of_crops(catalog):
        raise ValueError("These images are crops. State their margin with crops=0.1, so that others are cropped alike.")
    if choice.crops is None or is_of_crops(catalog):
        return catalog
    if not manifest.root:
        raise ValueError(
            "crops= reads the boxes of a folder, and these images are a DataFrame. Expected what "
            "crop_catalog(catalog, boxes) returns as data."
        )
    if choice.boxes:
        boxes, class_from = used_detections(choice.boxes, manifest.root, choice.min_confidence, log), "image"
    else:
        boxes = read_boxes(manifest)
        class_from = "box" if reader_of(source_layout(manifest)).class_from_boxes else "image"
    if boxes.empty:
        raise ValueError(
            f"crops= needs boxes, and {manifest.root} has none. Run MegaDetector on it and name its output with "
            "boxes=detections.json, or leave out crops= to use whole photographs."
        )
    crops = crop_catalog(catalog, boxes, choice.crops, class_from)
    log(crops_line(crops, choice.crops))
    return crops


def used_detections(path: str | Path, root: Path, min_confidence: float, log: Log) -> pd.DataFrame:
    """Return the boxes of a file of detections; those of no animal, or below a confidence, are `NOT_USED`."""
    boxes = read_detections(Path(path), root)
    found = boxes["category"] != ""
    used = (boxes["category"] == "animal") & (boxes["confidence"] >= min_confidence)
    boxes["problem"] = boxes["problem"].mask(is_usable(boxes) & ~used, NOT_USED)
    count = f"{is_usable(boxes).sum()} of {found.sum()}"
    log(f"{count} detections are animals with a confidence of {min_confidence:g} or more")
    return boxes


def crops_line(crops: pd.DataFrame, margin: float) -> str:
    """Return a sentence on the number of crops and of photographs without one."""
    photos, rows = photos_of(crops), usable(crops)
    whole, boxless = (rows["box"] == "").sum(), (~is_usable(photos)).sum()
    line = f"{len(rows) - whole} crops of {len(photos) - whole - boxless} photographs, with a margin of {margin:g}"
    line += f"; {whole} used whole" if whole else ""
    return line + (f"; {boxless} without a usable crop" if boxless else "")


def write_photo_predictions(run: Run, predictions: pd.DataFrame, folder: Path) -> None:
    """Write the predictions of photographs, calibrated where the run is, beside those of their crops, if they are."""
    if is_of_crops(predictions):
        temperature = run.calibration.photo_temperature if run.path("calibration.json").is_file() else 1.0
        write_predictions(photo_table(predictions, temperature), folder / PHOTO_PREDICTIONS)


def crops_of_files(
    files: Sequence[Path], folder: Path, boxes: str | Path, margin: float, min_confidence: float, log: Log
) -> pd.DataFrame:
    """Return the catalog of the crops of image files below a folder, with their `file`, by a file of detections."""
    ids = {printable(file.relative_to(folder).as_posix()): printable(file.as_posix()) for file in files}
    catalog = image_table(folder, [(file, "") for file in files])
    crops = crop_catalog(catalog, used_detections(boxes, folder, min_confidence, log), margin, "image")
    log(crops_line(crops, margin))
    return crops.assign(file=crops["photo"].map(ids))


def predictions_of_crops(
    crops: pd.DataFrame, predicted: pd.DataFrame | None, class_names: Sequence[str], temperature: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of all crops of `crops_of_files`, and those of the photographs, both as `predict` does.

    `predicted` are the rows of the usable crops by `path`, calibrated; `temperature` is what remains to be applied to
    photographs. One without an animal is of class "empty", with the reason and no probability.
    """
    columns = [f"p_{name}" for name in class_names]
    names = ["predicted_class", "probability", *columns, "problem"]
    predicted = pd.DataFrame(columns=["path", *names], dtype=str) if predicted is None else predicted
    numbers = ["probability", *columns]
    predicted = predicted.assign(**{name: pd.to_numeric(predicted[name]) for name in numbers})
    both = crops[["file", "box", "path", "photo", "image_id"]].merge(predicted, on="path", how="left")
    both["problem"] = crops["problem"].where(~is_usable(crops), both["problem"])
    is_empty = (both["image_id"] == both["photo"]) & both["problem"].isin([NO_BOX, NOT_USED])
    both["predicted_class"] = both["predicted_class"].fillna("").mask(is_empty, EMPTY_CLASS)

    photos = both.drop_duplicates("file")[["file", "predicted_class", *numbers, "problem"]].set_index("file")
    good = both[is_usable(both)]
    if len(good):
        files = good["file"].drop_duplicates()
        order = good.groupby("file", sort=False).ngroup().to_numpy()
        probabilities = combined(good[columns].to_numpy(), order, temperature)
        photos.loc[files, columns] = probabilities
        photos.loc[files, "probability"] = probabilities.max(axis=1)
        photos.loc[files, "predicted_class"] = np.array(class_names, object)[predicted_indices(probabilities)]
        photos.loc[files, "problem"] = ""
    photos["crops"] = good["file"].value_counts().reindex(photos.index, fill_value=0)
    rows = both.drop(columns=["path", "photo", "image_id"]).rename(columns={"file": "path"})
    return rows, photos.rename_axis("path").reset_index()
