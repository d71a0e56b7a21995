"""Accuracy on cameras that training never saw: of each, on average, and what to expect of the next camera."""

import pandas as pd
from scipy.stats import t

from marinecv.evaluation.estimates import FEW_GROUPS, MIN_GROUPS
from marinecv.evaluation.intervals import LEVEL
from marinecv.language import tr

CAMERAS = "cameras.csv"  # of an experiment: a `camera_table`, and the recipe
PRIOR_IMAGES = 4  # images of average accuracy added to each camera, so that chance on few images does not widen


def camera_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return `camera, n, accuracy`, a row a camera, of the labeled rows of a predictions table with their `camera`."""
    predictions = predictions[predictions["true_class"] != ""]
    right = predictions["true_class"] == predictions["predicted_class"]
    table = right.groupby(predictions["camera"]).agg(["size", "mean"]).reset_index()
    return table.set_axis(["camera", "n", "accuracy"], axis=1)


def camera_metrics(table: pd.DataFrame) -> dict:
    """Return the accuracy over cameras, from a table of `camera_table`.

    Returns:
        dict of `value`, the mean over cameras, with its 95% interval `low`, `high` (Student's t); `next_low` and
        `next_high`, the 95% prediction interval of the accuracy on one more camera, m +- t s sqrt(1 + 1/G) of
        accuracies with `PRIOR_IMAGES` more images each, no narrower than the first; `pooled`, the accuracy over all
        images; `n` images; and `cameras`, G. With fewer than six cameras the bounds are None.
        tests/test_statistics_simulated.py measures the coverage.
    """
    accuracy, n, cameras = table["accuracy"], table["n"], len(table)
    value, pooled = float(accuracy.mean()), float((accuracy * n).sum() / n.sum())
    bounds = dict.fromkeys(("low", "high", "next_low", "next_high"))
    if cameras >= MIN_GROUPS:
        smooth = (accuracy * n + PRIOR_IMAGES * value) / (n + PRIOR_IMAGES)
        quantile = t.ppf((1 + LEVEL) / 2, cameras - 1)
        half = quantile * accuracy.std() / cameras**0.5
        next_half = max(half, quantile * smooth.std() * (1 + 1 / cameras) ** 0.5)
        ends = value - half, value + half, smooth.mean() - next_half, smooth.mean() + next_half
        bounds = {name: min(1.0, max(0.0, float(end))) for name, end in zip(bounds, ends, strict=True)}
    return {"value": value, **bounds, "pooled": pooled, "n": int(n.sum()), "cameras": cameras}


def camera_sentence(table: pd.DataFrame) -> str:
    """Return a sentence on `camera_metrics`."""
    m = camera_metrics(table)
    average = tr("On {n} cameras that training never saw: {value:.2f} on average", n=m["cameras"], value=m["value"])
    expected = tr("from fewer than {n} cameras: no interval", n=MIN_GROUPS)
    if m["low"] is not None:
        text = "95% CI {low:.2f} to {high:.2f}, of few cameras"
        text = text if m["cameras"] < FEW_GROUPS else "95% CI {low:.2f} to {high:.2f}"
        average += f" ({tr(text, low=m['low'], high=m['high'])})"
        text = "the next camera is expected between {low:.2f} and {high:.2f}"
        expected = tr(text, low=m["next_low"], high=m["next_high"])
    return f"{average}, {tr('{value:.2f} over all {n:,} images', value=m['pooled'], n=m['n'])}; {expected}."
