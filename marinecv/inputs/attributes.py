"""The attributes of images as the array that a model takes beside them."""

import numpy as np
import pandas as pd


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
    places = attributes.index.get_indexer(rows["image_id"])
    if (places < 0).any():
        raise ValueError(
            f"{(places < 0).sum()} of {len(rows)} images have no attributes; the first is "
            f"{rows['image_id'].iloc[int((places < 0).argmax())]}. Expected a row of attributes for each."
        )
    return attributes.to_numpy(np.float32)[places]
