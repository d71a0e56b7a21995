"""Read Pascal VOC: an XML file an image, beside it, or in Annotations/ with the images in JPEGImages/ or images/."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element

import pandas as pd

from marinecv.data.annotations import Box, Labeled, box_of, decisions_sentence, read_xml, tables_of
from marinecv.data.boxes import CORNERS
from marinecv.data.formats import printable, unsupported_reason
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
from marinecv.data.user_csv import utf8_text

XML_FOLDERS = re.compile(r"annotations?|labels?|xmls?", re.IGNORECASE)
LISTS = "ImageSets/Main"  # of the names of the images of each split
UNNAMED = "no XML file is of it"
_ROOT_TAG, _HEAD_BYTES = re.compile(rb"<annotation[\s>/]"), 4096


def read_voc(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels as written, not moved by one).

    The image of an XML file has its stem and lies beside it or in the folder of images, else anywhere; else `filename`
    names it, never `path`. Objects that are `difficult` count. Splits are those of ImageSets/Main, else of folders. An
    image without an XML file, and a name without an image, are rows with a problem. Raises ValueError where an XML file
    cannot be read, or two are of one image.
    """
    root, sources = manifest.root, list(_xml_files(manifest.root))
    files = [path for path in image_files(root, deep=True) if not _is_mask(path, root)]
    of_key, lists, xml_of, records = defaultdict(list), _listed_splits(root), {}, []
    for path in files:
        for key in {_key(path, root), _key(path, path.parent)}:
            of_key[key].append(path)
    splits = folder_splits({part for path in (*sources, *files) for part in path.relative_to(root).parts[:-1]})
    for path in sources:
        tree, source = read_xml(path), printable(path.relative_to(root).as_posix())
        filename = PureWindowsPath(tree.findtext("filename") or "").name
        keys = _key(path, root), _key(path, path.parent)
        image = next(filter(None, (_image_of(path, filename, of_key[key]) for key in keys)), None)
        if image and (other := xml_of.setdefault(image, path)) is not path:
            raise ValueError(f"{other} and {path} are of one image. Expected one. Remove the other.")
        parts = (image or path).relative_to(root).parts[:-1]
        split = next((splits[part] for part in parts if part in splits), "")
        if lists:
            split = next((lists[key] for key in keys if key in lists), "")
        records.append(
            Labeled(
                name=image.relative_to(root).as_posix() if image else filename or path.stem,
                folder=root,
                source=source,
                split=split,
                size=_size(tree),
                boxes=tuple(_box(each, f"{source}:{number}") for number, each in enumerate(tree.findall("object"), 1)),
            )
        )
    return tables_of(root, records, files, unnamed=UNNAMED)


def _xml_files(root: Path) -> Iterator[Path]:
    """Yield the XML files of images: here, in split folders, and at any depth of their folders of annotations."""
    for place in (root, *split_folders(root).values()):
        yield from sorted(path for path in place.glob("*") if _is_annotation(path))
        for folder in sub_folders(place):
            if XML_FOLDERS.fullmatch(folder.name):
                yield from sorted(path for path in paths_below(folder) if _is_annotation(path))


def _is_annotation(path: Path) -> bool:
    if path.suffix.lower() != ".xml" or path.name.startswith(".") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return bool(_ROOT_TAG.search(file.read(_HEAD_BYTES).replace(b"\0", b"")))  # without the zeros of UTF-16


def _is_mask(path: Path, root: Path) -> bool:
    return any(map(ANNOTATION_FOLDERS.fullmatch, path.relative_to(root).parts[:-1]))


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


def _lists(root: Path) -> dict[str, Path]:
    """Return the lists of images that are there: train, val and test; trainval where it stands for the first two."""
    tables = {name: root / LISTS / f"{name}.txt" for name in ("train", "val", "test", "trainval")}
    found = {name: table for name, table in tables.items() if table.is_file()}
    if {"train", "val"} & found.keys():
        found.pop("trainval", None)
    return found


def _listed_splits(root: Path) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for name, table in _lists(root).items():
        split = {"val": "validation", "test": "test"}.get(name, "train")
        for line in filter(str.strip, utf8_text(table).splitlines()):
            if split_of.setdefault(normalize_path(line.strip()).casefold(), split) != split:
                raise ValueError(f"{table} names {line.strip()!r:.80}, as another list of {LISTS} does. Expected one.")
    return split_of


def _size(tree: Element) -> tuple[int, int] | None:
    try:
        width, height = (round(float(tree.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _box(element: Element, source: str) -> Box:
    return box_of(element.findtext("name"), [element.findtext(f"bndbox/{corner}") for corner in CORNERS], source)


READER = Reader(
    detects=lambda root: next(_xml_files(root), None) is not None,
    read=read_voc,
    holds="an XML file an image, here, in split folders or in Annotations/ (Pascal VOC)",
    class_from_boxes=True,
    tables=lambda manifest: [*_xml_files(manifest.root), *_lists(manifest.root).values()],
    sentence=decisions_sentence,
)
