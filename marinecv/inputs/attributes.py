"""The attributes of images as the array that a model takes beside them."""

import numpy as np
import pandas as pd

from marinecv.data.attributes import check_told


def attributes_of(attributes: pd.DataFrame | None, rows: pd.DataFrame) -> np.ndarray | None:
    """Return the attributes of rows of a catalog, float32 `(n, attributes)`, of a table indexed by `image_id`.

    None where there are none. Raises ValueError where an image has none.
    """
    if attributes is None:
        return None
    check_told(rows["image_id"], attributes)
    return attributes.loc[rows["image_id"]].to_numpy(np.float32)
