"""Split a catalog into train, validation and test; write and read splits."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.choices import SPLIT_BY, SPLITS
from marinecv.console import Log, silent
from marinecv.data.cache_dir import cache_path
from marinecv.data.groups import first_level, group_catalog, groups_of, put_back, split_in_groups
from marinecv.data.layouts import SPLIT_NAMES, folder_splits
from marinecv.data.names import match_names, normalize_name
from marinecv.data.photos import by_photo, is_of_crops, photos_of, set_by_photo
from marinecv.data.splits import partition
from marinecv.data.user_tables import as_catalog, check_unique, is_usable, why_unusable
from marinecv.files.atomic import temporary_name
from marinecv.files.csv_tables import DELIMITERS, check_columns, read_table, write_table
from marinecv.files.hashes import sha256
from marinecv.schema import check_choice

SPLITS_FOLDER = "splits"  # folder of the cache: splits made before, by name
NO_SPLIT = "lies in no split folder"
NOT_LISTED = "is not in the split file"


def known_splits(names: pd.Series, rows: pd.Series) -> pd.Series:
    """Return the split of each word, see `folder_splits`, "" for ""; ValueError names the row of another by `rows`."""
    names = names.map(normalize_name)
    splits = {"": "", **folder_splits({*names})}
    if (unknown := ~names.isin(splits)).any():
        raise ValueError(
            f'Row {rows[unknown].iloc[0]}: "{names[unknown].iloc[0]}" is no split. Expected one of '
            f"{', '.join(SPLIT_NAMES)}. Fix the CSV, or leave the cell empty."
        )
    return names.map(splits)


def default_split_by(catalog: pd.DataFrame) -> str:
    """Return how to split where the user does not say: as published, else in groups, never at random."""
    return "published" if catalog["split"].isin(SPLITS).any() else "grouped"


@by_photo
def split_catalog(
    catalog: pd.DataFrame,
    split_by: str = "published",
    seed: int = 0,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    pairs: pd.DataFrame | None = None,
    log: Log | None = None,
) -> pd.DataFrame:
    """Return the catalog with its `split` column set, sorted by split and image id.

    "published" keeps the splits that the data came with; a missing validation or test split is taken from train at its
    fraction: in whole groups where every usable train row has one of at least 3, else stratified. The others ignore
    published splits: "random"; "stratified", which gives of each class the fraction rounded down to validation and to
    test, at least one each where there are enough; and "grouped", which keeps each group on one side and comes as near
    to the fractions of every class as whole groups allow.

        >>> import marinecv as mcv
        >>> mcv.split_catalog(mcv.read_catalog(mcv.demo_images()), "stratified")["split"].unique().tolist()
        ['train', 'validation', 'test']

    Groups are the sub-folders of a class at the first depth (a camera before its days) that leaves every class in train
    and most of them in each other split; without such a depth, the images that `pairs` join. A train image with a
    near-duplicate in another split gets a problem that says so.

    Args:
        catalog: columns `CATALOG_COLUMNS`. Rows with a problem get no split, except as published.
        split_by: one of `SPLIT_BY`; the path of a .csv with image_id and split; or a name that `save_split` returned.
        seed: the same seed gives the same split.
        fractions: of train, validation and test; they sum to 1. Without test: (0.8, 0.2, 0.0).
        pairs: pairs of related images, as `find_pairs` returns them, for a grouped split.
        log: called with a line on the groups.
    Returns:
        The catalog; its `group` is that of the depth split by, else of the first depth.
    Raises:
        ValueError: unknown `split_by`, fractions that do not sum to 1, no usable image, no published splits, fewer than
            3 groups (2 without test), or a .csv that cannot be followed.
    """
    catalog = as_catalog(catalog).reset_index(drop=True)
    check_unique(catalog)
    if str(split_by).lower().endswith(".csv"):
        return read_split(catalog, split_by)
    if split_by in saved_splits():
        split = read_split(catalog, cache_path(SPLITS_FOLDER, f"{split_by}.csv"))
        return split if pairs is None else group_catalog(split, pairs)
    if split_by not in SPLIT_BY:
        saved = f", or one made before: {', '.join(saved_splits())}" if saved_splits() else ""
        raise ValueError(f'Cannot split by "{split_by}". Expected one of {", ".join(SPLIT_BY)}, or a .csv file{saved}.')
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] == 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise ValueError(f"The fractions are {fractions}. Expected three that sum to 1: some train, validation, test.")
    catalog = catalog if split_by == "grouped" else first_level(catalog)
    rng = np.random.default_rng(seed)
    is_good = is_usable(catalog)
    if split_by == "published":
        splits = _published(catalog, rng, fractions)
        catalog = catalog.assign(problem=catalog["problem"].mask(is_good & (splits == ""), NO_SPLIT))
    else:
        if not is_good.any():
            raise ValueError(why_unusable(catalog))
        if split_by == "grouped":
            rows = split_in_groups(catalog[is_good], seed, fractions, pairs, log or silent)
            return sort_by_split(pd.concat([rows, catalog[~is_good].assign(split="")]))
        divide = partition.partition_at_random if split_by == "random" else partition.partition_by_class
        splits = _split_names(divide(catalog[is_good], rng, fractions)).reindex(catalog.index, fill_value="")
    return sort_by_split(catalog.assign(split=splits))


def sort_by_split(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the catalog sorted by split (train, validation, test, none), then by image id."""
    check_unique(catalog)
    rows = catalog if catalog["image_id"].is_monotonic_increasing else catalog.sort_values("image_id")
    order = rows["split"].map({split: number for number, split in enumerate((*SPLITS, ""))})
    return rows.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def kfold(catalog: pd.DataFrame, k: int, seed: int = 0, by: str = "stratified") -> list[pd.DataFrame]:
    """Return `k` catalogs, split into train and validation; each usable image is validation in one of them.

    `by="stratified"` folds differ by at most one image of a class, and by one in all; "grouped" keeps each value of
    `group` on one side. Published splits are ignored, so take test images out first. Images that a split left out as
    near-duplicates are used again. The order of rows does not matter. Crops of a photograph stay together.
    """
    check_choice(("stratified", "grouped"), by=by)
    given = put_back(as_catalog(catalog).reset_index(drop=True))
    catalog = photos_of(given)
    if is_of_crops(given):
        catalog = catalog.assign(group=groups_of(catalog))
    good = is_usable(catalog)
    if not 2 <= k <= good.sum():
        raise ValueError(f"There are {good.sum()} usable images for {k} folds. Expected 2 folds up to one an image.")
    rows, rng = catalog[good].sort_values("image_id"), np.random.default_rng(seed)
    if by == "grouped":
        fold = partition.partition_groups(rows, rng, [1 / k] * k)
    else:
        fold = pd.Series(np.arange(len(rows)) % k, index=partition.class_by_class(rows, rng))
    splits = [(fold == number).map({True: "validation", False: "train"}) for number in range(k)]
    parts = (catalog.assign(split=split.reindex(catalog.index, fill_value="")) for split in splits)
    return [set_by_photo(given, sort_by_split(part)) for part in parts]


