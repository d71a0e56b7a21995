"""Every table of the audit in one call."""

import pandas as pd

from marinecv.audit import pixels, tables
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.user_tables import as_catalog, is_usable, usable
from marinecv.inputs.rgb import find_white


def explore(catalog: pd.DataFrame, boxes: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Describe a data set: tables by name, the pixel tables over a sample of images.

    `class_counts, size_table, distinct_sizes, problems`; `gray_scale` where images have more than 8 bits a gray pixel;
    with usable images `intensity_histogram, intensity_summary, noise_estimate`; with boxes `box_problems`, and where an
    image has two that could disagree on its class `label_shares, class_changes, label_flips`.
    """
    catalog, boxes = as_catalog(catalog, CATALOG_COLUMNS).reset_index(drop=True), as_boxes(boxes)
    found = {
        "class_counts": tables.class_counts(catalog),
        "size_table": tables.size_table(catalog),
        "distinct_sizes": tables.distinct_sizes(catalog),
        "problems": tables.problems(catalog),
    }
    if white := find_white(catalog):
        found["gray_scale"] = pd.DataFrame({"white": [white]})
    if not usable(catalog).empty:
        histogram = pixels.intensity_histogram(catalog, seed=seed)
        found["intensity_histogram"] = histogram
        found["intensity_summary"] = pixels.intensity_summary(histogram)
        found["noise_estimate"] = pixels.noise_estimate(catalog, seed=seed)
        if not boxes.empty:
            if boxes["image_id"].duplicated().any():
                found["label_shares"] = tables.label_shares(catalog)
                labels = tables.labels_by_rule(boxes, catalog)
                found["class_changes"] = tables.class_changes(labels, catalog)
                found["label_flips"] = tables.label_flips(labels)
            found["box_problems"] = boxes.loc[~is_usable(boxes), ["image_id", "class_name", "source", "problem"]]
    return found
