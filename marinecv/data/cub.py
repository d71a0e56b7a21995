"""Read the layout of CUB-200-2011: tables of numbered images and classes, beside a folder of images a class."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.foreign_csv import find_named, utf8_text
from marinecv.data.images import ABSENT, image_table
from marinecv.data.layouts import CUB_TABLES, image_files
from marinecv.data.manifests import Manifest
from marinecv.data.names import leads_out, normalize_name

IMAGES, CLASSES, LABELS = CUB_TABLES
SPLIT, BOXES = "train_test_split.txt", "bounding_boxes.txt"  # both may be absent
FOLDER = "images"
UNNAMED = f"{IMAGES} does not name it"
NO_FILE = f"named in {IMAGES} but the file is absent"
_SPLITS = {"1": "train", "0": "test"}


def read_cub(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels); the class is the table's.

    The tables must name the same images. A file that is named but absent, and one in images/ that no table names, are
    rows with a problem. Classes none of whose images is here are left out, for the tables of the whole set often come
    with a part of its images: `absent_classes` counts them.

    Raises:
        ValueError: as `cub_images`, or a line of bounding_boxes.txt is not five numbers.
    """
    root, images = manifest.root, cub_images(manifest)
    named = images[images["at_hand"]]
    not_read = set(read_numbered(root / CLASSES)["value"].map(normalize_name)) - set(cub_classes(manifest)["folder"])
    unnamed = {
        path: UNNAMED
        for path in sorted({*image_files(root / FOLDER, deep=True)} - {*images["path"]})
        if normalize_name(path.relative_to(root / FOLDER).parts[0]) not in not_read
    }
    rows = [*zip(named["path"], named["split"], named["class_name"], strict=True)]
    images = image_table(root, rows + [(path, "") for path in unnamed], unnamed)
    boxes = _read_boxes(root, named.assign(image_id=images["image_id"].iloc[: len(named)].to_numpy()))
    return images.assign(problem=images["problem"].replace(ABSENT, NO_FILE)), boxes


def cub_classes(manifest: Manifest) -> pd.DataFrame:
    """Return the classes that are read, in the order of classes.txt: `folder` and `class_name`, by number.

    "001.Black_footed_Albatross" is called "Black footed Albatross", unless `folder_classes` of the manifest says
    otherwise; where that names some, only those are read.

    Raises:
        ValueError: a name of the manifest is not in classes.txt, two classes get one name, or as `read_numbered`.
    """
    classes = read_numbered(manifest.root / CLASSES).rename(columns={"value": "folder"})[["folder"]]
    classes["folder"] = classes["folder"].map(normalize_name)
    if chosen := manifest.folder_classes:
        if unknown := sorted(chosen.keys() - set(classes["folder"])):
            raise ValueError(
                f'The manifest "{manifest.name}" reads the class {unknown[0]!r}, which {manifest.root / CLASSES} does '
                f"not name. Expected some of {', '.join(classes['folder'].head(3))}... Mend its folder_classes."
            )
        classes = classes[classes["folder"].isin(chosen)]
        return classes.assign(class_name=classes["folder"].map(chosen))
    names = [normalize_name(re.sub(r"^\d+\.", "", folder).replace("_", " ")) for folder in classes["folder"]]
    classes = classes.assign(class_name=names)
    if (twice := classes["class_name"].duplicated(keep=False)).any():
        raise ValueError(
            f"{' and '.join(classes['folder'][twice].head(2))} of {manifest.root / CLASSES} would both be called "
            f'"{classes["class_name"][twice].iloc[0]}". Expected names that differ. Rename one, or give them names '
            "with folder_classes in a manifest."
        )
    return classes


