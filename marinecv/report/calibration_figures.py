"""Figures of how sure a model is: each takes tables and returns a matplotlib Figure."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from marinecv.report.style import ACCENT, COLOURS, FAINT, INK, new_figure, styled


@styled
def reliability_figure(before: pd.DataFrame, after: pd.DataFrame | None, demonstration: bool = False) -> Figure:
    """Draw accuracy by confidence before and after the temperature, whiskers for the 95% intervals.

    Both are as `reliability_table` returns them; the larger a point, the more images it is of.
    """
    figure = new_figure(6.4, 3.6, demonstration)
    drawn = [("Before", before, COLOURS[7]), ("After", after, COLOURS[0])]
    drawn = [("", before, COLOURS[0])] if after is None else drawn
    axes = figure.subplots(1, len(drawn), sharex=True, sharey=True, squeeze=False)[0]
    most = max(table["n"].max() for _, table, _ in drawn)
    for axis, (title, table, colour) in zip(axes, drawn, strict=True):
        axis.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axis.vlines(table["confidence"], table["low"], table["high"], color=colour, linewidth=1.2)
        axis.scatter(table["confidence"], table["accuracy"], s=12 + 90 * table["n"] / most, color=colour)
        axis.set_title(title)
        axis.set_xlabel("confidence")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.set_aspect("equal")
        axis.grid(color=FAINT)
    axes[0].set_ylabel("accuracy")
    return figure


@styled
def triage_figure(curve: pd.DataFrame, goal: float, demonstration: bool = False) -> Figure:
    """Draw a `triage_curve`: the accuracy of the rest by the share of images looked at, its 95% interval as a band."""
    figure = new_figure(6, 3.4, demonstration)
    axis = figure.subplots()
    axis.fill_between(curve["share"], curve["low"], curve["high"], color=COLOURS[0], alpha=0.12, linewidth=0)
    axis.plot(curve["share"], curve["accuracy"], color=COLOURS[0], marker=".")
    axis.axhline(goal, color=ACCENT, linewidth=1, linestyle=":", label=f"sought: {goal:.0%}")
    axis.set_xlabel("images looked at, the most doubtful first")
    axis.set_ylabel("right among the rest")
    axis.set_ylim(min(curve["low"].min(), 0.95) - 0.02, 1.02)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1))
    axis.grid(axis="y")
    axis.legend(loc="lower right")
    return figure
