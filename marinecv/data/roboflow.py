"""Read Roboflow's CSV layout: `_annotations.csv` beside the images, one row a box, often one folder a split."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, CORNERS
from marinecv.data.images import image_table
from marinecv.data.layouts import ANNOTATIONS, image_files, split_folders
from marinecv.data.manifests import Manifest
from marinecv.data.tables import read_strings


def read_roboflow(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners still as the CSV's strings).

    Images that no CSV row names are rows without boxes; files that are named but absent are rows with a problem.

    Raises:
        ValueError: a split folder holds images and no CSV, or a CSV lacks a column or a value.
    """
    places = {"": manifest.root, **split_folders(manifest.root)}
    paths, boxes = [], [pd.DataFrame(columns=BOX_COLUMNS, dtype=str)]
    for split, folder in places.items():
        images, table = image_files(folder), folder / ANNOTATIONS
        if table.is_file():
            boxes.append(_read_boxes(table, manifest.root))
            named = {manifest.root / image_id for image_id in boxes[-1]["image_id"]}
            paths += [(path, split) for path in sorted({*images, *named})]
        elif images and split:
            raise ValueError(
                f"{folder} holds {len(images)} images and no {ANNOTATIONS}. Expected one in every split folder. "
                "Export it again, or move the folder away."
            )
    return image_table(manifest.root, paths), pd.concat(boxes, ignore_index=True)


def _read_boxes(table: Path, root: Path) -> pd.DataFrame:
    rows = read_strings(table, ["filename", "class", *CORNERS], root)
    below = table.parent.relative_to(root)
    rows["image_id"] = [(below / name).as_posix() for name in rows["filename"]]
    return rows.rename(columns={"class": "class_name"}).assign(problem="")[BOX_COLUMNS]
