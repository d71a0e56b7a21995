"""The counts, sizes and averages that the decimals of printed scores allow, by rounding or by truncation.

A printed score stands for a short range of values: 0.92 for 0.915 to 0.925 where its author rounded (a half may go
either way), for 0.92 up to but not including 0.93 where the rest was cut off. All arithmetic is in integers and
fractions, so that no rounding of ours decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product

from marinecv.evaluation.published_comparison import printed_units

WAYS = ("rounded", "truncated")
Bounds = dict[str, tuple[Fraction, Fraction]]


def counts_behind(figure: str, n: int) -> dict[int, tuple[str, ...]]:
    """Return the ways of printing (of `WAYS`) by k, for every k of n images that prints as a figure such as "0.873"."""
    units, scale = printed_units(figure)
    if n < 1:
        raise ValueError(f"Expected at least one image. Received: n={n}.")
    found = {}
    # In whole numbers: rounded means 2*units - 1 <= 2*k*scale/n <= 2*units + 1, truncated reaches below 2*units + 2.
    for k in range(max(0, -(-n * (2 * units - 1) // (2 * scale))), n + 1):
        if 2 * k * scale >= n * (2 * units + 2):
            break
        found[k] = ways_of(Fraction(k, n), units, scale)
    return found


def printed_bounds(figure: str) -> Bounds:
    """Return what a printed fraction may stand for.

    Args:
        figure: a fraction as printed, such as "0.7480"; its decimals count.

    Returns:
        (low, high) of each way of printing. Rounded has both ends; truncated has low and not high.

    Raises:
        ValueError: figure is no printed fraction from 0 to 1.
    """
    units, scale = printed_units(figure)
    halves = Fraction(2 * units - 1, 2 * scale), Fraction(2 * units + 1, 2 * scale)
    return {"rounded": halves, "truncated": (Fraction(units, scale), Fraction(units + 1, scale))}


def ways_of(value: Fraction, units: int, scale: int) -> tuple[str, ...]:
    """Return the ways of printing (of `WAYS`) by which a value gives so many units."""
    fits = {"rounded": abs(value * scale - units) <= Fraction(1, 2), "truncated": value * scale // 1 == units}
    return tuple(way for way in WAYS if fits[way])


def fitting_sizes(figures: Iterable[str], sizes: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Find the numbers of images that could have given all of some printed accuracies, printed in one same way.

    Args:
        figures: fractions as printed.
        sizes: numbers of images to try.

    Returns:
        The ways (of `WAYS`) by size, sizes that fit alone.
    """
    figures, fitting = list(figures), {}
    for n in sizes:
        behind = [{way for ways in counts_behind(figure, n).values() for way in ways} for figure in figures]
        if shared := tuple(way for way in WAYS if all(way in ways for ways in behind)):
            fitting[n] = shared
    return fitting


def fits_batch_average(figure: str, n: int, batch_size: int) -> bool:
    """Tell whether an average of batch accuracies, the last batch shorter, could print as a figure.

    Such an average gives the images of a short batch more weight, so it need not be a k of n.

    Args:
        figure: a fraction as printed.
        n: images.
        batch_size: images a batch.

    Raises:
        ValueError: figure is no printed fraction from 0 to 1.
    """
    units, scale = printed_units(figure)
    whole, rest = divmod(n, batch_size)
    # All whole batches weigh the same: only the sum of their hits counts.
    averages = (
        (Fraction(hits, batch_size) + (Fraction(last, rest) if rest else 0)) / (whole + bool(rest))
        for hits, last in product(range(whole * batch_size + 1), range(rest + 1))
    )
    return any(ways_of(average, units, scale) for average in averages)


def average_bounds(figures: Sequence[str], weights: Sequence[int] | None = None) -> Bounds:
    """Bound the average of values of which only the printed figures are known.

    Args:
        figures: fractions as printed, one a row.
        weights: of the rows, such as their supports; None weighs them alike, a macro average.

    Returns:
        The lowest and the highest average that the rows allow, of each way of printing.
    """
    weights = [1] * len(figures) if weights is None else weights
    rows = [printed_bounds(figure) for figure in figures]
    return {way: tuple(_average([row[way][end] for row in rows], weights) for end in (0, 1)) for way in WAYS}


def f1_bounds(precision: str, recall: str) -> Bounds:
    """Bound the F1 of a class, or of one pair of averages, of which precision and recall are printed.

    A macro F1, the mean of the classes' own, is never above the F1 of macro precision and macro recall: the harmonic
    mean is concave.

    Returns:
        The lowest and the highest F1 that the two allow, of each way of printing.
    """
    p, r = printed_bounds(precision), printed_bounds(recall)
    return {way: tuple(_f1(p[way][end], r[way][end]) for end in (0, 1)) for way in WAYS}


def ways_within(figure: str, bounds: Bounds) -> tuple[str, ...]:
    """Tell by which ways of printing a figure can lie within bounds of `average_bounds` or `f1_bounds`; () by none."""
    own = printed_bounds(figure)
    meets = {
        "rounded": own["rounded"][0] <= bounds["rounded"][1] and bounds["rounded"][0] <= own["rounded"][1],
        "truncated": own["truncated"][0] < bounds["truncated"][1] and bounds["truncated"][0] < own["truncated"][1],
    }
    return tuple(way for way in WAYS if meets[way])


def sizes_before_split(part: int, share: Fraction) -> range:
    """Return the numbers of images of which a share, rounded down, up or to the nearest, leaves a part.

    Args:
        part: images of one side of the split, such as a support.
        share: what the split takes, above 0 and below 1: `Fraction(1, 5)`, which 0.2 is only nearly.
    """
    # |share * n - part| < 1, both ends excluded.
    return range((part - 1) // share + 1, -((-part - 1) // share))


def rows_with_support(printed: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Find for each printed row the classes that have its support.

    Args:
        printed: supports by the name that the table gives the row.
        counts: what each class has, by its right name.

    Returns:
        Right names by printed name; () where no class has that many.
    """
    return {row: tuple(name for name, count in counts.items() if count == support) for row, support in printed.items()}


def _average(values: Sequence[Fraction], weights: Sequence[int]) -> Fraction:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _f1(precision: Fraction, recall: Fraction) -> Fraction:
    precision, recall = max(precision, Fraction(0)), max(recall, Fraction(0))
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)
