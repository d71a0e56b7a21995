"""The images of validation that no choice of a training has seen, so that something can still be measured on them."""

import numpy as np
import pandas as pd

from marinecv.data.deal import deal_groups, has_groups
from marinecv.data.user_tables import as_catalog, is_usable


def calibration_rows(catalog: pd.DataFrame, share: float, seed: int = 0) -> pd.Series:
    """Say which usable validation images are held out: of each class its share, or whole groups where some are related.

    The same seed holds the same images, in whatever order they come.

    Args:
        catalog: columns `CATALOG_COLUMNS`.
        share: of the validation images, 0 to 1; 0 holds none. Without groups it is kept to an image, in all and of each
            class.
        seed: decides what the share leaves open.
    Returns:
        (n,) bool, by the index of the catalog.
    """
    catalog = as_catalog(catalog)
    index, catalog = catalog.index, catalog.reset_index(drop=True)
    rows = catalog[(catalog["split"] == "validation") & is_usable(catalog)].sort_values("image_id")
    if not share or rows.empty:
        return pd.Series(False, index=index)
    rng = np.random.default_rng(seed)
    held = deal_groups(rows, rng, (1 - share, share)) == 1 if are_related(rows) else _in_turn(rows, rng, share)
    return held.reindex(catalog.index, fill_value=False).set_axis(index)


def are_related(rows: pd.DataFrame) -> bool:
    """Whether every row has a group, there are some to deal out, and one of them holds several images."""
    return bool(has_groups(rows, 2) and rows["group"].duplicated().any())


def _in_turn(rows: pd.DataFrame, rng: np.random.Generator, share: float) -> pd.Series:
    """Go through the images class by class, and hold one whenever the share of those passed makes another."""
    order = np.concatenate([rng.permutation(of_class.index) for _, of_class in rows.groupby("class_name")])
    due = np.floor(np.arange(len(order) + 1) * share + 1e-9)
    return pd.Series(np.diff(due) == 1, index=order)
