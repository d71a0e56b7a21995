import logging
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from sklearn.metrics import confusion_matrix

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
from marinecv.report.style import DEMONSTRATION_MARK, STYLE, short

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
    figure = image_grid([tmp_path / "crab.jpg", np.full((48, 64, 3), 255.4)], ["crab", "white"], columns=3)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert [image.shape for image in shown] == [(120, 160, 3), (48, 64, 3)]
    assert shown[1].min() == 255
    assert [axis.get_title() for axis in figure.axes] == ["crab", "white", ""]


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (PIXELS.astype(np.float32), PIXELS),
        (PIXELS[..., 0], np.repeat(PIXELS[..., :1], 3, axis=2)),
        (PIXELS[..., :1], np.repeat(PIXELS[..., :1], 3, axis=2)),
        (np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)]), PIXELS),
        (Image.fromarray(PIXELS[..., 0] > 127), np.repeat(PIXELS[..., :1] > 127, 3, axis=2) * np.uint8(255)),
    ],
)
def test_image_grid_shows_pixels_of_any_kind_in_their_own_colors(image, shown):
    [drawn] = [axis.images[0].get_array() for axis in image_grid([image], ["one"]).axes if axis.images]
    np.testing.assert_array_equal(drawn, shown)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (PIXELS / 255, r"in \[0, 255\], so multiply \[0, 1\] by 255. Received: 0 to 1"),
        (PIXELS / 127.5 - 1, "Received: -1 to 1"),
        (PIXELS > 3, "Received: 0 to 1"),
        (PIXELS.astype(np.uint16) * 256, "Received: 0 to 6.528"),
        (np.full((4, 4, 3), np.nan), "Received: nan to nan"),
        (np.moveaxis(PIXELS, 2, 0), r"of shape \(height, width, 3\). Received: \(3, 20, 30\)"),
        ("nowhere.jpg", "cannot be decoded: No such file"),
    ],
)
def test_image_grid_names_the_picture_that_it_cannot_show(image, reason):
    with pytest.raises(ValueError, match=f"The image titled 'two': .*{reason}"):
        image_grid([PIXELS, image], ["one", "two"])


@pytest.mark.parametrize(
    ("images", "titles", "columns"),
    [([PIXELS] * 2, ["one"], 4), ([], [], 4), ("a.jpg", "a.jpg", 4), ([PIXELS], "a", 0)],
)
def test_no_picture_is_left_out_for_lack_of_a_title(images, titles, columns):
    with pytest.raises(ValueError, match="Expected a list of images, a title for each, and at least one column"):
        image_grid(images, titles, columns)


def lines_of(figure):
    """Of each panel its title and its lines: where they are drawn along the epochs."""
    return {
        axis.get_title(loc="left"): {line.get_label(): line.get_xdata().tolist() for line in axis.lines}
        for axis in figure.axes
    }


def test_curves_draw_what_fit_returned():
    import keras

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    top = keras.metrics.SparseTopKCategoricalAccuracy(1, name="top_1")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[top, "accuracy"])
    x, y = np.zeros((8, 2)), np.arange(8) % 2
    history = model.fit(x, y, epochs=5, initial_epoch=2, validation_split=0.5, verbose=0)
    both = {"train": [3, 4, 5], "validation": [3, 4, 5]}
    assert lines_of(curves(history)) == {"Loss": both, "Accuracy": both, "Top 1": both}
    counted = {"train": [1, 2, 3], "validation": [1, 2, 3]}
    for same in (history.history, pd.DataFrame(history.history)):
        assert lines_of(curves(same)) == {"Loss": counted, "Accuracy": counted, "Top 1": counted}
    assert lines_of(curves(model.evaluate(x, y, verbose=0, return_dict=True)))["Loss"] == {"train": [1]}


