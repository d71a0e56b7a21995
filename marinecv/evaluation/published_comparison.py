"""Comparison of our accuracies over seeds with a published one: could it be printed, could our next seed give it?"""

import re
from collections.abc import Sequence
from math import sqrt

import numpy as np
from scipy.stats import t

from marinecv.evaluation.intervals import LEVEL
from marinecv.evaluation.seeds import MIN_SEEDS
from marinecv.language import local_number, tr

ROUNDING_VARIANCE = 1 / 12  # of a number rounded to a whole one: seeds that are equal may differ by as much


def attainable(figure: str, n: int) -> range:
    """Return the counts k of n images that give a published accuracy at its printed decimals, rounded or truncated.

    Raises ValueError where `figure` is no printed fraction from 0 to 1, such as "0.7480".
    """
    units, scale = printed_units(figure)
    # In integers: rounding needs 2*units - 1 <= 2*k*scale/n <= 2*units + 1, truncation ends below 2*units + 2.
    smallest = max(0, -(-n * (2 * units - 1) // (2 * scale)))
    return range(smallest, min(n + 1, -(-n * (units + 1) // scale)))


def printed_units(figure: str) -> tuple[int, int]:
    """Return a printed fraction in units of its last decimal, and how many units make 1; or ValueError."""
    if not isinstance(figure, str) or not re.fullmatch(r"(0?\.\d+|1\.0+|[01])", figure):
        raise ValueError(f"Expected a fraction as printed, in quotes, such as '0.7480'. Received: {figure!r}.")
    whole, _, decimals = figure.partition(".")
    return int((whole or "0") + decimals), 10 ** len(decimals)


def next_seed_interval(correct: Sequence[int], n: int, same_images: bool = True) -> tuple[float, float]:
    """Return the 95% prediction interval (low, high) of the number of correct images, of n, of one more seed.

    Student's t on `correct`, the counts of two seeds or more, and half an image, for counts are whole. Without
    `same_images` the next seed is scored on n others: the binomial variance of both samples is added.
    tests/test_statistics_simulated.py measures how often it misses.
    """
    mean, seeds = float(np.mean(correct)), len(correct)
    between = max(float(np.var(correct, ddof=1)), ROUNDING_VARIANCE) * (1 + 1 / seeds)
    total = between + (0 if same_images else 2 * mean * (1 - mean / n))
    degrees = (seeds - 1) * (total / between) ** 2  # Welch and Satterthwaite: the binomial part is known
    half = float(t.ppf((1 + LEVEL) / 2, degrees)) * sqrt(total) + 0.5
    return max(0.0, mean - half), min(float(n), mean + half)


def compare_with_published(
    published: str, published_n: int | None, ours: Sequence[float], n: int | None, same_images: bool = True
) -> dict:
    """Compare our accuracies, one a seed, with a published one, as printed ("0.7480"): `verdict` and `sentence`.

    Without one of ours it is *not run here*; other numbers of images are *not comparable*; *not attainable* is a figure
    that no k of n prints as; with fewer than `MIN_SEEDS` it is *too few seeds*. Else the figure is one training more,
    on the same images or as many others: *consistent* within the `next_seed_interval`, or ours is *below* it or has
    *exceeded* it.
    """
    counts = attainable(published, published_n or 1)
    if not len(ours):
        sentence = tr("{published} published; not run here.", published=local_number(published))
        return {"verdict": "not run here", "sentence": sentence}
    few = tr("one seed") if len(ours) == 1 else tr("{n} seeds", n=len(ours))
    if published_n != n:
        theirs = tr("an unstated number of") if published_n is None else published_n
        text = "not comparable, theirs is of {theirs} images, ours of {n}"
        word, why = "not comparable", tr(text, theirs=theirs, n=n)
    elif not counts:
        text = "no k/{n} gives {published}, rounded or truncated"
        word, why = "not attainable", tr(text, n=n, published=local_number(published))
    elif len(ours) < MIN_SEEDS:
        word, why = "too few seeds", tr("{few} cannot tell; train {least} or more", few=few, least=MIN_SEEDS)
    else:
        low, high = next_seed_interval([round(value * n) for value in ours], n, same_images)
        word = "below" if counts[0] > high else "exceeded" if counts[-1] < low else "consistent"
        images = tr("the same images") if same_images else tr("other images")
        text = "{word}; 95% of our next seeds have {low:.3f} to {high:.3f} (n={n}, {images}, {few})"
        why = tr(text, word=tr(word), low=low / n, high=high / n, n=n, images=images, few=few)
    sentence = "{ours:.4f} here, {published} published: {why}."
    sentence = tr(sentence, ours=float(np.mean(ours)), published=local_number(published), why=why)
    return {"verdict": word, "sentence": sentence}
