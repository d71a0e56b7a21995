from fractions import Fraction
from itertools import product

import pytest
from five_reports.bounds import (
    average_bounds,
    counts_behind,
    f1_bounds,
    fits_batch_average,
    fitting_sizes,
    printed_bounds,
    rows_with_support,
    sizes_before_split,
    ways_within,
)
from sklearn.metrics import f1_score, precision_score, recall_score

HALF = Fraction(1, 2)


def prints_as(value, figure, way):
    """Whether a value prints as a figure: a second hand, by decimals of text; a half may be rounded either way."""
    decimals = len(figure.partition(".")[2])
    scaled, units = value * 10**decimals, int(figure.replace(".", ""))
    return abs(scaled - units) <= HALF if way == "rounded" else units <= scaled < units + 1


@pytest.mark.parametrize("n", [1, 7, 63, 127])
@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_counts_behind_agrees_with_trying_every_k(n, decimals):
    for units in range(10**decimals):
        figure = f"0.{units:0{decimals}d}"
        every = {
            k: tuple(way for way in ("rounded", "truncated") if prints_as(Fraction(k, n), figure, way))
            for k in range(n + 1)
        }
        assert counts_behind(figure, n) == {k: ways for k, ways in every.items() if ways}


def test_a_count_is_named_with_its_way():
    assert counts_behind("0.8923", 223) == {199: ("truncated",)}
    assert counts_behind("0.8254", 63) == {52: ("rounded",)}
    assert counts_behind("0.7480", 127) == {95: ("rounded", "truncated")}
    assert counts_behind("0.9263", 63) == {}
    assert counts_behind("1.00", 5) == {5: ("rounded", "truncated")}


def test_few_decimals_leave_several_counts():
    assert list(counts_behind("0.92", 2627)) == list(range(2404, 2444))


@pytest.mark.parametrize("figure", [0.748, "74.8", "1.2", "92%", ""])
@pytest.mark.parametrize("function", [printed_bounds, lambda figure: counts_behind(figure, 127)])
def test_a_figure_must_be_as_printed(function, figure):
    with pytest.raises(ValueError, match="Expected a fraction as printed, in quotes"):
        function(figure)


def test_a_figure_needs_images():
    with pytest.raises(ValueError, match="at least one image. Received: n=0"):
        counts_behind("0.5", 0)


def test_a_printed_figure_stands_for_one_unit_of_its_last_place():
    bounds = printed_bounds("0.92")
    assert bounds == {
        "rounded": (Fraction(915, 1000), Fraction(925, 1000)),
        "truncated": (Fraction(92, 100), Fraction(93, 100)),
    }
    assert all(high - low == Fraction(1, 10000) for low, high in printed_bounds("0.7480").values())


def test_the_size_that_made_the_figures_is_among_those_that_fit():
    figures = [f"{k / 40:.3f}" for k in (3, 17, 33)]
    sizes = fitting_sizes(figures, range(1, 200))
    assert "rounded" in sizes[40] and "rounded" in sizes[80]
    assert 41 not in sizes


def test_a_size_fits_only_where_one_way_gives_all_figures():
    assert counts_behind("0.66", 3) == {2: ("truncated",)} and counts_behind("0.67", 3) == {2: ("rounded",)}
    assert fitting_sizes(["0.66", "0.67"], [3]) == {}
    assert fitting_sizes(["0.66", "0.33"], [3]) == {3: ("truncated",)}


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (7, 2), (6, 3), (5, 8)])
def test_batch_averages_agree_with_every_way_of_being_right(n, batch_size):
    batches = [range(at, min(at + batch_size, n)) for at in range(0, n, batch_size)]
    possible = {
        sum(Fraction(sum(right[i] for i in batch), len(batch)) for batch in batches) / len(batches)
        for right in product((0, 1), repeat=n)
    }
    for units in range(100):
        figure = f"0.{units:02d}"
        expected = any(prints_as(value, figure, way) for value in possible for way in ("rounded", "truncated"))
        assert fits_batch_average(figure, n, batch_size) == expected


