"""Figures of a run: each takes a table and returns a matplotlib Figure; `figure_svg` and `save_png` write it."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from marinecv.atomic import whole_file
from marinecv.report.arguments import NO_METRICS, by_epoch, square_matrix, thumbnail
from marinecv.report.style import ACCENT, CODES, COLOURS, HEAT, INK, TRAIN, VALIDATION, new_figure, short, styled

if TYPE_CHECKING:
    import keras  # of which figures know no more than its name

THUMBNAIL_PX = 160
FIRST = ("loss", "accuracy", "precision", "recall")  # of the metrics of a history


@styled
def curves(
    history: "pd.DataFrame | Mapping[str, Sequence[float]] | keras.callbacks.History",
    best: int | None = None,
    demonstration: bool = False,
) -> Figure:
    """Draw loss, accuracy, every other metric and the learning rate by epoch.

        >>> import marinecv as mcv
        >>> figure = mcv.curves({"loss": [1.1, 0.7], "val_loss": [1.2, 0.9], "accuracy": [0.4, 0.7]})
        >>> [axis.get_title(loc="left") for axis in figure.axes]
        ['Loss', 'Accuracy']

    Args:
        history: what `model.fit` returned, its `history`, or a DataFrame with a row an epoch: `loss` and others, the
            same of validation (`val_loss`), and where known `epoch` (else counted from 1) and `learning_rate`.
        best: the epoch whose weights were kept, to be marked.
        demonstration: mark the figure as made of drawn pictures.
    Raises:
        ValueError: it holds no epoch or no metric, or not as many values of each.
    """
    history = by_epoch(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history if name not in NO_METRICS))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    has_rate = "learning_rate" in history
    figure = new_figure(6, 2.6 * len(names) + 1.2 * has_rate, demonstration)
    heights = [3] * len(names) + [1] * has_rate
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, name in zip(axes, names, strict=False):
        for column, colour, label in ((name, TRAIN, "train"), (f"val_{name}", VALIDATION, "validation")):
            if column in history:
                values = history[["epoch", column]].dropna()  # of an epoch without validation nothing is known
                axis.plot(values["epoch"], values[column], color=colour, label=label, marker=_marker(values))
        axis.set_title(name.replace("_", " ").capitalize())
        axis.grid(axis="y")
    if has_rate:
        look = {"color": INK, "linewidth": 1.2, "marker": _marker(history)}
        axes[-1].step(history["epoch"], history["learning_rate"], where="mid", **look)
        _rate_axis(axes[-1], history["learning_rate"])
    if best is not None:
        for axis in axes:
            axis.axvline(best, color=ACCENT, linewidth=1, linestyle=":", label=f"best: epoch {best}")
    axes[0].legend()
    _epoch_axis(axes[-1], len(history))
    return figure


@styled
def comparison_curves(histories: Mapping[str, pd.DataFrame], demonstration: bool = False) -> Figure:
    """Overlay validation accuracy, validation loss and learning rate of the histories of runs, as far as known."""
    rows = -(-len(histories) // 2)
    titles = {"val_accuracy": "Validation accuracy", "val_loss": "Validation loss"}
    titles = {name: titles[name] for name in titles if any(name in history for history in histories.values())}
    rates = [history["learning_rate"] for history in histories.values() if "learning_rate" in history]
    heights = [2] * len(titles) + [1] * bool(rates)
    figure = new_figure(6, 1.4 * sum(heights) + 0.2 * rows, demonstration)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axis, column in zip(axes, [*titles, "learning_rate"], strict=False):
        for number, (name, history) in enumerate(histories.items()):
            line = ("-", "--", ":", "-.")[number // len(COLOURS) % 4]
            look = {"color": COLOURS[number % len(COLOURS)], "label": short(name), "marker": _marker(history)}
            if column in history:
                steps = "steps-mid" if column == "learning_rate" else "default"
                axis.plot(history["epoch"], history[column], line, drawstyle=steps, **look)
        axis.set_title(titles.get(column, ""))
        axis.grid(axis="y")
    if rates:
        _rate_axis(axes[-1], pd.concat(rates))
    _epoch_axis(axes[-1], max(map(len, histories.values())))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def confusion_figure(
    confusion: pd.DataFrame | np.ndarray,
    normalise: bool = False,
    demonstration: bool = False,
    *,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns predicted ones; empty cells stay empty.

        >>> import marinecv as mcv, numpy as np
        >>> mcv.confusion_figure(np.array([[8, 2], [1, 9]]), class_names=["crab", "eel"]).savefig("confusion.png")

    Args:
        confusion: (C, C), as `confusion` or scikit-learn's `confusion_matrix` returns it: counts, sums of weights, or
            the fractions of a matrix that is normalized already, which are shown and coloured as they are.
        normalise: divide each row by its sum, so that the diagonal is the recall; colours are always those of the row.
        demonstration: mark the figure as made of drawn pictures.
        class_names: of the rows and columns of an array, in order; None numbers them from 0.
    Raises:
        ValueError: it is no square matrix of numbers from 0 on, or has other classes in its rows than in its columns;
            or the class names do not go with it.
    """
    confusion = square_matrix(confusion, class_names)
    counts = confusion.to_numpy()
    size, sums, is_whole = len(counts), counts.sum(axis=1, keepdims=True), (counts == np.round(counts)).all()
    is_normalised = not is_whole and counts.max() <= 1
    if normalise and is_normalised:
        raise ValueError("Expected counts beside normalise=True. Received fractions: draw them with normalise=False.")
    shares = counts if is_normalised else counts / np.where(sums == 0, 1, sums)
    side = max(5.0, 0.3 * size + 2)
    figure = new_figure(side + 0.4, side, demonstration)
    axis = figure.subplots()
    axis.imshow(shares, cmap=HEAT, vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero(), strict=True):
        text = (
            f"{shares[i, j]:.2f}".lstrip("0")
            if normalise or is_normalised
            else f"{counts[i, j]:{'.0f' if is_whole else '.4g'}}"
        )
        colour = "white" if shares[i, j] > 0.6 else INK
        axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=10 if size <= 12 else 7)
    slant = dict(rotation=45, ha="right", rotation_mode="anchor") if size <= 12 else dict(rotation=90, ha="center")
    names = [short(str(name)) for name in confusion.index]
    axis.set_xticks(range(size), names, **slant)
    axis.set_yticks(range(size), names)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)
    return figure


