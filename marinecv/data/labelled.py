"""Which train images have a label, where only a share of them has."""

import numpy as np
import pandas as pd

from marinecv.data.user_tables import is_usable


def labelled_share(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.Series:
    """Say which usable train images are labelled, of each class the same share, one at least.

    The shares of a seed are nested: an image that is labelled at one share is labelled at every larger one. Returned is
    bool, indexed as the catalog; False outside train. Raise ValueError where the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"Expected a share of labelled images above 0 and at most 1. Received: {share}.")
    rng, labelled = np.random.default_rng(seed), pd.Series(False, index=catalog.index)
    train = catalog[is_usable(catalog) & (catalog["split"] == "train")].sort_values("image_id")
    for _, of_class in train.groupby("class_name"):
        drawn = rng.permutation(of_class.index)
        labelled[drawn[: max(1, round(share * len(drawn)))]] = True
    return labelled


def keep_labels(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with the train images that are not labelled in no split, every row in its place."""
    return _train_on(catalog, labelled_share(catalog, share, seed))


def keep_unlabelled(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    """Return the catalog with the train images that are labelled in no split, every row in its place.

    Raise ValueError where all that can be used are labelled.
    """
    unlabelled = (catalog["split"] == "train") & ~labelled_share(catalog, share, seed)
    if not (unlabelled & is_usable(catalog)).any():
        raise ValueError(f"With {share:.0%} of the labels no train image is without one. Expected a smaller share.")
    return _train_on(catalog, unlabelled)


def _train_on(catalog: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    return catalog.assign(split=catalog["split"].mask((catalog["split"] == "train") & ~chosen, ""))
