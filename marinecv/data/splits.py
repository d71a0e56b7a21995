"""Which image serves for training, which for choosing, which for the one look at the end."""

import numpy as np
import pandas as pd

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
NO_SPLIT = "lies in no split folder"
SPLIT_BY = ("published", "random", "stratified", "grouped")


def canonical_split(name: str) -> str:
    """Map `valid`, `val`, `dev` and the like to one of `SPLITS`.

    Raises:
        ValueError: the name stands for no split.
    """
    if name.lower() not in SPLIT_NAMES:
        raise ValueError(f'"{name}" is no split. Expected one of {", ".join(SPLIT_NAMES)}.')
    return SPLIT_NAMES[name.lower()]


def default_split_by(catalog: pd.DataFrame) -> str:
    """Say how to split where the user does not: as published, else by groups, never at random unasked.

    Raises:
        ValueError: the data have neither splits nor groups.
    """
    if catalog["split"].isin(SPLITS).any():
        return "published"
    if (catalog["group"] != "").any():
        return "grouped"
    raise ValueError(
        "The data have no train/validation/test folders, and no sub-folders (one a camera or a video) to keep "
        "together. A random split puts neighbouring frames of one video on both sides and flatters the score. "
        "Sort the images into sub-folders of their class, or accept that with --split-by stratified."
    )


def split_catalog(
    catalog: pd.DataFrame,
    split_by: str = "published",
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
) -> pd.DataFrame:
    """Return the catalog with its `split` column set.

    `published` keeps the splits the data came with; a missing validation or test split is carved from train
    at its share in `fractions`: in whole groups where every usable train row has one of at least 3, else stratified.
    `random` and `stratified` ignore published splits; `grouped` keeps each
    value of the `group` column on one side and comes as near to the fractions of every class as whole groups allow.
    Rows with a problem belong to no split, except as published; rows beside the published splits get one.

    Args:
        catalog: columns `CATALOG_COLUMNS`.
        split_by: one of `SPLIT_BY`.
        seed: the same seed gives the same split.
        fractions: shares of train, validation and test; they sum to 1.
    Raises:
        ValueError: unknown way, fractions that do not sum to 1, no usable image to split, no published splits, or
            fewer than 3 groups.
    """
    if split_by not in SPLIT_BY:
        raise ValueError(f'Cannot split by "{split_by}". Expected one of {", ".join(SPLIT_BY)}.')
    if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise ValueError(f"The fractions of train, validation and test are {fractions}. Expected three that sum to 1.")
    rng = np.random.default_rng(seed)
    good = catalog["problem"] == ""
    if split_by == "published":
        chosen = _published(catalog, good, rng, fractions)
        catalog = catalog.assign(problem=catalog["problem"].mask(good & (chosen == ""), NO_SPLIT))
    else:
        if not good.any():
            first = f", the first: {catalog['problem'].iloc[0]}" if len(catalog) else ""
            raise ValueError(
                f"None of the {len(catalog)} images can be used{first}. Expected images with a class; `marinecv audit` "
                "shows what is wrong with each."
            )
        assign = {"random": _random, "stratified": _stratified, "grouped": _grouped}[split_by]
        chosen = pd.Series("", index=catalog.index).mask(good, assign(catalog[good], rng, fractions))
    return sort_by_split(catalog.assign(split=chosen))


def sort_by_split(catalog: pd.DataFrame) -> pd.DataFrame:
    """Sort by split (train, validation, test, none), then by image id."""
    order = catalog["split"].map({split: number for number, split in enumerate((*SPLITS, ""))})
    return catalog.assign(order=order).sort_values(["order", "image_id"], ignore_index=True).drop(columns="order")


def allocate(total: int, weights: list[float]) -> list[int]:
    """Share out `total` things by weight in whole numbers, at least one each where there are enough.

    Where there are too few, the heavier come first; equal weights in the order given.
    """
    weights = np.asarray(weights, dtype=float)
    heaviest = np.argsort(-weights, kind="stable")[:total]
    shares = np.zeros(len(weights), dtype=int)
    shares[heaviest] = weights[heaviest] > 0
    quota = total * weights / weights.sum()
    for _ in range(total - shares.sum()):
        shares[np.argmax(quota - shares)] += 1
    return shares.tolist()


def _published(catalog: pd.DataFrame, good: pd.Series, rng: np.random.Generator, fractions: tuple) -> pd.Series:
    chosen = catalog["split"].copy()
    if not chosen.isin(SPLITS).any():
        raise ValueError(
            "The data come without train/validation/test folders, so there is no published split. "
            "Expected --split-by grouped, stratified or random."
        )
    train = good & (chosen == "train")
    weights = [
        fraction if split == "train" or not (chosen == split).any() else 0.0
        for split, fraction in zip(SPLITS, fractions, strict=True)
    ]
    if train.any() and sum(weights[1:]):
        weights[0] = 1 - sum(weights[1:])
        carve = _grouped if _has_groups(catalog[train]) else _stratified
        chosen[train] = carve(catalog[train], rng, weights)
    return chosen


def _random(rows: pd.DataFrame, rng: np.random.Generator, fractions: tuple) -> pd.Series:
    shuffled = rng.permutation(rows.index)
    return pd.Series(np.repeat(SPLITS, allocate(len(rows), fractions)), index=shuffled)


def _stratified(rows: pd.DataFrame, rng: np.random.Generator, fractions: tuple) -> pd.Series:
    return pd.concat([_random(of_class, rng, fractions) for _, of_class in rows.groupby("class_name")])


def _has_groups(rows: pd.DataFrame) -> bool:
    return (rows["group"] != "").all() and rows["group"].nunique() >= 3


def _grouped(rows: pd.DataFrame, rng: np.random.Generator, fractions: tuple) -> pd.Series:
    """Largest group first, each to the split where the class counts come nearest to what the fractions ask."""
    if not _has_groups(rows):
        named = rows.loc[rows["group"] != "", "group"]
        raise ValueError(
            f"{len(named)} of {len(rows)} images have a group, and there are {named.nunique()} groups. A grouped split "
            "needs one for every image, and at least 3. Sort the images into sub-folders of their class, or name "
            "another --split-by: stratified or random."
        )
    counts = pd.crosstab(rows["group"], rows["class_name"])
    counts = counts.iloc[rng.permutation(len(counts))]
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    per_class = counts.sum().to_numpy()
    target = np.outer(fractions, per_class)
    filled, home = np.zeros_like(target), {}
    for number, (group, of_group) in enumerate(counts.iterrows()):
        empty = [split for split in range(3) if fractions[split] and not filled[split].any()]
        # The last groups are kept for the splits that are still empty.
        open_splits = empty if len(counts) - number <= len(empty) else np.flatnonzero(fractions)
        misfit = {
            s: ((filled + np.eye(3)[s][:, None] * of_group.to_numpy() - target) / per_class) ** 2 for s in open_splits
        }
        best = min(misfit, key=lambda split: misfit[split].sum())
        filled[best] += of_group.to_numpy()
        home[group] = SPLITS[best]
    return rows["group"].map(home)