def test_an_epoch_without_validation_breaks_no_line():
    rows = {"epoch": [0, 1, 2, 3], "loss": [4, 3, 2, 1], "val_loss": [np.nan, 3, np.nan, 2]}
    assert lines_of(curves(pd.DataFrame(rows)))["Loss"] == {"train": [0, 1, 2, 3], "validation": [1, 3]}
    rate = curves({"loss": [3, 2, 1], "learning_rate": [0, 0.1, 0.01]}).axes[1]  # of a warm-up that begins at 0
    assert [label.get_text() for label in rate.get_yticklabels()] == ["0.01", "0.1"]
    curves({"loss": [3.0], "learning_rate": [0.0]})


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ({"loss": [4, 3, 2, 1], "val_loss": [3, 2]}, "'loss': 4, 'val_loss': 2.*validation_freq"),
        ({}, "Expected an epoch and a metric in history"),
        (SimpleNamespace(history={}, epoch=[]), "Expected an epoch and a metric in history"),
        ({"epoch": [1], "learning_rate": [0.1]}, "Expected an epoch and a metric in history"),
        ("history.csv", "Expected history of model.fit, its dict or a DataFrame. Received: 'history.csv'"),
    ],
)
def test_what_is_no_history_is_said(history, reason):
    with pytest.raises(ValueError, match=reason):
        curves(history)


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_matrix_of_scikit_learn_is_drawn_as_it_is():
    true, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    figure = confusion_figure(confusion_matrix(true, predicted), class_names=np.array(["crab", "eel"]))
    assert texts_of(figure) == ["3", "1", "2"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["crab", "eel"]
    for kind, expected in {"true": [".75", ".25", "1.00"], "all": [".50", ".17", ".33"]}.items():
        fractions = confusion_matrix(true, predicted, normalize=kind)
        assert texts_of(confusion_figure(fractions)) == expected
        np.testing.assert_allclose(confusion_figure(fractions).axes[0].images[0].get_array(), fractions)
        with pytest.raises(ValueError, match="Expected counts beside normalise=True. Received fractions"):
            confusion_figure(fractions, normalise=True)
    weighted = confusion_matrix(true, predicted, sample_weight=[0.5, 1, 1, 2.25, 4, 4])
    assert texts_of(confusion_figure(weighted)) == ["2.5", "2.25", "8"]
    assert texts_of(confusion_figure(weighted, normalise=True)) == [".53", ".47", "1.00"]
    assert [label.get_text() for label in confusion_figure(weighted).axes[0].get_yticklabels()] == ["0", "1"]


@pytest.mark.parametrize(
    ("matrix", "class_names", "reason"),
    [
        (np.ones((2, 3)), None, r"a square matrix of numbers from 0 on. Received: .*of shape \(2, 3\)"),
        (np.ones((2, 2, 2)), None, "a square matrix"),
        (np.zeros((0, 0)), None, "a square matrix"),
        (np.array([[1, np.nan], [0, 1]]), None, "a square matrix"),
        (np.array([[1, -1], [0, 1]]), None, "a square matrix"),
        (np.eye(2).astype(str), None, "a square matrix"),
        (np.eye(2), ["a"], "a list of 2 names beside an array"),
        (np.eye(2), {"a", "b"}, "a list of 2 names beside an array"),
        (np.eye(2), "ab", "a list of 2 names beside an array"),
        (pd.crosstab(pd.Series(["a", "b"]), pd.Series(["b", "a"])), ["b", "a"], "a DataFrame has its own"),
        (pd.DataFrame(np.eye(2), ["a", "b"], ["b", "a"]), None, "the same classes in the rows of confusion as in its"),
        (pd.DataFrame(np.eye(2), ["a", "b"], ["a", "c"]), None, "the same classes in the rows of confusion as in its"),
    ],
)
def test_what_is_no_confusion_matrix_is_said(matrix, class_names, reason):
    with pytest.raises(ValueError, match=f"(?s){reason}"):
        confusion_figure(matrix, class_names=class_names)


def test_a_notebook_shows_a_figure_as_a_picture():
    shown, _ = DisplayFormatter().format(curves(HISTORY))
    assert set(shown) == {"text/plain", "image/png"} and shown["image/png"].startswith(b"\x89PNG")


def test_savefig_writes_the_look_and_show_opens_it(tmp_path, monkeypatch):
    curves(HISTORY).savefig(tmp_path / "a.png")
    with matplotlib.rc_context(STYLE):
        curves(HISTORY).savefig(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    opened, answers = [], [True, False]
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or answers.pop(0))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    curves(HISTORY).show()
    with Image.open(Path(urlparse(opened[0]).path)) as picture:
        assert picture.width == 600
    with pytest.raises(RuntimeError, match="Save the figure with savefig"):
        curves(HISTORY).show()


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
