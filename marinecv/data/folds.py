"""Cross-validation: the same images split so often that each of them is validation once."""

import numpy as np
import pandas as pd

from marinecv.data.deal import class_by_class, deal_groups
from marinecv.data.groups import put_back
from marinecv.data.splits import sort_by_split
from marinecv.data.user_tables import as_catalog, is_usable
from marinecv.schema import one_of

FOLDS_BY = ("stratified", "grouped")


def kfold(catalog: pd.DataFrame, k: int, seed: int = 0, by: str = "stratified") -> list[pd.DataFrame]:
    """Return the catalog `k` times, split into train and validation; each usable image is validation in one of them.

    `stratified` folds differ by one image of a class at most, and by one in all; `grouped` keeps each value of `group`
    on one side. There is no test split, and published ones are not looked at: leave out before what nobody may see.
    Images that a split left out as near-duplicates are dealt out again. The order of rows does not matter.
    """
    one_of(FOLDS_BY, by=by)
    catalog = put_back(as_catalog(catalog).reset_index(drop=True))
    good = is_usable(catalog)
    if not 2 <= k <= good.sum():
        raise ValueError(
            f"There are {good.sum()} usable images for {k} folds. Expected 2 folds at least, and an image each."
        )
    rows, rng = catalog[good].sort_values("image_id"), np.random.default_rng(seed)
    if by == "grouped":
        fold = deal_groups(rows, rng, [1 / k] * k)
    else:  # like cards, going on where the class before ended
        fold = pd.Series(np.arange(len(rows)) % k, index=class_by_class(rows, rng))
    splits = [(fold == number).map({True: "validation", False: "train"}) for number in range(k)]
    return [sort_by_split(catalog.assign(split=split.reindex(catalog.index, fill_value=""))) for split in splits]
