"""A figure: its value, its 95% interval, the n it stands on, and how the interval was come by."""

import numpy as np

from marinecv.evaluation.intervals import RESAMPLES, effective_number, expanded_interval, share_interval, wilson

BOOTSTRAP = f"bootstrap over images, {RESAMPLES} resamples"
FEW_GROUPS = 20


def proportion(k: int, n: int) -> dict:
    """Return k of n as a figure: `value`, `low` and `high` by Wilson's formula, `n`, `method`.

    The bounds take the n for independent: with near copies or neighbouring frames among them they are too narrow.
    """
    low, high = wilson(k, n)
    return {"value": k / n, "low": low, "high": high, "n": n, "method": "Wilson"}


def bootstrapped_share(value: float, replicates: np.ndarray, n: int, sizes: np.ndarray | None = None) -> dict:
    """Return a figure from 0 to 1: `value`, `low` and `high` by its bootstrap replicates, `n`, `method`.

    Args:
        value: on all images.
        replicates: (resamples,) the figure on each resample.
        n: images.
        sizes: (groups,) images of each, where groups were resampled and not images; adds `groups`, how many.
    """
    value = float(value)
    return _figure(value, share_interval(value, replicates, _units(n, sizes), n), n, sizes)


def bootstrapped_error(value: float, replicates: np.ndarray, n: int, sizes: np.ndarray | None = None) -> dict:
    """Return a mean error, which has no upper end, as `bootstrapped_share` does a share."""
    value = float(value)
    low, high = expanded_interval(replicates, _units(n, sizes))
    return _figure(value, (min(low, value), max(high, value)), n, sizes)


def caveat(figure: dict) -> str:
    """Return what the few groups of a figure cannot say; empty where there is nothing of the kind."""
    return figure["method"].partition("; ")[2]


def _units(n: int, sizes: np.ndarray | None) -> float:
    return n if sizes is None else effective_number(sizes)


def _figure(value: float, bounds: tuple[float, float], n: int, sizes: np.ndarray | None) -> dict:
    figure = {"value": value, "low": bounds[0], "high": bounds[1], "n": n, "method": BOOTSTRAP}
    return figure if sizes is None else {**figure, "method": _by_groups(len(sizes)), "groups": len(sizes)}


def _by_groups(groups: int) -> str:
    """How the interval was come by, and what of so few groups it cannot say."""
    method = f"bootstrap over groups of related images, {RESAMPLES} resamples"
    if groups == 1:
        return f"{method}; one group alone, the interval says nothing of others"
    return f"{method}; few groups ({groups}), the interval may be too narrow" if groups < FEW_GROUPS else method
