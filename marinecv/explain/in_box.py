"""How much of an image's heat falls on its animal, and what a model says of the animal or the background alone."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from marinecv.data.boxes import CORNERS, as_boxes
from marinecv.data.user_tables import is_usable, usable
from marinecv.evaluation.predictions import predicted_indices
from marinecv.explain.figures import MEASURES
from marinecv.explain.geometry import centre_blob, covered, hottest_pixel, picture_corners, to_input
from marinecv.explain.heatmaps import BATCH, NO_HEAT, heatmaps
from marinecv.inputs.pipeline import label_indices
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import flat
from marinecv.models.outputs import with_probabilities
from marinecv.progress import progress_bar

NO_BOX = "no box of its class"


def neutral_colour(pixels: np.ndarray, catalog: pd.DataFrame, spec: ImageSpec) -> np.ndarray:
    """Return what stands in for what is hidden: the mean colour of the pictures without padding, `(3,)` grey levels."""
    means = []
    for image, row in zip(pixels, usable(catalog).itertuples(), strict=True):
        weights = covered([picture_corners(row.width, row.height, spec)], spec)[..., np.newaxis]
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
    """Hold the heat of each image's true class against the boxes of that class, and hide the animals or all else.

    Heat is measured over the whole input, padding too. The baselines know the picture and nothing more: `centre_heat`
    and `centre_pointing` those of `centre_blob`, `area` what heat spread evenly over the picture would have in the box.
    Animals are hidden (by `neutral`), or shown alone, by the boxes of every class. Pixels are row i for row i of
    `usable(catalog)`. Columns: `image_id, class_name`, each of `MEASURES` (`SHARES` from 0 to 1, `HITS` 0 or 1; NaN
    where there is nothing to measure), and why in `problem`.
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
            images, part = pixels[start : start + BATCH].astype(np.float32), rows.iloc[start : start + BATCH]
            facts = [_facts(row, by_image.get(row.image_id, boxes.iloc[:0]), spec) for row in part.itertuples()]
            # An image without a class has no box of it either; it is carried along to a row that says so.
            classes = label_indices(part, class_names, allow_unknown=True).clip(0)
            hits = _hits(model, images, classes, facts, neutral)
            heats = heatmaps(model, images, classes, "gradcam", layer)
            for fact, hit, heat in zip(facts, hits, heats, strict=True):
                in_box = fact["own"].any()
                measured.append(hit | fact["baselines"] | _in_box(heat, fact["own"]) if in_box else {"problem": NO_BOX})
            show(len(measured))
    table = pd.DataFrame(measured, columns=[*MEASURES, "problem"], index=rows.index)
    return pd.concat([rows[["image_id", "class_name"]], table], axis=1).reset_index(drop=True)


def _facts(row, boxes: pd.DataFrame, spec: ImageSpec) -> dict:
    """How much of each pixel its class's boxes cover, which pixels any box and the picture cover, and the baselines."""
    corners = to_input(boxes[CORNERS].to_numpy(), row.width, row.height, spec)
    own = covered(corners[(boxes["class_name"] == row.class_name).to_numpy()], spec)
    picture = covered([picture_corners(row.width, row.height, spec)], spec)
    blob = centre_blob(row.width, row.height, spec)
    baselines = {f"centre_{name}": value for name, value in _in_box(blob, own).items() if name != "problem"}
    return {
        "own": own,
        "animals": covered(corners, spec) >= 0.5,
        "picture": picture >= 0.5,
        "baselines": {**baselines, "area": own.sum() / picture.sum()},
    }


def _hits(model, images: np.ndarray, classes: np.ndarray, facts: list[dict], neutral: np.ndarray) -> list[dict]:
    """Whether each image is named rightly: as it is, with its animals alone, and without them."""
    animals, picture = (np.stack([fact[name] for fact in facts])[..., np.newaxis] for name in ("animals", "picture"))
    versions = {
        "accuracy": images,
        "animal_only": np.where(picture & ~animals, neutral, images),
        "background_only": np.where(animals, neutral, images),
    }
    right = {
        name: predicted_indices(model.predict(version, batch_size=BATCH, verbose=0)) == classes
        for name, version in versions.items()
    }
    return [{name: float(values[place]) for name, values in right.items()} for place in range(len(images))]


def _in_box(heat: np.ndarray, mask: np.ndarray) -> dict:
    """The share of the heat in the box, and whether the hottest pixel is mostly in it."""
    if not heat.any():
        return {"problem": NO_HEAT}
    heat = heat.astype(float)
    return {
        "heat": (heat * mask).sum() / heat.sum(),
        "pointing": float(mask[hottest_pixel(heat)] >= 0.5),
        "problem": "",
    }
