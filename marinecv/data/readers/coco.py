"""Read COCO: JSON files of images, annotations and categories, of Roboflow and of camera traps (LILA) too."""

import posixpath
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import (
    EMPTY_NAMES,
    Box,
    Labeled,
    box_of,
    class_of,
    decisions_sentence,
    json_files,
    objects_of,
    read_json,
    tables_of,
    text_of,
)
from marinecv.data.boxes import bad_row
from marinecv.data.layouts import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    folder_splits,
    image_files,
    split_folders,
    sub_folders,
)
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_path
from marinecv.data.readers import Reader

KEYS = ("images", "annotations", "categories")
AUGMENTED = ".rf."  # in a name of Roboflow, after that of the image it was made of
CROWD = "a crowd, not one animal"
MAX_OVER = 0.1  # of the boxes of a file that may reach over the edge of their image


def read_coco(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`, `PLACE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels), see `tables_of`.

    The split is that of the folder or name of a JSON file, else of the image's folder. An annotation without a box is
    the class of its image, unless it is of the whole sequence and another is of the image. `group` is the original of
    Roboflow's versions, else the camera, else the sequence.
    """
    root, records, decisions = manifest.root, [], []
    files = image_files(root, deep=True)
    known = {path.relative_to(root).as_posix() for path in files}
    places = [root, *(folder for folder in sub_folders(root) if IMAGE_FOLDERS.fullmatch(folder.name))]
    splits = {folder: split for place in places for split, folder in split_folders(place).items()}
    if not (tables := _split_of_tables(root)):
        raise ValueError(f"{root} has no JSON file of {', '.join(KEYS)}. Expected one here or in annotations/.")
    for path, split in tables.items():
        of_file = _read_file(path, root, decisions)
        candidates = [path.parent, root, *places[1:], *(folder for folder in splits if splits[folder] == split)]
        inside = {folder: folder.relative_to(root).as_posix() for folder in dict.fromkeys(candidates)}
        names = [record.name for record in of_file]
        num_found = {
            folder: sum(posixpath.normpath(posixpath.join(start, normalize_path(name))) in known for name in names)
            for folder, start in inside.items()
        }
        folder = max(num_found, key=num_found.get)
        for record in of_file:
            parents = (folder / record.name).parents if "\0" not in record.name else ()
            of_place = split or next((splits[parent] for parent in parents if parent in splits), "")
            records.append(replace(record, folder=folder, split=of_place))
    images, boxes = tables_of(root, records, files)
    images.attrs["decisions"] += decisions
    return images, boxes


def _tables(root: Path) -> list[Path]:
    beside = [folder for folder in sub_folders(root) if ANNOTATION_FOLDERS.fullmatch(folder.name)]
    return json_files([root, *beside, *split_folders(root).values()], *KEYS)


def _split_of_tables(root: Path) -> dict[Path, str]:
    """Return the split of each JSON file: of its folder, else of its name among those beside it."""
    tables, splits = _tables(root), {folder: split for split, folder in split_folders(root).items()}
    by_name = folder_splits(path.stem for path in tables if path.parent not in splits)
    return {path: splits.get(path.parent, by_name.get(path.stem, "")) for path in tables}


def _read_file(path: Path, root: Path, decisions: list[str]) -> list[Labeled]:
    """Return the images of one file, whose ids are unique in it alone, a record for each class of the whole image."""
    content, where = read_json(path), path.relative_to(root).as_posix()
    images, annotations, categories = (objects_of(content, key, path) for key in KEYS)
    names = {text_of(category.get("id")): class_of(category.get("name")) for category in categories}
    ids = [text_of(image.get("id")) for image in images]
    for what, num_ids, rows in (("categories", len(names), categories), ("images", len({*ids}), images)):
        if num_ids < len(rows):
            raise ValueError(f"Two {what} of {path} have the same id. Expected each id once. Export the file again.")
    sizes = dict(zip(ids, map(_size, images), strict=True))
    as_corners = _holds_corners(annotations, sizes)
    if as_corners:
        decisions.append(
            f"The boxes of {where} are read as corners, because as x, y, width, height they leave the images."
        )
    boxes, labels, of_sequence = defaultdict(list), defaultdict(dict), defaultdict(dict)
    for number, annotation in enumerate(annotations):
        image_id, source = text_of(annotation.get("image_id")), f"{where}:annotations[{number}]"
        name = names.get(text_of(annotation.get("category_id")), "")
        relative = not annotation.get("bbox") and bool(annotation.get("bbox_relative"))
        corners = annotation.get("bbox_relative") if relative else annotation.get("bbox")
        if corners and name != EMPTY_NAMES[0]:
            box = box_of(name or "?", corners, source, relative, xywh=not as_corners)
            if not name:
                box = _without_class(box, annotation)
            elif annotation.get("iscrowd") and not box.problem:
                box = replace(box, problem=CROWD)
            boxes[image_id].append(box)
        else:
            kind = of_sequence if annotation.get("sequence_level_annotation") is True else labels
            kind[image_id].setdefault(name, source)
    if only_sequence := of_sequence.keys() - labels.keys():
        decisions.append(
            f"{len(only_sequence)} images of {where} have the class of their sequence, which one image may not show."
        )
    records = []
    for number, (image_id, image) in enumerate(zip(ids, images, strict=True)):
        record = _record(image, f"{where}:images[{number}]", path.parent, sizes[image_id], tuple(boxes[image_id]))
        classes = labels.get(image_id) or of_sequence.get(image_id) or {"": ""}
        records += [
            replace(record, class_name=name, boxes=() if extra else record.boxes, problem=record.problem or problem)
            for extra, (name, source) in enumerate(classes.items())
            for problem in [f"its category is not in categories ({source})" if source and not name else ""]
        ]
    for image_id in {**boxes, **labels, **of_sequence}.keys() - {*ids}:
        problem = f"annotations of {where} name it and images does not"
        records.append(Labeled(name=f"image id {image_id}", folder=path.parent, source=where, problem=problem))
    return records


def _record(image: dict, source: str, folder: Path, size: tuple[int, int] | None, boxes: tuple[Box, ...]) -> Labeled:
    name = image["file_name"] if isinstance(image.get("file_name"), str) else text_of(image.get("file_name"))
    camera, sequence = text_of(image.get("location")), text_of(image.get("seq_id"))
    original = posixpath.basename(name.replace("\\", "/")).partition(AUGMENTED)[0] if AUGMENTED in name else ""
    return Labeled(
        name=name,
        folder=folder,
        source=source,
        group=original or camera or sequence,
        camera=camera,
        sequence=sequence,
        taken_at=text_of(image.get("datetime")),  # `date_captured` is the time of the export
        size=size,
        boxes=boxes,
        problem="is marked as corrupt" if image.get("corrupt") is True else "",
    )


def _size(image: dict) -> tuple[int, int] | None:
    sides = image.get("width"), image.get("height")
    is_known = all(isinstance(side, int | float) and 0 < side < 2**31 for side in sides)
    return tuple(map(int, sides)) if is_known else None


def _without_class(box: Box, annotation: dict) -> Box:
    reason = "expected a category_id that categories lists"
    return replace(box, class_name="", problem=bad_row(f"category_id {text_of(annotation.get('category_id'))}", reason))


def _holds_corners(annotations: list[dict], sizes: dict[str, tuple[int, int] | None]) -> bool:
    """Return whether `bbox` holds corners: all boxes are such inside their image, and many leave it otherwise."""
    num_boxes = num_over = 0
    for annotation in annotations:
        size = sizes.get(text_of(annotation.get("image_id")))
        box = box_of("?", annotation.get("bbox") or (), "")
        if box.problem or not size:
            continue
        left, top, third, fourth = box.corners
        if not (0 <= left < third <= size[0] + 1 and 0 <= top < fourth <= size[1] + 1):
            return False
        num_boxes += 1
        num_over += left + third > size[0] + 1 or top + fourth > size[1] + 1
    return num_over > MAX_OVER * num_boxes


READER = Reader(
    rank=5,
    detects=lambda root: bool(_tables(root)),
    read=read_coco,
    holds="a JSON file of images, annotations and categories (COCO; here, in annotations/ or train/, valid/, test/)",
    class_from_boxes=True,
    tables=lambda manifest: _tables(manifest.root),
    sentence=decisions_sentence,
)
