"""The attributes of CUB-200-2011: 312 marks that people saw, or did not see, on every bird and every species."""

from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.catalog import usable
from marinecv.data.cub import CLASSES, IMAGES, cub_classes, cub_images, read_numbered
from marinecv.data.images import printable
from marinecv.data.layouts import ATTRIBUTES
from marinecv.data.manifests import Manifest
from marinecv.schema import one_of

FOLDER = "attributes"
OF_IMAGES = "image_attribute_labels.txt"
OF_CLASSES = "class_attribute_labels_continuous.txt"
KINDS = ("image", "class")
CERTAINTIES = (1, 4)  # 1 not visible, 2 guessing, 3 probably, 4 definitely
_COLUMNS = ["image", "attribute", "present", "certainty"]


def read_attributes(
    manifest: Manifest, kind: str = "image", min_certainty: int = 1, min_percent: float = 50.0
) -> pd.DataFrame:
    """Return which attributes each image, or each class, has.

    Those of an image are what a person saw on it, and at hand only where a person looked: a classifier that is given
    them for a new photograph asks an oracle. Those of a class are the class in disguise.

    Args:
        manifest: of the layout `cub`, with its `root`.
        kind: "image" or "class".
        min_certainty: of "image": an answer counts as present where its certainty is at least this, 1 (not visible) to
            4 (definitely). 1 takes every answer as it was given.
        min_percent: of "class": an attribute is present where more than this share of answers say so, 0 to 100.
    Returns:
        DataFrame of 0 and 1 (uint8), a column an attribute in the order of attributes.txt. By `image_id`, those of all
        images whose class is read and here; or by `class_name`, those of all classes that are read.
    Raises:
        ValueError: another layout or kind, a bound out of range, no such file, or one that is broken or whose images,
            attributes or classes are not those of the other tables.
    """
    one_of(KINDS, kind=kind)
    if manifest.layout != "cub":
        raise ValueError(
            f'{manifest.name} has the layout "{manifest.layout}". Expected "cub": no other has attributes, and a pack '
            "keeps none. Name the folder that holds them."
        )
    low, high = CERTAINTIES
    if not low <= min_certainty <= high:
        raise ValueError(f"min_certainty is {min_certainty}. Expected {low} (not visible) to {high} (definitely).")
    if not 0 <= min_percent <= 100:
        raise ValueError(f"min_percent is {min_percent}. Expected 0 to 100.")
    attributes = read_numbered(_attribute_table(manifest.root))["value"]
    if kind == "image":
        return _of_images(manifest, attributes, min_certainty)
    return _of_classes(manifest, attributes, min_percent)


def class_mean_attributes(attributes: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Give every image the mean attributes of its class's train images: all that a label can tell, and no oracle.

    Args:
        attributes: by `image_id`, see `read_attributes`.
        catalog: with its splits; rows with a problem are left out.
    Returns:
        DataFrame by `image_id`, float32 from 0 to 1, in the order of the catalog.
    Raises:
        ValueError: an image without attributes, or a class without train images.
    """
    good = usable(catalog)
    check_told(good["image_id"], attributes)
    train = good[good["split"] == "train"]
    means = attributes.loc[train["image_id"]].groupby(train["class_name"].to_numpy()).mean()
    if lacking := sorted(set(good["class_name"]) - set(means.index)):
        raise ValueError(
            f"{len(lacking)} classes have no train image, the first: {lacking[0]}. Expected one at least, whose "
            "attributes stand for the class. Choose another split."
        )
    return means.loc[good["class_name"]].set_axis(pd.Index(good["image_id"])).astype(np.float32)


def shuffled_attributes(attributes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the attributes dealt out anew, each image those of another drawn by lot: what they cannot help with."""
    order = np.random.default_rng(seed).permutation(len(attributes))
    return attributes.iloc[order].set_axis(attributes.index)


def check_told(image_ids: pd.Series, attributes: pd.DataFrame) -> None:
    """Raise ValueError where an image has no row of attributes."""
    missing = image_ids[~image_ids.isin(attributes.index)]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} images have no attributes, the first: {missing.iloc[0]}. Expected a "
            "row for each. Read both from one data set."
        )


def _attribute_table(root: Path) -> Path:
    """The file of names: where the set's README has it, beside the tables, or beside their folder, as published."""
    places = [folder / ATTRIBUTES for folder in (root / FOLDER, root, root.parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ValueError(
            f"There is no {ATTRIBUTES} in {root / FOLDER}, nor in {root}, nor beside it. Expected it: it names the "
            "attributes. It comes with the published archive."
        )
    return found


def _of_images(manifest: Manifest, attributes: pd.Series, min_certainty: int) -> pd.DataFrame:
    path, images = manifest.root / FOLDER / OF_IMAGES, cub_images(manifest)
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
    path, classes = manifest.root / FOLDER / OF_CLASSES, read_numbered(manifest.root / CLASSES)
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
