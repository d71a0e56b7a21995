"""Could a printed score be? The counts that its decimals allow, by rounding or by truncation.

A printed score stands for a short range of values: 0.92 for 0.915 to 0.925 where its author rounded (a half may go
either way), for 0.92 up to but not including 0.93 where the rest was cut off. All arithmetic here is in whole numbers
and fractions, so nothing is decided by a rounding of our own.
"""

import re
from fractions import Fraction

WAYS = ("rounded", "truncated")


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


def printed_units(figure: str) -> tuple[int, int]:
    """Return a printed fraction in units of its last place, and how many of those make one."""
    if not isinstance(figure, str) or not re.fullmatch(r"(0?\.\d+|1\.0+|[01])", figure):
        raise ValueError(f"Expected a fraction as printed, in quotes, such as '0.7480'. Received: {figure!r}.")
    whole, _, decimals = figure.partition(".")
    return int((whole or "0") + decimals), 10 ** len(decimals)


def ways_of(value: Fraction, units: int, scale: int) -> tuple[str, ...]:
    """Return the ways of printing (of `WAYS`) by which a value gives so many units."""
    fits = {"rounded": abs(value * scale - units) <= Fraction(1, 2), "truncated": value * scale // 1 == units}
    return tuple(way for way in WAYS if fits[way])
