"""Localization: the heat inside the boxes of an image, and predictions of images with a part hidden."""

import zlib
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from marinecv.data.boxes import CORNERS, as_boxes
from marinecv.data.user_tables import as_table, is_usable, usable
from marinecv.evaluation.estimates import has_interval, interval_text, mean_estimate
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.predictions import predicted_indices
from marinecv.explain.geometry import center_blob, cover, hottest_pixel, picture_corners, to_input
from marinecv.explain.heatmaps import BATCH, NO_HEAT, heatmaps
from marinecv.files.csv_tables import read_number_table, write_table
from marinecv.inputs.pipeline import label_indices
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import flat
from marinecv.models.outputs import with_probabilities
from marinecv.progress import progress_bar
from marinecv.runs import Run

FRACTIONS = ("heat", "center_heat", "area")
HITS = ("pointing", "center_pointing", "accuracy", "animal_only", "background_only", "outside_masked")
DIFFERENCE = "masking_difference"
MEASURES = (*FRACTIONS, *HITS, DIFFERENCE)
ALL = "all"
LOCALIZATION_FILE = "heat_in_box.csv"
COLUMNS = ["split", "layer", "neutral", "class_name", "measure", "value", "low", "high", "n"]
NO_BOX = "no box of its class"


def mean_color(pixels: np.ndarray, catalog: pd.DataFrame, spec: ImageSpec) -> np.ndarray:
    """Return the color that covers hidden pixels: the mean of the pictures without padding, `(3,)` gray levels."""
    means = []
    for image, row in zip(pixels, usable(catalog).itertuples(), strict=True):
        weights = cover([picture_corners(row.width, row.height, spec)], spec)[..., np.newaxis]
        means.append((image * weights).sum(axis=(0, 1)) / weights.sum())
    return np.mean(means, axis=0).round()


def measure_boxes(
    model: keras.Model,
    pixels: np.ndarray,
    catalog: pd.DataFrame,
    boxes: pd.DataFrame,
    spec: ImageSpec,
    class_names: Sequence[str],
    neutral: np.ndarray,
    layer: str | None = None,
) -> pd.DataFrame:
    """Measure the Grad-CAM of each image's true class inside the boxes of that class, and hide animals or background.

    Heat counts over the whole input, padding too. Baselines that know only the picture are `center_heat` and
    `center_pointing`, of `center_blob`, and `area`, of heat spread evenly. Boxes of every class are covered with the
    color `neutral`, or all else is, or `rectangles_outside` (`outside_masked`; NaN where boxes cover more than half of
    the picture). What hiding animals costs beyond hiding anything is `outside_masked` minus `background_only`.

    Args:
        pixels: row i for row i of `usable(catalog)`.
        layer: of Grad-CAM; None takes all that feed the head.
    Returns:
        DataFrame, a row an image: `image_id, class_name`, each of `MEASURES` (`FRACTIONS` from 0 to 1, `HITS` 0 or 1,
        the difference -1, 0 or 1; NaN if there is nothing to measure), and the reason in `problem`.
    Raises:
        ValueError: no box is of these images, or a class is not in `class_names`.
    """
    model, class_names = with_probabilities(flat(model), class_names), list(class_names)
    rows, boxes = usable(catalog).reset_index(drop=True), as_boxes(boxes)
    if len(boxes) and not boxes["image_id"].isin(catalog["image_id"]).any():
        raise ValueError(f"Expected boxes of the images. Received: those of {boxes['image_id'].iloc[0]!r} and others.")
    label_indices(rows[rows["class_name"] != ""], class_names)
    by_image = dict(list(boxes[is_usable(boxes)].groupby("image_id")))
    measured = []
    with progress_bar(len(rows), "heat in boxes", unit="images") as show:
        for start in range(0, len(rows), BATCH):
            images, batch = pixels[start : start + BATCH].astype(np.float32), rows.iloc[start : start + BATCH]
            boxes_of = [by_image.get(image_id, boxes.iloc[:0]) for image_id in batch["image_id"]]
            masks = [_masks_and_baselines(*pair, spec) for pair in zip(batch.itertuples(), boxes_of, strict=True)]
            # An image without a class has no box of it either: its row gets that problem.
            classes = label_indices(batch, class_names, allow_unknown=True).clip(0)
            hits = _correct_when_hidden(model, images, classes, masks, neutral)
            heats = heatmaps(model, images, classes, "gradcam", layer)
            for fact, hit, heat in zip(masks, hits, heats, strict=True):
                in_box = fact["own"].any()
                measured.append(hit | fact["baselines"] | _in_box(heat, fact["own"]) if in_box else {"problem": NO_BOX})
            show(len(measured))
    table = pd.DataFrame(measured, columns=[*MEASURES, "problem"], index=rows.index)
    return pd.concat([rows[["image_id", "class_name"]], table], axis=1).reset_index(drop=True)


