"""Label fractions: learning with labels for only a fraction of the train images."""

import numpy as np
import pandas as pd

from marinecv.data.user_tables import is_usable


def labeled_rows(catalog: pd.DataFrame, fraction: float, seed: int = 0) -> pd.Series:
    """Return (n,) bool, indexed as the catalog: the usable train images with a label, the same fraction of each class.

    Each class has at least one. An image that is labeled at one fraction is labeled at every larger one of the seed.
    Raises ValueError where the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"Expected a fraction of labeled images above 0 and at most 1. Received: {fraction}.")
    rng, is_labeled = np.random.default_rng(seed), pd.Series(False, index=catalog.index)
    train = catalog[is_usable(catalog) & (catalog["split"] == "train")].sort_values("image_id")
    for _, of_class in train.groupby("class_name"):
        order = rng.permutation(of_class.index)
        is_labeled[order[: max(1, round(fraction * len(order)))]] = True
    return is_labeled


def keep_labels(catalog: pd.DataFrame, fraction: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with unlabeled train images in no split."""
    return _train_on(catalog, labeled_rows(catalog, fraction, seed))


def keep_unlabeled(catalog: pd.DataFrame, fraction: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with labeled train images in no split; raise ValueError where all are labeled."""
    is_unlabeled = (catalog["split"] == "train") & ~labeled_rows(catalog, fraction, seed)
    if not (is_unlabeled & is_usable(catalog)).any():
        raise ValueError(f"With {fraction:.0%} of the labels no train image is without one. Expected a lower fraction.")
    return _train_on(catalog, is_unlabeled)


def _train_on(catalog: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    return catalog.assign(split=catalog["split"].mask((catalog["split"] == "train") & ~chosen, ""))
