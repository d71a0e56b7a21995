"""Hold out part of validation for calibration."""

import numpy as np
import pandas as pd

from marinecv.data.splits.partition import class_by_class, has_groups, partition_groups
from marinecv.data.user_tables import as_catalog, is_usable


def calibration_mask(catalog: pd.DataFrame, fraction: float, seed: int = 0) -> pd.Series:
    """Return (n,) bool: a fraction (0 to 1) of each class of validation, or whole groups where images are related."""
    catalog = as_catalog(catalog)
    index, catalog = catalog.index, catalog.reset_index(drop=True)
    rows = catalog[(catalog["split"] == "validation") & is_usable(catalog)].sort_values("image_id")
    if not fraction or rows.empty:
        return pd.Series(False, index=index)
    rng = np.random.default_rng(seed)
    if has_related_images(rows):
        is_calibration = partition_groups(rows, rng, (1 - fraction, fraction)) == 1
    else:
        cumulative = np.floor(np.arange(len(rows) + 1) * fraction + 1e-9)
        is_calibration = pd.Series(np.diff(cumulative) == 1, index=class_by_class(rows, rng))
    return is_calibration.reindex(catalog.index, fill_value=False).set_axis(index)


def has_related_images(rows: pd.DataFrame) -> bool:
    """Return whether every row has a group, there are at least two groups, and one holds several images."""
    return bool(has_groups(rows, 2) and rows["group"].duplicated().any())
