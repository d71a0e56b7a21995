"""Metrics with their 95% interval, n, and the method of the interval, as dicts."""

from collections.abc import Mapping

import numpy as np

from marinecv.evaluation import intervals
from marinecv.language import local_number, tr

BOOTSTRAP = f"bootstrap over images, {intervals.RESAMPLES} resamples"
FEW_GROUPS = 20
MIN_GROUPS = 6  # of related images, below which there is no interval
BY_IMAGE = "by image, assumes independent images"


def proportion(k: int, n: int) -> dict:
    """Return k of n as a metric: `value`, Wilson's bounds `low`, `high` (of independent images), `n`, `method`."""
    low, high = intervals.wilson(k, n)
    return {"value": k / n, "low": low, "high": high, "n": n, "method": "Wilson"}


def bootstrapped_fraction(value: float, replicates: np.ndarray, n: int, sizes: np.ndarray | None = None) -> dict:
    """Return a metric from 0 to 1: `value` on all n images, bounds `low` and `high`, `n`, `method`.

    `replicates` (resamples,) are its values on resamples. `sizes` (groups,) are the images of each group where groups
    were resampled; it adds `groups`, their number.
    """
    value, units = float(value), n if sizes is None else intervals.effective_number(sizes)
    return _estimate(value, intervals.fraction_interval(value, replicates, units, n), n, sizes)


def bootstrapped_error(value: float, replicates: np.ndarray, n: int, sizes: np.ndarray | None = None) -> dict:
    """Return a mean error, which has no upper limit; arguments and result as of `bootstrapped_fraction`."""
    value, units = float(value), n if sizes is None else intervals.effective_number(sizes)
    low, high = intervals.expanded_interval(replicates, units)
    return _estimate(value, (min(low, value), max(high, value)), n, sizes)


def mean_estimate(values: np.ndarray, group_ids: np.ndarray | None = None, seed: int = 0) -> dict:
    """Return the mean of values (n,) as a metric: of bool a fraction, else an error.

    `group_ids` (n,) is the group of each image, resampled whole; None where no two share one.
    """
    n, is_fraction = len(values), values.dtype == bool
    if group_ids is None or len(np.unique(group_ids)) == n:
        if is_fraction:
            return proportion(int(values.sum()), n)
        return bootstrapped_error(values.mean(), intervals.bootstrap_means(values, seed), n)
    group_index = np.unique(group_ids, return_inverse=True)[1]
    if group_index.max() + 1 < MIN_GROUPS:
        return without_interval(mean_estimate(values, seed=seed), int(group_index.max()) + 1)
    sums = np.column_stack([np.bincount(group_index), np.bincount(group_index, values)])
    resampled = intervals.resampled_sums(sums, seed)
    make = bootstrapped_fraction if is_fraction else bootstrapped_error
    return make(values.mean(), resampled[:, 1] / resampled[:, 0], n, sums[:, 0])


def without_interval(figure: Mapping, groups: int) -> dict:
    """Return a metric of fewer than `MIN_GROUPS` groups: `low` and `high` are None, bounds by image are `by_image`."""
    by_image = {"low": figure["low"], "high": figure["high"], "method": BY_IMAGE}
    method = f"no interval; from {groups} group{'s' * (groups != 1)} of related images"
    return {**figure, "low": None, "high": None, "method": method, "groups": groups, "by_image": by_image}


def has_interval(figure: Mapping) -> bool:
    """Return whether a metric has bounds: not None, and in a table not NaN."""
    return figure["low"] is not None and figure["low"] == figure["low"]


def is_grouped(metrics: Mapping) -> bool:
    """Return whether the intervals of the metrics of a split are over groups of related images."""
    return any("groups" in figure for figure in metrics.values() if isinstance(figure, Mapping))


def interval_text(figure: Mapping, form: str = ".3f") -> str:
    """Return the interval of a metric, or why there is none: "95% CI 0.781 to 0.930"."""
    if has_interval(figure):
        low, high = (local_number(f"{figure[bound]:{form}}") for bound in ("low", "high"))
        return tr("95% CI {low} to {high}", low=low, high=high)
    if not figure.get("method"):
        return tr("from fewer than {n} groups of related images: no interval", n=MIN_GROUPS)
    if figure["groups"] == 1:
        return tr("from 1 group of related images: no interval")
    return tr("from {n} groups of related images: no interval", n=figure["groups"])


def few_groups_note(figure: Mapping) -> str:
    """Return the remark on few groups in the `method` of a metric, or nothing."""
    return figure["method"].partition("; ")[2]


def _estimate(value: float, bounds: tuple[float, float], n: int, sizes: np.ndarray | None) -> dict:
    figure = {"value": value, "low": bounds[0], "high": bounds[1], "n": n, "method": BOOTSTRAP}
    if sizes is None:
        return figure
    few = f"; few groups ({len(sizes)}), the interval may be too narrow" if len(sizes) < FEW_GROUPS else ""
    method = f"bootstrap over groups of related images, {intervals.RESAMPLES} resamples{few}"
    return {**figure, "method": method, "groups": len(sizes)}
