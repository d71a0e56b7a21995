"""Read the batch output of MegaDetector, and of SpeciesNet, AddaxAI, animl and PyTorch-Wildlife in its form."""

from dataclasses import replace
from math import nan
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
from marinecv.data.boxes import CORNERS, bad_row
from marinecv.data.layouts import image_files, sub_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_path
from marinecv.data.readers import Reader
from marinecv.data.readers.folders import GROUP_NAME, class_folders, class_roots
from marinecv.data.user_tables import is_usable

KEYS = ("images", "detection_categories")
THRESHOLD = 0.2  # where the file states none
WHOLE_IMAGE, NO_DETECTION = (0, 0, 1, 1), "unknown"  # of SpeciesNet, for a class of an image without a box
VIDEO_SUFFIXES = (
    ".mp4",
    ".avi",
    ".mov",
    ".mkv",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".asf",
    ".mts",
    ".3gp",
    ".flv",
    ".webm",
)
VIDEO = "a video, not an image; extract its frames"
UNNAMED = "the detections do not name it"


def read_megadetector(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`, `PLACE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels), see `tables_of`.

    The class of a box is its best classification, else its detection category. Boxes of less confidence than the
    detector's typical threshold are not used; an image that was processed and has none left is of class "empty". The
    first folder of an image is its `group`. Raises ValueError where there are several files of detections.
    """
    tables = _tables(manifest.root)
    if len(tables) != 1:
        raise ValueError(
            f"{manifest.root} has the detections {' and '.join(path.name for path in tables) or 'of no JSON file'}. "
            "Expected one file. Merge them, or move the others away."
        )
    records, confidences, threshold = _read_file(tables[0], manifest.root)
    used = []
    for record in records:
        boxes = tuple(box for box in record.boxes if not confidences[box.source][0] < threshold)
        is_empty = not (boxes or record.class_name or record.problem)
        used.append(replace(record, boxes=boxes, class_name=EMPTY_NAMES[0] if is_empty else record.class_name))
    images, boxes = tables_of(manifest.root, used, unnamed=UNNAMED)
    images.attrs["decisions"].append(
        f"Boxes of {tables[0].name} of less confidence than {threshold:g} are not used; an image without other boxes "
        f'is of class "{EMPTY_NAMES[0]}".'
    )
    return images, boxes


def read_detections(path: Path, root: Path) -> pd.DataFrame:
    """Return all boxes of a file of detections, of any confidence, matched to the images below `root`.

    An image that the file does not name, or that was not processed, is a row without corners, with its problem.

    Returns:
        DataFrame with `BOX_COLUMNS` (corners in pixels as displayed), `confidence` (0 to 1, NaN where none is stated)
        and `category`, the name of what was detected: animal, person or vehicle.
    Raises:
        ValueError: the file cannot be read, or names no image below `root`.
    """
    records, confidences, _ = _read_file(path, root)
    images, boxes = tables_of(root, records, unnamed=UNNAMED)
    unknown = images.loc[~is_usable(images), ["image_id", "problem"]].assign(class_name="", source=path.name)
    boxes = pd.concat([boxes, unknown.assign(**dict.fromkeys(CORNERS, nan))], ignore_index=True)
    scores = [confidences.get(source, (nan, "")) for source in boxes["source"]]
    return boxes.assign(confidence=[score for score, _ in scores], category=[name for _, name in scores])


def _read_file(path: Path, root: Path) -> tuple[list[Labeled], dict[str, tuple[float, str]], float]:
    """Return every image with all its boxes, confidence and category by the `source` of a box, and the threshold."""
    content, records, confidences = read_json(path), [], {}
    info = _object(content, "info")
    names = {key: _names(content, key) for key in ("detection_categories", "classification_categories")}
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    for number, image in enumerate(objects_of(content, "images", path)):
        source, boxes, class_name = f"{where}:images[{number}]", [], ""
        problem = _problem(image)
        for index, detection in enumerate(image.get("detections") or () if not problem else ()):
            box, confidence, category = _box(detection, names, f"{source}.detections[{index}]")
            if category == NO_DETECTION and box.corners == WHOLE_IMAGE:
                class_name = "" if box.class_name == NO_DETECTION else box.class_name
                problem = "" if class_name else "nothing was detected, and no class found"
            elif category != EMPTY_NAMES[0]:
                boxes.append(box)
                confidences[box.source] = confidence, category
        name = image["file"] if isinstance(image.get("file"), str) else text_of(image.get("file"))
        folders = normalize_path(name).split("/")[:-1]
        record = Labeled(
            name=name,
            folder=root,
            source=source,
            class_name=class_name,
            group=next((folder for folder in folders if folder not in ("", ".")), ""),
            taken_at=text_of(image.get("datetime")),
            boxes=tuple(boxes),
            problem=problem,
        )
        records.append(record)
    stated = _object(info, "detector_metadata").get("typical_detection_threshold")
    is_stated = isinstance(stated, float | int) and 0 < stated < 1
    return records, confidences, float(stated) if is_stated else THRESHOLD


def _problem(image: dict) -> str:
    """Return why an image has no detections that can be used, or ""."""
    if text_of(image.get("file")).lower().endswith(VIDEO_SUFFIXES) or {"frame_rate", "frames_processed"} & image.keys():
        return VIDEO
    if failure := text_of(image.get("failure")):
        return f"was not processed: {failure:.80}"
    detections = image.get("detections")
    if detections is None:
        return "was not processed: it has no list of detections"
    if not isinstance(detections, list) or not all(isinstance(each, dict) for each in detections):
        return "its detections are no list of objects"
    return ""


def _box(detection: dict, names: dict[str, dict[str, str]], source: str) -> tuple[Box, float, str]:
    """Return the box of a detection, its confidence and the name of its category."""
    category = names["detection_categories"].get(text_of(detection.get("category")), "")
    name, reason = category, "" if category else "expected a category that detection_categories lists"
    try:
        confidence = float(detection.get("conf"))
        scores = {text_of(key): float(score) for key, score in detection.get("classifications") or ()}
    except (TypeError, ValueError):
        confidence, scores, reason = nan, {}, "expected a number as conf, and pairs of class and number"
    if not 0 <= confidence <= 1:
        reason = reason or "expected a confidence from 0 to 1"
    if scores:
        name = names["classification_categories"].get(max(scores, key=scores.get), "")
        reason = reason or ("" if name else "expected a class that classification_categories lists")
    box = box_of(name or "?", detection.get("bbox"), source, relative=True, xywh=True)
    if reason and not box.problem:
        box = replace(box, class_name="", problem=bad_row(text_of(detection), reason))
    return box, confidence, category


def _object(content: dict, key: str) -> dict:
    return content[key] if isinstance(content.get(key), dict) else {}


def _names(content: dict, key: str) -> dict[str, str]:
    return {text_of(number): class_of(name) for number, name in _object(content, key).items()}


def _tables(root: Path) -> list[Path]:
    return json_files([root], *KEYS)


def _has_class_folders(root: Path) -> bool:
    """Return whether several folders with images have names of classes, not of cameras, numbers or days."""
    while len(folders := sub_folders(root)) == 1:
        root = folders[0]
    folders = (folder for place in class_roots(root, "first").values() for folder in class_folders(place))
    names = {folder.name for folder in folders if image_files(folder, deep=True)}
    return len(names) > 1 and not all(map(GROUP_NAME.fullmatch, names))


READER = Reader(
    rank=8,
    detects=lambda root: bool(_tables(root)) and not _has_class_folders(root),
    read=read_megadetector,
    holds="a JSON file of images and detection_categories (MegaDetector)",
    class_from_boxes=True,
    tables=lambda manifest: _tables(manifest.root),
    sentence=decisions_sentence,
)
