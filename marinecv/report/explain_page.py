"""The page of an explanation: pictures beside their heat, and how much of the heat falls on the animals."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from marinecv.data.boxes import CORNERS
from marinecv.data.user_tables import is_usable
from marinecv.explain import cam
from marinecv.explain.geometry import picture_corners
from marinecv.inputs.rgb import open_rgb
from marinecv.inputs.spec import ImageSpec
from marinecv.report.figures import save_png
from marinecv.report.heat_tables import heat_tables
from marinecv.report.html import jpeg_address, write_page
from marinecv.report.style import new_figure, short, styled

SIDE_PX = 360
MOST_ON_PAGE = 120
COLOURS, OPACITY = "inferno", 0.75
TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "scorecam": "Score-CAM",
    "saliency": "Saliency (SmoothGrad)",
    "lime": "LIME",
}
HOW = {
    "gradcam": "The maps of the layer, each weighed by the mean gradient of the class's score over it.",
    "gradcam++": "The maps of the layer, weighed by gradients cell by cell, so that several animals all show.",
    "scorecam": f"The {cam.CHANNELS} maps of the layer that vary most, each weighed by the probability of the class "
    "when the image is seen through it.",
    "saliency": f"The gradient of the class's score by pixel, averaged over {cam.NOISY_COPIES} noisy copies of the "
    f"image (deviation {cam.NOISE_GREY_LEVELS} grey levels).",
    "lime": f"About {cam.SUPERPIXELS} pieces of the image, each with its weight in a linear model of "
    f"{cam.SAMPLES} versions in which half of them are covered; pieces against the class are left dark.",
}


def write_explanation(
    folder: str | Path,
    title: str,
    method: str,
    layer: str | None,
    cases: pd.DataFrame,
    figures: pd.DataFrame | None = None,
    demonstration: bool = False,
    chance: str = "",
) -> Path:
    """Write `explanation.html` into the folder where its pictures lie; return the page.

    A row of `cases` is an image: `image_id, true_class` ("" where not known), `predicted_class, probability, problem`,
    and `source`, what `save_overlay` gave, or "". `figures` are rows of `heat_in_box.csv`.
    """
    explained = cases[is_usable(cases)]
    return write_page(
        Path(folder) / "explanation.html",
        "explain.html",
        title=title,
        demonstration=demonstration,
        summary=_summary(method, layer, cases),
        chance=chance,
        how=HOW[method],
        heat=heat_tables(figures),
        groups=_groups(explained.head(MOST_ON_PAGE)),
        more=max(0, len(explained) - MOST_ON_PAGE),
        problems=cases[~is_usable(cases)].to_dict("records"),
    )


def save_overlay(
    path: str | Path,
    case: dict,
    heat: np.ndarray,
    spec: ImageSpec,
    boxes: pd.DataFrame | None = None,
    demonstration: bool = False,
) -> str:
    """Write a picture and its heat, in [0, 1], side by side as PNG; return both as one JPEG in a `data:` address.

    `case` has the `path`, `true_class` ("" where not known), `predicted_class` and `probability` of the image.
    """
    picture, overlay = overlay_pictures(case["path"], heat, spec, boxes)
    truth = f"true class: {short(case['true_class'], 24)}" if case["true_class"] else "true class not known"
    said = f"predicted: {short(case['predicted_class'], 24)} {case['probability']:.2f}"
    save_png(overlay_figure(picture, overlay, (truth, said), demonstration), path)
    pair = Image.new("RGB", (picture.width * 2 + 4, picture.height), "white")
    pair.paste(picture, (0, 0))
    pair.paste(overlay, (picture.width + 4, 0))
    return jpeg_address(pair)


def overlay_pictures(
    path: str | Path, heat: np.ndarray, spec: ImageSpec, boxes: pd.DataFrame | None = None
) -> tuple[Image.Image, Image.Image]:
    """Open an image, shrunk to at most `SIDE_PX`, and lay the heat over a copy: what is hot is bright and opaque.

    Heat on padding is cut away. Boxes are drawn in white on both RGB images.
    """
    picture = open_rgb(path, spec.white)
    corners = tuple(picture_corners(*picture.size, spec).clip(0, (spec.width, spec.height) * 2))
    scale = min(1.0, SIDE_PX / max(picture.size))
    picture = picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.LANCZOS)
    grown = Image.fromarray(heat.astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR, box=corners)
    hot = np.asarray(grown).clip(0, 1)[..., np.newaxis]
    colour = colormaps[COLOURS](hot[..., 0])[..., :3] * 255
    mixed = np.asarray(picture) * (1 - OPACITY * hot) + colour * OPACITY * hot
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
    """Draw a picture and its overlay side by side, each with its title."""
    figure = new_figure(
        6, (0.65 if demonstration else 0.45) + 2.85 * min(2.0, picture.height / picture.width), demonstration
    )
    for axis, image, title in zip(figure.subplots(1, 2), (picture, overlay), titles, strict=True):
        axis.imshow(np.asarray(image))
        axis.set_title(title, loc="center")
        axis.axis("off")
    return figure


def _summary(method: str, layer: str | None, cases: pd.DataFrame) -> str:
    of = f" at the layer {layer}" if layer else ""
    dark = int((~is_usable(cases)).sum())
    rest = f"; {dark} could not be explained, for the reasons below" if dark else ""
    count = len(cases) - dark
    return f"{TITLES[method]}{of}: {count} image{'s' * (count != 1)} beside what speaks for the predicted class{rest}."


def _groups(explained: pd.DataFrame) -> list[dict]:
    """Images by true class, the right ones first."""
    groups = []
    for name, part in explained.groupby("true_class", sort=False):
        right = part["predicted_class"] == name
        parts = {"Named rightly": part[right], "Named wrongly": part[~right]} if name else {"": part}
        groups.append({"name": name, "parts": {title: _items(rows) for title, rows in parts.items() if len(rows)}})
    return groups


def _items(rows: pd.DataFrame) -> list[dict]:
    return [
        {
            "src": row.source,
            "alt": row.image_id,
            "lines": [f"{row.predicted_class}: {row.probability:.3f}", row.image_id],
        }
        for row in rows.itertuples()
    ]
