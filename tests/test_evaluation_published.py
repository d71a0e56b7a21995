"""Arithmetic of printed scores, and published scores beside ours."""

from fractions import Fraction
from itertools import product

import pytest
from five_reports import bounds
from five_reports.bounds import average_bounds, counts_behind, f1_bounds, fitting_sizes, printed_bounds, ways_within

from marinecv.evaluation.published_comparison import attainable, compare_with_published, next_seed_interval

HALF = Fraction(1, 2)
BOTH = ("rounded", "truncated")


def prints_as(value, figure, way):
    """Whether a value prints as a figure, by its decimals as text; a half may be rounded either way."""
    decimals = len(figure.partition(".")[2])
    scaled, units = value * 10**decimals, int(figure.replace(".", ""))
    return abs(scaled - units) <= HALF if way == "rounded" else units <= scaled < units + 1


@pytest.mark.parametrize("n", [1, 7, 63, 127])
@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_counts_behind_a_figure_agree_with_trying_every_k(n, decimals):
    for units in range(10**decimals):
        figure = f"0.{units:0{decimals}d}"
        every = {k: tuple(way for way in BOTH if prints_as(Fraction(k, n), figure, way)) for k in range(n + 1)}
        assert counts_behind(figure, n) == {k: ways for k, ways in every.items() if ways}
        assert list(attainable(figure, n)) == [k for k, ways in every.items() if ways]
    assert attainable("1", n) and attainable("0.00", n) and attainable("1.000", n)


def test_counts_of_known_figures_have_their_ways():
    assert counts_behind("0.8923", 223) == {199: ("truncated",)}
    assert counts_behind("0.8254", 63) == {52: ("rounded",)}
    assert counts_behind("0.7480", 127) == {95: BOTH}
    assert list(counts_behind("0.92", 2627)) == list(range(2404, 2444))
    assert all(attainable(figure, 127) for figure in ("0.7480", "0.7795", "0.7717", "0.8346", "0.8268"))
    assert not any(attainable(figure, 63) for figure in ("0.9263", "0.9367", "0.9578"))


@pytest.mark.parametrize("figure", [0.748, "74.8", "1.2", "92%", ""])
def test_a_figure_must_be_as_printed_and_of_images(figure):
    for read in (
        printed_bounds,
        lambda figure: counts_behind(figure, 127),
        lambda figure: attainable(figure, 127),
    ):
        with pytest.raises(ValueError, match="a fraction as printed"):
            read(figure)
    with pytest.raises(ValueError, match="n=0"):
        counts_behind("0.5", 0)


FOUR_CONV_TEST = [k / 63 for k in (48, 47, 45, 47, 47)]  # of results/aquarium_pretrain.csv
THREE_CONV_VALIDATION = [k / 127 for k in (88, 82, 90, 89, 82)]


@pytest.mark.parametrize(
    ("arguments", "word", "said"),
    [
        (
            ("0.8730", 63, FOUR_CONV_TEST, 63),
            "below",
            "0.7429 here, 0.8730 published: below; 95% of our next seeds have",
        ),
        (
            ("0.7795", 127, THREE_CONV_VALIDATION, 127),
            "below",
            "have 0.581 to 0.776 (n=127, the same images, 5 seeds).",
        ),
        (("0.7795", 127, THREE_CONV_VALIDATION, 127, False), "consistent", "other images"),
        (("0.748", 127, [0.741, 0.748, 0.764], 127), "consistent", "consistent"),
        (("0.50", 127, [0.741, 0.748, 0.764], 127), "exceeded", "exceeded"),
        (("1.00", 10, [1.0, 1.0, 1.0], 10), "consistent", "have 0.807 to 1.000"),
        (("0.8730", 63, FOUR_CONV_TEST[:1], 63), "too few seeds", "one seed cannot tell; train 3 or more."),
        (("0.8730", 63, FOUR_CONV_TEST[:2], 63), "too few seeds", "2 seeds cannot tell"),
        (("0.9263", 63, FOUR_CONV_TEST, 63), "not attainable", "no k/63 gives 0.9263"),
        (("0.444", 500, [0.44], 100), "not comparable", "theirs is of 500 images, ours of 100"),
        (("0.444", None, [0.44], 100), "not comparable", "an unstated number of images"),
        (("0.7480", 127, [], None), "not run here", "0.7480 published; not run here."),
    ],
)
def test_a_published_accuracy_is_held_against_our_next_seed(arguments, word, said):
    judged = compare_with_published(*arguments)
    assert judged["verdict"] == word and said in judged["sentence"] and judged["sentence"].endswith(".")


