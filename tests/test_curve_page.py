"""The page of a learning curve: its tables, every name, and no estimate where there is none."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from pages import FRACTIONS, NAMES, TOO_WIDE, assert_harmless, assert_self_contained, make_needed, shown, untranslated
from pages import make_table_of_curve as make_table

from marinecv.language import language
from marinecv.report.curve_figures import law_figure, learning_curves, percent
from marinecv.report.curve_page import write_curve_report


def make_differences(lines, shares=FRACTIONS):
    said = ["better", "worse", "not told apart"]
    rows = [[line, share, said[place % 3]] for line in lines[1:] for place, share in enumerate(shares)]
    table = pd.DataFrame(rows, columns=["recipe", "label_fraction", "note"])
    return table.assign(difference=0.05, low=0.01, high=0.09, seeds=3, n=100)


def make_published(lines, shares=FRACTIONS, n=500):
    rows = [[line, share, "test", "accuracy", "0.4440", n] for line in lines for share in shares]
    return pd.DataFrame(rows, columns=["recipe", "label_fraction", "split", "metric", "value", "n"])


def write(folder, lines=("scratch", "frozen"), classes=("crab", "eel"), needed=None, title="curve", **options):
    tables = {"validation": make_table(lines), "test": make_table(lines)}
    differences = dict.fromkeys(tables, make_differences(lines))
    needed = {line: make_needed(classes) for line in lines} if needed is None else needed
    return write_curve_report(folder, title, tables, differences, needed, **options)


def text_of(page):
    return shown(page.read_text(encoding="utf-8"))


def test_the_page_shows_every_name_and_runs_none(tmp_path):
    lines = NAMES[:4]
    options = {"published": make_published(lines), "demonstration": True}
    page = write(tmp_path, lines, NAMES, title=NAMES[0], **options)
    assert_self_contained(page.read_text(encoding="utf-8"))
    opened = assert_harmless(page, tmp_path)
    assert all(" ".join(name.split()) in shown(opened) for name in NAMES)
    assert "Demonstration on generated images" in opened


def test_every_text_of_a_curve_page_can_be_translated(tmp_path, missing):
    lines, classes = ("scratch", "frozen"), ("crab", "eel")
    needed = {"scratch": make_needed(classes, refused=("crab",)), "frozen": make_needed(classes, all_said=TOO_WIDE)}
    for name in ("pseudo", "es"):
        with language(name):
            page = write(tmp_path, lines, classes, needed, published=make_published(lines)).read_text(encoding="utf-8")
            table = make_table(["scratch"], shares=[0.5])
            lone = write_curve_report(tmp_path, "curve", {"validation": table}, {}, {}, pd.DataFrame())
        if name == "pseudo":
            lone = lone.read_text(encoding="utf-8")
            assert not untranslated(page, {*lines, *classes, "curve"}) | untranslated(lone, {*lines, "curve"})
    assert not missing - {TOO_WIDE} and "exactitud en validación" in page


def test_the_lead_has_the_highest_accuracy_with_the_most_labels_and_with_the_fewest(tmp_path):
    text = text_of(write(tmp_path))
    for labels, accuracy in (("100% of the labels (2,944 images) frozen", "0.550 (95% CI 0.470"), ("10%", "0.350")):
        assert f"With {labels}" in text and f"highest validation accuracy: {accuracy}" in text
    assert text.count("n=100, 3 seeds") == 2
    assert "nan" not in text and "Published" not in text


def test_one_recipe_with_one_fraction_has_a_page(tmp_path):
    table = make_table(["scratch"], shares=[0.5])
    text = text_of(write_curve_report(tmp_path, "curve", {"validation": table}, {}, {}, pd.DataFrame()))
    assert text.count("highest validation accuracy") == 1 and "With 50% of the labels (1,472 images)" in text
    assert "nothing to compare" in text and "at least three label fractions" in text and "nan" not in text


def test_each_recipe_is_compared_with_the_first(tmp_path):
    text = text_of(write(tmp_path))
    assert "frozen is better than scratch with 10% of the labels; is worse than scratch with 50%" in text
    assert "does not differ significantly from scratch with 100%" in text
    assert "minus that of scratch (n=100) 10% 50% 100% frozen +0.050 +0.010 to +0.090 3 seeds" in text


def test_a_difference_without_an_interval_has_none(tmp_path):
    lines = ["scratch", "frozen"]
    differences = make_differences(lines).assign(low=np.nan, high=np.nan)
    text = text_of(
        write_curve_report(tmp_path, "c", {"validation": make_table(lines)}, {"validation": differences}, {})
    )
    assert "frozen +0.050 3 seeds +0.050" in text and "nan" not in text


def test_a_fraction_that_a_recipe_lacks_leaves_its_difference_empty(tmp_path):
    lines = ["scratch", "frozen", "deep"]
    differences = make_differences(lines).query("recipe != 'deep' or label_fraction == 0.5")
    page = write_curve_report(tmp_path, "curve", {"validation": make_table(lines)}, {"validation": differences}, {})
    assert "<td>deep</td><td></td><td>+0.050<br>" in page.read_text(encoding="utf-8")
    assert "deep is better than scratch with" not in text_of(page)


@pytest.mark.parametrize(("n", "note"), [(500, "these of 100: they are not comparable"), (100, "as here")])
def test_published_metrics_stand_next_to_ours_as_printed_with_their_n(n, note, tmp_path):
    page = write(tmp_path, published=make_published(["frozen"], shares=[0.1, 1.0], n=n)).read_text(encoding="utf-8")
    validation, test = map(shown, page.split('<h2 id="split-2">'))
    assert test.count("published 0.4440") == 2 and "published 0.4440" not in validation and note in test


def test_a_class_to_photograph_next_and_an_estimate_where_the_law_allows_it(tmp_path):
    text = text_of(write(tmp_path, needed={"scratch": make_needed(["crab", "eel"], refused=["crab"])}))
    assert "needs 11,776 images in all (95% CI 8,000 to 20,000), 8,833 additional images" in text
    assert "to the power -0.50 (95% CI -0.70 to -0.30)" in text
    assert "Photograph eel next" in text and text.count(TOO_WIDE) == 1
    assert (tmp_path / "figures" / "law_1.png").is_file()


def test_a_refused_estimate_is_explained_and_not_drawn(tmp_path):
    needed = {"scratch": make_needed(["crab", "eel"], refused=["crab", "eel"], all_said="more have not helped so far")}
    text = text_of(write(tmp_path, needed=needed))
    assert "No sample-size estimate: more have not helped so far." in text
    assert "none of the 2 follows the power law, with 5 evaluated images a class" in text
    assert text.count(TOO_WIDE) == 2 and "nan" not in text
    expected = {f"{metric}_{split}.png" for metric in ("accuracy", "macro_f1") for split in ("test", "validation")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected


def test_a_goal_that_is_reached_is_not_drawn(tmp_path):
    needed = make_needed(["crab"]).assign(goal=0.6, additional_images=0.0)
    needed[["required_images", "low", "high"]] = 2944.0
    text = text_of(write(tmp_path, needed={"scratch": needed}))
    assert "has reached its goal, an error of 0.600" in text
    assert not (tmp_path / "figures" / "law_1.png").exists()


def test_unknown_values_are_left_empty(tmp_path):
    """As of a recipe without any error, with a class of which no image is evaluated."""
    needed = make_needed(["crab"], refused=["crab"], all_said="no image is wrong").assign(error=0.0)
    unknown = ["fitted", "exponent", "exponent_low", "exponent_high", "goal", "gain"]
    needed = needed.assign(**dict.fromkeys(unknown, np.nan), judged=[100, 0])
    needed.loc[1, "error"] = np.nan
    text = text_of(write(tmp_path, needed={"scratch": needed}))
    assert "estimate: no image is wrong." in text and "with 0 evaluated images" in text and "nan" not in text


def test_recipes_differ_in_color_and_marker_and_published_values_are_hollow():
    lines = ["a", "b", "c"]
    published = pd.DataFrame({"recipe": lines, "images": 294.4, "metric": "accuracy", "value": 0.4})
    [axis] = learning_curves(make_table(lines), "accuracy", published).axes
    drawn = [line for line in axis.lines if line.get_linestyle() == "-"]
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    for found in (drawn, hollow):
        assert len({line.get_color() for line in found}) == len({line.get_marker() for line in found}) == 3
    assert [line.get_xdata()[0] for line in hollow] == [294.4] * 3
    assert [label.get_text() for label in axis.get_xticklabels()] == ["100%\n2,944", "50%\n1,472", "10%\n294"]
    [axis] = learning_curves(make_table([str(number) for number in range(20)]), "macro_f1").axes
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in axis.lines}) == 20


def test_labels_of_the_axis_do_not_overlap():
    figure = learning_curves(make_table(["a"], shares=[0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.95, 1.0]), "accuracy")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) >= 5 and not [1 for a, b in zip(boxes, boxes[1:], strict=False) if a.overlaps(b)]


@pytest.mark.parametrize("line", ["a", "b"])
def test_the_power_law_passes_its_level_and_reaches_its_goal(line):
    law = make_needed([]).iloc[0].to_dict()
    [axis] = law_figure(make_table(["a", "b"]), line, law).axes
    observed, drawn, goal, needed = axis.lines
    assert observed.get_ydata()[-1] == pytest.approx(0.5 if line == "a" else 0.45)
    slope = np.diff(np.log(drawn.get_ydata())) / np.diff(np.log(drawn.get_xdata()))
    assert slope == pytest.approx(-0.5)
    assert drawn.get_xdata() == pytest.approx([294.4, 11776.4]) and needed.get_xdata() == pytest.approx(11776.4)
    assert drawn.get_ydata()[-1] == pytest.approx(0.225, abs=1e-4) and goal.get_ydata()[0] == 0.225


def test_an_error_of_zero_does_not_break_a_logarithmic_axis():
    table = make_table(["a"])
    table.loc[table["label_fraction"] == 1.0, ["value", "low", "high"]] = 1.0
    figure = law_figure(table, "a", make_needed([]).iloc[0].to_dict())
    figure.draw_without_rendering()
    assert figure.axes[0].get_ylim()[0] > 0.1
    assert percent(0.07) == "7%" and percent(0.125) == "12.5%"
