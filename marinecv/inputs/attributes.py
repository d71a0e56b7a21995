"""The attributes of images as the array that a model takes beside them."""

import numpy as np
import pandas as pd

from marinecv.data.attributes import check_told


def attributes_of(attributes: pd.DataFrame | None, rows: pd.DataFrame) -> np.ndarray | None:
    """Return the attributes of some images, in their order.

    Args:
        attributes: one row an image, indexed by `image_id`; None where there are none.
        rows: of a catalog.
    Returns:
        float32 `(n, attributes)`, or None.
    Raises:
        ValueError: an image has none.
    """
    if attributes is None:
        return None
    check_told(rows["image_id"], attributes)
    return attributes.loc[rows["image_id"]].to_numpy(np.float32)
