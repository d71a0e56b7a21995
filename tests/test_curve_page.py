"""The page of a learning curve says what its tables say, shows every name, and promises nothing refused."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from test_escaping import NAMES, assert_harmless, shown
from test_report_pages import assert_self_contained

from marinecv.report.curve_figures import NAMES as METRICS
from marinecv.report.curve_figures import law_figure, learning_curves, percent
from marinecv.report.curve_page import write_curve_report

SHARES = (0.1, 0.5, 1.0)
WIDE = "the interval is wider than four times"


def make_table(lines, shares=SHARES, n=100):
    """A curve table in which the lines rise in their order, line by line 0.05 apart."""
    rows = []
    for number, line in enumerate(lines):
        for share in shares:
            value = 0.5 + 0.05 * number + 0.2 * np.log10(share)
            for metric in METRICS:
                width = np.nan if metric == "batched_macro_f1" else 0.08
                bounds = {"low": value - width, "high": value + width, "lowest": value - 0.02, "highest": value + 0.03}
                key = {"line": line, "labelled": share, "images": 2944 * share, "metric": metric, "value": value}
                rows.append(key | bounds | {"seeds": 3, "n": n})
    return pd.DataFrame(rows)


def make_differences(lines, shares=SHARES):
    said = ["better", "worse", "not told apart"]
    columns = ["line", "labelled", "difference", "low", "high", "seeds", "n", "said"]
    rows = [
        [line, share, 0.05, 0.01, 0.09, 3, 100, said[place % 3]]
        for line in lines[1:]
        for place, share in enumerate(shares)
    ]
    return pd.DataFrame(rows, columns=columns)


def make_needed(classes, refused=(), all_said=""):
    """The row `all`, then the classes; those of `refused` have no number."""
    rows = []
    for place, name in enumerate(["", *classes]):
        said = all_said if not name else WIDE if name in refused else ""
        row = {"class_name": name, "images": 147.3 if name else 2944.0, "judged": 5 if name else 100, "error": 0.46}
        row |= {"fitted": 0.45, "exponent": 0.5, "exponent_low": 0.3, "exponent_high": 0.7, "goal": 0.225}
        promised = {"needed": 11776.4, "low": 8000.0, "high": 20000.0, "more": 8833.0}
        row |= dict.fromkeys(promised, np.nan) if said else promised
        rows.append(row | {"gain": 0.001 / place if place else np.nan, "said": said})
    return pd.DataFrame(rows)


def make_published(lines, shares=SHARES, n=500):
    rows = [[line, share, "test", "accuracy", "0.4440", n] for line in lines for share in shares]
    return pd.DataFrame(rows, columns=["line", "labelled", "split", "metric", "value", "n"])


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
    assert "Demonstration on drawn pictures" in opened


def test_the_lead_says_what_is_highest_with_the_most_labels_and_with_the_fewest(tmp_path):
    text = text_of(write(tmp_path))
    for share, images, figures in (
        ("100%", "2,944", "0.550 (95% CI 0.470 to 0.630"),
        ("10%", "294", "0.350 (95% CI 0.270"),
    ):
        best = f"With {share} of the labels ({images} images) frozen has the highest accuracy on validation: {figures}"
        assert best in text
    assert text.count("n=100, 3 seeds") == 2
    assert "nan" not in text and "published" not in text.lower() and "Notes" not in text


def test_one_line_with_one_share_has_a_page(tmp_path):
    table = make_table(["scratch"], shares=[0.5])
    page = write_curve_report(tmp_path, "curve", {"validation": table}, {}, {}, pd.DataFrame())
    text = text_of(page)
    assert text.count("highest accuracy") == 1 and "With 50% of the labels (1,472 images) scratch has" in text
    assert "no other to hold against it" in text and "three or more different shares" in text and "nan" not in text


def test_each_line_is_said_to_beat_the_first_or_not(tmp_path):
    text = text_of(write(tmp_path))
    assert (
        "frozen is better than scratch with 10% of the labels; is worse than scratch with 50% of the labels; "
        "cannot be told from scratch with 100% of the labels."
    ) in text
    assert "accuracy less that of scratch (n=100) 10% 50% 100% frozen +0.050 +0.010 to +0.090 3 seeds" in text


def test_a_share_that_a_line_lacks_leaves_its_difference_empty(tmp_path):
    lines = ["scratch", "frozen", "deep"]
    differences = make_differences(lines).query("line != 'deep' or labelled == 0.5")
    page = write_curve_report(tmp_path, "curve", {"validation": make_table(lines)}, {"validation": differences}, {})
    assert "<td>deep</td><td></td><td>+0.050<br>" in page.read_text(encoding="utf-8")
    assert "deep is better than scratch with" not in text_of(page)


def test_published_figures_stand_beside_ours_as_printed_with_their_n(tmp_path):
    page = write(tmp_path, published=make_published(["frozen"], shares=[0.1, 1.0])).read_text(encoding="utf-8")
    validation, test = map(shown, page.split('<h2 id="split-2">'))
    assert test.count("published 0.4440") == 2 and "published 0.4440" not in validation
    assert "stand on 500 images, these on 100: they are not comparable" in test
    (tmp_path / "same").mkdir()
    text = text_of(write(tmp_path / "same", published=make_published(["frozen"], n=100)))
    assert "stand on 100 images, as many as these." in text


def test_a_class_is_named_next_and_a_number_given_where_the_law_allows_it(tmp_path):
    needed = {"scratch": make_needed(["crab", "eel"], refused=["crab"])}
    text = text_of(write(tmp_path, needed=needed))
    assert "To bring it to 0.225 takes 11,776 images in all (95% 8,000 to 20,000), 8,833 more: it falls" in text
    assert "as the images to the power -0.50 (95% -0.70 to -0.30)" in text
    assert "Photograph eel next" in text and text.count(WIDE) == 1
    assert (tmp_path / "figures" / "law_1.png").is_file()


def test_what_is_refused_is_said_in_words_and_not_drawn(tmp_path):
    needed = {"scratch": make_needed(["crab", "eel"], refused=["crab", "eel"], all_said="more have not helped so far")}
    text = text_of(write(tmp_path, needed=needed))
    assert "is not said: more have not helped so far." in text
    assert "of none of the 2 is the law followed, with 5 judged images a class." in text
    assert text.count(WIDE) == 2 and "next:" not in text and "nan" not in text
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "accuracy_test.png",
        "accuracy_validation.png",
        "macro_f1_test.png",
        "macro_f1_validation.png",
    ]


def test_a_goal_that_is_reached_is_said_to_be_and_not_drawn(tmp_path):
    needed = make_needed(["crab"]).assign(goal=0.6, needed=2944.0, low=2944.0, high=2944.0, more=0.0)
    text = text_of(write(tmp_path, needed={"scratch": needed}))
    assert "By the law it has reached its goal, an error of 0.600." in text
    assert not (tmp_path / "figures" / "law_1.png").exists()


def test_what_no_image_tells_is_left_empty(tmp_path):
    """As of a line without any error, with a class of which nothing is judged."""
    needed = make_needed(["crab"], refused=["crab"], all_said="no judged photograph is wrong").assign(error=0.0)
    unknown = ["fitted", "exponent", "exponent_low", "exponent_high", "goal", "gain"]
    needed = needed.assign(**dict.fromkeys(unknown, np.nan), judged=[100, 0])
    needed.loc[1, "error"] = np.nan
    text = text_of(write(tmp_path, needed={"scratch": needed}))
    assert (
        "is not said: no judged photograph is wrong." in text and "with 0 judged images" in text and "nan" not in text
    )


def test_lines_differ_in_colour_and_marker_and_published_values_are_hollow():
    lines = ["a", "b", "c"]
    published = pd.DataFrame({"line": lines, "labelled": 0.1, "images": 294.4, "metric": "accuracy", "value": 0.4})
    [axis] = learning_curves(make_table(lines), "accuracy", published).axes
    drawn = [line for line in axis.lines if line.get_linestyle() == "-"]
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    for found in (drawn, hollow):
        assert len({line.get_color() for line in found}) == len({line.get_marker() for line in found}) == 3
    assert [line.get_xdata()[0] for line in hollow] == [294.4] * 3
    assert [label.get_text() for label in axis.get_xticklabels()] == ["100%\n2,944", "50%\n1,472", "10%\n294"]


def test_many_lines_stay_distinguishable():
    [axis] = learning_curves(make_table([str(number) for number in range(20)]), "macro_f1").axes
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in axis.lines}
    assert len(looks) == 20


def test_labels_of_the_axis_keep_apart():
    figure = learning_curves(make_table(["a"], shares=[0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.95, 1.0]), "accuracy")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) >= 5 and not [1 for a, b in zip(boxes, boxes[1:], strict=False) if a.overlaps(b)]


@pytest.mark.parametrize("line", ["a", "b"])
def test_the_law_goes_through_its_level_and_meets_its_goal(line):
    law = make_needed([]).iloc[0].to_dict()
    [axis] = law_figure(make_table(["a", "b"]), line, law).axes
    observed, drawn, goal, needed = axis.lines
    assert observed.get_ydata()[-1] == pytest.approx(0.5 if line == "a" else 0.45)
    slope = np.diff(np.log(drawn.get_ydata())) / np.diff(np.log(drawn.get_xdata()))
    assert slope == pytest.approx(-0.5)
    assert drawn.get_xdata() == pytest.approx([294.4, 11776.4]) and needed.get_xdata() == pytest.approx(11776.4)
    assert drawn.get_ydata()[-1] == pytest.approx(0.225, abs=1e-4) and goal.get_ydata()[0] == 0.225
    assert axis.get_xscale() == axis.get_yscale() == "log"


def test_no_error_at_all_does_not_break_a_logarithmic_axis():
    table = make_table(["a"])
    table.loc[table["labelled"] == 1.0, ["value", "low", "high"]] = 1.0
    figure = law_figure(table, "a", make_needed([]).iloc[0].to_dict())
    figure.draw_without_rendering()
    assert figure.axes[0].get_ylim()[0] > 0.1


@pytest.mark.parametrize("share, text", [(0.1, "10%"), (0.07, "7%"), (0.125, "12.5%"), (1.0, "100%")])
def test_a_share_is_written_as_a_percentage(share, text):
    assert percent(share) == text
