"""Read CVAT for images 1.1: one or several XML files of images with tags, boxes and other shapes."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import pandas as pd

from marinecv.data.annotations import read_xml, text_of
from marinecv.data.formats import begins_with, printable
from marinecv.data.labeled_images import Box, Labeled, box_of, drop_refuted_classes, tables_of
from marinecv.data.layouts import folder_splits, image_files
from marinecv.data.manifests import Manifest
from marinecv.data.readers import Reader
from marinecv.data.shapes import enclosing, size_of, turned
from marinecv.language import tr

SPECIES = "species"  # the attribute that is the class where every shape has it
_ROOT_TAG = re.compile(rb"<annotations[\s>]")
_NUMBERS = {"box": ("xtl", "ytl", "xbr", "ybr"), "mask": ("left", "top", "width", "height")}


def read_cvat(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels), see `tables_of`; ValueError for tracks, which are of a video.

    A tag is the class of its image, unless boxes refute it. Of polygons, masks and turned boxes the bounding box is
    taken. Classes are labels, or the attribute `species` where every box has it.
    """
    root, records, decisions = manifest.root, [], []
    paths = image_files(root, deep=True)
    files = [path.relative_to(root).as_posix() for path in paths]
    names = {file.rpartition(".")[0]: file for file in files} | {file: file for file in files}  # of frames: no suffix
    images = [(path, image) for path in _files(root) for image in _image_elements(path)]
    shapes = [shape for _, image in images for shape in image if shape.tag != "tag"]
    with_species = sum(bool(_species(shape)) for shape in shapes)
    class_of = _species if shapes and with_species == len(shapes) else _label
    if with_species:
        sentence = "The classes of boxes are the attribute '{name}' ({n} of {of})."
        if class_of is _label:
            sentence = "The classes of boxes are labels, as some boxes lack the attribute '{name}' ({n} of {of})."
        decisions.append(tr(sentence, name=SPECIES, n=with_species, of=len(shapes)))
    subsets = {image.get("subset", "") for _, image in images}
    splits = folder_splits(subsets | {path.stem for path, _ in images})
    if others := sorted(subsets - splits.keys() - {"", "default"}):
        decisions.append(tr("Subsets that are no split: {names}.", names=", ".join(map(text_of, others))))
    for path, image in images:
        name, subset = image.get("name", ""), image.get("subset") or path.stem  # some tools write train.xml, val.xml
        source = f"{printable(path.name)}:image {image.get('id', '')}"
        places = (f"images/{subset}/{name}", f"{subset}/{name}", f"images/{name}")
        record = Labeled(
            name=next((names[place] for place in places if place in names), name),
            source=source,
            split=splits.get(subset, ""),
            class_names=tuple({_species(tag) or _label(tag): True for tag in image.iter("tag")}),
            size=size_of(image.get("width"), image.get("height")),
            boxes=tuple(_box(shape, class_of(shape), source) for shape in image if shape.tag != "tag"),
        )
        records.append(record)
    records = drop_refuted_classes(records, "Tags", decisions)
    return tables_of(root, records, paths, decisions)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if begins_with(path, ".xml", _ROOT_TAG))


def _image_elements(path: Path) -> list[Element]:
    tree = read_xml(path)
    if tree.find("track") is not None:
        raise ValueError(
            f"{path} has tracks, of a video, which are not read. Expected images: export the task of CVAT as "
            '"CVAT for images 1.1".'
        )
    return tree.findall("image")


def _label(shape: Element) -> str:
    return text_of(shape.get("label"))


def _species(shape: Element) -> str:
    values = (each.text for each in shape.iter("attribute") if text_of(each.get("name")).casefold() == SPECIES)
    return text_of(next(values, None))


def _box(shape: Element, class_name: str, source: str) -> Box:
    """Return the bounding box of a shape; a box is turned about its center."""
    try:
        if shape.tag == "polygon":
            corners = enclosing(map(float, point.split(",")) for point in shape.get("points", "").split(";"))
        else:
            a, b, c, d = (float(shape.get(name)) for name in _NUMBERS[shape.tag])
            corners = (a, b, a + c, b + d) if shape.tag == "mask" else (a, b, c, d)
            corners = turned(corners, float(shape.get("rotation", 0)), (a + c) / 2, (b + d) / 2)
    except (KeyError, TypeError, ValueError):
        corners = [shape.tag, *shape.attrib.values()]
    return box_of(class_name, corners, source)


READER = Reader(
    detects=lambda root: bool(_files(root)),
    read=read_cvat,
    holds="annotations.xml of CVAT for images",
    tables=lambda manifest: _files(manifest.root),
)