def test_a_short_last_batch_gives_averages_that_are_no_share_of_the_images():
    assert fits_batch_average("0.6667", 5, 3) and fits_batch_average("0.8333", 5, 3)
    assert not counts_behind("0.8333", 5)


@pytest.mark.parametrize("weights", [None, [422, 333, 964]])
def test_average_bounds_hold_every_average_of_values_that_print_so(weights):
    figures, steps = ["0.86", "0.92", "0.95"], range(11)
    bounds = average_bounds(figures, weights)
    for way in ("rounded", "truncated"):
        rows = [[low + (high - low) * Fraction(step, 10) for step in steps] for low, high in map_bounds(figures, way)]
        means = [
            sum(value * weight for value, weight in zip(row, weights or [1, 1, 1], strict=True))
            / sum(weights or [1, 1, 1])
            for row in product(*rows)
        ]
        assert (min(means), max(means)) == bounds[way]


def map_bounds(figures, way):
    return [printed_bounds(figure)[way] for figure in figures]


def test_a_macro_average_that_its_rows_forbid_is_seen():
    rows = ["0.86", "0.92", "0.91", "0.95", "0.93"]
    assert ways_within("0.91", average_bounds(rows)) == ("rounded", "truncated")
    assert ways_within("0.92", average_bounds(rows)) == ("rounded", "truncated")
    assert ways_within("0.90", average_bounds(rows)) == ()
    assert ways_within("0.93", average_bounds(rows)) == ()


def test_a_cut_off_figure_does_not_reach_the_next_one():
    assert ways_within("0.51", average_bounds(["0.50"])) == ("rounded",)
    assert ways_within("0.49", average_bounds(["0.50"])) == ("rounded",)
    assert ways_within("0.50", average_bounds(["0.50"])) == ("rounded", "truncated")


def test_the_f1_of_what_prints_so_lies_within_its_bounds():
    for hits, wrong, missed in product(range(1, 20), range(6), range(6)):
        precision, recall = Fraction(hits, hits + wrong), Fraction(hits, hits + missed)
        f1 = Fraction(2 * hits, 2 * hits + wrong + missed)
        p, r, f = (f"{float(value):.2f}" for value in (precision, recall, f1))
        low, high = f1_bounds(p, r)["rounded"]
        assert low <= f1 <= high
        assert "rounded" in ways_within(f, f1_bounds(p, r))


def test_an_f1_that_its_two_forbid_is_seen():
    assert ways_within("0.87", f1_bounds("0.86", "0.89"))
    assert not ways_within("0.90", f1_bounds("0.86", "0.89"))
    assert f1_bounds("0.00", "0.00")["rounded"][0] == 0


def test_a_macro_f1_is_never_above_the_f1_of_macro_precision_and_recall():
    for predicted in product(range(3), repeat=5):
        truth, zero = [0, 0, 1, 1, 2], {"average": "macro", "labels": [0, 1, 2], "zero_division": 0}
        p, r = precision_score(truth, predicted, **zero), recall_score(truth, predicted, **zero)
        assert f1_score(truth, predicted, **zero) <= (2 * p * r / (p + r) if p + r else 0) + 1e-12


@pytest.mark.parametrize("share", [Fraction(1, 5), Fraction(3, 10), Fraction(2, 3)])
def test_sizes_before_a_split_are_those_that_leave_the_part(share):
    for part in range(1, 40):
        leaves = [n for n in range(300) if part in (int(share * n), -int(-share * n // 1))]
        assert list(sizes_before_split(part, share)) == leaves


def test_rows_find_the_classes_with_their_support():
    counts = {"ant": 4, "bee": 7, "cow": 7, "dog": 9}
    found = rows_with_support({"cow": 4, "ant": 7, "bee": 8}, counts)
    assert found == {"cow": ("ant",), "ant": ("bee", "cow"), "bee": ()}
