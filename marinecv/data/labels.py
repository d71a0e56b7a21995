"""From boxes to one class an image."""

from math import fsum

import numpy as np
import pandas as pd

from marinecv.choices import LABEL_RULES
from marinecv.data.boxes import CORNERS, as_boxes, refuse_flat
from marinecv.data.user_tables import is_usable
from marinecv.schema import one_of


def dominant_class(boxes: pd.DataFrame, rule: str = "dominant") -> pd.DataFrame:
    """Label each image with the class that fills it most: summed box area times number of boxes.

    Overlaps count twice, as in the report; `rule="union"` counts each pixel of a class once. "area" is the summed
    area alone, "count" the number of boxes alone. Sums are exact, rounded once to float64, so that the order of rows
    does not matter; ties, scores equal to the last bit, go to the class that sorts first.

    Rows with a problem do not count; so does a row without class or image, and one with a corner that is missing,
    infinite or no number. `read_boxes(boxes)` names the problem of each. An image without any other row has no label.

        >>> import marinecv as mcv, pandas as pd
        >>> columns = ["filename", "class", "xmin", "ymin", "xmax", "ymax"]
        >>> boxes = pd.DataFrame([("a.jpg", "ray", 0, 0, 30, 20), ("a.jpg", "eel", 0, 0, 20, 10)], columns=columns)
        >>> mcv.dominant_class(boxes)
          image_id class_name  score  share
        0    a.jpg        ray  600.0   0.75

    Args:
        boxes: DataFrame, one row a box, corners in pixels as numbers or text: columns `BOX_COLUMNS`, of which `source`
            and `problem` may be missing, or those of Roboflow's CSV.
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
    one_of(LABEL_RULES, rule=rule)
    boxes = as_boxes(boxes)
    refuse_flat(boxes)
    good = boxes[is_usable(boxes)]
    (image, images), (name, names) = (pd.factorize(good[key], sort=True) for key in ("image_id", "class_name"))
    pair = image * max(1, len(names)) + name
    order = np.argsort(pair, kind="stable")
    pair, corners = pair[order], good[CORNERS].to_numpy()[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    count = np.diff(starts, append=len(pair))
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    total, several = area[starts], np.flatnonzero(count > 1)
    if rule == "union":
        rows = np.repeat(count > 1, count)
        total[several] = _union_areas(corners[rows], np.repeat(np.arange(len(several)), count[several]))
    else:
        ends = zip(starts[several].tolist(), (starts + count)[several].tolist(), strict=True)
        area = area.tolist()
        total[several] = [fsum(area[start:end]) for start, end in ends]
    score = {"area": total, "count": count.astype(float)}.get(rule, total * count)
    image, name = np.divmod(pair[starts], max(1, len(names)))
    best = np.lexsort((name, -score, image))
    ranked = pd.DataFrame({"image_id": images[image], "class_name": names[name], "score": score}).iloc[best]
    ranked, by_image = ranked.reset_index(drop=True), image[best]
    whole = ranked["score"].groupby(by_image).transform("sum")
    return ranked.assign(share=ranked["score"] / whole, rank=ranked.groupby(by_image).cumcount() + 1)


def _union_areas(corners: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Area that the boxes of each group cover together, in px^2, each pixel once.

    A line sweeps over all groups, one after the other, and counts for every step of height how many boxes it is in, so
    that the memory is a few numbers a box, however many are in one group. Corners are (n, 4) float64, as `CORNERS`;
    groups (n,), numbered from 0 and in order.
    """
    n, areas = len(group), np.zeros(group.max(initial=-1) + 1)
    of, (x, y) = np.tile(group, 2), np.concatenate([corners[:, :2], corners[:, 2:]]).T
    order = np.lexsort((y, of))
    is_new = (np.diff(of[order], prepend=-1) != 0) | (np.diff(y[order], prepend=np.nan) != 0)
    level = np.empty(2 * n, int)
    level[order] = np.cumsum(is_new) - 1
    heights = np.diff(y[order][is_new], append=0.0)
    bottom, top, step = np.tile(level[:n], 2), np.tile(level[n:], 2), np.repeat([1, -1], n)
    order = np.lexsort((top, bottom, -step, x, of))  # one order, whatever that of the rows
    inside, place, last, covered = np.zeros(len(heights), np.int32), -1, 0.0, 0.0
    for here, at, low, high, more in zip(*(each[order].tolist() for each in (of, x, bottom, top, step)), strict=True):
        if here == place:
            areas[here] += covered * (at - last)
        else:
            place, covered = here, 0.0
        last, boxes, height = at, inside[low:high], heights[low:high]
        if more > 0:
            covered += height[boxes == 0].sum()
            boxes += 1
        else:
            boxes -= 1
            covered -= height[boxes == 0].sum()
    return areas
