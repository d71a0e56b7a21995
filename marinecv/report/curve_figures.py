"""Figures of a learning curve: each takes tables and returns a matplotlib Figure."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from marinecv.report.latent_figures import MARKERS
from marinecv.report.style import ACCENT, COLOURS, INK, TRAIN, new_figure, short, styled

NAMES = {
    "log_loss": "loss",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "batched_macro_f1": "F1 in sorted batches",
}
"""Of the metrics of `curve_table`, as a reader sees them."""
IMAGES = "labelled train images (log)"
LETTER = 0.016
"""Of the axis' width: what a letter of a tick's label takes."""


def percent(share: float) -> str:
    """Write a share as a reader sees it: 0.1 is `10%`, 0.125 is `12.5%`."""
    return f"{100 * share:g}%"


@styled
def learning_curves(
    table: pd.DataFrame, metric: str, published: pd.DataFrame | None = None, demonstration: bool = False
) -> Figure:
    """Draw a metric of each line by the number of labelled images, its 95% interval as a band.

    What is published is `line, labelled, images, metric, value` (a number), drawn as hollow markers.
    """
    lines = list(table["line"].unique())
    figure = new_figure(6, 3.6 + 0.2 * len(lines), demonstration)
    axis = figure.subplots()
    for number, line in enumerate(lines):
        colour, marker = COLOURS[number % len(COLOURS)], _marker(number)
        part = _part(table, line, metric)
        axis.fill_between(part["images"], part["low"], part["high"], color=colour, alpha=0.1, linewidth=0)
        # A band is as wide as its line is long: of one point, or among other bands, only its ends can be seen.
        axis.vlines(part["images"], part["low"], part["high"], color=colour, linewidth=0.8, alpha=0.6)
        axis.plot(part["images"], part["value"], color=colour, marker=marker, markersize=5, label=short(line))
        if published is not None:
            theirs = _part(published, line, metric)
            axis.plot(theirs["images"], theirs["value"], color=colour, **_hollow(marker))
    if published is not None:
        axis.plot([], [], color=INK, label="published", **_hollow("o"))
    axis.set_ylabel(NAMES[metric])
    axis.grid(axis="y")
    shares = table.drop_duplicates("labelled")
    labels = [f"{percent(row.labelled)}\n{row.images:,.0f}" for row in shares.itertuples()]
    _image_axis(axis, dict(zip(shares["images"], labels, strict=True)))
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside lower center", ncols=1 if max(map(len, lines)) > 28 else 2
    )
    return figure


@styled
def law_figure(table: pd.DataFrame, line: str, law: Mapping, demonstration: bool = False) -> Figure:
    """Draw the error of a line by its labelled images, and the power law through it as far as its goal.

    The law is the row `all` of `photographs_needed`, not refused: `images, fitted, exponent, goal, needed, low, high`.
    """
    part = _part(table, line, "accuracy")
    figure = new_figure(6, 3.8, demonstration)
    axis = figure.subplots()
    error = 1 - part["value"]
    axis.vlines(part["images"], 1 - part["high"], 1 - part["low"], color=COLOURS[0], linewidth=1.2)
    axis.plot(part["images"], error, "o", color=COLOURS[0], label=f"observed: {short(line)}")
    ends = np.array([min(part["images"].min(), law["images"]), max(law["images"], law["needed"])])
    along = law["fitted"] * (ends / law["images"]) ** -law["exponent"]
    axis.plot(ends, along, color=INK, linewidth=1.2, label=f"law: images to the power -{law['exponent']:.3g}")
    axis.axhline(law["goal"], color=TRAIN, linestyle=":", label=f"goal: error {law['goal']:.3g}")
    label = f"needed: {law['needed']:,.0f} images (95% {law['low']:,.0f} to {law['high']:,.0f})"
    axis.hlines(law["goal"], law["low"], law["high"], color=ACCENT, linewidth=2.4, alpha=0.6)
    axis.plot(law["needed"], law["goal"], "D", color=ACCENT, label=label)
    heights = np.array([law["goal"], *along, *error, *(1 - part["low"])])
    axis.set_yscale("log")  # an interval that reaches down to no error at all leaves the axis
    axis.set_ylim(heights[heights > 0].min() / 1.3, min(heights.max() * 1.3, 1.05))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y")
    axis.set_ylabel("error (log)")
    _image_axis(axis, {images: f"{images:,.0f}" for images in (*part["images"], law["needed"])})
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def _part(table: pd.DataFrame, line: str, metric: str) -> pd.DataFrame:
    return table[(table["line"] == line) & (table["metric"] == metric)].sort_values("images")


def _marker(number: int) -> str:
    """Of a line: pairs of colour and marker repeat after 64 lines."""
    return list(MARKERS)[(number + number // len(COLOURS)) % len(MARKERS)]


def _hollow(marker: str) -> dict:
    return {"linestyle": "", "marker": marker, "markersize": 8, "markerfacecolor": "none"}


def _image_axis(axis: Axes, labels: dict[float, str]) -> None:
    """A logarithmic axis of images with these ticks, from the largest down as far as their labels have room."""
    axis.set_xscale("log")
    largest, *others = sorted(labels, reverse=True)
    kept, letter = [largest], LETTER * np.log(largest / min(labels))
    for images in others:
        if np.log(kept[-1] / images) > letter * max(map(len, labels[kept[-1]].split("\n"))):
            kept.append(images)
    axis.set_xticks(kept, [labels[images] for images in kept])
    axis.minorticks_off()
    axis.set_xlabel(IMAGES)
