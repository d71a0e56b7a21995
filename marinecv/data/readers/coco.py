"""Read COCO: JSON files of images, annotations and categories, of Roboflow and of camera traps (LILA) too."""

import posixpath
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import class_of, json_files, name_in, objects_of, read_json, text_of
from marinecv.data.labeled_images import Box, Labeled, box_of, tables_of
from marinecv.data.layouts import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    folder_splits,
    image_files,
    split_folders,
    sub_folders,
)
from marinecv.data.manifests import Manifest
from marinecv.data.names import EMPTY_CLASS, normalize_path
from marinecv.data.readers import Reader
from marinecv.data.shapes import size_of
from marinecv.language import tr

KEYS = ("images", "annotations", "categories")
CROWD = "a crowd, not one animal"
MAX_OVER = 0.1  # of the boxes of a file that may reach over the edge of their image


def read_coco(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels), see `tables_of`.

    The split is that of the folder or name of a JSON file, else of the image's folder. An annotation without a box is
    the class of its image, unless it is of the whole sequence and another is of the image.
    """
    root, records, decisions = manifest.root, [], []
    files, own_splits = image_files(root, deep=True), {folder: split for split, folder in split_folders(root).items()}
    known = {path.relative_to(root).as_posix() for path in files}
    places = [folder for folder in sub_folders(root) if IMAGE_FOLDERS.fullmatch(folder.name)]
    splits = own_splits | {folder: split for place in places for split, folder in split_folders(place).items()}
    if not (tables := _tables(root)):
        raise ValueError(f"{root} has no JSON file of {', '.join(KEYS)}. Expected one here or in annotations/.")
    by_name = folder_splits(path.stem for path in tables if path.parent not in own_splits)
    for path in tables:
        split = own_splits.get(path.parent, by_name.get(path.stem, ""))
        of_file, num_found = _read_file(path, root, decisions), {}
        for folder in (path.parent, root, *places, *(each for each in splits if splits[each] == split)):
            paths = (posixpath.join(folder.relative_to(root), normalize_path(record.name)) for record in of_file)
            num_found[folder] = sum(posixpath.normpath(path) in known for path in paths)
        folder = max(num_found, key=num_found.get)
        for number, record in enumerate(of_file):  # in place: a file may have millions
            parents = (folder / normalize_path(record.name)).parents
            of_place = next((splits[parent] for parent in parents if parent in splits), "")
            of_file[number] = replace(record, folder=folder.relative_to(root).as_posix(), split=split or of_place)
        records += of_file
    return tables_of(root, records, files, decisions=decisions)


def _tables(root: Path) -> list[Path]:
    beside = [folder for folder in sub_folders(root) if ANNOTATION_FOLDERS.fullmatch(folder.name)]
    return json_files([root, *beside, *split_folders(root).values()], *KEYS)


def _read_file(path: Path, root: Path, decisions: list[str]) -> list[Labeled]:
    """Return the images of one file, whose ids are unique in it alone."""
    content, where = read_json(path), path.relative_to(root).as_posix()
    images, annotations, categories = (objects_of(content, key, path) for key in KEYS)
    names = {text_of(category.get("id")): class_of(category.get("name")) for category in categories}
    sizes = {text_of(image.get("id")): size_of(image.get("width"), image.get("height")) for image in images}
    for what, ids, rows in (("categories", names, categories), ("images", sizes, images)):
        if len(ids) < len(rows):
            raise ValueError(f"Two {what} of {path} have the same id. Expected each id once. Export the file again.")
    if as_corners := _holds_corners(annotations, sizes):
        sentence = "The boxes of {file} are read as corners, because as x, y, width, height they leave the images."
        decisions.append(tr(sentence, file=where))
    boxes, labels, of_sequence = defaultdict(list), defaultdict(dict), defaultdict(dict)
    for number, annotation in enumerate(annotations):
        annotations[number] = None  # free its memory
        image_id, source = text_of(annotation.get("image_id")), f"{where}:annotations[{number}]"
        category = text_of(annotation.get("category_id"))
        name = names.get(category, "")
        corners = annotation.get("bbox") or annotation.get("bbox_relative")
        if corners and name != EMPTY_CLASS:
            reason = "" if name else f"expected a category_id that categories lists, not {category:.40}"
            box = box_of(name, corners, source, not annotation.get("bbox"), not as_corners, reason)
            is_crowd = annotation.get("iscrowd") and not box.problem
            boxes[image_id].append(Box(*box[:6], CROWD, box.relative) if is_crowd else box)
        else:
            kind = of_sequence if annotation.get("sequence_level_annotation") is True else labels
            kind[image_id].setdefault(name, source)
    if only_sequence := of_sequence.keys() - labels.keys():
        sentence = "{n} images of {file} have the class of their sequence, which one image may not show."
        decisions.append(tr(sentence, n=len(only_sequence), file=where))
    records = []
    for number, (image_id, image) in enumerate(zip(sizes, images, strict=True)):
        images[number] = None
        classes = labels.get(image_id) or of_sequence.get(image_id) or {}
        problem = f"its category is not in categories ({classes['']})" if "" in classes else ""
        record = Labeled(
            name=name_in(image, "file_name"),
            source=where,
            class_names=tuple(classes),
            camera=text_of(image.get("location")),
            sequence=text_of(image.get("seq_id")),
            taken_at=text_of(image.get("datetime")),  # `date_captured` is the time of the export
            size=sizes[image_id],
            boxes=tuple(boxes[image_id]),
            problem="is marked as corrupt" if image.get("corrupt") is True else problem,
        )
        records.append(record)
    for image_id in sorted({*boxes, *labels, *of_sequence} - sizes.keys()):
        problem = f"annotations of {where} name it and images does not"
        records.append(Labeled(name=f"image id {image_id}", source=where, problem=problem))
    return records


def _holds_corners(annotations: list[dict], sizes: dict[str, tuple[int, int] | None]) -> bool:
    """Return whether `bbox` holds corners: all boxes are such inside their image, and many leave it otherwise."""
    num_boxes = num_over = 0
    for annotation in annotations:
        size, box = sizes.get(text_of(annotation.get("image_id"))), box_of("?", annotation.get("bbox") or (), "")
        if size and not box.problem:
            left, top, third, fourth = box[1:5]
            if not (0 <= left < third <= size[0] + 1 and 0 <= top < fourth <= size[1] + 1):
                return False
            num_boxes += 1
            num_over += left + third > size[0] + 1 or top + fourth > size[1] + 1
    return num_over > MAX_OVER * num_boxes


READER = Reader(
    detects=lambda root: bool(_tables(root)),
    read=read_coco,
    holds="a JSON file of images, annotations and categories (COCO; here, in annotations/ or train/, valid/, test/)",
    tables=lambda manifest: _tables(manifest.root),
)
