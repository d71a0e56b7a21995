"""Figures of a search: each takes the table of its trials and returns a matplotlib Figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from marinecv.report.style import ACCENT, COLOURS, FAINT, INK, TRAIN, new_figure, styled
from marinecv.search.space import Parameter

VALUE = "validation accuracy"
DONE, SHADES = COLOURS[0], "viridis_r"
UNUSED = -0.12  # where a parameter that plays no part crosses its axis, below all values


@styled
def trials_figure(trials: pd.DataFrame, best: int | None, demonstration: bool = False) -> Figure:
    """Draw the value of each trial of `Search.table()` in their order, the best so far, and the best of all."""
    figure = new_figure(6, 3.4, demonstration)
    axis = figure.subplots()
    done, pruned = trials[trials["status"] == "done"], trials[(trials["status"] == "pruned") & trials["value"].notna()]
    failed = trials[trials["status"] == "failed"]
    axis.scatter(done["number"], done["value"], s=22, color=DONE, label="done", zorder=3)
    if len(pruned):
        axis.scatter(pruned["number"], pruned["value"], s=20, facecolors="none", edgecolors=TRAIN, label="pruned")
    axis.step(
        done["number"], done["value"].astype(float).cummax(), where="post", color=INK, label="best so far", lw=1.2
    )
    if best is not None:
        row = done[done["number"] == best]
        label = f"best: trial {best}"
        axis.scatter(row["number"], row["value"], s=90, facecolors="none", edgecolors=ACCENT, lw=1.8, label=label)
    if len(failed):
        low = axis.get_ylim()[0]
        axis.scatter(failed["number"], [low] * len(failed), marker="x", color=ACCENT, label="failed", clip_on=False)
        axis.set_ylim(bottom=low)
    axis.set_xlim(0.5, max(trials["number"], default=1) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("trial")
    axis.set_ylabel(VALUE)
    axis.grid(axis="y")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def importance_figure(importance: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw how much each hyper-parameter matters, from `search.importance`; whiskers are one standard deviation."""
    figure = new_figure(6, 1 + 0.32 * len(importance), demonstration)
    axis = figure.subplots()
    rows = np.arange(len(importance))
    axis.barh(rows, importance["share"], height=0.6, color=DONE, alpha=0.75)
    low = (importance["share"] - importance["deviation"]).clip(lower=0)
    axis.hlines(rows, low, importance["share"] + importance["deviation"], color=INK, linewidth=1.2)
    axis.set_yticks(rows, importance["name"].str.replace("_", " "))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("share of the importance")
    axis.grid(axis="x")
    return figure


@styled
def parallel_figure(
    trials: pd.DataFrame, space: Sequence[Parameter], best: int | None, demonstration: bool = False
) -> Figure:
    """Draw each trial that has a value as a line through its hyper-parameters, an axis each, coloured by its value."""
    shown = trials[trials["value"].notna()]
    figure = new_figure(1.02 * len(space) + 1.6, 3.8, demonstration)
    axis = figure.subplots()
    places = np.arange(len(space))
    values = shown["value"].astype(float)
    scale = Normalize(values.min(), max(values.max(), values.min() + 1e-6))
    colours = colormaps[SHADES]
    for _, trial in shown.assign(value=values).sort_values("value").iterrows():
        heights = [_height(parameter, trial[parameter.name]) for parameter in space]
        is_best, is_done = trial["number"] == best, trial["status"] == "done"
        colour = ACCENT if is_best else colours(scale(trial["value"])) if is_done else TRAIN
        look = {"linewidth": 2.4, "zorder": 4} if is_best else {"linewidth": 1.1, "alpha": 0.8 if is_done else 0.4}
        axis.plot(places, heights, color=colour, linestyle="-" if is_done else ":", **look)
    axis.vlines(places, 0, 1, color=INK, linewidth=1)
    for place, parameter in zip(places, space, strict=True):
        for height, text in _ticks(parameter):
            box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8}
            axis.text(place + 0.05, height, text, va="center", fontsize=7.5, zorder=5, bbox=box)
    if any(parameter.needs for parameter in space):
        axis.axhline(UNUSED, color=FAINT, linewidth=0.8, zorder=0)
        axis.text(-0.1, UNUSED, "not used", ha="right", va="center", fontsize=7.5)
    axis.set_xticks(places, [parameter.name.replace("_", "\n") for parameter in space])
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.set_xlim(-0.1, len(space) - 0.5)
    axis.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(scale, colours), ax=axis, label=VALUE, fraction=0.04, pad=0.02)
    return figure


def _height(parameter: Parameter, value) -> float:
    """Where a value stands on its axis, from 0 to 1."""
    if value is None:
        return UNUSED
    if parameter.choices:
        return parameter.choices.index(value) / max(1, len(parameter.choices) - 1)
    low, high, value = (
        np.log([parameter.low, parameter.high, value]) if parameter.log else (parameter.low, parameter.high, value)
    )
    return float((value - low) / (high - low))


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if parameter.choices:
        return [(_height(parameter, choice), str(choice)) for choice in parameter.choices]
    spread = np.geomspace if parameter.log else np.linspace
    return [(_height(parameter, value), f"{value:.3g}") for value in spread(parameter.low, parameter.high, 3)]
