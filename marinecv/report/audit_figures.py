"""Figures of an audit: each takes a table of `marinecv.audit` and returns a matplotlib Figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from marinecv.inputs.rgb import open_rgb
from marinecv.report.style import COLOURS, INK, new_figure, short, styled

CHANNELS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2", "grey": INK}
LEVELS_A_BIN = 4


@styled
def count_figure(counts: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw the images of each class, the splits stacked, from `class_counts`."""
    classes = counts[counts["class_name"] != "total"]
    figure = new_figure(6, 1.2 + 0.3 * len(classes), demonstration)
    axis = figure.subplots()
    rows, left = np.arange(len(classes)), np.zeros(len(classes))
    splits = [column for column in classes if column not in ("class_name", "total", "share")]
    for number, split in enumerate(splits):
        axis.barh(rows, classes[split], left=left, height=0.65, color=COLOURS[number % len(COLOURS)], label=split)
        left += classes[split].to_numpy()
    for row, total in zip(rows, left, strict=True):
        axis.text(total, row, f" {total:.0f}", va="center")
    axis.set_yticks(rows, classes["class_name"].map(short))
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("usable images")
    axis.grid(axis="x")
    axis.legend(loc="lower right")
    return figure


@styled
def size_figure(sizes: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw each size of `distinct_sizes` as a disc whose area is its number of images."""
    figure = new_figure(5, 4.2, demonstration)
    axis = figure.subplots()
    area = 900 * sizes["count"] / sizes["count"].max()
    axis.scatter(sizes["width"], sizes["height"], s=area.clip(lower=6), color=COLOURS[0], alpha=0.6, linewidths=0)
    for size in sizes.head(6).itertuples():
        axis.annotate(
            f"{size.width}x{size.height}: {size.count}", (size.width, size.height), (0, 14), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axis.margins(0.25)
    axis.set_xlabel("width (px)")
    axis.set_ylabel("height (px)")
    axis.grid()
    return figure


@styled
def intensity_figure(histogram: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw an `intensity_histogram` in 64 bins, a line a channel."""
    figure = new_figure(6, 3, demonstration)
    axis = figure.subplots()
    bins = histogram.groupby(histogram["level"] // LEVELS_A_BIN * LEVELS_A_BIN).sum()
    for channel, colour in CHANNELS.items():
        axis.plot(bins.index, bins[channel], color=colour, label=channel, linewidth=1.8 if channel == "grey" else 1.2)
    axis.set_xlim(0, 255)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("level (0 black, 255 full)")
    axis.set_ylabel("share of pixels")
    axis.grid(axis="y")
    axis.legend()
    return figure


@styled
def spread_figure(values: pd.Series, label: str, bins: int = 30, demonstration: bool = False) -> Figure:
    """Draw how many images have which value; missing values are left out."""
    figure = new_figure(6, 2.6, demonstration)
    axis = figure.subplots()
    axis.hist(values.dropna(), bins=bins, color=COLOURS[0], alpha=0.8)
    axis.set_xlabel(label)
    axis.set_ylabel("images")
    axis.grid(axis="y")
    return figure


@styled
def sample_figure(pictures: list[Image.Image], titles: list[str], demonstration: bool = False) -> Figure:
    """Draw pictures in a grid of four columns, each with its title."""
    rows = -(-len(pictures) // 4)
    figure = new_figure(8, 2.3 * rows, demonstration)
    axes = figure.subplots(rows, 4, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        axis.imshow(np.asarray(picture))
        axis.set_title(short(title), fontsize=8, fontweight="normal", loc="center")
    return figure


def boxed_picture(path: str, boxes: pd.DataFrame, colours: dict[str, str], side: int = 360) -> Image.Image:
    """Open an image, shrink it to at most `side` pixels, and draw its boxes and their class names.

    Args:
        path: of the image.
        boxes: the image's rows of a boxes table, corners in pixels of the upright image.
        colours: class name -> colour; see `class_colours`.
        side: of the picture, pixels.
    Returns:
        An RGB image.
    """
    picture = open_rgb(path)
    scale = min(1.0, side / max(picture.size))
    picture = picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    for box in boxes.itertuples():
        corners = [corner * scale for corner in (box.xmin, box.ymin, box.xmax, box.ymax)]
        pen.rectangle(corners, outline=colours[box.class_name], width=2)
        if corners[2] - corners[0] > 40:  # a name over a small animal would hide it
            place = (corners[0] + 3, corners[1] + 2)
            pen.rectangle(pen.textbbox(place, box.class_name, font=font), fill=colours[box.class_name])
            pen.text(place, box.class_name, fill="white", font=font)
    return picture


def class_colours(class_names: list[str]) -> dict[str, str]:
    """Give each class a colour; they repeat from the ninth on."""
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(class_names)}
