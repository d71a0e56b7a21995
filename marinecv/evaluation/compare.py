"""Paired comparison of two models on the same images."""

import numpy as np
import pandas as pd

from marinecv.evaluation import intervals
from marinecv.evaluation.estimates import MIN_GROUPS
from marinecv.evaluation.groups import Groups, group_numbers
from marinecv.evaluation.predictions import as_predictions
from marinecv.language import tr


def compare_runs(
    predictions_a: pd.DataFrame, predictions_b: pd.DataFrame, split: str, seed: int = 0, groups: Groups = None
) -> dict:
    """Compare the accuracies of two predictions tables on the same labeled images of a split, in any order.

    McNemar's test assumes independent images. Where images share a group, `distinguishable` also asks for an interval
    over groups without 0.

    Returns `split, n, accuracy_a, accuracy_b`, `difference` (a - b) with its 95% paired bootstrap bounds `low` and
    `high`, `only_a` and `only_b` (images that one alone classifies correctly), `p` (McNemar, exact),
    `smallest_difference` (what could be significant with these discordant images and groups), `distinguishable`, a
    `sentence`, and `groups` where images share one; with fewer than `MIN_GROUPS` the bounds and the smallest difference
    are NaN.
    """
    correct = paired(predictions_a, predictions_b, split)
    n, group_ids = len(correct), group_numbers(correct.index.to_series(), groups)
    only_a, only_b = int((correct["a"] & ~correct["b"]).sum()), int((~correct["a"] & correct["b"]).sum())
    difference, p = (only_a - only_b) / n, intervals.mcnemar(only_a, only_b)
    low, high = difference_bounds(correct["a"].astype(float) - correct["b"], group_ids, seed)
    smallest = intervals.smallest_paired_difference(only_a + only_b, n)
    if group_ids is not None:  # as far as the bound on the side of 0 lies from the difference
        smallest = float(np.maximum(smallest, difference - low if difference > 0 else high - difference))
    distinguishable = p < 1 - intervals.LEVEL and (group_ids is None or low > 0 or high < 0)
    accuracy_a, accuracy_b = (float(correct[name].mean()) for name in ("a", "b"))
    result = {"split": split, "n": n, "accuracy_a": accuracy_a, "accuracy_b": accuracy_b, "difference": difference}
    result |= {"low": low, "high": high, "only_a": only_a, "only_b": only_b, "p": p}
    result |= {"smallest_difference": smallest, "distinguishable": distinguishable}
    if group_ids is not None:
        result["groups"] = int(group_ids.max()) + 1
    return {**result, "sentence": _sentence(result)}


def paired(a: pd.DataFrame, b: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return whether each image of a split is classified correctly: bool columns `a` and `b`, by `image_id`.

    Raises ValueError where the split is empty, or images or true classes differ.
    """
    a, b = map(as_predictions, (a, b))
    a, b = (t[(t["split"] == split) & (t["true_class"] != "")].set_index("image_id") for t in (a, b))
    if a.empty and b.empty:
        raise ValueError(f"Neither table has a labeled image in split {split!r}. Expected the same images in both.")
    if len(only_one := a.index.symmetric_difference(b.index)):
        raise ValueError(
            f"The tables differ in {len(only_one)} images of split {split!r}; the first is {only_one[0]}. Expected the "
            f"same images in both. Received: {len(a)} and {len(b)}. Predict both on one catalog; if two runs were "
            "split in different ways, train both on the split of one, such as split_by=RUN/split.csv."
        )
    b = b.loc[a.index]
    if len(relabeled := a.index[a["true_class"].to_numpy() != b["true_class"].to_numpy()]):
        raise ValueError(
            f"{len(relabeled)} of {len(a)} images have another true class in the second table; the first is "
            f"{relabeled[0]}. Expected the same labels in both. Predict both on one catalog."
        )
    return pd.DataFrame({name: t["predicted_class"] == t["true_class"] for name, t in (("a", a), ("b", b))})


def difference_bounds(gaps: pd.Series, group_ids: np.ndarray | None, seed: int) -> tuple[float, float]:
    """Return the 95% paired bootstrap bounds (low, high) of the mean of `gaps`, one an image.

    `group_ids` (n,) is the group of each image, resampled whole; fewer than `MIN_GROUPS` groups give NaN. None
    resamples images.
    """
    if group_ids is None:
        values, counts = np.unique(gaps, return_counts=True)  # a sum needs only how often each value is drawn
        resampled = np.random.default_rng(seed).multinomial(len(gaps), counts / len(gaps), intervals.RESAMPLES)
        return intervals.percentile_interval(resampled @ values / len(gaps))
    if group_ids.max() + 1 < MIN_GROUPS:
        return np.nan, np.nan
    sums, sizes = np.bincount(group_ids, gaps), np.bincount(group_ids)
    resampled = intervals.resampled_sums(np.column_stack([sums, sizes]), seed)
    return intervals.expanded_interval(resampled[:, 0] / resampled[:, 1], intervals.effective_number(sizes))


def _sentence(result: dict) -> str:
    lead, n, smallest = result["only_a"] - result["only_b"], result["n"], result["smallest_difference"]
    apart = tr("a difference of {count} of {n} images", count=abs(lead), n=n)
    better = tr("the first is better") if lead > 0 else tr("the second is better")
    verdict = better if result["distinguishable"] else tr("not distinguishable")
    if np.isnan(result["low"]):
        text = "all {n} images come from {groups} groups of related images: no interval"
        return f"{apart}; {verdict} ({tr(text, n=n, groups=result['groups'])})"
    text = "on these images a difference under {smallest:.3f} is not significant"
    if smallest > 1:
        text = "{n} images cannot show any difference"
    elif "groups" in result:
        text = "on these images in {groups} groups a difference under {smallest:.3f} is not significant"
    shown = tr(text, n=n, groups=result.get("groups"), smallest=smallest)
    return f"{apart}; {verdict} ({tr('McNemar p={p:.2g}', p=result['p'])}; {shown})"
