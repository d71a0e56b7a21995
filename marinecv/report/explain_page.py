"""Page of an explanation: images beside their heatmaps, and the localization of the heatmaps against the boxes."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from marinecv.data.boxes import CORNERS
from marinecv.data.user_tables import is_usable
from marinecv.explain import cam
from marinecv.explain.geometry import BLOB_WIDTH, picture_corners
from marinecv.inputs.spec import ImageSpec
from marinecv.inputs.to_rgb import open_rgb, shrink
from marinecv.report.figures import save_png
from marinecv.report.html import jpeg_data_url, write_page
from marinecv.report.style import new_figure, short_name, styled

SIDE_PX = 360
MOST_ON_PAGE = 120
COLORMAP, OPACITY = "inferno", 0.75
TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "scorecam": "Score-CAM",
    "saliency": "Saliency (SmoothGrad)",
    "lime": "LIME",
}
METHOD_TEXTS = {
    "gradcam": "The feature maps of a layer, weighted by the mean gradient of the class score over each map.",
    "gradcam++": "The feature maps of a layer, weighted by gradients cell by cell, so that several animals all show.",
    "scorecam": f"The {cam.CHANNELS} feature maps of a layer with the largest variance, each weighted by the "
    "probability of the class when the image is masked with it.",
    "saliency": f"The gradient of the class score by pixel, averaged over {cam.NOISY_COPIES} noisy copies of the "
    f"image (standard deviation {cam.NOISE_GRAY_LEVELS} gray levels).",
    "lime": f"About {cam.SUPERPIXELS} superpixels, with their weights in a linear model fitted on "
    f"{cam.SAMPLES} versions of the image with half of them masked; negative weights are left dark.",
}
SEVERAL_LAYERS = " Each layer counts in proportion to its contribution to the class score, gradient times activation."
MEASURE_NAMES = {
    "heat": "energy-based pointing game",
    "center_heat": "energy of a center blob",
    "area": "box area",
    "pointing": "pointing game",
    "center_pointing": "pointing game of the center",
    "accuracy": "accuracy",
    "animal_only": "accuracy, animals only",
    "background_only": "accuracy, animals hidden",
    "outside_masked": "accuracy, as much elsewhere",
    "masking_difference": "elsewhere minus animals",
}
"""Measures of `heat_in_box.csv` -> names; the energy is the fraction of heat inside the boxes."""


def write_explanation(
    folder: str | Path,
    title: str,
    method: str,
    names: str,
    cases: pd.DataFrame,
    figures: pd.DataFrame | None = None,
    demonstration: bool = False,
    chance: str = "",
) -> Path:
    """Write `explanation.html` into the folder of its images; return the page.

    `cases` has one row an image: `image_id, true_class` ("" if unknown), `predicted_class, probability, problem` and
    `source`, the `data:` URL from `save_overlay`. `names` are the layers, "" for a method of pixels, `figures` rows of
    `heat_in_box.csv`.
    """
    explained, failed = cases[is_usable(cases)], cases[~is_usable(cases)]
    summary = f"{TITLES[method]}{f' at {names}' if names else ''} of the predicted class for "
    summary += f"{len(explained):,} image{'s' * (len(explained) != 1)}"
    summary += f"; {len(failed)} could not be explained (see below)." if len(failed) else "."
    return write_page(
        Path(folder) / "explanation.html",
        "explain.html",
        title=title,
        demonstration=demonstration,
        summary=summary,
        chance=chance,
        how=METHOD_TEXTS[method] + (SEVERAL_LAYERS if "," in names else ""),
        heat=localization_tables(figures),
        groups=_groups(explained.head(MOST_ON_PAGE)),
        more=max(0, len(explained) - MOST_ON_PAGE),
        problems=failed.to_dict("records"),
    )


def save_overlay(
    path: str | Path,
    case: dict,
    heat: np.ndarray,
    spec: ImageSpec,
    boxes: pd.DataFrame | None = None,
    demonstration: bool = False,
) -> str:
    """Write an image and its heatmap, in [0, 1], side by side as PNG; return both as one JPEG `data:` URL.

    `case` has the `path`, `true_class` ("" if unknown), `predicted_class` and `probability` of the image.
    """
    picture, overlay = overlay_pictures(case["path"], heat, spec, boxes)
    truth = f"true class: {short_name(case['true_class'], 24)}" if case["true_class"] else "true class unknown"
    predicted = f"predicted: {short_name(case['predicted_class'], 24)} {case['probability']:.2f}"
    save_png(overlay_figure(picture, overlay, (truth, predicted), demonstration), path)
    pair = Image.new("RGB", (picture.width * 2 + 4, picture.height), "white")
    pair.paste(picture, (0, 0))
    pair.paste(overlay, (picture.width + 4, 0))
    return jpeg_data_url(pair)


def overlay_pictures(
    path: str | Path, heat: np.ndarray, spec: ImageSpec, boxes: pd.DataFrame | None = None, side: int = SIDE_PX
) -> tuple[Image.Image, Image.Image]:
    """Return an image, shrunk to at most `side` pixels, and a copy with the heatmap over it: hot pixels are opaque.

    Heat on padding is cropped. Boxes are drawn in white on both RGB images.
    """
    picture = open_rgb(path, spec.white)
    corners = tuple(picture_corners(*picture.size, spec).clip(0, (spec.width, spec.height) * 2))
    picture, scale = shrink(picture, side)
    resized_heat = Image.fromarray(heat.astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR, box=corners)
    hot = np.asarray(resized_heat).clip(0, 1)[..., np.newaxis]
    color = colormaps[COLORMAP](hot[..., 0])[..., :3] * 255
    mixed = np.asarray(picture) * (1 - OPACITY * hot) + color * OPACITY * hot
    overlay = Image.fromarray(mixed.round().astype(np.uint8))
    for image in (picture, overlay):
        pen = ImageDraw.Draw(image)
        for corners in [] if boxes is None else boxes[CORNERS].to_numpy() * scale:
            pen.rectangle(list(corners), outline="white", width=1)
    return picture, overlay


@styled
def overlay_figure(
    picture: Image.Image, overlay: Image.Image, titles: tuple[str, str], demonstration: bool = False
) -> Figure:
    """Draw an image and its overlay side by side, each with its title."""
    height = (0.65 if demonstration else 0.45) + 2.85 * min(2.0, picture.height / picture.width)
    figure, axes = new_figure(6, height, demonstration, columns=2)
    for axis, image, title in zip(axes, (picture, overlay), titles, strict=True):
        axis.imshow(np.asarray(image))
        axis.set_title(title, loc="center")
        axis.axis("off")
    return figure


def localization_tables(figures: pd.DataFrame | None) -> list[dict]:
    """Return rows of `heat_in_box.csv` as one table a split for `localization.html`, one row a class."""
    tables = []
    for split, group in [] if figures is None else figures.groupby("split", sort=False):
        rows = [
            {"class_name": name, **{figure["measure"]: figure for figure in measures.to_dict("records")}}
            for name, measures in group.groupby("class_name", sort=False)
        ]
        table = {"split": split, **group.iloc[0][["layer", "neutral"]], "rows": rows}
        tables.append(table | {"names": MEASURE_NAMES, "blob_width": BLOB_WIDTH})
    return tables


def _groups(explained: pd.DataFrame) -> list[dict]:
    """Return images by true class, correct predictions first."""
    groups = []
    for name, rows in explained.groupby("true_class", sort=False):
        right = rows["predicted_class"] == name
        parts = {"Classified correctly": rows[right], "Misclassified": rows[~right]} if name else {"": rows}
        items = {title: list(map(_item, part.itertuples())) for title, part in parts.items() if len(part)}
        groups.append({"name": name, "parts": items})
    return groups


def _item(row) -> dict:
    lines = [f"{row.predicted_class}: {row.probability:.3f}", row.image_id]
    return {"src": row.source, "alt": row.image_id, "lines": lines}