def test_a_figure_is_consistent_where_one_of_the_counts_behind_it_is():
    ours = [0.5, 0.51, 0.52]
    low, high = (bound / 100 for bound in next_seed_interval([50, 51, 52], 100))
    assert 0.45 < low < 0.46 and 0.56 < high < 0.57
    words = {figure: compare_with_published(figure, 100, ours, 100)["verdict"] for figure in ("0.46", "0.57", "0.6")}
    assert words == {"0.46": "consistent", "0.57": "below", "0.6": "consistent"}  # 0.6 is 0.55 to 0.69


def test_a_size_fits_where_one_way_gives_all_figures():
    sizes = fitting_sizes([f"{k / 40:.3f}" for k in (3, 17, 33)], range(1, 200))
    assert "rounded" in sizes[40] and "rounded" in sizes[80] and 41 not in sizes
    assert fitting_sizes(["0.66", "0.67"], [3]) == {}
    assert fitting_sizes(["0.66", "0.33"], [3]) == {3: ("truncated",)}


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (7, 2), (6, 3), (5, 8)])
def test_batch_averages_agree_with_every_way_of_being_right(n, batch_size):
    batches = [range(at, min(at + batch_size, n)) for at in range(0, n, batch_size)]
    possible = {
        sum(Fraction(sum(right[i] for i in batch), len(batch)) for batch in batches) / len(batches)
        for right in product((0, 1), repeat=n)
    }
    for figure in (f"0.{units:02d}" for units in range(100)):
        expected = any(prints_as(value, figure, way) for value in possible for way in BOTH)
        assert bounds.fits_batch_average(figure, n, batch_size) == expected


@pytest.mark.parametrize("weights", [None, [422, 333, 964]])
def test_average_bounds_hold_every_average_of_values_that_print_so(weights):
    each = weights or [1, 1, 1]
    possible = average_bounds(["0.86", "0.92", "0.95"], weights)
    for way in BOTH:
        ends = [printed_bounds(figure)[way] for figure in ("0.86", "0.92", "0.95")]
        rows = [[low + (high - low) * Fraction(step, 10) for step in range(11)] for low, high in ends]
        means = [sum(v * w for v, w in zip(row, each, strict=True)) / sum(each) for row in product(*rows)]
        assert (min(means), max(means)) == possible[way]


def test_an_average_that_its_rows_forbid_is_found():
    rows = average_bounds(["0.86", "0.92", "0.91", "0.95", "0.93"])
    assert [ways_within(figure, rows) for figure in ("0.90", "0.91", "0.92", "0.93")] == [(), BOTH, BOTH, ()]
    one = average_bounds(["0.50"])
    assert [ways_within(figure, one) for figure in ("0.49", "0.50", "0.51")] == [("rounded",), BOTH, ("rounded",)]


def test_the_f1_of_what_prints_so_lies_within_its_bounds():
    for hits, wrong, missed in product(range(1, 20), range(6), range(6)):
        precision, recall = Fraction(hits, hits + wrong), Fraction(hits, hits + missed)
        f1 = Fraction(2 * hits, 2 * hits + wrong + missed)
        p, r, f = (f"{float(value):.2f}" for value in (precision, recall, f1))
        low, high = f1_bounds(p, r)["rounded"]
        assert low <= f1 <= high and "rounded" in ways_within(f, f1_bounds(p, r))
    assert not ways_within("0.90", f1_bounds("0.86", "0.89"))
    assert f1_bounds("0.00", "0.00")["rounded"][0] == 0


@pytest.mark.parametrize("share", [Fraction(1, 5), Fraction(3, 10), Fraction(2, 3)])
def test_sizes_before_a_split_are_those_that_leave_the_part(share):
    for part in range(1, 40):
        leaves = [n for n in range(300) if part in (int(share * n), -int(-share * n // 1))]
        assert list(bounds.sizes_before_split(part, share)) == leaves


def test_rows_find_the_classes_with_their_support():
    counts = {"ant": 4, "bee": 7, "cow": 7, "dog": 9}
    found = bounds.rows_with_support({"cow": 4, "ant": 7, "bee": 8}, counts)
    assert found == {"cow": ("ant",), "ant": ("bee", "cow"), "bee": ()}
