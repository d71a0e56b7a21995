"""Figures of a run: functions that take tables and return a matplotlib Figure, and its export as SVG, PDF and PNG."""

import io
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from marinecv.files.atomic import whole_file, write_text
from marinecv.language import local_number, tr
from marinecv.report.style import (
    ACCENT,
    COLORS,
    ESCAPE_CODES,
    FAINT,
    INK,
    TRAIN,
    VALIDATION,
    new_figure,
    short_name,
    styled,
)

if TYPE_CHECKING:
    import keras

NON_METRIC_COLUMNS = {"epoch", "learning_rate", "seconds"}  # of the columns of a history
Rows = pd.DataFrame | list[dict]
FIRST_METRICS = ("loss", "accuracy", "precision", "recall")  # of the metrics of a history


@styled
def curves(
    history: "pd.DataFrame | Mapping[str, Sequence[float]] | keras.callbacks.History",
    best: int | None = None,
    demonstration: bool = False,
) -> Figure:
    """Draw loss, accuracy, other metrics and the learning rate by epoch.

        >>> import marinecv as mcv
        >>> figure = mcv.curves({"loss": [1.1, 0.7], "val_loss": [1.2, 0.9], "accuracy": [0.4, 0.7]})
        >>> [axis.get_title(loc="left") for axis in figure.axes]
        ['Loss', 'Accuracy']

    Args:
        history: result of `model.fit`, its dict `history`, or a DataFrame with one row an epoch: metrics (`loss`),
            validation metrics (`val_loss`), and optionally `epoch` (default: from 1) and `learning_rate`.
        best: epoch to mark, that of the saved weights.
        demonstration: label the figure as made of generated demo images.
    Raises:
        ValueError: the history has no epoch or no metric, or metrics of unequal length.
    """
    history = _by_epoch(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history if name not in NON_METRIC_COLUMNS))
    names.sort(key=lambda name: FIRST_METRICS.index(name) if name in FIRST_METRICS else len(FIRST_METRICS))
    has_rate = "learning_rate" in history
    heights = [3] * len(names) + [1] * has_rate
    panels = {"rows": len(heights), "sharex": True, "squeeze": False, "height_ratios": heights}
    figure, axes = new_figure(6, 2.6 * len(names) + 1.2 * has_rate, demonstration, **panels)
    axes = axes.ravel()
    for axis, name in zip(axes, names, strict=False):
        for column, color, label in ((name, TRAIN, tr("train")), (f"val_{name}", VALIDATION, tr("validation"))):
            if column in history:
                values = history[["epoch", column]].dropna()  # epochs without validation
                axis.plot(values["epoch"], values[column], color=color, label=label, marker=_marker(values))
        axis.set_title(tr(name.replace("_", " ").capitalize()))
        axis.grid(axis="y")
    if has_rate:
        style = {"color": INK, "linewidth": 1.2, "marker": _marker(history)}
        axes[-1].step(history["epoch"], history["learning_rate"], where="mid", **style)
        _rate_axis(axes[-1], history["learning_rate"])
    if best is not None:
        for axis in axes:
            axis.axvline(best, color=ACCENT, linewidth=1, linestyle=":", label=tr("best: epoch {best}", best=best))
    axes[0].legend()
    _epoch_axis(axes[-1], len(history))
    return figure


