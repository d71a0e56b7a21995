"""Read class folders: every image lies below a folder named after its class, perhaps inside split folders."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.images import image_table
from marinecv.data.layouts import image_files, split_folders, sub_folders
from marinecv.data.manifests import Manifest

NO_FOLDER = "lies in no class folder"


def read_folders(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    A sub-folder of a class (one a camera, a video, a day) is the image's `group`; where a class has some, images
    directly in a class folder form the group ".". Images beside the class folders, or beside train/, valid/ and test/,
    are rows with a problem. Folders beside train/, valid/ and test/ are not read.
    """
    loose, rows, splits = [], [], split_folders(manifest.root)
    for split, place in {"": manifest.root, **splits}.items():
        loose += [(path, split) for path in image_files(place)]
    for split, place in (splits or {"": manifest.root}).items():
        for class_folder in sub_folders(place):
            images = image_files(class_folder, deep=True)
            rows += [(path, split, class_folder.name, _group(path, class_folder)) for path in images]
    images = image_table(manifest.root, loose + rows, {path: NO_FOLDER for path, _ in loose})
    if images["group"].isin(["", "."]).all():
        images["group"] = ""
    return images, pd.DataFrame(columns=BOX_COLUMNS)


def _group(path: Path, class_folder: Path) -> str:
    below = path.relative_to(class_folder).parts
    return below[0] if len(below) > 1 else "."
