"""Partition the rows of a table by fractions: single images, class by class, or whole groups.

Each takes usable rows of a catalog, a random generator and fractions; it returns the number of each row's part, from 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def allocate(total: int, weights: Sequence[float]) -> list[int]:
    """Split `total` into whole numbers in proportion to the weights, at least one each where there are enough.

    Where there are too few, the largest weights get one; equal weights in the order given.
    """
    weights = np.asarray(weights, dtype=float)
    heaviest = np.argsort(-weights, kind="stable")[:total]
    counts = np.zeros(len(weights), dtype=int)
    counts[heaviest] = weights[heaviest] > 0
    quota = total * weights / weights.sum()
    for _ in range(total - counts.sum()):
        counts[np.argmax(quota - counts)] += 1
    return counts.tolist()


def partition_at_random(rows: pd.DataFrame, rng: np.random.Generator, fractions: Sequence[float]) -> pd.Series:
    """Partition single images, as `allocate` counts them."""
    return _random_parts(rows, rng, allocate(len(rows), fractions))


def partition_by_class(rows: pd.DataFrame, rng: np.random.Generator, fractions: Sequence[float]) -> pd.Series:
    """Partition the images of each class: all parts but the first get their fraction rounded down, the first the rest.

    Each part gets at least one image of a class that has enough.
    """
    classes = [of_class for _, of_class in rows.groupby("class_name")]
    return pd.concat([_random_parts(rows, rng, _class_counts(len(rows), fractions)) for rows in classes])


def partition_groups(rows: pd.DataFrame, rng: np.random.Generator, fractions: Sequence[float]) -> pd.Series:
    """Partition whole groups: the largest first, each to the part where class counts come nearest to the fractions.

    `rng` orders groups of equal size. Raises ValueError where a row has no group, or there are fewer groups than parts.
    """
    min_groups = np.count_nonzero(fractions)
    if not has_groups(rows, min_groups):
        groups_given = rows.loc[rows["group"] != "", "group"]
        raise ValueError(
            f"{len(groups_given)} of {len(rows)} images have a group, and there are {groups_given.nunique()} groups. "
            f"A grouped split needs one for every image, and at least {min_groups}. Sort the images into sub-folders "
            "of their class (one a camera or a video), or accept an optimistic score with split_by=stratified."
        )
    counts = pd.crosstab(rows["group"], rows["class_name"])
    counts = counts.iloc[rng.permutation(len(counts))]
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    per_class = counts.sum().to_numpy()
    target = np.outer(fractions, per_class)
    filled, part_of_group, one_hot = np.zeros_like(target), {}, np.eye(len(fractions))
    for number, (group, of_group) in enumerate(zip(counts.index, counts.to_numpy(), strict=True)):
        empty = [part for part in np.flatnonzero(fractions) if not filled[part].any()]
        # The last groups go to parts that are still empty.
        open_parts = empty if len(counts) - number <= len(empty) else np.flatnonzero(fractions)
        misfit = {part: (filled + one_hot[part][:, None] * of_group - target) / per_class for part in open_parts}
        best = min(misfit, key=lambda part: (misfit[part] ** 2).sum())
        filled[best] += of_group
        part_of_group[group] = int(best)
    return rows["group"].map(part_of_group)


def has_groups(rows: pd.DataFrame, min_groups: int = 3) -> bool:
    """Return whether every row has a group, and there are at least `min_groups` groups."""
    return (rows["group"] != "").all() and rows["group"].nunique() >= min_groups


def class_by_class(rows: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return the index of the rows, class after class, the images of each in random order."""
    return np.concatenate([rng.permutation(of_class.index) for _, of_class in rows.groupby("class_name")])


def _random_parts(rows: pd.DataFrame, rng: np.random.Generator, counts: list[int]) -> pd.Series:
    return pd.Series(np.repeat(np.arange(len(counts)), counts), index=rng.permutation(rows.index))


def _class_counts(total: int, fractions: Sequence[float]) -> list[int]:
    least = np.array(allocate(min(total, np.count_nonzero(fractions)), fractions))
    counts = np.maximum(least, np.floor(np.asarray(fractions) * total + 1e-9).astype(int))  # 0.29 * 100 is 28.999...
    counts[1 + np.argmax(counts[1:])] -= max(0, least[0] + counts[1:].sum() - total)
    counts[0] = total - counts[1:].sum()
    return counts.tolist()