def write_split(catalog: pd.DataFrame, path: str | Path) -> str:
    """Write `image_id,split,class_name` of usable images (of crops: photographs), sorted; return the file's SHA-256."""
    catalog = as_catalog(photos_of(catalog))
    rows = catalog[is_usable(catalog) & catalog["split"].isin(SPLITS)].sort_values("image_id")
    write_table(path, rows[["image_id", "split", "class_name"]])
    return sha256(path)


def is_grouped(split_by: str | None) -> bool:
    """Return whether `split_by` is "grouped", or names a grouped split that was saved."""
    return split_by == "grouped" or bool(re.fullmatch(r".+-grouped-[0-9a-f]{8}", split_by or ""))


def save_split(catalog: pd.DataFrame, name: str) -> str:
    """Save a split in the cache; return its name for `split_by`: `name` and the first 8 digits of the hash."""
    folder = cache_path(SPLITS_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    temporary, name = temporary_name(folder / "split.csv"), re.sub(r"[^\w. -]", "_", name).lstrip(".") or "split"
    name = f"{name}-{write_split(catalog, temporary)[:8]}"
    os.replace(temporary, folder / f"{name}.csv")
    return name


def saved_splits() -> list[str]:
    """Return the names of saved splits, sorted."""
    return sorted(path.stem for path in cache_path(SPLITS_FOLDER).glob("[!.]*.csv"))


def read_split(catalog: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Return the catalog split by a CSV of image_id and split; images that it lacks get a problem, bad rows raise."""
    try:
        table = read_table(path, DELIMITERS).rename(columns=normalize_name)
    except FileNotFoundError:
        raise ValueError(f"There is no split file {path}. Expected a CSV with image_id and split.") from None
    check_columns(table, ("image_id", "split"), path)
    catalog = as_catalog(catalog).reset_index(drop=True)
    known, table["split"] = catalog["image_id"], table["split"].map(normalize_name)
    ids = table["image_id"].map(match_names(table["image_id"], known)).fillna(table["image_id"])
    splits = folder_splits({*table["split"]})
    checks = {
        "is no image of these data": ~ids.isin(known),
        "is there twice": ids.duplicated(),
        f"has another split than {', '.join(SPLITS)}": ~table["split"].isin(splits),
    }
    for problem, wrong in checks.items():
        if wrong.any():
            raise ValueError(
                f"{wrong.sum()} of {len(table)} rows of {path} cannot be followed: {ids[wrong].iloc[0]!r:.80}, in row "
                f"{wrong.argmax() + 1} below the header, {problem}. Expected each image once, with its id and split."
            )
    split = known.map(dict(zip(ids, table["split"].map(splits), strict=True))).fillna("")
    is_good = is_usable(catalog)
    problem = catalog["problem"].mask(is_good & (split == ""), NOT_LISTED)
    return first_level(sort_by_split(catalog.assign(split=split.where(is_good, ""), problem=problem)))


def _published(catalog: pd.DataFrame, rng: np.random.Generator, fractions: Sequence[float]) -> pd.Series:
    splits = known_splits(catalog["split"], catalog["image_id"])
    if not splits.isin(SPLITS).any():
        raise ValueError(
            "The data come without train/validation/test folders, so there is no published split. "
            'Expected split_by="grouped", "stratified" or "random".'
        )
    train = is_usable(catalog) & (splits == "train")
    weights = [0.0 if (splits == split).any() else fraction for split, fraction in zip(SPLITS, fractions, strict=True)]
    if train.any() and sum(weights[1:]):
        weights[0] = 1 - sum(weights[1:])
        divide = partition.partition_groups if partition.has_groups(catalog[train]) else partition.partition_by_class
        splits[train] = _split_names(divide(catalog[train], rng, weights))
    return splits


def _split_names(parts: pd.Series) -> pd.Series:
    return parts.map(dict(enumerate(SPLITS)))
