"""Read Roboflow's CSV layout: `_annotations.csv` beside the images, one row a box, often one folder a split."""

from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, CORNERS, bad_row, refuse_mostly_bad
from marinecv.data.images import image_table
from marinecv.data.labeled_images import OTHER_SIZE, UNNAMED
from marinecv.data.layouts import image_files, split_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import leaves_folder, normalize_name, refuse_unmatched
from marinecv.data.readers import Reader
from marinecv.data.splits.split_catalog import NO_SPLIT
from marinecv.data.user_csv import bad_rows, find_named_images, read_cells
from marinecv.data.user_tables import is_usable
from marinecv.files.csv_tables import check_columns

ANNOTATIONS = "_annotations.csv"
SIZE = ("width", "height")


def read_roboflow(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners as the CSV's strings).

    A row that cannot be read is a box with a `problem`. So are images in sub-folders or beside the split folders, files
    that are absent, and images whose size as displayed differs from the CSV's.
    """
    root, splits = manifest.root, split_folders(manifest.root)
    boxes = [pd.DataFrame(columns=[*BOX_COLUMNS, *SIZE], dtype=str)]
    rows: dict[Path, str] = {}  # image: split
    reasons: dict[Path, str] = {}
    for split, folder in {"": root, **splits}.items():
        table = folder / ANNOTATIONS
        images = image_files(folder, deep=bool(split) or table.is_file())
        if not split:
            images = [path for path in images if not any(other in path.parents for other in splits.values())]
        if table.is_file():
            boxes.append(_read_boxes(table, root, images))
            named = {root / image_id for image_id in boxes[-1]["image_id"] if image_id}
            if twice := named & rows.keys():
                raise ValueError(f"{table} names {min(twice)}, as {root / ANNOTATIONS} does. Expected one of them to.")
            reasons |= {path: UNNAMED for path in set(images) - named if path.parent != folder}
            rows |= dict.fromkeys(sorted({*images, *named} - rows.keys()), split)
        elif not split:
            reasons |= dict.fromkeys(images, NO_SPLIT)
            rows |= dict.fromkeys(images, split)
        elif left := set(images) - rows.keys():
            raise ValueError(
                f"{folder} holds {len(left)} images and no {ANNOTATIONS}. Expected one in every split folder. "
                "Export it again, or move the folder away."
            )
    return _compare_sizes(image_table(root, list(rows.items()), reasons), pd.concat(boxes, ignore_index=True))


def _read_boxes(table: Path, root: Path, images: list[Path]) -> pd.DataFrame:
    """Return the rows of a CSV as text; header names have any case, and a bad row has a `problem` that quotes it."""
    needed = ["filename", "class", *CORNERS]
    header, rows = read_cells(table, root, ",".join(needed))
    header = [normalize_name(cell).casefold() for cell in header]
    check_columns(header, needed, table)
    if twice := [column for column in (*needed, *SIZE) if header.count(column) > 1]:
        raise ValueError(f"{table} has the column {twice[0]} twice. Expected it once. Remove one of the two.")
    boxes = [dict(zip(header, cells, strict=False)) for _, cells, _ in rows]
    boxes = pd.DataFrame(boxes, columns=[*needed, *SIZE], dtype=str).fillna("")
    boxes["source"] = [source for source, *_ in rows]
    for box in boxes[boxes["filename"].map(leaves_folder)].itertuples():
        raise ValueError(f"Row {box.source} names {box.filename!r}, outside the folder of the CSV. Expected one below.")
    boxes["problem"] = pd.Series(bad_rows(boxes[needed].to_dict("records"), rows, len(header)), dtype=str)
    for column in (*CORNERS, *SIZE):
        is_finite = np.isfinite(pd.to_numeric(boxes[column], errors="coerce").astype(float))
        for row in np.flatnonzero(~is_finite & is_usable(boxes) & (boxes[column] != "")):
            boxes.at[row, "problem"] = bad_row(rows[row][2], f"{column} is {boxes.at[row, column]!r:.40}, no number")
    refuse_mostly_bad(boxes)
    places = find_named_images(table.parent, boxes["filename"], images)
    refuse_unmatched(table, boxes["filename"], places, images)
    named = boxes["filename"].str.strip() != ""
    boxes["image_id"] = [path.relative_to(root).as_posix() * name for path, name in zip(places, named, strict=True)]
    return boxes.rename(columns={"class": "class_name"})[[*BOX_COLUMNS, *SIZE]]


def _compare_sizes(images: pd.DataFrame, boxes: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set a problem where the size in a row differs from the image's: boxes may be of the image before rotation."""
    sized = boxes[(boxes[[*SIZE]] != "").all(axis=1) & is_usable(boxes)]
    numbers = sized[[*SIZE]].apply(pd.to_numeric)
    of_file = images.set_index("image_id").loc[sized["image_id"], [*SIZE]].set_axis(sized.index)
    differs = (of_file["width"] > 0) & (numbers != of_file).any(axis=1)
    reasons = {
        row.image_id: f"the CSV says {row.width}x{row.height}, the file is {file.width}x{file.height} as shown"
        for row, file in zip(sized[differs].itertuples(), of_file[differs].itertuples(), strict=True)
    }
    pairs = zip(images["image_id"], images["problem"], strict=True)
    images["problem"] = [problem or reasons.get(image_id, "") for image_id, problem in pairs]
    boxes["problem"] = boxes["problem"].mask(boxes["image_id"].isin(reasons) & is_usable(boxes), OTHER_SIZE)
    return images, boxes[BOX_COLUMNS]


def _tables(root: Path) -> list[Path]:
    return [folder / ANNOTATIONS for folder in (root, *split_folders(root).values())]


READER = Reader(
    rank=1,
    detects=lambda root: any(table.is_file() for table in _tables(root)),
    read=read_roboflow,
    holds=f"{ANNOTATIONS} (here or in train/, valid/, test/)",
    tables=lambda manifest: _tables(manifest.root),
)
