"""Read a folder of images with a `labels.csv` of columns file, class and perhaps split."""

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.images import image_table
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.names import refuse_unmatched
from marinecv.data.readers import Reader
from marinecv.data.splits.split_catalog import known_splits
from marinecv.data.user_csv import find_named_images, read_user_csv

LABELS = "labels.csv"
NO_CLASS = "no class in labels.csv"


def read_labels_csv(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    The first sub-folder of an image (a camera, a video, a day) is its `group`. Images that the CSV does not name, or
    names in a row that cannot be read, and files that are absent are rows with a problem.
    """
    root, table = manifest.root, manifest.root / LABELS
    rows, files = read_user_csv(table, ["file", "class"], root, optional=("split",)), image_files(root, deep=True)
    rows["path"] = find_named_images(root, rows["file"], files)
    refuse_unmatched(table, rows["file"], rows["path"], files)
    wrong = rows[(rows["file"].str.strip() == "") | rows["path"].duplicated()]
    for first in wrong.head(1).itertuples():
        what = f"{first.file} again" if first.file.strip() else "no file"
        raise ValueError(f"Row {first.source} names {what}. Expected one row an image. Fix the CSV.")
    rows["split"] = known_splits(rows["split"], rows["source"])
    of_path = rows.set_index("path")[["split", "class", "problem"]].T.to_dict("list")
    groups = {path: path.relative_to(root).parts[:-1][:1] for path in sorted({*files, *of_path})}
    named = [(path, *of_path.get(path, ["", ""])[:2], *group) for path, group in groups.items()]
    images = image_table(root, named, dict.fromkeys(set(files) - of_path.keys(), NO_CLASS))
    bad = [of_path[path][2] if path in of_path else "" for path, *_ in named]
    images["problem"] = images["problem"].where(pd.Series(bad) == "", bad)
    return images, pd.DataFrame(columns=BOX_COLUMNS)


READER = Reader(
    rank=4,
    detects=lambda root: (root / LABELS).is_file(),
    read=read_labels_csv,
    holds=f"{LABELS} with columns file,class",
    tables=lambda manifest: [manifest.root / LABELS],
)
