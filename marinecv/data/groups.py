"""Related images: the groups that pairs of them make, splits of whole groups, and pairs across splits."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marinecv.choices import SCORED_SPLITS, SPLITS
from marinecv.data.deal import deal_groups, has_groups
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_catalog, as_table, is_usable

LINK_COLUMNS = ["first", "second", "kind", "likeness", "found_by"]
COPY, NEAR_COPY, NEIGHBOUR, BLOCK = "copy", "near copy", "neighbour", "block"
RELATIVES = (COPY, NEAR_COPY, NEIGHBOUR)
TOGETHER = (COPY, NEAR_COPY, BLOCK)
LEFT_OUT = "near-duplicate of "  # a problem begins so, and says of which image in which split


def as_links(links: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of related images as `find_links` does, however they came from a CSV."""
    return as_table(links, LINK_COLUMNS[:3], what="table of links", text=TEXT_OF_AUDIT)


def group_catalog(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with a `group` for every usable image: what a grouped split keeps on one side.

    An image that has a group (a sub-folder: a camera, a video) keeps it. The rest are grouped by the copies, near
    copies and blocks of frames in `links`, as `find_links` returns them; such a group is named after its first image.
    Pairs of neighboring frames are not followed: they would chain into one giant group.
    """
    catalog, links = as_catalog(catalog).reset_index(drop=True), as_links(links)
    free = catalog[is_usable(catalog) & (catalog["group"] == "")]
    ids = pd.Index(free["image_id"])
    kept = links[links["kind"].isin(TOGETHER) & links["first"].isin(ids) & links["second"].isin(ids)]
    pairs = ids.get_indexer(kept["first"]), ids.get_indexer(kept["second"])
    _, component = connected_components(coo_array((np.ones(len(kept)), pairs), (len(ids), len(ids))), directed=False)
    leaders = free["image_id"].groupby(component).transform("min")
    return catalog.assign(group=leaders.reindex(catalog.index).fillna(catalog["group"]))


def folder_levels(catalog: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the catalog grouped at each depth of sub-folders with several groups of usable images, the first first.

    `cam1/2021-05-03` is `cam1` at depth 1, the same group under every class. Groups of pairs have one depth.
    """
    paths = catalog["group"].where(~catalog["group"].isin(catalog["image_id"]), "")
    for depth in range(1, 2 + int(paths.str.count("/").max() if len(paths) else 0)):
        level = catalog["group"].mask(paths != "", paths.str.split("/").str[:depth].str.join("/"))
        if level[is_usable(catalog)].nunique() > 1:
            yield catalog.assign(group=level)


def first_level(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog grouped at the first of its `folder_levels`; unchanged where there is none."""
    return next(folder_levels(catalog), catalog)


def leave_out_duplicates(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Take train images with a near-duplicate in validation or test out of train, with a problem that names it."""
    pairs = relatives_in_train(catalog, links[links["kind"].isin((COPY, NEAR_COPY))]).drop_duplicates("relative")
    reasons = dict(zip(pairs["relative"], LEFT_OUT + pairs["image_id"] + " in " + pairs["split"], strict=True))
    out = catalog["image_id"].isin(reasons)
    problem = catalog["problem"].mask(out, catalog["image_id"].map(reasons))
    return catalog.assign(problem=problem, split=catalog["split"].mask(out, ""))


def put_back(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with the images usable again that `leave_out_duplicates` left out."""
    return catalog.assign(problem=catalog["problem"].mask(catalog["problem"].str.startswith(LEFT_OUT), ""))


def relatives_in_train(catalog: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of a validation or test image and a related train image, the most similar kind first.

    Columns: `image_id` and its `split`, `relative` (the train image), `kind`, `likeness`.
    """
    catalog, links = as_catalog(catalog), as_links(links)
    split = catalog[is_usable(catalog)].set_index("image_id")["split"]
    pairs = links[links["kind"].isin(RELATIVES)]
    swapped = pairs.rename(columns={"first": "second", "second": "first"})
    pairs = pd.concat([pairs, swapped], ignore_index=True)
    judged, taught = pairs["first"].map(split), pairs["second"].map(split)
    crossing = pairs[(taught == "train") & judged.isin(SCORED_SPLITS)]
    crossing = crossing.assign(split=judged[crossing.index]).rename(columns={"first": "image_id", "second": "relative"})
    crossing = crossing.assign(order=crossing["kind"].map({kind: number for number, kind in enumerate(RELATIVES)}))
    crossing = crossing.sort_values(["order", "likeness", "image_id"], ascending=[True, False, True])
    return crossing[["image_id", "split", "relative", "kind", "likeness"]].reset_index(drop=True)


def split_in_groups(
    rows: pd.DataFrame, seed: int, fractions: Sequence[float], links: pd.DataFrame | None, log: Callable[[str], None]
) -> pd.DataFrame:
    """Return usable rows with `split` and the `group` they are split by, and log how; see `split_catalog`."""

    def deal(level: pd.DataFrame, parts: Sequence[float] = fractions) -> pd.DataFrame:
        split = deal_groups(level, np.random.default_rng(seed), parts).map(dict(enumerate(SPLITS)))
        return level.assign(split=split) if links is None else leave_out_duplicates(level.assign(split=split), links)

    sides, best, most = np.sign(fractions), None, 0
    levels = [level if links is None else group_catalog(level, links) for level in folder_levels(rows)]
    for level in levels:
        # With few cameras more even fractions may leave some images of most classes on each side.
        for parts in (fractions, (np.asarray(fractions) + sides / sides.sum()) / 2):
            if most < 2 and has_groups(level, np.count_nonzero(sides)):
                split = deal(level, parts)
                best, most = max((best, most), (split, _serves(split, fractions)), key=lambda found: found[1])
    if most:
        how = f"sub-folder (depth {best['group'].str.count('/').max() + 1}, such as {best['group'].iloc[0]})"
    else:
        best = deal(rows if links is None else group_catalog(rows.assign(group=""), links))
        how = "related images: near-duplicates and frames of one sequence stay together"
        how += "; no depth of sub-folders leaves every class in train" if levels else ""
    log(f"split in {best['group'].nunique()} groups of {len(best)} images by {how}")
    if out := (~is_usable(best)).sum():
        log(f"left out of train: {out} near-duplicates of images in validation or test")
    return best


def _serves(rows: pd.DataFrame, fractions: Sequence[float]) -> int:
    """Return 2 where train has every class and each other split most of them, 1 where train has every class, else 0."""
    every, counts = rows["class_name"].nunique(), rows.groupby("split")["class_name"].nunique()
    train, *others = (counts.get(split, 0) for split, part in zip(SPLITS, fractions, strict=True) if part)
    return 0 if train < every else 1 + all(2 * held > every for held in others)
