"""Two models on the same images: do they differ?"""

import numpy as np
import pandas as pd

from marinecv.evaluation.intervals import (
    LEVEL,
    RESAMPLES,
    mcnemar,
    percentile_interval,
    smallest_paired_difference,
)


def compare_runs(predictions_a: pd.DataFrame, predictions_b: pd.DataFrame, split: str, seed: int = 0) -> dict:
    """Compare the accuracies of two models, image by image.

    Args:
        predictions_a: predictions table of the first.
        predictions_b: predictions table of the second; the same labelled images in this split, in any order.
        split: which rows to compare.
        seed: of the bootstrap.

    Returns:
        dict of `split`, `n`, `accuracy_a`, `accuracy_b`, `difference` (a - b) with its paired bootstrap bounds `low`
        and `high`, `only_a` and `only_b` (images that only one has right), `p` (McNemar, exact), `smallest_difference`
        (what McNemar's test could show at this many discordant images), `distinguishable` and a `sentence`.

    Raises:
        ValueError: the split has no labelled image, or the two tables differ in images or in labels.
    """
    right_a, right_b = _paired(predictions_a, predictions_b, split)
    n = len(right_a)
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    cells = np.random.default_rng(seed).multinomial(n, np.array([only_a, only_b, n - only_a - only_b]) / n, RESAMPLES)
    low, high = percentile_interval((cells[:, 0] - cells[:, 1]) / n)
    p = mcnemar(only_a, only_b)
    return {
        "split": split,
        "n": n,
        "accuracy_a": float(right_a.mean()),
        "accuracy_b": float(right_b.mean()),
        "difference": (only_a - only_b) / n,
        "low": low,
        "high": high,
        "only_a": only_a,
        "only_b": only_b,
        "p": p,
        "smallest_difference": smallest_paired_difference(only_a + only_b, n),
        "distinguishable": p < 1 - LEVEL,
        "sentence": _sentence(only_a - only_b, n, p),
    }


def _paired(a: pd.DataFrame, b: pd.DataFrame, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether each common image is right, in one order for both."""
    a, b = (t[(t["split"] == split) & (t["true_class"] != "")].set_index("image_id") for t in (a, b))
    if a.empty and b.empty:
        raise ValueError(f"Neither table has a labelled image in split {split!r}. Expected the same images in both.")
    only_one = a.index.symmetric_difference(b.index)
    if len(only_one):
        raise ValueError(
            f"The tables differ in {len(only_one)} images of split {split!r}; the first is {only_one[0]}. Expected the "
            f"same images in both: {len(a)} here, {len(b)} there. Predict both on one catalog."
        )
    b = b.loc[a.index]
    relabelled = a.index[a["true_class"].to_numpy() != b["true_class"].to_numpy()]
    if len(relabelled):
        raise ValueError(
            f"{len(relabelled)} of {len(a)} images have another true class in the second table; the first is "
            f"{relabelled[0]}. Expected the same labels in both. Predict both on one catalog."
        )
    return tuple((t["predicted_class"] == t["true_class"]).to_numpy() for t in (a, b))


def _sentence(lead: int, n: int, p: float) -> str:
    apart = f"{abs(lead)} image{'' if abs(lead) == 1 else 's'} apart of {n}"
    if p < 1 - LEVEL:
        return f"{apart}; the {'first' if lead > 0 else 'second'} is better (McNemar p={p:.2g})"
    return f"{apart}; not distinguishable (McNemar p={p:.2g})"
