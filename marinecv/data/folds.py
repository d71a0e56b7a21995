"""Cross-validation: split the images k times so that each of them is validation once."""

import numpy as np
import pandas as pd

from marinecv.data.deal import class_by_class, deal_groups
from marinecv.data.groups import put_back
from marinecv.data.splits import sort_by_split
from marinecv.data.user_tables import as_catalog, is_usable
from marinecv.schema import one_of

FOLDS_BY = ("stratified", "grouped")


def kfold(catalog: pd.DataFrame, k: int, seed: int = 0, by: str = "stratified") -> list[pd.DataFrame]:
    """Return `k` catalogs, split into train and validation; each usable image is validation in one of them.

    `by="stratified"` folds differ by at most one image of a class, and by one in all; "grouped" keeps each value of
    `group` on one side. Published splits are ignored, so take test images out first. Images that a split left out as
    near-duplicates are used again. The order of rows does not matter.
    """
    one_of(FOLDS_BY, by=by)
    catalog = put_back(as_catalog(catalog).reset_index(drop=True))
    good = is_usable(catalog)
    if not 2 <= k <= good.sum():
        raise ValueError(f"There are {good.sum()} usable images for {k} folds. Expected 2 folds up to one an image.")
    rows, rng = catalog[good].sort_values("image_id"), np.random.default_rng(seed)
    if by == "grouped":
        fold = deal_groups(rows, rng, [1 / k] * k)
    else:
        fold = pd.Series(np.arange(len(rows)) % k, index=class_by_class(rows, rng))
    splits = [(fold == number).map({True: "validation", False: "train"}) for number in range(k)]
    return [sort_by_split(catalog.assign(split=split.reindex(catalog.index, fill_value=""))) for split in splits]
