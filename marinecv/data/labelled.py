"""Label fractions: learning with labels for only a fraction of the train images."""

import numpy as np
import pandas as pd

from marinecv.data.user_tables import is_usable


def labelled_share(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.Series:
    """Return (n,) bool, indexed as the catalog: the usable train images with a label, the same fraction of each class.

    Each class has at least one. Fractions of a seed are nested: an image that is labeled at one fraction is labeled at
    every larger one. Raises ValueError where the fraction is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"Expected a fraction of labeled images above 0 and at most 1. Received: {share}.")
    rng, labelled = np.random.default_rng(seed), pd.Series(False, index=catalog.index)
    train = catalog[is_usable(catalog) & (catalog["split"] == "train")].sort_values("image_id")
    for _, of_class in train.groupby("class_name"):
        drawn = rng.permutation(of_class.index)
        labelled[drawn[: max(1, round(share * len(drawn)))]] = True
    return labelled


def keep_labels(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with unlabeled train images in no split."""
    return _train_on(catalog, labelled_share(catalog, share, seed))


def keep_unlabelled(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with labeled train images in no split; raise ValueError where all are labeled."""
    unlabelled = (catalog["split"] == "train") & ~labelled_share(catalog, share, seed)
    if not (unlabelled & is_usable(catalog)).any():
        raise ValueError(f"With {share:.0%} of the labels no train image is without one. Expected a smaller fraction.")
    return _train_on(catalog, unlabelled)


def _train_on(catalog: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    return catalog.assign(split=catalog["split"].mask((catalog["split"] == "train") & ~chosen, ""))
