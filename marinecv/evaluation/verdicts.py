"""A published figure beside ours: could it be, and do the two differ by more than chance?"""

from numbers import Integral

from marinecv.evaluation.intervals import smallest_difference
from marinecv.evaluation.published import counts_behind

VERDICTS = ("consistent", "exceeded", "below", "not attainable", "not comparable", "not run here")


def attainable(figure: str, n: int) -> bool:
    """Tell whether some k of n images gives a published accuracy at its printed decimals, rounded or truncated.

    Raises ValueError where the figure is no printed fraction from 0 to 1, such as "0.7480", or n is below 1.
    """
    return bool(counts_behind(figure, n))


def verdict(
    published: str, published_n: int | None, ours: int | float | None, n: int | None, same_split: bool = True
) -> dict:
    """Judge our accuracy against a published one, as printed ("0.7480"): one of `VERDICTS`, and a sentence.

    *not run here* without a figure of ours (an int counts the images that are right, a float is the accuracy); *not
    comparable* on another number of images or another split; *not attainable* where no k of n prints as the published
    figure; *consistent* where the two differ by less than these n could show (`smallest_difference`).
    """
    attainable(published, published_n or 1)
    if ours is None:
        return _judged("not run here", f"{published} published; not run here")
    value = ours / n if isinstance(ours, Integral) else float(ours)
    figures = f"{value:.4f} here, {published} published"
    if published_n != n or not same_split:
        theirs = "an unstated number of" if published_n is None else published_n
        where = (
            f"theirs stands on {theirs} images, ours on {n}" if published_n != n else "they stand on different images"
        )
        return _judged("not comparable", f"{figures}: not comparable, {where}")
    if not attainable(published, n):
        return _judged("not attainable", f"{figures}: no k/{n} gives {published}, rounded or truncated")
    margin = smallest_difference(float(published), n)
    difference = value - float(published)
    if abs(difference) < margin:
        word, why = "consistent", f"differences under {margin:.3f} cannot be told from chance with n={n}"
    else:
        word = "exceeded" if difference > 0 else "below"
        why = f"they differ by {abs(difference):.3f}, and {margin:.3f} is enough with n={n}"
    return _judged(word, f"{figures}: {word}; {why}", margin)


def _judged(word: str, sentence: str, margin: float | None = None) -> dict:
    return {"verdict": word, "smallest_difference": margin, "sentence": sentence + "."}
