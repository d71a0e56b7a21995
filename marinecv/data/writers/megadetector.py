"""Write MegaDetector's batch output (JSON 1.6) with classifications: for Timelapse, AddaxAI and its own tools."""

import json
from os import PathLike
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd

from marinecv.data.annotations import read_json
from marinecv.files.atomic import write_text

DETECTIONS = {"1": "animal", "2": "person", "3": "vehicle"}
WHOLE_IMAGE = [0.0, 0.0, 1.0, 1.0]
MOST_CLASSES = 5  # of a detection, by custom


def write_megadetector(
    path: Path,
    table: pd.DataFrame,
    class_names: tuple[str, ...],
    classifier: str,
    detections: str | PathLike | None = None,
) -> list[str]:
    """Write a table of `predict` with `file` as MegaDetector's JSON; return sentences on what is not as in the table.

    Of crops the file of `detections` they were cut from is written again, with classifications of those that were
    predicted and file names below the images' folder. Else each image is one detection, the whole of it, of category 1
    with confidence 1.0, and `problem` is the `failure` of a file. A row of another predicted class than those of
    `class_names` (unknown) has no classifications.
    """
    clash = [name for name in class_names if name.casefold() in DETECTIONS.values()]
    names = {str(number): f"{name} (class)" if name in clash else name for number, name in enumerate(class_names)}
    probabilities = table[[f"p_{name}" for name in class_names]].to_numpy(float)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :MOST_CLASSES]
    is_named = table["predicted_class"].isin(class_names) & (table["problem"] == "")
    found = [
        {"classifications": [[str(number), round(float(row[number]), 4)] for number in order]} if named else {}
        for row, order, named in zip(probabilities, best, is_named, strict=True)
    ]
    if detections:
        content, how = _classified(read_json(Path(detections)), table, found), "boxes of a detector"
    else:
        whole = {"category": "1", "conf": 1.0, "bbox": WHOLE_IMAGE}
        images = [
            {"file": file} | ({"detections": None, "failure": problem} if problem else {"detections": [whole | each]})
            for file, problem, each in zip(table["file"], table["problem"], found, strict=True)
        ]
        content = {"info": {"detector": "see classifier"}, "detection_categories": DETECTIONS, "images": images}
        how = "whole images: each has one detection, 0,0,1,1 of category 1, conf 1.0"
    info = content["info"] | {"format_version": "1.6", "classifier": f"{classifier}; {how}"}
    content |= {"info": info, "classification_categories": names}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    renamed = f"{path.name}: the classes {', '.join(clash)} are called {', '.join(f'{name} (class)' for name in clash)}"
    return [f"{renamed}, as detections have those names."] if clash else []


def _classified(content: dict, table: pd.DataFrame, found: list[dict]) -> dict:
    """Return the content of a file of detections with the classifications of a table in place of its own."""
    files = {*table["file"]}
    at_row = {source.rpartition(":")[2]: row for row, source in enumerate(table["detection"]) if source}
    for number, image in enumerate(content["images"]):
        image["file"] = _relative(str(image.get("file")), files)
        for index, detection in enumerate(image.get("detections") or ()):
            detection.pop("classifications", None)
            row = at_row.get(f"images[{number}].detections[{index}]")
            if row is not None:
                detection.update(found[row])
                image["file"] = table["file"].iloc[row]
    content.pop("classification_category_descriptions", None)
    return content | {"info": content["info"] if isinstance(content.get("info"), dict) else {}}


def _relative(name: str, files: set[str]) -> str:
    """Return the end of a path, perhaps of another machine, that is one of the files, else all of it below its root."""
    path = PureWindowsPath(name)
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in files), "/".join(parts) if not path.anchor else path.name)
