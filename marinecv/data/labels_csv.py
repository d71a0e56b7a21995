"""Read a folder of images with one `labels.csv` of two columns, file and class."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.foreign_csv import find_named, read_strings
from marinecv.data.images import image_table
from marinecv.data.layouts import LABELS, image_files
from marinecv.data.manifests import Manifest

NO_CLASS = "no class in labels.csv"


def read_labels_csv(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    The first sub-folder of an image (one a camera, a video, a day) is its `group`; beside labels.csv it has none.
    Images the CSV does not name are rows with a problem; so are files that are named but absent.

    Raises:
        ValueError: the CSV lacks a column or a value, or names a file twice.
    """
    rows = read_strings(manifest.root / LABELS, ["file", "class"], manifest.root)
    found = image_files(manifest.root, deep=True)
    rows["path"] = find_named(manifest.root, rows["file"], found)
    if (twice := rows["path"].duplicated()).any():
        first = rows[twice].iloc[0]
        raise ValueError(f"Row {first['source']} names {first['file']} again. Expected one row an image. Fix the CSV.")
    classes = dict(zip(rows["path"], rows["class"], strict=True))
    named = [(path, "", classes.get(path, ""), _group(path, manifest.root)) for path in sorted({*found, *classes})]
    unnamed = dict.fromkeys(set(found) - classes.keys(), NO_CLASS)
    return image_table(manifest.root, named, unnamed), pd.DataFrame(columns=BOX_COLUMNS)


def _group(path: Path, root: Path) -> str:
    below = path.relative_to(root).parts
    return below[0] if len(below) > 1 else ""
