"""Read the layout of CUB-200-2011: tables of numbered images and classes, beside a folder of images a class."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.foreign_csv import find_named, utf8_text
from marinecv.data.formats import printable
from marinecv.data.images import ABSENT, image_table
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.names import leads_out, normalize_name
from marinecv.data.readers import Reader

IMAGES, CLASSES, LABELS = CUB_TABLES = ("images.txt", "classes.txt", "image_class_labels.txt")
SPLIT, BOXES = "train_test_split.txt", "bounding_boxes.txt"  # both may be absent
FOLDER = "images"
UNNAMED = f"{IMAGES} does not name it"
NO_FILE = f"named in {IMAGES} but the file is absent"
ATTRIBUTES, ATTRIBUTE_FOLDER = "attributes.txt", "attributes"
OF_IMAGES, OF_CLASSES = "image_attribute_labels.txt", "class_attribute_labels_continuous.txt"
CERTAINTIES = (1, 4)  # 1 not visible, 2 guessing, 3 probably, 4 definitely
_COLUMNS = ["image", "attribute", "present", "certainty"]
_SPLITS = {"1": "train", "0": "test"}


def read_cub(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels); the class is the table's.

    A file that is named but absent, and one in images/ that no table names, are rows with a problem. Classes none of
    whose images is here are left out, for the tables of the whole set often come with a part: see `absent_classes`.
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
    """Return the images that the tables name, as images.txt has them: `path, class_name, split, at_hand`, by number.

    `class_name` is "" where the class is not read, `split` "" where no table says; `at_hand` is True where the class is
    read and some image of it is here.
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


def cub_attributes(manifest: Manifest, kind: str, min_certainty: int, min_percent: float) -> pd.DataFrame:
    """Return which attributes each image or class has, see `read_attributes`."""
    low, high = CERTAINTIES
    if not low <= min_certainty <= high:
        raise ValueError(f"min_certainty is {min_certainty}. Expected {low} (not visible) to {high} (definitely).")
    if not 0 <= min_percent <= 100:
        raise ValueError(f"min_percent is {min_percent}. Expected 0 to 100.")
    attributes = read_numbered(_attribute_table(manifest.root))["value"]
    if kind == "image":
        return _of_images(manifest, attributes, min_certainty)
    return _of_classes(manifest, attributes, min_percent)


def _attribute_table(root: Path) -> Path:
    """The file of names: where the set's README has it, beside the tables, or beside their folder, as published."""
    places = [folder / ATTRIBUTES for folder in (root / ATTRIBUTE_FOLDER, root, root.parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ValueError(
            f"There is no {ATTRIBUTES} in {root / ATTRIBUTE_FOLDER}, nor in {root}, nor beside it. Expected it: it "
            "names the attributes. It comes with the published archive."
        )
    return found


def _of_images(manifest: Manifest, attributes: pd.Series, min_certainty: int) -> pd.DataFrame:
    path, images = manifest.root / ATTRIBUTE_FOLDER / OF_IMAGES, cub_images(manifest)
    answers = _read(path, names=_COLUMNS, usecols=range(4), dtype="int32")
    rows = _places(answers["image"], images.index, path, f"an image of {IMAGES}")
    columns = _places(answers["attribute"], attributes.index, path, f"an attribute of {ATTRIBUTES}")
    # Some lines of the published file have a column too many, and all have four that mean what they should.
    wrong = ~answers["present"].isin([0, 1]) | ~answers["certainty"].between(0, CERTAINTIES[1])
    if wrong.any():
        said = " ".join(str(cell) for cell in answers[wrong].iloc[0])
        raise ValueError(
            f'{wrong.sum()} of {len(answers)} answers of {path} cannot be; the first begins "{said}". Expected numbers '
            f"of an image and an attribute, 0 or 1, and a certainty up to {CERTAINTIES[1]}."
        )
    shape = (len(images), len(attributes))
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    if (counts != 1).any():
        row, column = divmod(int(np.argmax(counts != 1)), shape[1])
        raise ValueError(
            f"{path} lacks {(counts == 0).sum():,} answers and gives {(counts > 1).sum():,} more than once; the first "
            f"is of image {images.index[row]}, attribute {attributes.index[column]}. Expected one for each of "
            f"{shape[0]:,} images and {shape[1]} attributes. Fetch it again."
        )
    present = np.zeros(shape, dtype=np.uint8)
    present[rows, columns] = (answers["present"] == 1) & (answers["certainty"] >= min_certainty)
    ids = [printable(place.relative_to(manifest.root).as_posix()) for place in images["path"]]
    table = pd.DataFrame(present, columns=attributes.to_list(), index=pd.Index(ids, name="image_id"))
    return table[images["at_hand"].to_numpy()]


def _of_classes(manifest: Manifest, attributes: pd.Series, min_percent: float) -> pd.DataFrame:
    path, classes = manifest.root / ATTRIBUTE_FOLDER / OF_CLASSES, read_numbered(manifest.root / CLASSES)
    percent = _read(path, dtype=float)
    if percent.shape != (len(classes), len(attributes)) or not ((percent >= 0) & (percent <= 100)).all(axis=None):
        low, high = percent.min(axis=None), percent.max(axis=None)
        raise ValueError(
            f"{path} holds {len(percent)} lines of {percent.shape[1]} numbers from {low:g} to {high:g}. Expected "
            f"{len(classes)} lines, a class of {CLASSES} each, of {len(attributes)} percentages. Fetch it again."
        )
    chosen = cub_classes(manifest)["class_name"]
    present = (percent > min_percent).astype(np.uint8).set_axis(attributes.to_list(), axis=1).set_axis(classes.index)
    return present.loc[chosen.index].set_axis(pd.Index(chosen, name="class_name"))


def _read(path: Path, **options) -> pd.DataFrame:
    """Read numbers between blanks; a table of millions of lines takes a second or two."""
    if not path.is_file():
        raise ValueError(
            f"There is no {path}. Expected it: it comes with the published archive of CUB-200-2011. Fetch that, or "
            "read the attributes of the other kind, image or class."
        )
    try:
        return pd.read_csv(path, sep=r"\s+", header=None, index_col=False, **options)
    except ValueError as error:  # pandas' own are among them
        raise ValueError(
            f"{path} cannot be read: {error}. Expected numbers with blanks between. Fetch it again."
        ) from None


def _places(numbers: pd.Series, known: pd.Index, path: Path, expected: str) -> np.ndarray:
    """The place of each number among the known ones, which are text."""
    codes, found = pd.factorize(numbers)
    places = known.get_indexer([str(number) for number in found])
    if (unknown := places < 0).any():
        raise ValueError(
            f"{path} names {unknown.sum()} unknown numbers, the first {found[unknown][0]}. Expected {expected}."
        )
    return places[codes]


def _notes(manifest: Manifest) -> list[str]:
    if not len(absent := absent_classes(manifest)):
        return []
    return [
        f"{len(absent)} of {len(cub_classes(manifest))} classes of {manifest.name} have no image here: the "
        f"{absent.sum():,} images that its tables name of them are left out."
    ]


READER = Reader(
    rank=3,
    detects=lambda root: all((root / table).is_file() for table in CUB_TABLES),
    read=read_cub,
    holds=f"{', '.join(CUB_TABLES)} (CUB)",
    class_order=lambda manifest: [*cub_classes(manifest)["class_name"]],
    tables=lambda manifest: [manifest.root / name for name in (*CUB_TABLES, SPLIT, BOXES)],
    notes=_notes,
    beside=(ATTRIBUTES,),
    attributes=cub_attributes,
)
