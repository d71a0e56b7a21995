import logging

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from PIL import Image

from marinecv.evaluation.metrics import confusion, per_class_metrics
from marinecv.evaluation.predictions import make_table
from marinecv.report.audit_figures import boxed_picture
from marinecv.report.figures import (
    class_bars,
    comparison_curves,
    confusion_figure,
    curves,
    figure_svg,
    image_grid,
    save_png,
)
from marinecv.report.style import DEMONSTRATION_MARK, short

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4],
        "loss": [1.0, 0.7, 0.5, 0.4],
        "accuracy": [0.4, 0.6, 0.7, 0.8],
        "val_loss": [1.1, 0.8, 0.7, 0.9],
        "val_accuracy": [0.3, 0.6, 0.5, 0.6],
        "learning_rate": [1e-3, 1e-3, 1e-3, 2e-4],
    }
)


def table_of(num_classes):
    rng = np.random.default_rng(0)
    names = [f"kind_{number} <$&{number}$>" for number in range(num_classes)]
    true = [names[i] for i in rng.integers(0, num_classes, 60)]
    ids = [str(number) for number in range(60)]
    return make_table(ids, ["test"] * 60, true, rng.dirichlet(np.ones(num_classes), 60), names)


def figures_of(demonstration):
    table = table_of(3)
    yield curves(HISTORY, demonstration=demonstration)
    yield comparison_curves({"a": HISTORY, "b": HISTORY}, demonstration)
    yield confusion_figure(confusion(table), demonstration=demonstration)
    yield class_bars(per_class_metrics(table), demonstration)
    yield image_grid([np.zeros((4, 6, 3))], ["one"], demonstration=demonstration)


def test_every_figure_is_marked_as_a_demonstration_when_it_is_one():
    assert all(DEMONSTRATION_MARK in figure_svg(figure) for figure in figures_of(True))
    assert not any(DEMONSTRATION_MARK in figure_svg(figure) for figure in figures_of(False))


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    for figure in figures_of(False):
        figure_svg(figure)
    assert dict(matplotlib.rcParams) == before


def test_the_best_epoch_is_marked_where_it_is_known():
    assert "best: epoch 3" in figure_svg(curves(HISTORY, best=3))
    assert "best" not in figure_svg(curves(HISTORY))


@pytest.mark.parametrize("columns", [["epoch", "loss", "accuracy"], list(HISTORY.columns[:5])])
def test_curves_draw_what_is_there(columns):
    figure = curves(HISTORY[columns])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Loss", "Accuracy"]


def test_learning_rate_has_a_panel_of_its_own():
    figure = curves(HISTORY)
    assert figure.axes[2].get_yscale() == "log"
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["0.0002", "0.001"]


@pytest.mark.parametrize("num_classes", [2, 7, 20, 40])
def test_confusion_figure_writes_every_count_that_is_not_zero(num_classes):
    counts = confusion(table_of(num_classes))
    texts = [text.get_text() for text in confusion_figure(counts).axes[0].texts]
    assert texts == [str(count) for count in counts.to_numpy().ravel() if count]


def test_normalised_confusion_shows_shares_of_each_row():
    counts = pd.DataFrame([[3, 1, 0], [0, 2, 0], [0, 0, 0]], index=list("abc"), columns=list("abc"))
    texts = [text.get_text() for text in confusion_figure(counts, normalise=True).axes[0].texts]
    assert texts == [".75", ".25", "1.00"]


def test_names_are_escaped_and_are_no_formulas():
    svg = figure_svg(confusion_figure(confusion(table_of(3))))
    assert "kind_0 &lt;$&amp;0$&gt;" in svg


def test_same_figure_gives_the_same_svg():
    first, second = (figure_svg(curves(HISTORY)) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert "dc:date" not in first
    assert 'id="axes_1"' not in first


def test_a_run_of_one_epoch_is_visible():
    axes = curves(HISTORY.head(1)).axes
    assert axes[0].lines[0].get_marker() == axes[-1].lines[0].get_marker() == "."
    assert [tick for tick in axes[-1].get_xticks() if 0.5 <= tick <= 1.5] == [1]  # no epoch 0.975


def test_many_runs_stay_distinguishable():
    figure = comparison_curves({f"run {number}": HISTORY for number in range(10)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 10


def test_class_bars_end_where_the_intervals_end():
    per_class = per_class_metrics(table_of(3))
    axis = class_bars(per_class).axes[1]
    ends = [segment[:, 0] for segment in axis.collections[0].get_segments()]
    assert np.array(ends) == pytest.approx(per_class[["recall_low", "recall_high"]].to_numpy())


def test_image_grid_takes_paths_and_arrays(tmp_path):
    draw_image("crab", seed=0).resize((640, 480)).save(tmp_path / "crab.jpg")
    figure = image_grid([tmp_path / "crab.jpg", np.full((48, 64, 3), 300.0)], ["crab", "white"], columns=3)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert [image.shape for image in shown] == [(120, 160, 3), (48, 64, 3)]
    assert shown[1].min() == 255
    assert [axis.get_title() for axis in figure.axes] == ["crab", "white", ""]


def test_png_is_written_whole(tmp_path):
    save_png(curves(HISTORY), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.width == 900
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["curves.png"]


ODD = [
    "鱼",
    "_under",
    "$x^2$",
    "a$b",
    "two\nlines",
    "x" * 200,
    "鱼" * 60,
    "🐟 fish",
    "Ж é ü",
    "한국어",
    "عربي",
    "हिन्दी",
    "á",
    "\\u",
]


def test_names_of_any_script_are_drawn_without_a_warning(tmp_path):
    counts = pd.DataFrame(np.eye(len(ODD), dtype=int), index=ODD, columns=ODD)
    figure = confusion_figure(counts)
    svg = figure_svg(figure)  # warnings are errors here
    assert (
        "鱼" in svg
        and "🐟 fish" in svg
        and "Ж é ü" in svg
        and "$x^2$" in svg
        and "two lines" in svg
        and "u9c7c" not in svg
    )
    save_png(figure, tmp_path / "a.png")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == len(ODD) and all(len(label) <= 40 for label in labels)


def test_a_letter_that_no_font_has_is_its_code_and_a_long_name_is_cut_between_two():
    hieroglyph = "\U00013000"
    assert short(f"{hieroglyph}b") == "\\U00013000b" and short(hieroglyph * 9, 32) == "\\U00013000" * 3 + "…"


def test_a_legend_names_a_run_whose_name_begins_with_a_line():
    assert "_a" in figure_svg(comparison_curves({"_a": HISTORY, "b": HISTORY}))


def test_a_box_is_named_in_any_script(tmp_path):
    draw_image("crab", seed=0).resize((320, 240)).save(tmp_path / "crab.jpg")
    boxes = pd.DataFrame({"xmin": [5], "ymin": [5], "xmax": [300], "ymax": [200], "class_name": ["鱼"]})
    named = boxed_picture(str(tmp_path / "crab.jpg"), boxes, {"鱼": "#000000"})
    other = boxed_picture(str(tmp_path / "crab.jpg"), boxes.assign(class_name="马"), {"马": "#000000"})
    assert named.size == other.size and np.any(np.asarray(named) != np.asarray(other))


def test_a_font_of_one_weight_is_no_matter_of_the_console(caplog):
    logger = logging.getLogger("matplotlib.font_manager")
    logger.warning("findfont: Failed to find font weight normal for %s, now using 500.", "WenQuanYi Zen Hei")
    logger.warning("findfont: another matter")
    assert [record.getMessage() for record in caplog.records] == ["findfont: another matter"]
