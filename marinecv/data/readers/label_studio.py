"""Read Label Studio's JSON: a list of tasks, with classes of whole images and boxes in percent."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pandas as pd

from marinecv.data.annotations import Box, Labeled, box_of, decisions_sentence, read_json, tables_of, text_of
from marinecv.data.boxes import bad_row
from marinecv.data.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES, begins_with, printable
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.readers import Reader
from marinecv.data.readers.cvat import refuted_classes
from marinecv.data.readers.table import COLUMN_NAMES, column_key
from marinecv.data.shapes import enclosing, size_of, turned

UNNAMED = "no task of Label Studio names it"
NOT_LABELED = "nobody has labeled its task"
_TASKS = re.compile(rb'\A(\xef\xbb\xbf)?\s*\[\s*\{.*?"(annotations|completions|annotation_id|data)"\s*:', re.DOTALL)
_UPLOAD = re.compile(r"upload/\d+/(?P<stored>(?:[0-9a-f]{8}-)?(?P<name>[^/]+))$")
_SHAPE = re.compile(r"(rectangle|polygon|ellipse|brush|keypoint|bitmask|vector)(labels)?")
Region = list[dict]  # items of `result` that share an id: a shape, its label and its choice, or one choice of the image


def read_label_studio(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels).

    Of several annotations of a task the newest counts that is not cancelled; predictions do not. A choice is the class
    of its image, unless boxes refute it; where every box has a choice of its own, that is its class, else its label is.
    Of turned boxes and polygons the bounding box is taken; other shapes are boxes with a problem. Images are found by
    name, an address is never opened. Raises ValueError for JSON-MIN, and where the image or class could be several.
    """
    root, records, decisions = manifest.root, [], []
    files = image_files(root, deep=True)
    file_names = {path.name for path in files}
    tasks = [
        (f"{printable(path.name)}:{number}", task) for path in _files(root) for number, task in enumerate(_tasks(path))
    ]
    done = [_annotations(task, source) for source, task in tasks]
    if count := sum(len({str(sorted(map(_classes, regions))) for regions in each}) > 1 for each in done):
        decisions.append(f"Of {count} of {len(tasks)} tasks annotations differ in their classes; the newest is taken.")
    newest = [each[0] if each else [] for each in done]
    shapes = [region for regions in newest for region in regions if _shape(region)]
    of_box = _choices if shapes and all(map(_choices, shapes)) else _labels
    if of_box is _choices:
        decisions.append("The class of a box is its own choice, which every box has, not its label.")
    question = _class_question(region[0] for regions in newest for region in regions if not _shape(region))
    for (source, task), regions, annotations in zip(tasks, newest, done, strict=True):
        asked = [each for each in regions if not _shape(each) and text_of(each[0].get("from_name")) == question]
        classes = sorted({text for region in asked for text in _choices(region)})
        labels = {"class_name": classes[0] if len(classes) == 1 else "", "problem": NOT_LABELED}
        if annotations:
            labels["problem"] = f"names several classes: {', '.join(classes)}" if len(classes) > 1 else ""
        name = _name_of(_image_reference(task, source), file_names)
        size = next(filter(None, (_size(item) for region in regions for item in region)), None)
        boxes = tuple(_box(region, of_box(region), source) for region in regions if _shape(region))
        records.append(Labeled(name=name, folder=root, source=source, size=size, boxes=boxes, **labels))
    if refuted_classes(records):
        decisions.append("Choices of images are no classes here, because some differ from the boxes of their image.")
        kept = [record.problem if record.problem == NOT_LABELED else "" for record in records]
        records = [replace(each, class_name="", problem=problem) for each, problem in zip(records, kept, strict=True)]
    images, boxes = tables_of(root, records, files, unnamed=UNNAMED)
    images.attrs["decisions"] += decisions
    return images, boxes


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if begins_with(path, ".json", _TASKS))


def _tasks(path: Path) -> list[dict]:
    tasks = read_json(path, list)
    for number, task in enumerate(tasks):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            kind = "JSON-MIN" if isinstance(task, dict) and "annotation_id" in task else "no task"
            raise ValueError(
                f"Entry {number} of {path} is {kind}: it has no data. Expected tasks with data and annotations. Choose "
                'the format "JSON" when you export from Label Studio.'
            )
    return tasks


def _annotations(task: dict, source: str) -> list[list[Region]]:
    """Return the annotations of a task that are not cancelled, the newest first, each as its regions."""
    found = task.get("annotations", task.get("completions")) or []
    try:
        found = [each for each in found if not (each.get("was_cancelled") or each.get("skipped"))]
        found = sorted(found, key=lambda each: str(each.get("created_at", "")), reverse=True)
        return [_regions(each.get("result") or []) for each in found]
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"The annotations of {source} are no list of objects with results: {error}. Expected those of Label "
            "Studio. Export them again."
        ) from None


