"""Crops of boxes: a catalog with one row a box, whose pixels are cut out of the photograph when it is read."""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from marinecv.data.boxes import CORNERS, as_boxes, clean_boxes
from marinecv.data.names import EMPTY_CLASS
from marinecv.data.user_tables import as_catalog, check_unique, is_usable
from marinecv.schema import check_choice

ClassFrom = Literal["box", "image"]
MARGIN = 0.1  # of the longer side of a box, added on each side
MIN_CONFIDENCE = 0.2  # of a detected box
MIN_SIDE_PX = 8
NO_BOX = "no box"
NOT_USED = "no box of an animal with the minimum confidence"


def crop_catalog(
    catalog: pd.DataFrame, boxes: pd.DataFrame, margin: float = MARGIN, class_from: ClassFrom = "box"
) -> pd.DataFrame:
    """Return a catalog of crops: one row a box of a usable image, and one a photograph without a box.

        >>> import marinecv as mcv
        >>> reef = mcv.demo_images()
        >>> mcv.crop_catalog(mcv.read_catalog(reef), mcv.read_boxes(reef))["image_id"].str[-2:].unique()[0]
        '#1'

    No file is written: `path` is that of the photograph with the box behind it, and every function that reads an image
    cuts the crop out after EXIF orientation. Functions that split, group or pair images go by the photograph.

    Args:
        catalog: of photographs, with `width` and `height`.
        boxes: of `read_boxes`, or a DataFrame as it takes.
        margin: fraction of the longer side of a box that is added on each side, within the image.
        class_from: the class of a crop is that of its `"box"`, or that of the `"image"`.
    Returns:
        DataFrame with the columns of the catalog and `photo` (the image id of the photograph), `box` (what is cut out,
        `xmin,ymin,xmax,ymax` in whole pixels as displayed; "" for a whole photograph) and `photo_class`. The image id
        of the second box of `a.jpg` in the order of the boxes is `a.jpg#2`; `group` is the photograph's, else its id.
        A box that cannot be used, or with a side below 8 pixels, has its reason in `problem`; so has a photograph
        without a box, which is a row itself. One of class "empty" without a usable box is used whole.
    Raises:
        ValueError: a column is missing, an image is there twice, or the margin is not from 0 to 1.
    """
    check_choice(get_args(ClassFrom), class_from=class_from)
    if not 0 <= margin <= 1:
        raise ValueError(f"Expected a margin from 0 to 1, a fraction of the longer side of a box. Received: {margin}.")
    catalog = as_catalog(catalog, ("image_id", "path", "width", "height"))
    check_unique(catalog)
    photos = catalog.assign(photo=catalog["image_id"], box="", photo_class=catalog["class_name"]).reset_index(drop=True)
    photos["group"] = photos["group"].mask(photos["group"] == "", photos["image_id"])
    unknown = is_usable(photos) & (photos[["width", "height"]].min(axis=1) < 1)
    photos["problem"] = photos["problem"].mask(unknown, "its size in pixels is unknown")
    boxes = clean_boxes(as_boxes(boxes.assign(class_name="animal") if class_from == "image" else boxes), catalog)
    boxes["number"] = (boxes.groupby("image_id").cumcount() + 1).astype(str)
    boxes.index = boxes["image_id"].map(pd.Series(photos.index, photos["photo"]))
    boxes = boxes[boxes.index.isin(photos.index[is_usable(photos)])].sort_index(kind="stable")
    crops = photos.loc[boxes.index]  # one a box, with the index of the photograph
    low, high = np.split(boxes[CORNERS].where(is_usable(boxes), 0.0).to_numpy(), 2, axis=1)
    is_tiny = is_usable(boxes) & ((high - low).min(axis=1) < MIN_SIDE_PX)
    crops["problem"] = boxes["problem"].mask(is_tiny, f"its box has a side below {MIN_SIDE_PX} pixels")
    added = margin * (high - low).max(axis=1, keepdims=True)
    high = np.minimum(np.ceil(high + added), crops[["width", "height"]])
    corners = np.concatenate([np.floor(low - added).clip(0), high], axis=1).astype(int)
    crops["width"], crops["height"] = (corners[:, 2:] - corners[:, :2]).T
    good = is_usable(crops)
    cut = pd.Series([",".join(map(str, box)) for box in corners.tolist()], crops.index, dtype=str)
    crops = crops.assign(image_id=crops["photo"] + "#" + boxes["number"], box=cut.where(good, ""))
    crops["path"] = crops["path"].where(~good, crops["path"] + "#" + cut)
    if class_from == "box":
        crops["class_name"] = boxes["class_name"]

    is_listed = boxes["problem"] != NOT_USED
    is_whole = is_usable(photos) & (photos["class_name"] == EMPTY_CLASS) & ~photos["photo"].isin(crops["photo"][good])
    boxless = is_usable(photos) & ~is_whole & ~photos["photo"].isin(crops["photo"][is_listed])
    reason = photos["photo"].isin(crops["photo"]).map({True: NOT_USED, False: NO_BOX})
    photos["problem"] = photos["problem"].mask(boxless, reason)
    is_row = ~is_usable(photos) | is_whole
    return pd.concat([photos[is_row], crops[is_listed]]).sort_index(kind="stable", ignore_index=True)
