"""Read Roboflow's multi-class layout with one class an image: `_classes.csv` beside the images, a column a class."""

from pathlib import Path

import pandas as pd

from marinecv.data.boxes import bad_row
from marinecv.data.labeled_images import Labeled, tables_of
from marinecv.data.layouts import split_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_name
from marinecv.data.readers import Reader
from marinecv.data.user_csv import read_cells, row_problem
from marinecv.schema import names

CLASSES = "_classes.csv"
NO_CLASS = f"{CLASSES} gives it no class"


def read_classes_csv(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images, see `tables_of`, and an empty boxes table; ValueError where most images have several classes."""
    root, records = manifest.root, []
    for split, table in _tables(root).items():
        folder = table.parent.relative_to(root).as_posix()
        header, rows = read_cells(table, root, "filename and a column a class")
        filename, *classes = [normalize_name(cell) for cell in header] or [""]
        if filename.casefold() != "filename" or not names(classes, f"The classes of {table}"):
            raise ValueError(f"{table} begins with {','.join(header)!r:.80}. Expected filename, then a column a class.")
        for source, cells, text in rows:
            name, *marks = map(str.strip, cells)
            problem = row_problem({"filename": name}, len(cells) - len(header))
            if len(marks) < len(classes) or not {*marks} <= {"0", "1"}:
                problem = problem or "expected 0 or 1 for each class"
            of_image = tuple(each for each, mark in zip(classes, marks, strict=False) if mark == "1" and not problem)
            labels = {"split": split, "class_names": of_image}
            labels["problem"] = bad_row(text, problem) if problem else "" if of_image else NO_CLASS
            records.append(Labeled(name=name, folder=folder, source=source, **labels))
    several = sum(len(record.class_names) > 1 for record in records)
    if several > sum(len(record.class_names) == 1 for record in records):
        raise ValueError(
            f"{several} of {len(records)} rows of {CLASSES} below {root} have several classes. Expected one class an "
            "image: labels of several classes are not read. Draw boxes, or export one class an image."
        )
    return tables_of(root, records)


def _tables(root: Path) -> dict[str, Path]:
    tables = {split: folder / CLASSES for split, folder in {"": root, **split_folders(root)}.items()}
    return {split: table for split, table in tables.items() if table.is_file()}


READER = Reader(
    rank=1,
    detects=lambda root: bool(_tables(root)),
    read=read_classes_csv,
    class_from_boxes=False,
    holds=f"{CLASSES} (here or in train/, valid/, test/)",
    tables=lambda manifest: [*_tables(manifest.root).values()],
)
