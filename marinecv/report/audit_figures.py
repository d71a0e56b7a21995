"""Figures of an audit: functions that take tables of `marinecv.audit` and return a matplotlib Figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from marinecv.inputs.to_rgb import open_rgb, shrink
from marinecv.language import tr
from marinecv.report.style import COLORS, FAINT, INK, font_file, new_figure, short_name, styled

CHANNELS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2", "gray": INK}
LEVELS_PER_BIN = 4
SAMPLE_PX = 256
MAX_NAMED_BARS = 60
"""Number of classes up to which each bar has its name."""


@styled
def count_figure(counts: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw `class_counts` as a bar of stacked splits for each class; above `MAX_NAMED_BARS` without names."""
    classes = counts[counts["class_name"] != "total"]
    has_many_classes = len(classes) > MAX_NAMED_BARS
    figure, axis = new_figure(6, 6 if has_many_classes else 1.2 + 0.3 * len(classes), demonstration)
    rows, left = np.arange(len(classes)), np.zeros(len(classes))
    splits = [column for column in classes if column not in ("class_name", "total", "fraction")]
    for split, color in class_colors(splits).items():
        style = {"height": 1 if has_many_classes else 0.65, "color": color, "label": tr(split or "no split")}
        axis.barh(rows, classes[split], left=left, **style)
        left += classes[split].to_numpy()
    if has_many_classes:
        axis.set(yticks=[], ylabel=tr("{n} classes, the largest on top", n=len(classes)))
    else:
        for row, total in zip(rows, left, strict=True):
            axis.text(total, row, f" {total:.0f}", va="center")
        axis.set_yticks(rows, classes["class_name"].map(short_name))
    axis.set(ylim=(len(rows) - 0.4, -0.6), xlabel=tr("usable images"))
    axis.grid(axis="x")
    if splits != [""]:
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(splits))
    return figure


@styled
def size_figure(sizes: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw each size of `distinct_sizes` as a disc whose area is its number of images."""
    figure, axis = new_figure(5, 4.2, demonstration)
    area = 900 * sizes["count"] / sizes["count"].max()
    axis.scatter(sizes["width"], sizes["height"], s=area.clip(lower=6), color=COLORS[0], alpha=0.6, linewidths=0)
    axis.margins(0.25)
    axis.set(xlabel=tr("width (px)"), ylabel=tr("height (px)"))
    axis.grid()
    return figure


@styled
def intensity_figure(histogram: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw an `intensity_histogram` in 64 bins, one line a channel, and mark the middle level 128."""
    figure, axis = new_figure(6, 3, demonstration)
    bins = histogram.groupby(histogram["level"] // LEVELS_PER_BIN * LEVELS_PER_BIN).sum()
    for channel, color in CHANNELS.items():
        width = 1.8 if channel == "gray" else 1.2
        axis.plot(bins.index, bins[channel], color=color, label=tr(channel), linewidth=width)
    axis.axvline(128, color=FAINT, zorder=0)
    axis.set(xlim=(0, 255), xlabel=tr("level (0 black, 255 full)"), ylabel=tr("fraction of pixels"))
    axis.set_ylim(bottom=0)
    axis.grid(axis="y")
    axis.legend()
    return figure


@styled
def histogram_figure(values: pd.Series, label: str, demonstration: bool = False) -> Figure:
    """Draw a histogram of one value an image; missing values are left out."""
    figure, axis = new_figure(6, 2.6, demonstration)
    axis.hist(values.dropna(), bins=30, color=COLORS[0], alpha=0.8)
    axis.set(xlabel=label, ylabel=tr("images"))
    axis.grid(axis="y")
    return figure


@styled
def sample_figure(pictures: list[Image.Image], titles: list[str], demonstration: bool = False) -> Figure:
    """Draw images in a grid of four columns, each with its title."""
    rows = -(-len(pictures) // 4)
    figure, axes = new_figure(8, 2.3 * rows, demonstration, rows, 4, squeeze=False)
    axes = axes.ravel()
    for axis in axes:
        axis.axis("off")
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        axis.imshow(np.asarray(picture))
        axis.set_title(short_name(title), fontsize=8, fontweight="normal", loc="center")
    return figure


def draw_boxes(path: str, boxes: pd.DataFrame, colors: dict[str, str], side: int = SAMPLE_PX) -> Image.Image:
    """Open an image as RGB, shrink it to at most `side` pixels, and draw its boxes and class names.

    Box corners are in pixels of the image after EXIF rotation; `colors` come from `class_colors`.
    """
    picture, scale = shrink(open_rgb(path), side)
    pen = ImageDraw.Draw(picture)
    for box in boxes.itertuples():
        corners = [corner * scale for corner in (box.xmin, box.ymin, box.xmax, box.ymax)]
        pen.rectangle(corners, outline=colors[box.class_name], width=2)
        if corners[2] - corners[0] > 40:  # a name would hide a small animal
            position, name = (corners[0] + 3, corners[1] + 2), short_name(box.class_name, 24)
            font = ImageFont.truetype(font_file(name), size=11)
            pen.rectangle(pen.textbbox(position, name, font=font), fill=colors[box.class_name])
            pen.text(position, name, fill="white", font=font)
    return picture


def class_colors(class_names: list[str]) -> dict[str, str]:
    """Return a color for each class; colors repeat from the ninth class on."""
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(class_names)}
