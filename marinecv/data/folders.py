"""Read class folders: every image lies below a folder named after its class, perhaps inside split folders."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.images import image_table
from marinecv.data.layouts import image_files, printable, split_folders, sub_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_name

NO_FOLDER = "lies in no class folder"


def read_folders(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    A sub-folder of a class (one a camera, a video, a day) is the image's `group`; where a class has some, images
    directly in a class folder form the group ".". Images beside the class folders, or beside train/, valid/ and test/,
    are rows with a problem. Folders beside train/, valid/ and test/ are not read. Where the manifest's `folder_classes`
    names some, only those class folders are read, and their classes are called what it says.

    Raises:
        ValueError: a folder that the manifest names is not there.
    """
    loose, rows, splits, chosen, met = [], [], split_folders(manifest.root), manifest.folder_classes, set()
    for split, place in {"": manifest.root, **splits}.items():
        loose += [(path, split) for path in image_files(place)]
    for split, place in (splits or {"": manifest.root}).items():
        for class_folder in sub_folders(place):
            folder = normalize_name(class_folder.name)
            met.add(folder)
            name = chosen.get(folder) if chosen else folder
            images = image_files(class_folder, deep=True) if name else []
            rows += [(path, split, name, _group(path, class_folder)) for path in images]
    if missing := chosen.keys() - met:
        raise ValueError(
            f"{manifest.root} lacks the class folder {', '.join(sorted(missing))}, which the manifest "
            f'"{manifest.name}" names. Expected {", ".join(chosen)}; found {printable(", ".join(sorted(met)))}. Name '
            "the right folder, or leave out --data to read all folders under their own names."
        )
    images = image_table(manifest.root, loose + rows, {path: NO_FOLDER for path, _ in loose})
    if images["group"].isin(["", "."]).all():
        images["group"] = ""
    return images, pd.DataFrame(columns=BOX_COLUMNS)


def _group(path: Path, class_folder: Path) -> str:
    below = path.relative_to(class_folder).parts
    return below[0] if len(below) > 1 else "."
