"""Figures of how sure a model is."""

import numpy as np
import pytest

from marinecv.evaluation.calibration import reliability_table
from marinecv.evaluation.review import triage_curve
from marinecv.report.calibration_figures import reliability_figure, triage_figure
from marinecv.report.figures import figure_svg
from marinecv.report.style import DEMONSTRATION_MARK

CONFIDENCE = np.linspace(0.3, 1, 40)
RIGHT = np.arange(40) % 3 > 0


def test_each_bin_is_a_point_with_its_interval():
    before, after = reliability_table(CONFIDENCE, RIGHT), reliability_table(np.full(40, 0.7), RIGHT)
    first, second = reliability_figure(before, after).axes
    for axis, table in ((first, before), (second, after)):
        lines, points = axis.collections
        assert points.get_offsets().tolist() == table[["confidence", "accuracy"]].to_numpy().tolist()
        assert [segment[:, 1].tolist() for segment in lines.get_segments()] == table[
            ["low", "high"]
        ].to_numpy().tolist()
        assert (np.diff(points.get_sizes()) > 0).tolist() == (np.diff(table["n"]) > 0).tolist()


def test_probabilities_that_are_left_as_they_are_are_drawn_once():
    [axis] = reliability_figure(reliability_table(CONFIDENCE, RIGHT), None).axes
    assert axis.get_title() == "" and axis.get_ylabel() == "accuracy"


def test_the_curve_is_drawn_with_what_is_sought():
    curve = triage_curve(1 - CONFIDENCE, RIGHT)
    axis = triage_figure(curve, 0.95).axes[0]
    drawn, sought = axis.lines
    assert drawn.get_xydata().tolist() == curve[["share", "accuracy"]].to_numpy().tolist()
    assert set(sought.get_ydata()) == {0.95} and "sought: 95%" in figure_svg(axis.figure)
    low, high = axis.get_ylim()
    assert low < curve["low"].min() and high > 1


@pytest.mark.parametrize("demonstration", [False, True])
def test_drawn_pictures_are_marked(demonstration):
    table = reliability_table(CONFIDENCE, RIGHT)
    for figure in (
        reliability_figure(table, table, demonstration),
        triage_figure(triage_curve(1 - CONFIDENCE, RIGHT), 0.95, demonstration),
    ):
        assert (DEMONSTRATION_MARK in figure_svg(figure)) == demonstration
