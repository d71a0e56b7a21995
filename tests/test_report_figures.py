"""Figures of a run: what they draw, the same look everywhere, and any name."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from sklearn.metrics import confusion_matrix

from marinecv.evaluation.calibration import reliability_table
from marinecv.evaluation.metrics import confusion
from marinecv.evaluation.predictions import make_table
from marinecv.evaluation.selective import selective_accuracy_curve
from marinecv.report import figures
from marinecv.report.figures import confusion_figure, curves, figure_svg, save_png
from marinecv.report.style import DEMONSTRATION_MARK, FALLBACK_FONTS, STYLE, short_name

HISTORY = pd.DataFrame({"epoch": [1, 2, 3, 4], "loss": [1.0, 0.7, 0.5, 0.4], "accuracy": [0.4, 0.6, 0.7, 0.8]})
HISTORY = HISTORY.assign(val_loss=[1.1, 0.8, 0.7, 0.9], val_accuracy=[0.3, 0.6, 0.5, 0.6])
HISTORY["learning_rate"] = [1e-3, 1e-3, 1e-3, 2e-4]
LINES = ("train", "validation")
CONFIDENCE = np.linspace(0.3, 1, 40)
RIGHT = np.arange(40) % 3 > 0
RELIABILITY, TRIAGE = reliability_table(CONFIDENCE, RIGHT), selective_accuracy_curve(1 - CONFIDENCE, RIGHT)


def table_of(num_classes):
    rng = np.random.default_rng(0)
    names = [f"kind_{number} <$&{number}$>" for number in range(num_classes)]
    true = [names[i] for i in rng.integers(0, num_classes, 60)]
    ids = [str(number) for number in range(60)]
    return make_table(ids, ["test"] * 60, true, rng.dirichlet(np.ones(num_classes), 60), names)


def figures_of(demonstration):
    table = table_of(3)
    yield curves(HISTORY, demonstration=demonstration)
    yield figures.comparison_curves({"a": HISTORY, "b": HISTORY}, demonstration)
    yield confusion_figure(confusion(table), demonstration=demonstration)
    yield figures.reliability_figure(RELIABILITY, RELIABILITY, demonstration)
    yield figures.selective_accuracy_figure(TRIAGE, 0.95, demonstration)


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def labels_of(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_every_figure_is_marked_if_it_is_a_demonstration_and_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    assert all(DEMONSTRATION_MARK in figure_svg(figure) for figure in figures_of(True))
    assert not any(DEMONSTRATION_MARK in figure_svg(figure) for figure in figures_of(False))
    assert dict(matplotlib.rcParams) == before


def test_the_learning_rate_has_a_panel_and_the_best_epoch_a_mark():
    figure = curves(HISTORY, best=3)
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["Loss", "Accuracy"]
    assert figure.axes[2].get_yscale() == "log" and "best: epoch 3" in figure_svg(figure)
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["0.0002", "0.001"]
    warm_up = curves({"loss": [3, 2, 1], "learning_rate": [0, 0.1, 0.01]}).axes[1]
    assert [label.get_text() for label in warm_up.get_yticklabels()] == ["0.01", "0.1"]
    curves({"loss": [3.0], "learning_rate": [0.0]})


def test_a_run_of_one_epoch_is_visible():
    axes = curves(HISTORY.head(1)).axes
    assert axes[0].lines[0].get_marker() == axes[-1].lines[0].get_marker() == "."
    assert [tick for tick in axes[-1].get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_many_runs_stay_distinguishable():
    figure = figures.comparison_curves({f"_run {number}": HISTORY for number in range(10)})
    assert len({(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}) == 10
    assert "_run 9" in figure_svg(figure)  # matplotlib leaves names with a leading _ out of a legend


def lines_of(figure):
    lines = {axis.get_title(loc="left"): axis.lines for axis in figure.axes}
    return {title: {line.get_label(): line.get_xdata().tolist() for line in drawn} for title, drawn in lines.items()}


def test_curves_draw_a_history_its_dict_and_a_table_and_epochs_without_validation_break_no_line():
    values = {"top_1": [0, 1, 1], "loss": [3, 2, 1], "val_loss": [3, 2, 2]}
    history = SimpleNamespace(history=values, epoch=[2, 3, 4])  # as `model.fit` returns it
    assert lines_of(curves(history)) == {"Loss": dict.fromkeys(LINES, [3, 4, 5]), "Top 1": {"train": [3, 4, 5]}}
    for same in (values, pd.DataFrame(values)):
        assert lines_of(curves(same))["Loss"] == dict.fromkeys(LINES, [1, 2, 3])
    assert lines_of(curves({"loss": 0.3}))["Loss"] == {"train": [1]}  # as `model.evaluate` returns it
    rows = pd.DataFrame({"epoch": [0, 1, 2, 3], "loss": [4, 3, 2, 1], "val_loss": [np.nan, 3, np.nan, 2]})
    assert lines_of(curves(rows))["Loss"] == {"train": [0, 1, 2, 3], "validation": [1, 3]}


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ({}, "an epoch and a metric"),
        (SimpleNamespace(history={}, epoch=[]), "an epoch and a metric"),
        ({"epoch": [1], "learning_rate": [0.1]}, "an epoch and a metric"),
        ("history.csv", "Received: 'history.csv'"),
        ({"loss": [2, 1], "val_loss": [1]}, "Received lengths: {'loss': 2, 'val_loss': 1}. Fit with validation_freq=1"),
    ],
)
def test_a_wrong_history_is_refused(history, reason):
    with pytest.raises(ValueError, match=reason):
        curves(history)


def test_confusion_figure_writes_every_count_that_is_not_zero():
    counts = confusion(table_of(20))
    figure = confusion_figure(counts)
    assert texts_of(figure) == [str(count) for count in counts.to_numpy().ravel() if count]
    assert "kind_0 &lt;$&amp;0$&gt;" in figure_svg(figure)  # escaped, and no formula


def test_a_matrix_of_scikit_learn_is_drawn_as_it_is():
    true, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    figure = confusion_figure(confusion_matrix(true, predicted), class_names=np.array(["crab", "eel"]))
    assert texts_of(figure) == ["3", "1", "2"] and labels_of(figure) == ["crab", "eel"]
    assert texts_of(confusion_figure(confusion_matrix(true, predicted, normalize="true"))) == ["0.75", "0.25", "1"]
    weighted = confusion_matrix(true, predicted, sample_weight=[0.5, 1, 1, 2.25, 4, 4])
    assert texts_of(confusion_figure(weighted)) == ["2.5", "2.25", "8"]
    assert texts_of(confusion_figure(weighted, normalize=True)) == [".53", ".47", "1.00"]
    assert labels_of(confusion_figure(weighted)) == ["0", "1"]
    empty_row = pd.DataFrame([[3, 1], [0, 0]], index=list("ab"), columns=list("ab"))
    assert texts_of(confusion_figure(empty_row, normalize=True)) == [".75", ".25"]


@pytest.mark.parametrize(
    ("matrix", "class_names", "reason"),
    [
        (np.ones((2, 3)), None, "square matrix"),
        (np.array([[1, np.nan], [0, 1]]), None, "square matrix"),
        (np.array([[1, -1], [0, 1]]), None, "square matrix"),
        (np.eye(2).astype(str), None, "square matrix"),
        (np.eye(2), ["a"], "2 names"),
        (np.eye(2), "ab", "2 names"),
        (pd.DataFrame(np.eye(2), ["a", "b"], ["a", "b"]), ["b", "a"], "its own names"),
        (pd.DataFrame(np.eye(2), ["a", "b"], ["b", "a"]), None, "the same classes"),
    ],
)
def test_a_wrong_confusion_matrix_is_refused(matrix, class_names, reason):
    with pytest.raises(ValueError, match=f"(?s){reason}"):
        confusion_figure(matrix, class_names=class_names)


def test_each_bin_of_a_reliability_diagram_is_a_point_with_its_interval():
    after = reliability_table(np.full(40, 0.7), RIGHT)
    for axis, table in zip(figures.reliability_figure(RELIABILITY, after).axes, (RELIABILITY, after), strict=True):
        lines, points = axis.collections
        assert points.get_offsets().tolist() == table[["confidence", "accuracy"]].to_numpy().tolist()
        ends = [segment[:, 1].tolist() for segment in lines.get_segments()]
        assert ends == table[["low", "high"]].to_numpy().tolist()
        assert (np.diff(points.get_sizes()) > 0).tolist() == (np.diff(table["n"]) > 0).tolist()
    [axis] = figures.reliability_figure(RELIABILITY, None).axes  # probabilities were left as they are
    assert axis.get_title() == ""


def test_selective_accuracy_is_drawn_with_its_goal():
    axis = figures.selective_accuracy_figure(TRIAGE, 0.95).axes[0]
    drawn, goal = axis.lines
    assert drawn.get_xydata().tolist() == TRIAGE[["fraction", "accuracy"]].to_numpy().tolist()
    assert set(goal.get_ydata()) == {0.95} and "goal: 95%" in figure_svg(axis.figure)
    assert axis.get_ylim()[0] < TRIAGE["low"].min() and axis.get_ylim()[1] > 1


def test_equal_figures_give_equal_svg():
    first, second = (figure_svg(curves(HISTORY)) for _ in range(2))
    assert first == second and first.startswith("<svg") and "dc:date" not in first and 'id="axes_1"' not in first


def test_a_figure_is_saved_and_shown_in_its_look(tmp_path):
    shown, _ = DisplayFormatter().format(curves(HISTORY))
    assert set(shown) == {"text/plain", "image/png"} and shown["image/png"].startswith(b"\x89PNG")
    curves(HISTORY).savefig(tmp_path / "a.png")
    with matplotlib.rc_context(STYLE):
        curves(HISTORY).savefig(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    save_png(curves(HISTORY), tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert image.width == 900


ODD = ["鱼", "_under", "$x^2$", "a$b", "two\nlines", "x" * 200, "鱼" * 60]
ODD += ["🐟 fish", "Ж é ü", "한국어", "عربي", "á", "\\u"]


def test_fonts_have_the_names_by_which_matplotlib_finds_them():
    fonts = FALLBACK_FONTS.split("|")
    assert "WenQuanYi Micro Hei" in fonts and all(font == " ".join(font.split()) for font in fonts)


def test_names_of_any_script_are_drawn_without_a_warning(tmp_path):
    figure = confusion_figure(pd.DataFrame(np.eye(len(ODD), dtype=int), index=ODD, columns=ODD))
    svg = figure_svg(figure)  # warnings are errors here
    assert all(name in svg for name in ("鱼", "🐟 fish", "Ж é ü", "$x^2$", "two lines")) and "u9c7c" not in svg
    save_png(figure, tmp_path / "a.png")
    labels = labels_of(figure)
    assert len(set(labels)) == len(ODD) and all(len(label) <= 40 for label in labels)
    hieroglyph = "\U00013000"
    assert short_name(f"{hieroglyph}b") == "\\U00013000b" and short_name(hieroglyph * 9, 32) == "\\U00013000" * 3 + "…"