def cub_images(manifest: Manifest) -> pd.DataFrame:
    """Return the images that the tables name, in the order of images.txt, by number.

    Columns: `path`; `class_name`, "" where the class is not read; `split`, "" where no table says; and `at_hand`,
    whether the class is read and some image of it is here.

    Raises:
        ValueError: a table is broken or names other images than the rest, a class or a split has an unknown number, an
            image lies outside the folder, or none is here.
    """
    root, classes = manifest.root, cub_classes(manifest)
    images = read_numbered(root / IMAGES)
    if (outside := images["value"].map(leads_out)).any():
        raise ValueError(
            f"{_where(root / IMAGES, images[outside])} names {images['value'][outside].iloc[0]!r:.80}. Expected a file "
            f"below {FOLDER}/."
        )
    labels = read_numbered(root / LABELS, images.index)
    _refuse_unknown(root / LABELS, labels, read_numbered(root / CLASSES).index, f"a class of {CLASSES}")
    splits = pd.Series("", index=images.index)
    if (root / SPLIT).is_file():
        table = read_numbered(root / SPLIT, images.index)
        _refuse_unknown(root / SPLIT, table, _SPLITS, "1 for train or 0 for test")
        splits = table["value"].map(_SPLITS)
    found = image_files(root / FOLDER, deep=True)
    table = pd.DataFrame({"path": find_named(root / FOLDER, images["value"], found)}, index=images.index)
    table = table.assign(class_name=labels["value"].map(classes["class_name"]).fillna(""), split=splits)
    here = set(table["class_name"][table["path"].isin(set(found))]) - {""}
    if not here:
        raise ValueError(
            f"None of the {(table['class_name'] != '').sum()} images that {root / IMAGES} names is below "
            f"{root / FOLDER}. Expected them there, in a folder a class."
        )
    return table.assign(at_hand=table["class_name"].isin(here))


def absent_classes(manifest: Manifest) -> pd.Series:
    """Count the images that the tables name of each class none of whose images is here."""
    images = cub_images(manifest)
    return images[~images["at_hand"] & (images["class_name"] != "")].groupby("class_name", sort=False).size()


def read_numbered(path: Path, numbers: pd.Index | None = None) -> pd.DataFrame:
    """Read a table whose lines are a number and what has that number: `value`, the rest of the line, and its `line`.

    Both are text, by number, in the order of `numbers`: those of images.txt, which the table must name, each once and
    in any order; None takes what comes. Raise ValueError where it is not UTF-8, where a line has not two parts, and
    where a number is there twice or is none of these.
    """
    rows = []
    for line, text in enumerate(utf8_text(path).splitlines(), start=1):
        number, _, value = text.strip().partition(" ")
        if number and not value:
            raise ValueError(f"Line {line} of {path} is {text!r:.60}. Expected a number, a blank, and what has it.")
        if number:
            rows.append((number, value.strip(), str(line)))
    table = pd.DataFrame(rows, columns=["number", "value", "line"], dtype=str).set_index("number")
    if (twice := table.index.duplicated()).any():
        raise ValueError(f"{_where(path, table[twice])} gives {table.index[twice][0]} again. Expected each once.")
    if numbers is None:
        return table
    for wrong, said in ((table.index.difference(numbers), "names"), (numbers.difference(table.index), "lacks")):
        if len(wrong):
            raise ValueError(
                f"{path} {said} {len(wrong)} images that {IMAGES} {'lacks' if said == 'names' else 'names'}; the first "
                f"is number {wrong[0]}. Expected the same {len(numbers)} in both. Take the tables of one copy."
            )
    return table.loc[numbers]


def _where(path: Path, rows: pd.DataFrame) -> str:
    return f"Line {rows['line'].iloc[0]} of {path}"


def _refuse_unknown(path: Path, table: pd.DataFrame, known, expected: str) -> None:
    wrong = table[~table["value"].isin(list(known))]
    if len(wrong):
        raise ValueError(
            f"{_where(path, wrong)} gives {wrong['value'].iloc[0]!r:.40} to image {wrong.index[0]}. Expected "
            f"{expected}."
        )


def _read_boxes(root: Path, named: pd.DataFrame) -> pd.DataFrame:
    """The box of each image; `x y width height` become corners."""
    if not (root / BOXES).is_file():
        return pd.DataFrame(columns=BOX_COLUMNS)
    table = read_numbered(root / BOXES, read_numbered(root / IMAGES).index)
    cells = table["value"].map(_numbers)
    wrong = cells.map(len) != 4
    if wrong.any():
        raise ValueError(
            f"{_where(root / BOXES, table[wrong])} is {table['value'][wrong].iloc[0]!r:.60} behind its number. "
            "Expected x, y, width and height in pixels."
        )
    x, y, width, height = np.array(cells[named.index].tolist()).T
    table = table.loc[named.index].assign(xmin=x, ymin=y, xmax=x + width, ymax=y + height, problem="")
    table = table.assign(image_id=named["image_id"], class_name=named["class_name"], source=f"{BOXES}:" + table["line"])
    return table.reset_index(drop=True)[BOX_COLUMNS]


def _numbers(text: str) -> list[float]:
    """The finite numbers of a line, or none where it holds anything else."""
    try:
        found = [float(cell) for cell in text.split()]
    except ValueError:
        return []
    return found if np.isfinite(found).all() else []
