"""Related images: the groups that pairs of them make, splits of whole groups, and pairs across splits."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marinecv.choices import SCORED_SPLITS, SPLITS
from marinecv.console import Log
from marinecv.data.photos import by_photo, photos_of
from marinecv.data.splits.partition import has_groups, partition_groups
from marinecv.data.user_tables import TEXT_OF_AUDIT, as_catalog, as_table, is_usable

PAIR_COLUMNS = ["image_a", "image_b", "kind", "similarity", "method"]
COPY, NEAR_COPY, NEIGHBOR, BLOCK = "copy", "near copy", "neighbor", "block"
RELATED = (COPY, NEAR_COPY, NEIGHBOR)
TOGETHER = (COPY, NEAR_COPY, BLOCK)
LEFT_OUT = "near-duplicate of "  # a problem begins so, and says of which image in which split


def as_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of related images as `find_pairs` does, however they came from a CSV."""
    return as_table(pairs, PAIR_COLUMNS[:3], table_name="table of pairs", text=TEXT_OF_AUDIT)


@by_photo
def group_catalog(catalog: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with a `group` for every usable image: what a grouped split keeps on one side.

    An image that has a group (a sub-folder: a camera, a video) keeps it. The rest are grouped by the copies, near
    copies and blocks of frames in `pairs`, as `find_pairs` returns them; such a group is named after its first image.
    Groups that share a `sequence` of one camera become one. Neighboring frames, which would chain, are not followed.
    """
    catalog, pairs = as_catalog(catalog).reset_index(drop=True), as_pairs(pairs)
    ungrouped = catalog[is_usable(catalog) & (catalog["group"] == "")]
    ids = pd.Index(ungrouped["image_id"])
    followed = pairs[pairs["kind"].isin(TOGETHER) & pairs["image_a"].isin(ids) & pairs["image_b"].isin(ids)]
    edges = ids.get_indexer(followed["image_a"]), ids.get_indexer(followed["image_b"])
    graph = coo_array((np.ones(len(followed)), edges), (len(ids), len(ids)))
    _, component = connected_components(graph, directed=False)
    leaders = ungrouped["image_id"].groupby(component).transform("min")
    return join_sequences(catalog.assign(group=leaders.reindex(catalog.index).fillna(catalog["group"])))


def join_sequences(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with groups that share a `sequence` of one camera as one, named after the first of them."""
    rows = as_table(catalog, optional=dict.fromkeys(("camera", "sequence"), ""))
    rows = rows[(rows["group"] != "") & (rows["sequence"] != "")]
    if rows.empty:
        return catalog
    groups, names = pd.factorize(rows["group"])
    sequences = len(names) + rows.groupby(["camera", "sequence"]).ngroup().to_numpy()
    graph = coo_array((np.ones(len(rows)), (groups, sequences)), (sequences.max() + 1,) * 2)
    component = connected_components(graph, directed=False)[1][: len(names)]
    first = pd.Series(names, index=names).groupby(component).transform("min")
    return catalog.assign(group=catalog["group"].map(first).fillna(catalog["group"]))


def folder_levels(catalog: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the catalog grouped at each depth of sub-folders with several groups of usable images, the first first.

    `cam1/2021-05-03` is `cam1` at depth 1, the same group under every class. Groups of pairs have one depth.
    """
    if len(groups := catalog["group"].unique()) < 2:
        return
    image_ids = {*catalog["image_id"].tolist()}
    parts = {group: [group] if group in image_ids else group.split("/") for group in groups}
    for depth in range(1, 1 + max(map(len, parts.values()), default=0)):
        names = {group: "/".join(folders[:depth]) for group, folders in parts.items()}
        level = catalog["group"].map(names).astype(catalog["group"].dtype)
        if level[is_usable(catalog)].nunique() > 1:
            yield catalog.assign(group=level)


@by_photo
def first_level(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog grouped at the first of its `folder_levels`; unchanged where there is none."""
    return next(folder_levels(catalog), catalog)


def groups_of(rows: pd.DataFrame) -> pd.Series:
    """Return the group of each row; an image without one is a group of its own."""
    return rows["group"].where(rows["group"] != "", rows["image_id"])


@by_photo
def leave_out_duplicates(catalog: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Take train images with a near-duplicate in validation or test out of train, with a problem that names it."""
    duplicates = related_in_train(catalog, pairs[pairs["kind"].isin((COPY, NEAR_COPY))])
    duplicates = duplicates.drop_duplicates("related_image").set_index("related_image")
    reasons = LEFT_OUT + duplicates["image_id"] + " in " + duplicates["split"]
    is_duplicate = catalog["image_id"].isin(reasons.index)
    problem = catalog["problem"].mask(is_duplicate, catalog["image_id"].map(reasons))
    return catalog.assign(problem=problem, split=catalog["split"].mask(is_duplicate, ""))


def put_back(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog with the images usable again that `leave_out_duplicates` left out."""
    return catalog.assign(problem=catalog["problem"].mask(catalog["problem"].str.startswith(LEFT_OUT), ""))


def related_in_train(catalog: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of a validation or test image and a related train image, the most similar kind first.

    Columns: `image_id` and its `split`, `related_image` (of train), `kind`, `similarity`. Of crops, the photographs.
    """
    catalog, pairs = as_catalog(photos_of(catalog)), as_pairs(pairs)
    split = catalog[is_usable(catalog)].set_index("image_id")["split"]
    related = pairs[pairs["kind"].isin(RELATED)]
    swapped = related.rename(columns={"image_a": "image_b", "image_b": "image_a"})
    related = pd.concat([related, swapped], ignore_index=True)
    first_split, second_split = related["image_a"].map(split), related["image_b"].map(split)
    crossing = related[(second_split == "train") & first_split.isin(SCORED_SPLITS)]
    crossing = crossing.rename(columns={"image_a": "image_id", "image_b": "related_image"})
    crossing = crossing.assign(split=first_split[crossing.index], order=crossing["kind"].map(RELATED.index))
    crossing = crossing.sort_values(["order", "similarity", "image_id"], ascending=[True, False, True])
    return crossing[["image_id", "split", "related_image", "kind", "similarity"]].reset_index(drop=True)


def split_in_groups(
    rows: pd.DataFrame, seed: int, fractions: Sequence[float], pairs: pd.DataFrame | None, log: Log
) -> pd.DataFrame:
    """Return usable rows with `split` and the `group` they are split by, and log how; see `split_catalog`."""

    def partition(level: pd.DataFrame, parts: Sequence[float] = fractions) -> pd.DataFrame:
        split = partition_groups(level, np.random.default_rng(seed), parts).map(dict(enumerate(SPLITS)))
        return level.assign(split=split) if pairs is None else leave_out_duplicates(level.assign(split=split), pairs)

    used_splits, best, best_coverage = np.sign(fractions), None, 0
    levels = [join_sequences(level) if pairs is None else group_catalog(level, pairs) for level in folder_levels(rows)]
    for level in levels:
        # With few cameras more even fractions may leave some images of most classes on each side.
        for parts in (fractions, (np.asarray(fractions) + used_splits / used_splits.sum()) / 2):
            if best_coverage < 2 and has_groups(level, np.count_nonzero(used_splits)):
                split = partition(level, parts)
                if (coverage := _class_coverage(split, fractions)) > best_coverage:
                    best, best_coverage = split, coverage
    if best_coverage:
        description = f"sub-folder (depth {best['group'].str.count('/').max() + 1}, such as {best['group'].iloc[0]})"
    else:
        best = partition(rows if pairs is None else group_catalog(rows.assign(group=""), pairs))
        description = "related images: near-duplicates and frames of one sequence stay together"
        description += "; no depth of sub-folders leaves every class in train" if levels else ""
    log(f"split in {best['group'].nunique()} groups of {len(best)} images by {description}")
    if out := (~is_usable(best)).sum():
        log(f"left out of train: {out} near-duplicates of images in validation or test")
    return best


def _class_coverage(rows: pd.DataFrame, fractions: Sequence[float]) -> int:
    """Return 2 where train has every class and each other split most of them, 1 where train has every class, else 0."""
    num_classes, counts = rows["class_name"].nunique(), rows.groupby("split")["class_name"].nunique()
    train, *others = (counts.get(split, 0) for split, part in zip(SPLITS, fractions, strict=True) if part)
    return 0 if train < num_classes else 1 + all(2 * count > num_classes for count in others)