def rectangles_outside(animals: np.ndarray, picture: np.ndarray, boxes: np.ndarray, seed: int) -> np.ndarray:
    """Return as many pixels of the picture outside of all boxes as are `animals`, all (height, width) bool.

    They are the free pixels of rectangles at random, which are as large as the largest of the `boxes`, corners (n, 4);
    none where there is no room.
    """
    rng, free, count, hidden = np.random.default_rng(seed), picture & ~animals, animals.sum(), np.zeros_like(animals)
    if 0 < count <= free.sum():
        sides = (boxes[:, 2:] - boxes[:, :2]).round().astype(int).clip(1)
        steps = sides[sides.prod(axis=1).argmax()][::-1]
        rows, columns = ((np.arange(n) + rng.integers(step)) // step for n, step in zip(free.shape, steps, strict=True))
        order = rng.random((rows[-1] + 1, columns[-1] + 1))[rows[:, np.newaxis], columns]
        hidden.flat[np.argsort(np.where(free, order, 2), axis=None, kind="stable")[:count]] = True
    return hidden


def _masks_and_baselines(row, boxes: pd.DataFrame, spec: ImageSpec) -> dict:
    """Return the cover of the class's boxes, pixels in any box, in the picture and hidden outside, and baselines."""
    corners = to_input(boxes[CORNERS].to_numpy(), row.width, row.height, spec)
    class_cover = cover(corners[(boxes["class_name"] == row.class_name).to_numpy()], spec)
    picture = cover([picture_corners(row.width, row.height, spec)], spec)
    animals, is_picture = cover(corners, spec) >= 0.5, picture >= 0.5
    blob = center_blob(row.width, row.height, spec)
    baselines = {f"center_{name}": value for name, value in _in_box(blob, class_cover).items() if name != "problem"}
    return {
        "own": class_cover,
        "animals": animals,
        "picture": is_picture,
        "outside": rectangles_outside(animals, is_picture, corners, zlib.crc32(row.image_id.encode(errors="replace"))),
        "baselines": {**baselines, "area": class_cover.sum() / picture.sum()},
    }


def _correct_when_hidden(model, images: np.ndarray, classes: np.ndarray, facts: list[dict], neutral) -> list[dict]:
    """Return whether each image is classified correctly: as it is, and with a part of it hidden."""
    masks = (np.stack([fact[name] for fact in facts])[..., np.newaxis] for name in ("animals", "picture", "outside"))
    animals, picture, outside = masks
    covered_images = {
        "accuracy": images,
        "animal_only": np.where(picture & ~animals, neutral, images),
        "background_only": np.where(animals, neutral, images),
        "outside_masked": np.where(outside, neutral, images),
    }
    right = pd.DataFrame()
    for name, version in covered_images.items():
        right[name] = predicted_indices(model.predict(version, batch_size=BATCH, verbose=0)) == classes
    right = right.astype(float)
    right["outside_masked"] = right["outside_masked"].where(outside.any(axis=(1, 2, 3)))
    right[DIFFERENCE] = right["outside_masked"] - right["background_only"]
    return right.to_dict("records")


def _in_box(heat: np.ndarray, mask: np.ndarray) -> dict:
    """Return the fraction of the map inside the box, and whether the hottest pixel is mostly in it."""
    if not heat.any():
        return {"problem": NO_HEAT}
    heat = heat.astype(float)
    pointing = float(mask[hottest_pixel(heat)] >= 0.5)
    return {"heat": (heat * mask).sum() / heat.sum(), "pointing": pointing, "problem": ""}


def average_localization(
    measured: pd.DataFrame, class_names: Sequence[str], seed: int = 0, groups: Groups = None
) -> pd.DataFrame:
    """Average `measure_boxes` over all images (`ALL`) and each class: `class_name, measure, value, low, high, n`.

    `n` leaves out NaN. Intervals (95%) are those of `mean_estimate`, or NaN.
    """
    measured = as_table(measured).reset_index(drop=True)
    parts = [(ALL, measured)] + [(name, measured[measured["class_name"] == name]) for name in class_names]
    rows = []
    for name, part in parts:
        for measure in MEASURES:
            values = part[measure].dropna().astype(bool if measure in HITS else float)
            numbers = group_numbers(part["image_id"][values.index], groups) if len(values) else None
            figure = mean_estimate(values.to_numpy(), numbers, seed) if len(values) else {}
            rows.append((name, measure, *(figure.get(key) for key in ("value", "low", "high")), len(values)))
    table = pd.DataFrame(rows, columns=["class_name", "measure", "value", "low", "high", "n"])
    return table.astype({"value": float, "low": float, "high": float})


def chance_sentence(measured: pd.DataFrame, groups: Groups = None) -> str:
    """Return a sentence if the heat in the boxes is no better than chance, else "".

    Chance is the larger of the boxes' fraction of the picture and of a center blob's heat in them; differences are
    paired by image. Groups are those of `classification_metrics`.
    """
    rows = measured.dropna(subset=["heat"])
    for chance, words in (("area", "evenly spread heat"), ("center_heat", "a blob in the center of the picture")):
        values = (rows["heat"] - rows[chance]).to_numpy(float)
        figure = mean_estimate(values, group_numbers(rows["image_id"], groups)) if len(rows) else {"low": 1}
        bounds = figure if has_interval(figure) else figure["by_image"]
        if bounds["low"] <= 0:
            return (
                f"The fraction of Grad-CAM inside the box is no better than chance: {rows['heat'].mean():.3f}, and of "
                f"{words} {rows[chance].mean():.3f} (difference {figure['value']:+.3f}, {interval_text(figure)}, "
                f"n={len(rows)})."
            )
    return ""


def save_localization(run: Run, split: str, layer: str, neutral: str, figures: pd.DataFrame) -> pd.DataFrame:
    """Save the metrics of a split in the run, beside those of other splits; return the whole table."""
    saved = read_localization(run)
    new = figures.assign(split=split, layer=layer, neutral=neutral)[COLUMNS]
    table = new if saved is None else pd.concat([saved[saved["split"] != split], new], ignore_index=True)
    write_table(run.path(LOCALIZATION_FILE), table, float_format="%.9g")
    return table


def read_localization(run: Run) -> pd.DataFrame | None:
    """Read the table of `save_localization`: `COLUMNS`, values from -1 to 1; None if there is no such file.

    Raise ValueError if the file is broken.
    """
    path = run.path(LOCALIZATION_FILE)
    if not path.is_file():
        return None
    try:
        table = read_number_table(path, COLUMNS, ("value", "low", "high", "n"))
        values = table[["value", "low", "high"]].fillna(0)
        values = values.abs().where(table["measure"] == DIFFERENCE, values)
        wrong = ~table["measure"].isin(MEASURES) | ~((values >= 0) & (values <= 1)).all(axis=1) | ~(table["n"] >= 0)
        if wrong.any():
            raise ValueError(f"Row {wrong.argmax() + 1} of {path} is no metric of some images from 0 to 1.")
    except ValueError as error:
        raise ValueError(f"{error} Delete it; `explain` writes it again.") from error
    return table.astype({"n": int})
