"""Maps of a network's inner space: each takes the points and returns a matplotlib Figure."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from marinecv.report.style import COLOURS, FAINT, INK, new_figure, short, styled
from marinecv.tables import check_columns

MARKERS = dict(zip("os^DvPX*", "●■▲◆▼✚✖★", strict=True))
"""As matplotlib draws them, and as a label shows them."""
MANY = 24
"""From this many groups on labels are smaller, and on a page the figure keeps its size and scrolls."""
HEAVY = 3000
"""From this many points on they are drawn as pixels, so that the page stays small."""
STEPS = 500
"""Of pushing labels apart."""


@styled
def latent_figure(points: pd.DataFrame, by: str | None = None, demonstration: bool = False) -> Figure:
    """Draw `latent_points`, each group of the column `by` in a colour and shape of its own, named at its median."""
    check_columns(pd.DataFrame(points).rename(columns=str), ["x", "y", *([] if by is None else [by])], "points")
    if points.empty or not np.isfinite(points[["x", "y"]].to_numpy(float)).all():
        raise ValueError("Expected finite numbers in x and y of points, one row at least.")
    if by is not None:
        points = points.assign(**{by: points[by].astype(object).where(points[by].notna(), "")})
    groups = [] if by is None else _groups(points, by)
    side = max(6.5, 1.1 * np.sqrt(len(groups)))  # room for every label
    width, height = np.ptp(points[["x", "y"]], axis=0)
    figure = new_figure(side, side * np.clip(height / max(width, 1e-9), 0.6, 1.2), demonstration)
    axis = figure.subplots()
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color(FAINT)
    looks = {"linestyle": "", "markersize": 4.5, "markeredgewidth": 0, "alpha": 0.75, "rasterized": len(points) > HEAVY}
    if by is None:
        axis.plot(points["x"], points["y"], marker="o", color=COLOURS[0], **looks)
    labels, size = [], 6.5 if len(groups) >= MANY else 8.5
    for number, group in enumerate(groups):
        part, colour = points.loc[points[by] == group, ["x", "y"]], COLOURS[number % len(COLOURS)]
        marker = list(MARKERS)[number // len(COLOURS) % len(MARKERS)]  # pairs repeat after 64 groups
        axis.plot(part["x"], part["y"], marker=marker, color=colour, **looks)
        edge = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
        style = {"ha": "center", "va": "center", "fontsize": size, "in_layout": False, "bbox": edge}
        labels.append(axis.text(*part.median(), f"{MARKERS[marker]} {short(str(group), 24)}", **style))
    if labels:
        _part(figure, axis, labels)
    return figure


def _groups(points: pd.DataFrame, by: str) -> list:
    """The groups by the direction in which they lie from the middle of the map: neighbours differ in colour."""
    away = points.groupby(by)[["x", "y"]].median() - points[["x", "y"]].median()
    return list(away.index[np.argsort(np.arctan2(away["y"], away["x"]), kind="stable")])


def _part(figure: Figure, axis: Axes, labels: list[Text]) -> None:
    """Push labels off each other, and tie each that has moved to its point with a line."""
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    sizes = np.array([box.size for box in boxes]) + 8  # and the frame
    start = np.array([(box.min + box.max) / 2 for box in boxes])
    low, high = axis.bbox.min + sizes / 2, axis.bbox.max - sizes / 2
    numbers = np.arange(len(labels))
    before = np.sign(numbers[:, np.newaxis] - numbers)[..., np.newaxis]  # of two in one place the later one goes up
    reach = (sizes[:, np.newaxis] + sizes) / 2
    centres = start
    for step in range(STEPS):
        apart = centres[:, np.newaxis] - centres
        overlap = reach - np.abs(apart)
        meet = (overlap > 0.5).all(axis=2, keepdims=True) & (before != 0)
        if not meet.any():
            break
        # The shortest way out, at first; where that leads into columns too long, the way from middle to middle.
        shortest, between = overlap == overlap.min(axis=2, keepdims=True), (np.abs(apart) + 1) / reach
        way = shortest if step < STEPS / 2 else between
        push = np.where(apart == 0, before, np.sign(apart)) * overlap * way / way.sum(axis=2, keepdims=True) * meet
        centres = np.clip(centres + push.sum(axis=1) / 2, low, high)
    to_data = axis.transData.inverted()
    for label, begin, end in zip(labels, start, centres, strict=True):
        label.set_position(to_data.transform(end))
        axis.plot(*to_data.transform([begin, end]).T, color=INK, linewidth=0.6, zorder=2.5, scalex=False, scaley=False)