@styled
def class_bars(per_class: pd.DataFrame, demonstration: bool = False) -> Figure:
    """Draw what `per_class_metrics` returns: precision, recall and specificity, whiskers for their 95% intervals."""
    figure = new_figure(6.4, 1.2 + 0.3 * len(per_class), demonstration)
    axes = figure.subplots(1, 3, sharey=True)
    rows = np.arange(len(per_class))
    labels = per_class["class_name"].map(short) + " (" + per_class["support"].astype(str) + ")"
    titles = {"precision": "Precision", "recall": "Recall (accuracy)", "specificity": "Specificity"}
    for axis, (name, title), colour in zip(axes, titles.items(), COLOURS, strict=False):
        axis.barh(rows, per_class[name], height=0.6, color=colour, alpha=0.75)
        axis.hlines(rows, per_class[f"{name}_low"], per_class[f"{name}_high"], color=INK, linewidth=1.2)
        axis.set_title(title)
        axis.set_xlim(0, 1)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
    axes[0].set_yticks(rows, labels)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


@styled
def image_grid(images: Sequence, titles: Sequence[str], columns: int = 4, demonstration: bool = False) -> Figure:
    """Draw small pictures in a grid.

    Args:
        images: paths, Pillow images, or arrays of pixels in [0, 255]: (height, width, 3), or 1, 4 or no channels.
        titles: one a picture.
        columns: pictures in a row.
        demonstration: mark the figure as made of drawn pictures.
    Raises:
        ValueError: there is no picture, not a title for each, one cannot be decoded, or its pixels are not those above.
    """
    if isinstance(images, str | Path) or not 0 < len(images) == len(titles) or columns < 1:
        raise ValueError(
            "Expected a list of images, a title for each, and at least one column. Received: "
            f"images={images!r:.60}, {len(titles)} titles, columns={columns}."
        )
    rows = -(-len(images) // columns)
    figure = new_figure(1.6 * columns, 1.75 * rows, demonstration)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.imshow(thumbnail(image, title, THUMBNAIL_PX))
        axis.set_title(short(str(title)), fontsize=8, fontweight="normal", loc="center")
    return figure


@styled
def figure_svg(figure: Figure) -> str:
    """Return the figure as one `<svg>` element to place in a page; the same figure gives the same text."""
    _lay_out(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    # Several figures share a page, and names such as "axes_1" must not repeat there. Clip paths keep theirs: they are
    # hashes of what they hold.
    svg = re.sub(r'<g id="[\w.]+_\d+">', "<g>", svg[svg.index("<svg") :])
    for code, letter in CODES.items():  # who reads it may have a font with that letter
        svg = svg.replace(code, letter)
    return svg


@styled
def save_png(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG at 150 dots an inch, whole or not at all.

    >>> import marinecv as mcv
    >>> mcv.save_png(mcv.curves({"loss": [1.1, 0.7], "val_loss": [1.2, 0.9]}), "curves.png")
    """
    _lay_out(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=150)


def _lay_out(figure: Figure) -> None:
    """Find the places of all parts once: matplotlib would do it anew, twice a file."""
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine("none")


def _epoch_axis(axis: Axes, epochs: int) -> None:
    """Whole epochs along the axis, a single one too."""
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs == 1:
        axis.set_xlim(0.5, 1.5)


def _rate_axis(axis: Axes, rates: pd.Series) -> None:
    """The smallest and the largest learning rate above 0, on a logarithmic axis."""
    rates = rates[rates > 0]
    axis.set_title("Learning rate (log)")
    if len(rates):
        axis.set_yscale("log")
    ends = sorted(set(rates.agg(["min", "max"]).dropna()))
    axis.set_yticks(ends, [f"{rate:.3g}" for rate in ends])
    axis.minorticks_off()
    axis.grid(axis="y")


def _marker(history: pd.DataFrame) -> str | None:
    """A line through one point is invisible: mark the points of a short history."""
    return "." if len(history) <= 3 else None
