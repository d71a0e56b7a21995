"""Read Label Studio's JSON: a list of tasks, with classes of whole images and boxes in percent."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pandas as pd

from marinecv.data.annotations import read_json, text_of
from marinecv.data.formats import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES, begins_with, printable
from marinecv.data.labeled_images import Box, Labeled, box_of, drop_refuted_classes, tables_of
from marinecv.data.layouts import image_files
from marinecv.data.manifests import Manifest
from marinecv.data.readers import Reader
from marinecv.data.readers.table import COLUMN_NAMES, column_key
from marinecv.data.shapes import enclosing, size_of, turned
from marinecv.language import tr

NOT_LABELED = "nobody has labeled its task"
_TASKS = re.compile(rb'\A(\xef\xbb\xbf)?\s*\[\s*\{.*?"(annotations|completions|annotation_id|data)"\s*:', re.DOTALL)
_UPLOAD = re.compile(r"upload/\d+/(?P<stored>(?:[0-9a-f]{8}-)?(?P<name>[^/]+))$")
_SHAPE = re.compile(r"(rectangle|polygon|ellipse|brush|keypoint|bitmask|vector)(labels)?")


@dataclass
class Region:
    """Items of `result` that share an id: a shape with its labels and choices, or choices of the whole image."""

    question: str  # `from_name` of the first item
    shape: dict | None = None
    labels: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None  # of the image


def read_label_studio(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels), see `tables_of`; an address is never opened.

    Of several annotations of a task the newest counts that is not cancelled; predictions do not. A choice is the class
    of its image, unless boxes refute it; where every box has a choice of its own, that is its class, else its label is.
    Of turned boxes and polygons the bounding box is taken; other shapes are boxes with a problem.
    """
    root, records, decisions = manifest.root, [], []
    files = image_files(root, deep=True)
    file_names = {path.name for path in files}
    tasks = {f"{printable(path.name)}:{number}": task for path in _files(root) for number, task in _tasks(path)}
    done = {source: _annotations(task, source) for source, task in tasks.items()}
    classes_of = [{str(sorted((each.labels, each.choices) for each in regions)) for regions in done[s]} for s in done]
    if count := sum(len(of_annotations) > 1 for of_annotations in classes_of):
        sentence = "Annotations of {n} of {of} tasks differ in their classes; the newest is taken."
        decisions.append(tr(sentence, n=count, of=len(tasks)))
    newest = {source: annotations[0] if annotations else [] for source, annotations in done.items()}
    shapes = [region for regions in newest.values() for region in regions if region.shape]
    if by_choice := bool(shapes) and all(region.choices for region in shapes):
        decisions.append(tr("The class of a box is its own choice, which every box has, not its label."))
    question = _class_question(region for regions in newest.values() for region in regions if not region.shape)
    for source, regions in newest.items():
        asked = [region for region in regions if not region.shape and region.question == question]
        record = Labeled(
            name=_name_of(_image_reference(tasks[source], source), file_names),
            source=source,
            class_names=tuple({text: True for region in asked for text in region.choices}),
            size=next((region.size for region in regions if region.size), None),
            boxes=tuple(_box(region, by_choice, source) for region in regions if region.shape),
            problem="" if done[source] else NOT_LABELED,
        )
        records.append(record)
    records = drop_refuted_classes(records, "Choices of images", decisions)
    return tables_of(root, records, files, decisions=decisions)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if begins_with(path, ".json", _TASKS))


def _tasks(path: Path) -> list[tuple[int, dict]]:
    tasks = [*enumerate(read_json(path, list))]
    for number, task in tasks:
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
            region = regions.setdefault(item.get("id") or number, Region(text_of(item.get("from_name"))))
            region.size = region.size or size_of(item.get("original_width"), item.get("original_height"))
            if _SHAPE.fullmatch(str(item.get("type"))):
                region.shape = region.shape or item
            for key, entry in item["value"].items():
                if key == "choices" or key.endswith("labels"):
                    if not isinstance(entry, list | None):
                        raise TypeError(f"{key} is {entry!r:.40}, no list")
                    texts = region.choices if key == "choices" else region.labels
                    texts += [text for text in map(text_of, entry or []) if text and text not in texts]
    return list(regions.values())


def _class_question(regions: Iterable[Region]) -> str | None:
    """Return the question (`from_name`) whose choices are classes: the only one, or the one named as a class is."""
    names = sorted({region.question for region in regions if region.choices})
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
    scheme, is_address, place = reference.partition("://")
    if is_local:
        return unquote(local)
    if scheme in ("http", "https"):
        return unquote(re.sub(r"[?#].*", "", place, flags=re.DOTALL))
    name = place.partition("/")[2] if is_address else reference
    if upload := _UPLOAD.search(name):
        return upload["stored"] if upload["stored"] in file_names else upload["name"]
    return "" if reference.startswith("data:") else name


def _box(region: Region, by_choice: bool, source: str) -> Box:
    """Return the bounding box of a shape in fractions of its image; a box is turned about its top left corner."""
    shape, reason = region.shape, ""
    value, kind = shape["value"], shape["type"].removesuffix("labels")
    classes = region.choices if by_choice else region.labels or region.choices
    try:
        angle = float(value.get("rotation") or 0)
        wide, high = (region.size or (0, 0)) if angle else (1, 1)
        if len(classes) > 1 or shape.get("image_rotation") or kind not in ("rectangle", "polygon"):
            raise ValueError
        if kind == "polygon":
            corners = enclosing((float(x) / 100, float(y) / 100) for x, y in value["points"])
        else:
            x, w = (float(value[key]) / 100 * wide for key in ("x", "width"))
            y, h = (float(value[key]) / 100 * high for key in ("y", "height"))
            left, top, right, bottom = turned((x, y, x + w, y + h), angle, x, y)
            corners = left / wide, top / high, right / wide, bottom / high
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        corners = shape  # are quoted
        reason = "expected one class, and a rectangle or polygon in percent on an image that was not turned"
    return box_of(" and ".join(classes), corners, source, relative=True, reason=reason)


READER = Reader(
    detects=lambda root: bool(_files(root)),
    read=read_label_studio,
    holds="a .json of tasks (Label Studio)",
    tables=lambda manifest: _files(manifest.root),
)
