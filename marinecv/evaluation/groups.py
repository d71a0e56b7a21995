"""Groups of related images: near-duplicates, frames of one video, images of one camera. Their errors correlate."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

Groups = Mapping[str, object] | pd.Series | None
"""The group of each image, by `image_id`; an image with a missing or empty one is a group of its own."""


def group_numbers(image_ids: pd.Series, groups: Groups) -> np.ndarray | None:
    """Return the group number of each image from 0, (n,) int, or None where no two images share a group.

    Raises ValueError where `groups` has entries, but for none of the images.
    """
    if groups is None:
        return None
    groups = dict(groups)
    if groups and not image_ids.isin(groups.keys()).any():
        raise ValueError(
            "Expected groups by image_id, such as catalog.set_index('image_id')['group']. Received no entry for any of "
            f"{len(image_ids)} images, the first {image_ids.iloc[0]!r}; the first entry is {next(iter(groups))!r}."
        )
    named = image_ids.map(groups)
    numbers, names = pd.factorize(named.mask(named == ""))
    ungrouped = numbers < 0
    numbers[ungrouped] = len(names) + np.arange(ungrouped.sum())
    return numbers if numbers.max() + 1 < len(numbers) else None


def counts_by_group(
    numbers: np.ndarray, class_indices: np.ndarray, kinds: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Count the images of each kind in each group: float64 (groups, kinds).

    `numbers` (n,) is the group of each image, `class_indices` (n,) its kind from 0 to kinds - 1, `weights` (n,) its
    weight; None weighs all by 1.
    """
    groups = numbers.max() + 1
    return np.bincount(numbers * kinds + class_indices, weights, groups * kinds).reshape(groups, kinds).astype(float)


def common_groups(catalogs: Iterable[pd.DataFrame], image_ids: pd.Series) -> dict[str, str] | None:
    """Return the group of each image in the first catalog, by `image_id`.

    None where, in one of the catalogs, an image has no group or no two images share one.
    """
    by_catalog = [catalog.set_index("image_id")["group"].reindex(image_ids).fillna("") for catalog in catalogs]
    grouped = all((group != "").all() and group.nunique() < len(group) for group in by_catalog)
    return dict(by_catalog[0]) if grouped else None
