"""Label an image with one class by its boxes."""

import numpy as np
import pandas as pd

from marinecv.choices import LABEL_RULES
from marinecv.data.boxes import CORNERS, as_boxes, refuse_flat
from marinecv.data.user_tables import is_usable
from marinecv.schema import check_choice


def dominant_class(boxes: pd.DataFrame, rule: str = "dominant") -> pd.DataFrame:
    """Label each image with the class that fills it most: summed box area times number of boxes.

    Overlaps count twice, as in the report. Ties go to the class that sorts first. A row does not count that has a
    problem, no class or image, or a corner that is no finite number. An image without other rows has no label.

        >>> import marinecv as mcv, pandas as pd
        >>> columns = ["filename", "class", "xmin", "ymin", "xmax", "ymax"]
        >>> boxes = pd.DataFrame([("a.jpg", "ray", 0, 0, 30, 20), ("a.jpg", "eel", 0, 0, 20, 10)], columns=columns)
        >>> mcv.dominant_class(boxes)
          image_id class_name  score  dominance
        0    a.jpg        ray  600.0       0.75

    Args:
        boxes: DataFrame, one row a box, corners in pixels as numbers or text: columns `BOX_COLUMNS`, of which `source`
            and `problem` may be missing, or those of Roboflow's CSV.
        rule: "dominant", or "union" (as dominant, but each pixel of a class counts once), "area" (summed area alone),
            "count" (number of boxes alone).
    Returns:
        DataFrame, one row an image: `image_id`, `class_name`, `score` (px^2; boxes under "count"), `dominance` (of all
        scores of the image, 0 to 1).
    Raises:
        ValueError: a column is missing, an unknown rule, or a box without area that `problem` does not excuse.
    Source: aquarium report, equation (1).
    """
    ranked = ranked_classes(boxes, rule)
    return ranked.loc[ranked["rank"] == 1, ["image_id", "class_name", "score", "dominance"]].reset_index(drop=True)


def ranked_classes(boxes: pd.DataFrame, rule: str = "dominant") -> pd.DataFrame:
    """Rank the classes in each image: `image_id, class_name, score, dominance, rank` (1 is the `dominant_class`)."""
    check_choice(LABEL_RULES, rule=rule)
    boxes = as_boxes(boxes)
    refuse_flat(boxes)
    good = boxes[is_usable(boxes)]
    area = (good["xmax"] - good["xmin"]) * (good["ymax"] - good["ymin"])
    keys = ["image_id", "class_name"]
    rows = good.assign(area=area).sort_values([*keys, "area"])  # so that sums do not depend on the order of rows
    groups = rows.groupby(keys)
    total, count = groups["area"].sum(), groups.size()
    if rule == "union" and (several := count > 1).any():
        corners = rows[CORNERS].to_numpy()[np.repeat(several, count)]
        total[several] = [_union_area(each) for each in np.split(corners, count[several].cumsum()[:-1])]
    score = {"area": total, "count": count.astype(float)}.get(rule, total * count)
    ranked = score.rename("score").reset_index()
    ranked = ranked.sort_values(["image_id", "score", "class_name"], ascending=[True, False, True], ignore_index=True)
    image = ranked.groupby("image_id")
    return ranked.assign(dominance=ranked["score"] / image["score"].transform("sum"), rank=image.cumcount() + 1)


def _union_area(corners: np.ndarray) -> float:
    """Return the area in px^2 that boxes (n, 4) cover together: the sum over strips between neighboring x corners."""
    corners = corners[np.lexsort((corners[:, 3], corners[:, 1]))]
    edges, area = np.unique(corners[:, [0, 2]]), 0.0
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        _, ymin, _, ymax = corners[(corners[:, 0] <= left) & (corners[:, 2] >= right)].T
        covered_to = np.maximum.accumulate(np.append(-np.inf, ymax))
        area += (right - left) * np.maximum(ymax - np.maximum(ymin, covered_to[:-1]), 0).sum()
    return area