@styled
def comparison_curves(histories: Mapping[str, pd.DataFrame], demonstration: bool = False) -> Figure:
    """Overlay validation accuracy, validation loss and learning rate of several runs; histories by name of the run."""
    rows = -(-len(histories) // 2)
    titles = {"val_accuracy": tr("Validation accuracy"), "val_loss": tr("Validation loss")}
    titles = {name: titles[name] for name in titles if any(name in history for history in histories.values())}
    rates = [history["learning_rate"] for history in histories.values() if "learning_rate" in history]
    heights = [2] * len(titles) + [1] * bool(rates)
    panels = {"rows": len(heights), "sharex": True, "height_ratios": heights}
    figure, axes = new_figure(6, 1.4 * sum(heights) + 0.2 * rows, demonstration, **panels)
    for axis, column in zip(axes, [*titles, "learning_rate"], strict=False):
        for number, (name, history) in enumerate(histories.items()):
            line = ("-", "--", ":", "-.")[number // len(COLORS) % 4]
            style = {"color": COLORS[number % len(COLORS)], "label": short_name(name), "marker": _marker(history)}
            if column in history:
                steps = "steps-mid" if column == "learning_rate" else "default"
                axis.plot(history["epoch"], history[column], line, drawstyle=steps, **style)
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
    normalize: bool = False,
    demonstration: bool = False,
    *,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns predicted classes; zero cells have no text.

        >>> import marinecv as mcv, numpy as np
        >>> mcv.confusion_figure(np.array([[8, 2], [1, 9]]), class_names=["crab", "eel"]).savefig("confusion.png")

    Args:
        confusion: (C, C) counts, sums of weights or fractions, from `confusion` or scikit-learn's `confusion_matrix`.
        normalize: divide each row by its sum, so that the diagonal is the recall; colors always show this fraction.
        demonstration: label the figure as made of generated demo images.
        class_names: class names of an array, in order; None numbers the classes from 0.
    Raises:
        ValueError: the matrix is not square, negative or not numeric, its rows and columns have different classes, or
            `class_names` does not fit.
    """
    confusion = _square_matrix(confusion, class_names)
    counts = confusion.to_numpy()
    size, sums, is_whole = len(counts), counts.sum(axis=1, keepdims=True), (counts == np.round(counts)).all()
    fractions = counts / np.where(sums == 0, 1, sums)
    cell = min(0.3, max(0.12, 12 / size))  # inches
    side, letters = max(5.0, cell * size + 2), {"fontsize": min(9, 54 * cell)}
    figure, axis = new_figure(side + 0.4, side, demonstration)
    axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero(), strict=True):
        text = f"{counts[i, j]:{'.0f' if is_whole else '.3g'}}"
        text = f"{fractions[i, j]:.2f}".lstrip("0") if normalize else text
        color = "white" if fractions[i, j] > 0.6 else INK
        style = {"ha": "center", "va": "center", "color": color, "in_layout": False}
        axis.text(j, i, local_number(text), fontsize=10 if size <= 12 else min(7, 40 * cell), **style)
    slant = dict(rotation=45, ha="right", rotation_mode="anchor") if size <= 12 else dict(rotation=90, ha="center")
    names = [short_name(str(name)) for name in confusion.index]
    axis.set_xticks(range(size), names, **slant, **letters)
    axis.set_yticks(range(size), names, **letters)
    axis.set(xlabel=tr("predicted class"), ylabel=tr("true class"))
    axis.tick_params(length=0)
    for lines in (axis.hlines, axis.vlines):
        lines(np.arange(size - 1) + 0.5, -0.5, size - 0.5, color="white", linewidth=1)
    axis.spines[:].set_visible(False)
    return figure


@styled
def reliability_figure(before: Rows, after: Rows | None, demonstration: bool = False) -> Figure:
    """Draw accuracy by confidence with 95% intervals, before and after temperature scaling.

    Both are rows of `reliability_table`; None leaves `after` out. Point area grows with the number of images.
    """
    drawn = [(tr("Before"), pd.DataFrame(before), COLORS[7]), (tr("After"), pd.DataFrame(after), COLORS[0])]
    drawn = [("", drawn[0][1], COLORS[0])] if after is None else drawn
    panels = {"columns": len(drawn), "sharex": True, "sharey": True, "squeeze": False}
    figure, [axes] = new_figure(6.4, 3.6, demonstration, **panels)
    most = max(table["n"].max() for _, table, _ in drawn)
    for axis, (title, table, color) in zip(axes, drawn, strict=True):
        axis.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axis.vlines(table["confidence"], table["low"], table["high"], color=color, linewidth=1.2)
        axis.scatter(table["confidence"], table["accuracy"], s=12 + 90 * table["n"] / most, color=color)
        axis.set(title=title, xlabel=tr("confidence"), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axis.set_xticks([0, 0.5, 1], ["0", local_number("0.5"), "1"])
        axis.grid(color=FAINT)
    axes[0].set_ylabel(tr("accuracy"))
    return figure


@styled
def selective_accuracy_figure(curve: pd.DataFrame, goal: float, demonstration: bool = False) -> Figure:
    """Draw a `selective_accuracy_curve` by fraction of images reviewed, its 95% interval and the goal."""
    figure, axis = new_figure(6, 3.4, demonstration)
    axis.fill_between(curve["fraction"], curve["low"], curve["high"], color=COLORS[0], alpha=0.12, linewidth=0)
    axis.plot(curve["fraction"], curve["accuracy"], color=COLORS[0], marker=".")
    axis.axhline(goal, color=ACCENT, linewidth=1, linestyle=":", label=tr("goal: {goal:.0%}", goal=goal))
    axis.set(xlabel=tr("images reviewed, most uncertain first"), ylabel=tr("accuracy of the other images"))
    axis.set_ylim(min(curve["low"].min(), 0.95) - 0.02, 1.02)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(lambda value, _: local_number(f"{100 * value:.3g}%")))
    axis.grid(axis="y")
    axis.legend(loc="lower right")
    return figure


@styled
def figure_svg(figure: Figure) -> str:
    """Return the figure as one `<svg>` element for a page; equal figures give equal text."""
    _run_layout(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    # Ids such as "axes_1" must not repeat on a page of several figures; those of clip paths are hashes and stay.
    svg = re.sub(r'<g id="[\w.]+_\d+">', "<g>", svg[svg.index("<svg") :])
    for code, letter in ESCAPE_CODES.items():  # the reader's machine may have a font with that letter
        svg = svg.replace(code, letter)
    return svg


@styled
def save_png(figure: Figure, path: str | Path) -> None:
    """Write the figure atomically as PNG of 150 dpi.

    >>> import marinecv as mcv
    >>> mcv.save_png(mcv.curves({"loss": [1.1, 0.7], "val_loss": [1.2, 0.9]}), "curves.png")
    """
    _run_layout(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=150)


@styled
def save_vector(figure: Figure, path: Path) -> None:
    """Write the figure atomically as SVG and PDF: `path` with these suffixes."""
    write_text(path.with_suffix(".svg"), figure_svg(figure))
    with whole_file(path.with_suffix(".pdf")) as part:
        figure.savefig(part, format="pdf", metadata={"CreationDate": None})


def _run_layout(figure: Figure) -> None:
    """Run the layout engine once; matplotlib would run it twice for each file."""
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine("none")


def _by_epoch(history) -> pd.DataFrame:
    """Return the numeric columns of a history with a column `epoch`."""
    values = history if isinstance(history, pd.DataFrame) else getattr(history, "history", history)
    if not isinstance(values, Mapping | pd.DataFrame):
        raise ValueError(f"Expected history of model.fit, its dict or a DataFrame. Received: {history!r:.60}.")
    columns = {name: np.atleast_1d(values[name]) for name in values}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"Expected metrics of one value an epoch. Received lengths: {lengths}. Fit with validation_freq=1, or pass "
            "a DataFrame with NaN for the epochs without validation."
        )
    table = pd.DataFrame(columns).select_dtypes("number")
    if "epoch" not in table:
        table = table.assign(epoch=np.add(getattr(history, "epoch", np.arange(len(table))), 1))
    if table.empty or NON_METRIC_COLUMNS.issuperset(table):
        raise ValueError(f"Expected an epoch and a metric in history. Received: {len(table)} of {list(values)}.")
    return table


def _square_matrix(confusion: pd.DataFrame | np.ndarray, class_names: Sequence[str] | None) -> pd.DataFrame:
    """Return a confusion matrix labeled with class names."""
    counts, is_table = np.asarray(confusion), isinstance(confusion, pd.DataFrame)
    is_square = counts.ndim == 2 and 0 < counts.shape[0] == counts.shape[1]
    if not is_square or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        raise ValueError(f"confusion must be a square matrix of numbers >= 0. Received: {confusion!r:.80}.")
    if is_table and list(confusion.index) != list(confusion.columns):
        raise ValueError(
            f"confusion must have the same classes in rows and columns. Received: {confusion!r:.160}. Sort them with "
            "reindex(index=names, columns=names)."
        )
    if class_names is None:
        return confusion if is_table else pd.DataFrame(counts)
    if is_table or isinstance(class_names, str | Set) or len(class_names) != len(counts):
        raise ValueError(
            f"class_names must be a list of {len(counts)} names for an array; a DataFrame has its own names. "
            f"Received: {class_names!r:.80}."
        )
    return pd.DataFrame(counts, index=list(class_names), columns=list(class_names))


def _epoch_axis(axis: Axes, epochs: int) -> None:
    """Label the axis with whole epochs, also for a single one."""
    axis.set_xlabel(tr("epoch"))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs == 1:
        axis.set_xlim(0.5, 1.5)


def _rate_axis(axis: Axes, rates: pd.Series) -> None:
    """Label the smallest and the largest learning rate above 0 on a logarithmic axis."""
    rates = rates[rates > 0]
    axis.set_title(tr("Learning rate (log)"))
    if len(rates):
        axis.set_yscale("log")
    ends = sorted(set(rates.agg(["min", "max"]).dropna()))
    axis.set_yticks(ends, [local_number(f"{rate:.3g}") for rate in ends])
    axis.minorticks_off()
    axis.grid(axis="y")


def _marker(history: pd.DataFrame) -> str | None:
    """Return a marker for short histories: a line through one point is invisible."""
    return "." if len(history) <= 3 else None
