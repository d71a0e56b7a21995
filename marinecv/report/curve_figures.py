"""Figures of a learning curve: functions that take tables and return a matplotlib Figure."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from marinecv.language import local_number, tr
from marinecv.report.style import ACCENT, COLORS, INK, MARKERS, TRAIN, new_figure, short_name, styled

METRIC_LABELS = {
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "batched_macro_f1": "F1 in sorted batches",
}
"""Metrics of `curve_table` and their names on a page."""
LETTER_WIDTH = 0.016
"""Width of a letter of a tick label, as a fraction of the axis."""


def percent(fraction: float) -> str:
    """Return a fraction as a percentage without trailing zeros: 0.125 is `12.5%`."""
    return local_number(f"{100 * fraction:g}%")


@styled
def learning_curves(
    table: pd.DataFrame, metric: str, published: pd.DataFrame | None = None, demonstration: bool = False
) -> Figure:
    """Draw a metric of each recipe by the number of labeled images, its 95% interval as a band.

    `published` has `recipe, images, metric, value` (a number) and is drawn as hollow markers.
    """
    lines, hollow = list(table["recipe"].unique()), {"markersize": 8, "markerfacecolor": "none"}
    figure, axis = new_figure(6, 3.6 + 0.2 * len(lines), demonstration)
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        marker = MARKERS[(number + number // len(COLORS)) % len(MARKERS)]
        rows = _rows(table, line, metric)
        axis.fill_between(rows["images"], rows["low"], rows["high"], color=color, alpha=0.1, linewidth=0)
        # The ends of a band are visible for a single point and among other bands.
        axis.vlines(rows["images"], rows["low"], rows["high"], color=color, linewidth=0.8, alpha=0.6)
        axis.plot(rows["images"], rows["value"], color=color, marker=marker, markersize=5, label=short_name(line))
        if published is not None:
            printed = _rows(published, line, metric)
            axis.plot(printed["images"], printed["value"], marker, color=color, **hollow)
    if published is not None:
        axis.plot([], [], "o", color=INK, label=tr("published"), **hollow)
    axis.set_ylabel(tr(METRIC_LABELS[metric]))
    axis.grid(axis="y")
    fractions = table.drop_duplicates("label_fraction")
    labels = [f"{percent(row.label_fraction)}\n{local_number(f'{row.images:,.0f}')}" for row in fractions.itertuples()]
    _image_axis(axis, dict(zip(fractions["images"], labels, strict=True)))
    columns = 1 if max(map(len, lines)) > 28 else 2
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


@styled
def law_figure(table: pd.DataFrame, line: str, law: Mapping, demonstration: bool = False) -> Figure:
    """Draw the error of a recipe by labeled images, and the fitted power law up to the goal.

    `law` is the row of all classes of `estimate_sample_size`.
    """
    rows = _rows(table, line, "accuracy")
    figure, axis = new_figure(6, 3.8, demonstration)
    error = 1 - rows["value"]
    axis.vlines(rows["images"], 1 - rows["high"], 1 - rows["low"], color=COLORS[0], linewidth=1.2)
    axis.plot(rows["images"], error, "o", color=COLORS[0], label=tr("observed: {name}", name=short_name(line)))
    ends = np.array([min(rows["images"].min(), law["images"]), max(law["images"], law["required_images"])])
    fitted_error = law["fitted"] * (ends / law["images"]) ** -law["exponent"]
    label = tr("power law: images to the power -{exponent:.3g}", exponent=law["exponent"])
    axis.plot(ends, fitted_error, color=INK, linewidth=1.2, label=label)
    axis.axhline(law["goal"], color=TRAIN, linestyle=":", label=tr("goal: error {goal:.3g}", goal=law["goal"]))
    text = "needed: {n:,.0f} images (95% CI {low:,.0f} to {high:,.0f})"
    label = tr(text, n=law["required_images"], low=law["low"], high=law["high"])
    axis.hlines(law["goal"], law["low"], law["high"], color=ACCENT, linewidth=2.4, alpha=0.6)
    axis.plot(law["required_images"], law["goal"], "D", color=ACCENT, label=label)
    heights = np.array([law["goal"], *fitted_error, *error, *(1 - rows["low"])])
    axis.set_yscale("log")
    axis.set_ylim(heights[heights > 0].min() / 1.3, min(heights.max() * 1.3, 1.05))  # an error of 0 is not drawn
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: local_number(f"{value:g}")))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y")
    axis.set_ylabel(tr("error (log)"))
    _image_axis(axis, {images: local_number(f"{images:,.0f}") for images in (*rows["images"], law["required_images"])})
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def _rows(table: pd.DataFrame, line: str, metric: str) -> pd.DataFrame:
    return table[(table["recipe"] == line) & (table["metric"] == metric)].sort_values("images")


def _image_axis(axis: Axes, labels: dict[float, str]) -> None:
    """Set a logarithmic axis with these tick labels, from the largest down, without labels that would overlap."""
    axis.set_xscale("log")
    largest, *others = sorted(labels, reverse=True)
    ticks, letter = [largest], LETTER_WIDTH * np.log(largest / min(labels))
    for images in others:
        if np.log(ticks[-1] / images) > letter * max(map(len, labels[ticks[-1]].split("\n"))):
            ticks.append(images)
    axis.set_xticks(ticks, [labels[images] for images in ticks])
    axis.minorticks_off()
    axis.set_xlabel(tr("labeled train images (log)"))
