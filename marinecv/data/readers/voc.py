"""Read Pascal VOC: an XML file an image, beside it, or in Annotations/ with the images in JPEGImages/ or images/."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

import pandas as pd

from marinecv.data.annotations import read_xml
from marinecv.data.boxes import CORNERS
from marinecv.data.formats import begins_with, printable, unsupported_reason
from marinecv.data.labeled_images import Labeled, box_of, tables_of
from marinecv.data.layouts import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    folder_splits,
    image_files,
    paths_below,
    split_folders,
    sub_folders,
)
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_path
from marinecv.data.readers import Reader
from marinecv.data.shapes import size_of
from marinecv.data.user_csv import utf8_text

XML_FOLDERS = re.compile(r"annotations?|labels?|xmls?", re.IGNORECASE)
LISTS = "ImageSets/Main"  # of the names of the images of each split
_ROOT_TAG = re.compile(rb"<annotation[\s>/]")


def read_voc(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels as written), see `tables_of`; ValueError for two files of an image.

    The image of an XML file has its stem and lies beside it or in the folder of images, else anywhere; else `filename`
    names it, never `path`. Objects that are `difficult` count. Splits are those of ImageSets/Main, else of folders.
    """
    root, sources, files = manifest.root, [*_xml_files(manifest.root)], image_files(manifest.root, deep=True)
    files = [path for path in files if not any(map(ANNOTATION_FOLDERS.fullmatch, path.relative_to(root).parts[:-1]))]
    of_key, (lists, _), xml_of, records = defaultdict(list), _listed_splits(root), {}, []
    for path in files:
        for key in {_key(path, root), _key(path, path.parent)}:
            of_key[key].append(path)
    splits = folder_splits({part for path in (*sources, *files) for part in path.relative_to(root).parts[:-1]})
    for path in sources:
        tree, source = read_xml(path), printable(path.relative_to(root).as_posix())
        keys, name = (_key(path, root), _key(path, path.parent)), PureWindowsPath(tree.findtext("filename") or "").name
        image = next(filter(None, (_image_of(path, name, of_key[key]) for key in keys)), None)
        if image and (other := xml_of.setdefault(image, path)) is not path:
            raise ValueError(f"{other} and {path} are of one image. Expected one. Remove the other.")
        known, places = (lists, keys) if lists else (splits, (image or path).relative_to(root).parts[:-1])
        split = next((known[place] for place in places if place in known), "")
        boxes = []
        for number, each in enumerate(tree.findall("object"), 1):
            corners = [each.findtext(f"bndbox/{corner}") for corner in CORNERS]
            boxes.append(box_of(each.findtext("name"), corners, f"{source}:{number}"))
        name = image.relative_to(root).as_posix() if image else name or path.stem
        size = size_of(tree.findtext("size/width"), tree.findtext("size/height"))
        records.append(Labeled(name=name, source=source, split=split, size=size, boxes=tuple(boxes)))
    return tables_of(root, records, files)


def _xml_files(root: Path) -> Iterator[Path]:
    """Yield the XML files of images: here, in split folders, and at any depth of their folders of annotations."""
    for place in (root, *split_folders(root).values()):
        yield from sorted(path for path in place.glob("*") if _is_annotation(path))
        for folder in sub_folders(place):
            if XML_FOLDERS.fullmatch(folder.name):
                yield from sorted(path for path in paths_below(folder) if _is_annotation(path))


def _is_annotation(path: Path) -> bool:
    return begins_with(path, ".xml", _ROOT_TAG)


def _key(path: Path, root: Path) -> str:
    """Return a path below `root` without suffix and folders of images or annotations, the same for image and XML."""
    parts = path.relative_to(root).with_suffix("").parts
    folders = (part for part in parts[:-1] if not IMAGE_FOLDERS.fullmatch(part) and not XML_FOLDERS.fullmatch(part))
    return normalize_path("/".join((*folders, parts[-1]))).casefold()


def _image_of(path: Path, filename: str, images: Iterable[Path]) -> Path | None:
    """Return the image of an XML file among these: the only one, else the one beside it or of its `filename`."""
    readable = [image for image in images if not unsupported_reason(image)] or list(images)
    beside = [image for image in readable if image.parent == path.parent]
    named = [image for image in beside or readable if image.name.casefold() == filename.casefold()]
    return next((found[0] for found in (readable, beside, named) if len(found) == 1), None)


def _listed_splits(root: Path) -> tuple[dict[str, str], list[Path]]:
    """Return the split of images by the lists train, val and test, and these; trainval stands for the first two."""
    tables = {name: root / LISTS / f"{name}.txt" for name in ("train", "val", "test", "trainval")}
    tables = {name: table for name, table in tables.items() if table.is_file()}
    if {"train", "val"} & tables.keys():
        tables.pop("trainval", None)
    split_of: dict[str, str] = {}
    for name, table in tables.items():
        split = {"val": "validation", "test": "test"}.get(name, "train")
        for line in filter(str.strip, utf8_text(table).splitlines()):
            if split_of.setdefault(normalize_path(line.strip()).casefold(), split) != split:
                raise ValueError(f"{table} names {line.strip()!r:.80}, as another list of {LISTS} does. Expected one.")
    return split_of, [*tables.values()]


READER = Reader(
    detects=lambda root: next(_xml_files(root), None) is not None,
    read=read_voc,
    holds="an XML file an image, here, in split folders or in Annotations/ (Pascal VOC)",
    tables=lambda manifest: [*_xml_files(manifest.root), *_listed_splits(manifest.root)[1]],
)
