"""Read the batch output of MegaDetector, and of SpeciesNet, AddaxAI, animl and PyTorch-Wildlife in its form."""

import re
from dataclasses import replace
from math import nan
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import class_of, json_files, name_in, objects_of, read_json, text_of
from marinecv.data.boxes import CORNERS
from marinecv.data.labeled_images import VIDEO, Box, Labeled, box_of, tables_of
from marinecv.data.layouts import image_files, sub_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import EMPTY_CLASS, normalize_path
from marinecv.data.readers import Reader
from marinecv.data.readers.folders import GROUP_NAME, class_folders, class_roots
from marinecv.data.user_tables import is_usable
from marinecv.language import tr

KEYS = ("images", "detection_categories")
THRESHOLD = 0.2  # where the file states none
WHOLE_IMAGE, NO_DETECTION = (0, 0, 1, 1), "unknown"  # of SpeciesNet, for a class of an image without a box
VIDEO_NAME = re.compile(r".*\.(mp4|avi|mov|mkv|m4v|mpe?g|wmv|asf|mts|3gp|flv|webm)", re.IGNORECASE | re.DOTALL)


def read_megadetector(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels), see `tables_of`; ValueError for several files of detections.

    The class of a box is its best classification, else its detection category. Boxes below the detector's typical
    threshold are not used; an image that has none left is "empty". The first folder of an image is its `group`.
    """
    tables = _tables(manifest.root)
    if len(tables) != 1:
        raise ValueError(
            f"{manifest.root} has the detections {' and '.join(path.name for path in tables) or 'of no JSON file'}. "
            "Expected one file. Merge them, or move the others away."
        )
    records, facts, threshold = _read_file(tables[0], manifest.root)
    used = []
    for record in records:
        boxes = tuple(box for box in record.boxes if not facts[box.source][0] < threshold)
        class_names = record.class_names if boxes or record.problem else record.class_names or (EMPTY_CLASS,)
        used.append(replace(record, boxes=boxes, class_names=class_names))
    decision = (
        "Boxes of {file} of less confidence than {threshold:g} are not used; an image without other boxes is of class "
        "'{empty}'."
    )
    decision = tr(decision, file=tables[0].name, threshold=threshold, empty=EMPTY_CLASS)
    return tables_of(manifest.root, used, decisions=[decision])


def read_detections(path: Path, root: Path) -> pd.DataFrame:
    """Return all boxes of a file of detections, of any confidence, matched to the images below `root`.

    An image that the file does not name, or that was not processed, is a row without corners, with its problem.

    Returns:
        DataFrame with `BOX_COLUMNS` (corners in pixels as displayed), `confidence` (0 to 1, NaN where none is stated)
        and `category`, the name of what was detected: animal, person or vehicle.
    Raises:
        ValueError: the file cannot be read, or names no image below `root`.
    """
    records, facts, _ = _read_file(path, root)
    images, boxes = tables_of(root, records)
    unknown = images.loc[~is_usable(images), ["image_id", "problem"]].assign(class_name="", source=path.name)
    boxes = pd.concat([boxes, unknown.assign(**dict.fromkeys(CORNERS, nan))], ignore_index=True)
    facts = [facts.get(source, (nan, "")) for source in boxes["source"]]
    return boxes.assign(confidence=[confidence for confidence, _ in facts], category=[name for _, name in facts])


def _read_file(path: Path, root: Path) -> tuple[list[Labeled], dict[str, tuple[float, str]], float]:
    """Return every image with all its boxes, confidence and category by the `source` of a box, and the threshold."""
    content, records, facts = read_json(path), [], {}
    categories, classes = (
        {text_of(number): class_of(name) for number, name in _object(content, key).items()}
        for key in ("detection_categories", "classification_categories")
    )
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    for number, image in enumerate(objects_of(content, "images", path)):
        source, boxes, class_name, problem = f"{where}:images[{number}]", [], "", _problem(image)
        for index, detection in enumerate(image.get("detections") or () if not problem else ()):
            category = categories.get(text_of(detection.get("category")), "")
            box, confidence = _box(detection, category, classes, f"{source}.detections[{index}]")
            if category == NO_DETECTION and box[1:5] == WHOLE_IMAGE:
                class_name = "" if box.class_name == NO_DETECTION else box.class_name
                problem = "" if class_name else "nothing was detected, and no class found"
            elif category != EMPTY_CLASS:
                boxes.append(box)
                facts[box.source] = confidence, category
        name = name_in(image, "file")
        folders = [folder for folder in normalize_path(name).split("/")[:-1] if folder not in ("", ".")]
        labels = {"class_names": (class_name,) * bool(class_name), "taken_at": text_of(image.get("datetime"))}
        labels |= {"group": folders[0] if folders else "", "boxes": tuple(boxes), "problem": problem}
        records.append(Labeled(name=name, source=source, **labels))
    stated = _object(_object(content, "info"), "detector_metadata").get("typical_detection_threshold")
    return records, facts, float(stated) if isinstance(stated, float | int) and 0 < stated < 1 else THRESHOLD


def _problem(image: dict) -> str:
    """Return why an image has no detections that can be used, or ""."""
    detections, failure = image.get("detections"), text_of(image.get("failure"))
    if VIDEO_NAME.fullmatch(text_of(image.get("file"))) or {"frame_rate", "frames_processed"} & image.keys():
        return VIDEO
    if failure or detections is None:
        return f"was not processed: {failure or 'it has no list of detections':.80}"
    is_list = isinstance(detections, list) and all(isinstance(each, dict) for each in detections)
    return "" if is_list else "its detections are no list of objects"


def _box(detection: dict, category: str, classes: dict[str, str], source: str) -> tuple[Box, float]:
    """Return the box of a detection, of its best class or else its category, and its confidence."""
    name, reason = category, "" if category else "expected a category that detection_categories lists"
    try:
        confidence = float(detection.get("conf"))
        scores = {text_of(key): float(score) for key, score in detection.get("classifications") or ()}
    except (TypeError, ValueError):
        confidence, scores, reason = nan, {}, "expected a number as conf, and pairs of class and number"
    if scores:
        name = classes.get(max(scores, key=scores.get), "")
        reason = reason or ("" if name else "expected a class that classification_categories lists")
    if not 0 <= confidence <= 1:
        reason = reason or f"expected a confidence from 0 to 1, not {confidence:g}"
    return box_of(name, detection.get("bbox"), source, relative=True, xywh=True, reason=reason), confidence


def _object(content: dict, key: str) -> dict:
    return content[key] if isinstance(content.get(key), dict) else {}


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
    tables=lambda manifest: _tables(manifest.root),
)
