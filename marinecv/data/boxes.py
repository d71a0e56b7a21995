"""The boxes table: its columns, and why a row of it cannot be used."""

import numpy as np
import pandas as pd

from marinecv.choices import FLAT_BOXES
from marinecv.data.names import match_names, normalize_name
from marinecv.data.user_tables import as_catalog, as_numbers, as_table, is_usable, rename_aliases
from marinecv.schema import check_choice

BOX_COLUMNS = ["image_id", "class_name", "xmin", "ymin", "xmax", "ymax", "source", "problem"]
CORNERS = ["xmin", "ymin", "xmax", "ymax"]
BAD_ROW = "bad row"
OTHER_NAMES = {"image_id": ("filename", "file", "path"), "class_name": ("class", "label"), **dict.fromkeys(CORNERS, ())}
MAX_CORNER_PX = 2**31


def bad_row(text: str, reason: str) -> str:
    """Return the `problem` of an annotation row that cannot be read, with its text."""
    return f"{BAD_ROW} {text if len(text) < 200 else text[:200] + '...'!r}: {reason}"


def is_bad_row(problems: pd.Series) -> pd.Series:
    """Return True for problems that `bad_row` gave."""
    return problems.str.startswith(BAD_ROW).astype(bool)


def refuse_mostly_bad(rows: pd.DataFrame) -> None:
    """Raise ValueError where more than half of the annotation rows cannot be read: the file is of another kind."""
    if is_bad_row(rows["problem"]).sum() * 2 > len(rows):
        raise ValueError(f"{describe_bad_rows(rows)}. Expected bad rows to be the exception. Correct the files.")


def describe_bad_rows(rows: pd.DataFrame) -> str:
    """Return a sentence that counts the rows that cannot be read and quotes the first, or ""."""
    bad = rows[is_bad_row(rows["problem"])]
    for first in bad.head(1).itertuples():
        return f"{len(bad)} of {len(rows)} annotation rows cannot be read; the first, {first.source}: {first.problem}"
    return ""


def as_boxes(boxes: pd.DataFrame) -> pd.DataFrame:
    """Return a user's boxes with the columns `BOX_COLUMNS` and a new index; other columns stay.

    Roboflow's columns filename, class, xmin, ymin, xmax and ymax suffice. A row without image or class, or with a
    corner that is missing, infinite or no number, has its reason in `problem`. A missing column is a ValueError.
    """
    if isinstance(boxes, pd.DataFrame) and not len(boxes.columns):
        boxes = pd.DataFrame(columns=BOX_COLUMNS)
    boxes = rename_aliases(boxes, OTHER_NAMES)
    boxes = as_table(boxes, ("image_id", "class_name", *CORNERS), {"problem": "", "clipped": False}, "boxes table")
    boxes = boxes.reset_index(drop=True)
    if "source" not in boxes:
        boxes = boxes.assign(source=[f"boxes:{row}" for row in range(len(boxes))])
    boxes = boxes.assign(**{corner: as_numbers(boxes[corner]) for corner in CORNERS})
    reasons = {
        "its class is missing": boxes["class_name"] == "",
        "its image is missing": boxes["image_id"] == "",
        "a corner is no number of pixels": ~(boxes[CORNERS].abs() < MAX_CORNER_PX).all(axis=1),
    }
    for reason, rows in reasons.items():
        boxes["problem"] = boxes["problem"].mask(rows & is_usable(boxes), reason)
    return boxes


def clean_boxes(boxes: pd.DataFrame, sizes: pd.DataFrame, flat_boxes: str = "keep") -> pd.DataFrame:
    """Convert corners to float64, clip boxes to their image, and say in `problem` which boxes cannot be used.

    A box that runs over the edge is `clipped`. One wholly outside or without area keeps its corners, with the reason in
    `problem`. Boxes of images of unknown size are left as they are.

    Args:
        sizes: `image_id, width, height` in pixels as displayed, 0 where unknown.
        flat_boxes: "keep" boxes without area as unusable rows, or raise ValueError ("error").
    """
    check_choice(FLAT_BOXES, flat_boxes=flat_boxes)
    boxes = boxes[BOX_COLUMNS].assign(
        class_name=boxes["class_name"].map(normalize_name),
        **{corner: pd.to_numeric(boxes[corner], errors="coerce").astype(float) for corner in CORNERS},
    )
    if flat_boxes == "error":
        refuse_flat(boxes)
    boxes["problem"] = boxes["problem"].mask(is_flat(boxes) & is_usable(boxes), "no area")
    of_image = sizes.set_index("image_id").reindex(boxes["image_id"])
    edges = of_image[["width", "height"] * 2].to_numpy(float)
    inside = np.minimum(boxes[CORNERS].clip(lower=0), np.where(edges > 0, edges, np.inf))
    known = (of_image["width"] > 0).to_numpy() & is_usable(boxes)
    outside = known & is_flat(inside)
    clipped = known & ~outside & (inside != boxes[CORNERS]).any(axis=1)
    boxes["problem"] = boxes["problem"].mask(outside, "outside the image")
    boxes[CORNERS] = boxes[CORNERS].mask(clipped, inside)
    return boxes.assign(clipped=clipped)


def boxes_of(boxes: pd.DataFrame, sizes: pd.DataFrame | None, flat_boxes: str) -> pd.DataFrame:
    """Return a user's boxes as `read_boxes` does; see there."""
    boxes = as_boxes(boxes)
    if sizes is None:
        sizes = boxes if {"width", "height"} <= {*boxes} else boxes[["image_id"]].assign(width=0, height=0)
    else:
        sizes = as_catalog(sizes)
        image_ids = boxes["image_id"].map(match_names(boxes["image_id"], sizes["image_id"]))
        if len(boxes) and image_ids.isna().all():
            raise ValueError(
                f"None of the {len(boxes)} boxes is of an image of the catalog; the first is of "
                f"{boxes['image_id'].iloc[0]!r}. Expected image ids such as {[*sizes['image_id'].head(1)]}."
            )
        problem = boxes["problem"].mask(image_ids.isna() & is_usable(boxes), "its image is not in the catalog")
        boxes = boxes.assign(image_id=image_ids.fillna(boxes["image_id"]), problem=problem)
    clean = clean_boxes(boxes, as_catalog(sizes).drop_duplicates("image_id"), flat_boxes)
    return pd.concat([clean, boxes.drop(columns=clean.columns)], axis=1)


def is_flat(boxes: pd.DataFrame) -> pd.Series:
    """Return True for boxes without area."""
    return (boxes["xmax"] <= boxes["xmin"]) | (boxes["ymax"] <= boxes["ymin"])


def refuse_flat(boxes: pd.DataFrame) -> None:
    """Raise ValueError if a box without a `problem` has no area."""
    flat = boxes[is_flat(boxes) & is_usable(boxes)]
    for first in flat.head(1).itertuples():
        file, _, line = first.source.rpartition(":")
        corners = ",".join(f"{getattr(first, corner):g}" for corner in CORNERS)
        raise ValueError(
            f"{len(flat)} of {len(boxes)} boxes have no area; the first is row {line} of {file} "
            f"({first.image_id.rpartition('/')[2]}, {first.class_name} {corners}).\n"
            'Expected xmin < xmax and ymin < ymax. Fix the file, or keep them as unusable rows with flat_boxes="keep".'
        )
