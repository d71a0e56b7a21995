"""Read a folder of images with one `labels.csv` of two columns, file and class."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.images import image_table
from marinecv.data.layouts import LABELS, image_files
from marinecv.data.manifests import Manifest
from marinecv.data.tables import read_strings

NO_CLASS = "no class in labels.csv"


def read_labels_csv(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    The first sub-folder of an image (one a camera, a video, a day) is its `group`; beside labels.csv it has none.
    Images the CSV does not name are rows with a problem; so are files that are named but absent.

    Raises:
        ValueError: the CSV lacks a column or a value, or names a file twice.
    """
    rows = read_strings(manifest.root / LABELS, ["file", "class"], manifest.root)
    if (twice := rows["file"].duplicated()).any():
        first = rows[twice].iloc[0]
        raise ValueError(f"Row {first['source']} names {first['file']} again. Expected one row an image. Fix the CSV.")
    classes = {manifest.root / file: name for file, name in zip(rows["file"], rows["class"], strict=True)}
    paths = sorted({*image_files(manifest.root, deep=True), *classes})
    images = image_table(
        manifest.root, [(path, "", classes.get(path, ""), _group(path, manifest.root)) for path in paths]
    )
    unnamed = (images["class_name"] == "") & (images["problem"] == "")
    return images.assign(problem=images["problem"].mask(unnamed, NO_CLASS)), pd.DataFrame(columns=BOX_COLUMNS)


def _group(path: Path, root: Path) -> str:
    below = path.relative_to(root).parts
    return below[0] if len(below) > 1 else ""
