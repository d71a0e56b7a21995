"""Split whole groups: sub-folders at the first suitable depth, else related images; near-duplicates leave train."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from marinecv.choices import SPLITS
from marinecv.data.deal import deal_groups, has_groups
from marinecv.data.groups import folder_levels, group_catalog, leave_out_duplicates
from marinecv.data.user_tables import is_usable


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