def _regions(results: list[dict]) -> list[Region]:
    regions: dict[object, Region] = {}
    for number, item in enumerate(results):
        if isinstance(item.get("value"), dict):  # relations have none
            regions.setdefault(item.get("id") or number, []).append(item)
            for key, entry in item["value"].items():
                if (key == "choices" or key.endswith("labels")) and not isinstance(entry, list | None):
                    raise TypeError(f"{key} is {entry!r:.40}, no list")
    return list(regions.values())


def _shape(region: Region) -> dict | None:
    return next((item for item in region if _SHAPE.fullmatch(str(item.get("type")))), None)


def _choices(region: Region) -> list[str]:
    return [text for item in region for text in map(text_of, item["value"].get("choices") or []) if text]


def _labels(region: Region) -> list[str]:
    """Return the labels of a shape, else its choices."""
    values = [item["value"].get(key) for item in region for key in item["value"] if key.endswith("labels")]
    return list(dict.fromkeys(text for value in values if value for text in map(text_of, value))) or _choices(region)


def _classes(region: Region) -> list[str]:
    return sorted({*_labels(region), *_choices(region)})


def _class_question(items: Iterable[dict]) -> str | None:
    """Return the question (`from_name`) whose choices are classes: the only one, or the one named as a class is."""
    names = sorted({text_of(item.get("from_name")) for item in items if item["value"].get("choices")})
    usual = [name for name in names if column_key(name) in COLUMN_NAMES["class"]]
    if len(names) > 1 and len(usual) != 1:
        raise ValueError(
            f"The tasks answer the questions {', '.join(names)} with choices. Expected one that gives the class. Name "
            "it species in the labeling configuration, or export without the others."
        )
    return next(iter(usual or names), None)


def _image_reference(task: dict, source: str) -> str:
    references = {key: value for key, value in task["data"].items() if isinstance(value, str) and _is_image(value)}
    if "image" not in references and len(references) != 1:
        raise ValueError(
            f"The data of {source} name {len(references)} images: {', '.join(references) or 'none'}. Expected one, or "
            "one called image."
        )
    return references.get("image") or next(iter(references.values()))


def _is_image(reference: str) -> bool:
    suffix = PurePosixPath(_name_of(reference, ())).suffix.lower()
    return suffix in IMAGE_SUFFIXES + UNSUPPORTED_SUFFIXES or bool(re.match(r"/data/|data:image/|\w+://", reference))


def _name_of(reference: str, file_names: Collection[str]) -> str:
    """Return the path or name that a reference to an image ends with; an upload may have kept its prefix."""
    _, is_local, local = reference.partition("/local-files/?d=")
    scheme, is_address, rest = reference.partition("://")
    if is_local:
        return unquote(local)
    if scheme in ("http", "https"):
        return unquote(rest.partition("?")[0].partition("#")[0])
    if reference.startswith("data:"):
        return ""
    name = rest.partition("/")[2] if is_address else reference
    if upload := _UPLOAD.search(name):
        return upload["stored"] if upload["stored"] in file_names else upload["name"]
    return name


def _box(region: Region, classes: list[str], source: str) -> Box:
    """Return the bounding box of a shape in fractions of its image; a box is turned about its top left corner."""
    shape, name = _shape(region), " and ".join(classes)
    value, kind, angle = shape["value"], shape["type"].removesuffix("labels"), shape["value"].get("rotation") or 0
    try:
        wide, high = (_size(shape) or (0, 0)) if angle else (1, 1)
        if len(classes) > 1 or shape.get("image_rotation") or kind not in ("rectangle", "polygon"):
            raise ValueError
        if kind == "polygon":
            corners = enclosing((float(x) / 100, float(y) / 100) for x, y in value["points"])
        else:
            x, y, w, h = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
            x, y, w, h = x * wide, y * high, w * wide, h * high
            left, top, right, bottom = turned((x, y, x + w, y + h), float(angle), x, y)
            corners = left / wide, top / high, right / wide, bottom / high
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        problem = "expected one class, and a rectangle or polygon in percent on an image that was not turned"
        return replace(box_of(name, [], source, relative=True), problem=bad_row(text_of(shape), problem))
    return box_of(name, corners, source, relative=True)


def _size(item: dict) -> tuple[int, int] | None:
    return size_of(item.get("original_width"), item.get("original_height"))


READER = Reader(
    detects=lambda root: bool(_files(root)),
    read=read_label_studio,
    holds="a .json of tasks (Label Studio)",
    class_from_boxes=True,
    tables=lambda manifest: _files(manifest.root),
    sentence=decisions_sentence,
)
