"""Images that belong together: near copies, frames of one video, pictures of one camera. They vary together."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

Groups = Mapping[str, object] | pd.Series | None
"""The group of each image, by `image_id`; a missing or an empty one is none."""


def group_numbers(image_ids: pd.Series, groups: Groups) -> np.ndarray | None:
    """Number the groups of images from 0, (n,) int; an image without an entry is a group of its own.

    `groups` has the group of each by `image_id`; a missing or an empty one is none. None where no two images share a
    group, so that groups say nothing. Raises ValueError where `groups` names none of the images.
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
    numbers, found = pd.factorize(named.mask(named == ""))
    alone = numbers < 0
    numbers[alone] = len(found) + np.arange(alone.sum())
    return numbers if numbers.max() + 1 < len(numbers) else None


def counts_by_group(
    numbers: np.ndarray, codes: np.ndarray, kinds: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Count the images of each kind in each group: float64 (groups, kinds).

    `numbers` (n,) is of `group_numbers`, `codes` (n,) the kind of each image from 0 to kinds - 1, and `weights` (n,)
    what each image counts; None counts each once.
    """
    groups = numbers.max() + 1
    return np.bincount(numbers * kinds + codes, weights, groups * kinds).reshape(groups, kinds).astype(float)


def common_groups(catalogs: Iterable[pd.DataFrame], image_ids: pd.Series) -> dict[str, str] | None:
    """What belongs together among some images, where the catalogs of all runs that judge them say so.

    Returns the group of each in the first catalog, by `image_id`; None where in one of them an image has no group, or
    no two images share one. Of a catalog `image_id` and `group` are read.
    """
    found = [catalog.set_index("image_id")["group"].reindex(image_ids).fillna("") for catalog in catalogs]
    grouped = all((group != "").all() and group.nunique() < len(group) for group in found)
    return dict(found[0]) if grouped else None
