"""Read the layout of CUB-200-2011: tables of numbered images and classes, beside a folder of images a class."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.formats import printable
from marinecv.data.images import image_table
from marinecv.data.labeled_images import UNNAMED
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.names import leaves_folder, normalize_name
from marinecv.data.readers import Reader
from marinecv.data.user_csv import find_named_images, utf8_text

IMAGES, CLASSES, LABELS = CUB_TABLES = ("images.txt", "classes.txt", "image_class_labels.txt")
SPLIT, BOXES = "train_test_split.txt", "bounding_boxes.txt"  # both may be absent
FOLDER = "images"
ATTRIBUTES, ATTRIBUTE_FOLDER = "attributes.txt", "attributes"
OF_IMAGES, OF_CLASSES = "image_attribute_labels.txt", "class_attribute_labels_continuous.txt"
CERTAINTIES = (1, 4)  # 1 not visible, 2 guessing, 3 probably, 4 definitely
_COLUMNS = ["image", "attribute", "present", "certainty"]
_SPLITS = {"1": "train", "0": "test"}


def read_cub(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels); the class is the table's.

    A file that is named but absent, and one in images/ that no table names, are rows with a problem. Classes none of
    whose images is here are left out, because the tables of the whole set often come with a part.
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
    return images, _read_boxes(root, named.assign(image_id=images["image_id"].iloc[: len(named)].to_numpy()))


def cub_classes(manifest: Manifest) -> pd.DataFrame:
    """Return the classes that are read, in the order of classes.txt: `folder` and `class_name`, by number.

    "001.Black_footed_Albatross" is called "Black footed Albatross". A manifest's `folder_classes` limit and name them.
    """
    folders = read_numbered(manifest.root / CLASSES)["value"].map(normalize_name)
    if chosen := manifest.folder_classes:
        if unknown := sorted(chosen.keys() - set(folders)):
            raise ValueError(
                f'The manifest "{manifest.name}" reads the class {unknown[0]!r}, which {manifest.root / CLASSES} does '
                f"not name. Expected some of {', '.join(folders.head(3))}... Correct its folder_classes."
            )
        folders = folders[folders.isin(chosen)]
        return pd.DataFrame({"folder": folders, "class_name": folders.map(chosen)})
    names = folders.map(lambda folder: normalize_name(re.sub(r"^\d+\.", "", folder).replace("_", " ")))
    if (twice := names.duplicated(keep=False)).any():
        raise ValueError(
            f"{' and '.join(folders[twice].head(2))} of {manifest.root / CLASSES} would both be called "
            f'"{names[twice].iloc[0]}". Expected names that differ. Rename one, or use folder_classes of a manifest.'
        )
    return pd.DataFrame({"folder": folders, "class_name": names})


def cub_images(manifest: Manifest) -> pd.DataFrame:
    """Return the images that images.txt names, in its order: `path, class_name, split, at_hand`, by number.

    `class_name` is "" where the class is not read, `split` "" without a table of splits; `at_hand` is True where the
    class is read and some image of it is here.
    """
    root, classes = manifest.root, cub_classes(manifest)
    images = read_numbered(root / IMAGES)
    _refuse_rows(root / IMAGES, images[images["value"].map(leaves_folder)], f"a file below {FOLDER}/")
    labels = read_numbered(root / LABELS, images.index)
    known = read_numbered(root / CLASSES).index
    _refuse_rows(root / LABELS, labels[~labels["value"].isin(known)], f"a class of {CLASSES}")
    splits = pd.Series("", index=images.index)
    if (root / SPLIT).is_file():
        table = read_numbered(root / SPLIT, images.index)
        _refuse_rows(root / SPLIT, table[~table["value"].isin(_SPLITS)], "1 for train or 0 for test")
        splits = table["value"].map(_SPLITS)
    files = image_files(root / FOLDER, deep=True)
    table = pd.DataFrame({"path": find_named_images(root / FOLDER, images["value"], files)}, index=images.index)
    table = table.assign(class_name=labels["value"].map(classes["class_name"]).fillna(""), split=splits)
    present_classes = set(table["class_name"][table["path"].isin(set(files))]) - {""}
    if not present_classes:
        raise ValueError(
            f"None of the {(table['class_name'] != '').sum()} images that {root / IMAGES} names is below "
            f"{root / FOLDER}. Expected them there, in a folder a class."
        )
    return table.assign(at_hand=table["class_name"].isin(present_classes))


def absent_classes(manifest: Manifest) -> pd.Series:
    """Return the number of images that the tables name of each class none of whose images is here."""
    images = cub_images(manifest)
    return images[~images["at_hand"] & (images["class_name"] != "")].groupby("class_name", sort=False).size()


def read_numbered(path: Path, numbers: pd.Index | None = None) -> pd.DataFrame:
    """Read a table of lines "number value": columns `value` and `line`, all text, indexed by number.

    `numbers` are those of images.txt: the table must have each of them, and is returned in their order. Raises
    ValueError where the file is not UTF-8, a line has no value, or a number occurs twice or is missing.
    """
    rows = []
    for line, text in enumerate(utf8_text(path).splitlines(), start=1):
        number, _, value = text.strip().partition(" ")
        if number and not value:
            raise ValueError(f"Line {line} of {path} is {text!r:.60}. Expected a number, a blank and a value.")
        if number:
            rows.append((number, value.strip(), str(line)))
    table = pd.DataFrame(rows, columns=["number", "value", "line"], dtype=str).set_index("number")
    _refuse_rows(path, table[table.index.duplicated()], "each number once")
    if numbers is None:
        return table
    if len(wrong := numbers.symmetric_difference(table.index, sort=False)):
        raise ValueError(
            f"{path} and {IMAGES} differ in {len(wrong)} numbers, the first {wrong[0]}. Expected the same "
            f"{len(numbers)} images in both. Take the tables of one copy."
        )
    return table.loc[numbers]


def _refuse_rows(path: Path, wrong: pd.DataFrame, expected: str) -> None:
    """Raise ValueError, which names the first, where there are wrong rows of a table."""
    for row in wrong.head(1).itertuples():
        raise ValueError(f"Line {row.line} of {path} is {row.value!r:.60} of number {row.Index}. Expected {expected}.")


def _read_boxes(root: Path, named: pd.DataFrame) -> pd.DataFrame:
    """Return the box of each image; `x y width height` become corners."""
    if not (root / BOXES).is_file():
        return pd.DataFrame(columns=BOX_COLUMNS)
    table = read_numbered(root / BOXES, read_numbered(root / IMAGES).index)
    cells = table["value"].str.split(expand=True).reindex(columns=range(5))
    numbers = cells[[0, 1, 2, 3]].apply(pd.to_numeric, errors="coerce")
    wrong = ~np.isfinite(numbers).all(axis=1) | cells[4].notna()
    _refuse_rows(root / BOXES, table[wrong], "x, y, width and height in pixels")
    x, y, width, height = numbers.loc[named.index].to_numpy(float).T
    table = table.loc[named.index].assign(xmin=x, ymin=y, xmax=x + width, ymax=y + height, problem="")
    table = table.assign(image_id=named["image_id"], class_name=named["class_name"], source=f"{BOXES}:" + table["line"])
    return table.reset_index(drop=True)[BOX_COLUMNS]


def cub_attributes(manifest: Manifest, kind: str, min_certainty: int, min_percent: float) -> pd.DataFrame:
    """Return which attributes each image or class has, see `read_attributes`."""
    low, high = CERTAINTIES
    if not low <= min_certainty <= high:
        raise ValueError(f"min_certainty is {min_certainty}. Expected {low} (not visible) to {high} (definitely).")
    if not 0 <= min_percent <= 100:
        raise ValueError(f"min_percent is {min_percent}. Expected 0 to 100.")
    paths = [folder / ATTRIBUTES for folder in (manifest.root / ATTRIBUTE_FOLDER, manifest.root, manifest.root.parent)]
    path = next((place for place in paths if place.is_file()), None)
    if path is None:
        raise ValueError(f"There is no {paths[0]}, nor one beside the tables. Expected that of the published archive.")
    names = read_numbered(path)["value"]
    if kind == "image":
        return _of_images(manifest, names, min_certainty)
    return _of_classes(manifest, names, min_percent)


def _of_images(manifest: Manifest, attributes: pd.Series, min_certainty: int) -> pd.DataFrame:
    path, images = manifest.root / ATTRIBUTE_FOLDER / OF_IMAGES, cub_images(manifest)
    # Some lines of the published file have five columns; their first four are right.
    answers = _read_numbers(path, names=_COLUMNS, usecols=range(4), dtype="int32")
    rows, columns = _positions(answers["image"], images.index), _positions(answers["attribute"], attributes.index)
    wrong = (rows < 0) | (columns < 0)
    wrong |= ~answers["present"].isin([0, 1]) | ~answers["certainty"].between(0, CERTAINTIES[1])
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} of {len(answers)} answers of {path} cannot be used; the first begins "
            f'"{" ".join(map(str, answers[wrong].iloc[0]))}". Expected the number of an image of {IMAGES}, that of an '
            f"attribute of {ATTRIBUTES}, 0 or 1, and a certainty up to {CERTAINTIES[1]}."
        )
    shape = (len(images), len(attributes))
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    for cell in np.flatnonzero(counts != 1)[:1]:
        row, column = divmod(int(cell), shape[1])
        raise ValueError(
            f"{path} has {counts[cell]} answers for image {images.index[row]}, attribute "
            f"{attributes.index[column]}. Expected one for each image and attribute. Fetch it again."
        )
    present = np.zeros(shape, dtype=np.uint8)
    present[rows, columns] = (answers["present"] == 1) & (answers["certainty"] >= min_certainty)
    ids = [printable(path.relative_to(manifest.root).as_posix()) for path in images["path"]]
    table = pd.DataFrame(present, columns=attributes.to_list(), index=pd.Index(ids, name="image_id"))
    return table[images["at_hand"].to_numpy()]


def _of_classes(manifest: Manifest, attributes: pd.Series, min_percent: float) -> pd.DataFrame:
    path, classes = manifest.root / ATTRIBUTE_FOLDER / OF_CLASSES, read_numbered(manifest.root / CLASSES)
    percent = _read_numbers(path, dtype=float)
    if percent.shape != (len(classes), len(attributes)) or not ((percent >= 0) & (percent <= 100)).all(axis=None):
        raise ValueError(
            f"{path} has {len(percent)} lines of {percent.shape[1]} numbers. Expected {len(classes)} lines, one a "
            f"class, of {len(attributes)} percentages. Fetch it again."
        )
    chosen = cub_classes(manifest)["class_name"]
    present = (percent > min_percent).astype(np.uint8).set_axis(attributes.to_list(), axis=1).set_axis(classes.index)
    return present.loc[chosen.index].set_axis(pd.Index(chosen, name="class_name"))


def _read_numbers(path: Path, **options) -> pd.DataFrame:
    """Read numbers between blanks; a table of millions of lines takes a second or two."""
    try:
        return pd.read_csv(path, sep=r"\s+", header=None, index_col=False, **options)
    except (OSError, ValueError) as error:  # pandas' own are among them
        raise ValueError(
            f"{path} cannot be read: {error}. Expected numbers with blanks between. Fetch the published archive again."
        ) from None


def _positions(numbers: pd.Series, known: pd.Index) -> np.ndarray:
    """Return the position of each number among the known ones, which are text; -1 where it is unknown."""
    indices, found = pd.factorize(numbers)
    return known.get_indexer([str(number) for number in found])[indices]


def _notes(manifest: Manifest) -> list[str]:
    absent, classes = absent_classes(manifest), len(cub_classes(manifest))
    text = f"{len(absent)} of {classes} classes of {manifest.name} have no image here: the {absent.sum():,} images that"
    return [f"{text} its tables name of them are left out."] if len(absent) else []


READER = Reader(
    rank=3,
    detects=lambda root: all((root / table).is_file() for table in CUB_TABLES),
    read=read_cub,
    class_from_boxes=False,
    holds=f"{', '.join(CUB_TABLES)} (CUB)",
    class_order=lambda manifest: [*cub_classes(manifest)["class_name"]],
    tables=lambda manifest: [manifest.root / name for name in (*CUB_TABLES, SPLIT, BOXES)],
    notes=_notes,
    beside=(ATTRIBUTES,),
    attributes=cub_attributes,
)
