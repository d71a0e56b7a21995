"""Comparison of our accuracy with a published one: could it be printed, and is the difference significant?"""

import re
from numbers import Integral

from marinecv.evaluation.intervals import smallest_difference


def attainable(figure: str, n: int) -> bool:
    """Return whether some k of n images gives a published accuracy at its printed decimals, rounded or truncated.

    Raises ValueError where `figure` is no printed fraction from 0 to 1, such as "0.7480".
    """
    units, scale = printed_units(figure)
    # In integers: rounding needs 2*units - 1 <= 2*k*scale/n <= 2*units + 1, truncation ends below 2*units + 2.
    smallest = max(0, -(-n * (2 * units - 1) // (2 * scale)))
    return smallest <= n and 2 * smallest * scale < n * (2 * units + 2)


def printed_units(figure: str) -> tuple[int, int]:
    """Return a printed fraction in units of its last decimal, and how many units make 1; or ValueError."""
    if not isinstance(figure, str) or not re.fullmatch(r"(0?\.\d+|1\.0+|[01])", figure):
        raise ValueError(f"Expected a fraction as printed, in quotes, such as '0.7480'. Received: {figure!r}.")
    whole, _, decimals = figure.partition(".")
    return int((whole or "0") + decimals), 10 ** len(decimals)


def compare_with_published(
    published: str, published_n: int | None, ours: int | float | None, n: int | None, same_split: bool = True
) -> dict:
    """Compare our accuracy with a published one, as printed ("0.7480"): `verdict`, `smallest_difference`, `sentence`.

    `ours` is None without an accuracy of ours (*not run here*), an int of correctly classified images, or a float.
    Other numbers of images or another split are *not comparable*; *not attainable* is a figure that no k of n prints
    as; *consistent* are two that differ by less than `smallest_difference`, else ours has *exceeded* it or is *below*.
    """
    attainable(published, published_n or 1)
    if ours is None:
        return _comparison("not run here", f"{published} published; not run here")
    value = ours / n if isinstance(ours, Integral) else float(ours)
    figures = f"{value:.4f} here, {published} published"
    if published_n != n:
        theirs = "an unstated number of" if published_n is None else published_n
        return _comparison("not comparable", f"{figures}: not comparable, theirs is of {theirs} images, ours of {n}")
    if not same_split:
        return _comparison("not comparable", f"{figures}: not comparable, they are of different images")
    if not attainable(published, n):
        return _comparison("not attainable", f"{figures}: no k/{n} gives {published}, rounded or truncated")
    margin = smallest_difference(float(published), n)
    difference = value - float(published)
    if abs(difference) < margin:
        word, why = "consistent", f"differences under {margin:.3f} are not significant with n={n}"
    else:
        word = "exceeded" if difference > 0 else "below"
        why = f"they differ by {abs(difference):.3f}, and {margin:.3f} is significant with n={n}"
    return _comparison(word, f"{figures}: {word}; {why}", margin)


def _comparison(word: str, sentence: str, margin: float | None = None) -> dict:
    return {"verdict": word, "smallest_difference": margin, "sentence": sentence + "."}
