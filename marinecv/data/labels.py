"""From boxes to one class an image."""

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, refuse_flat

LABEL_RULES = ("dominant", "area", "count", "union")


def dominant_class(boxes: pd.DataFrame, rule: str = "dominant") -> pd.DataFrame:
    """Label each image with the class that fills it most: summed box area times number of boxes.

    Overlaps count twice, as in the report; `rule="union"` counts each pixel of a class once. "area" is the summed
    area alone, "count" the number of boxes alone. Ties go to the class that sorts first, so the order of CSV rows does
    not matter. Boxes with a problem do not count.

    Args:
        boxes: DataFrame, one row a box, columns `BOX_COLUMNS`; corners in pixels.
        rule: one of `LABEL_RULES`.
    Returns:
        DataFrame, one row an image: `image_id`, `class_name`, `score` (px^2; boxes under "count"), `share` (of all
        scores of the image, 0 to 1).
    Raises:
        ValueError: a column is missing, an unknown rule, or a box without area that `problem` does not excuse.
    Source: aquarium report, equation (1).
    """
    ranked = ranked_classes(boxes, rule)
    return ranked.loc[ranked["rank"] == 1, ["image_id", "class_name", "score", "share"]].reset_index(drop=True)


def ranked_classes(boxes: pd.DataFrame, rule: str = "dominant") -> pd.DataFrame:
    """Rank the classes in each image; arguments and errors as in `dominant_class`.

    Returns:
        DataFrame, one row an (image, class): `image_id`, `class_name`, `score`, `share`, `rank` (1 is the dominant
        class), sorted by image and rank.
    """
    if rule not in LABEL_RULES:
        raise ValueError(f'The label rule is "{rule}". Expected one of {", ".join(LABEL_RULES)}.')
    if missing := [column for column in BOX_COLUMNS if column not in boxes]:
        raise ValueError(f"The boxes lack the column {', '.join(missing)}. Expected {', '.join(BOX_COLUMNS)}.")
    refuse_flat(boxes)
    good = boxes[boxes["problem"] == ""]
    area = (good["xmax"] - good["xmin"]) * (good["ymax"] - good["ymin"])
    by_class = good.assign(area=area.astype(float)).groupby(["image_id", "class_name"])
    count = by_class.size()
    if rule == "union":
        covered = pd.Series({key: union_area(rows) for key, rows in by_class}, index=count.index, dtype=float)
        score = covered * count
    else:
        score = {"dominant": by_class["area"].sum() * count, "area": by_class["area"].sum(), "count": count}[rule]
    ranked = score.astype(float).rename("score").reset_index()
    ranked = ranked.sort_values(["image_id", "score", "class_name"], ascending=[True, False, True], ignore_index=True)
    by_image = ranked.groupby("image_id")
    return ranked.assign(share=ranked["score"] / by_image["score"].transform("sum"), rank=by_image.cumcount() + 1)


def union_area(boxes: pd.DataFrame) -> float:
    """Area that some boxes cover together, in px^2, each pixel once."""
    x, y = (np.unique(boxes[[f"{axis}min", f"{axis}max"]]) for axis in "xy")
    covered = np.zeros((len(y) - 1, len(x) - 1), dtype=bool)
    for box in boxes.itertuples():
        rows = slice(*np.searchsorted(y, (box.ymin, box.ymax)))
        covered[rows, slice(*np.searchsorted(x, (box.xmin, box.xmax)))] = True
    return float((np.outer(np.diff(y), np.diff(x)) * covered).sum())
