"""Images that belong together: the groups that links make, and which images have a relative where one trains."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LINK_COLUMNS = ["first", "second", "kind", "likeness", "found_by"]
COPY, NEAR_COPY, NEIGHBOUR, BLOCK = "copy", "near copy", "neighbour", "block"
RELATIVES = (COPY, NEAR_COPY, NEIGHBOUR)
TOGETHER = (COPY, NEAR_COPY, BLOCK)


def group_catalog(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with a `group` for every usable image: what a grouped split keeps on one side.

    Linked are copies, near copies and blocks of frames, and what had one group before (a sub-folder: a camera, a
    video). Links between mere neighbours are not followed: they would chain into one giant group.

    Args:
        catalog: columns `CATALOG_COLUMNS`.
        links: as `find_links` returns them; those of images that are not usable are passed over.
    Returns:
        The catalog; a group is named after its first image.
    """
    good = catalog[catalog["problem"] == ""]
    ids = pd.Index(good["image_id"])
    kept = links[links["kind"].isin(TOGETHER) & links["first"].isin(ids) & links["second"].isin(ids)]
    first, second = ids.get_indexer(kept["first"]), ids.get_indexer(kept["second"])
    codes, names = pd.factorize(good["group"].where(good["group"] != "", None))  # -1 without one
    grouped = np.flatnonzero(codes >= 0)
    first, second = np.r_[first, grouped], np.r_[second, len(ids) + codes[grouped]]
    size = len(ids) + len(names)
    _, component = connected_components(coo_array((np.ones(len(first)), (first, second)), (size, size)), directed=False)
    component = pd.Series(component[: len(ids)], index=good.index)
    leaders = good["image_id"].groupby(component).transform("min")
    return catalog.assign(group=catalog["group"].mask(catalog["problem"] == "", leaders.reindex(catalog.index)))


def relatives_in_train(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of an image that is judged and one that is trained on, where one gives the other away.

    Args:
        catalog: split into train and others.
        links: as `find_links` returns them; copies, near copies and neighbours count.
    Returns:
        DataFrame: `image_id` and its `split`, `relative` (in train), `kind`, `likeness`.
    """
    split = catalog[catalog["problem"] == ""].set_index("image_id")["split"]
    pairs = links[links["kind"].isin(RELATIVES)]
    swapped = pairs.rename(columns={"first": "second", "second": "first"})
    pairs = pd.concat([pairs, swapped], ignore_index=True)
    judged, taught = pairs["first"].map(split), pairs["second"].map(split)
    crossing = pairs[(taught == "train") & judged.isin(["validation", "test"])]
    crossing = crossing.assign(split=judged[crossing.index]).rename(columns={"first": "image_id", "second": "relative"})
    order = crossing["kind"].map({kind: number for number, kind in enumerate(RELATIVES)})
    crossing = crossing.assign(order=order).sort_values(
        ["order", "likeness", "image_id"], ascending=[True, False, True]
    )
    return crossing[["image_id", "split", "relative", "kind", "likeness"]].reset_index(drop=True)
