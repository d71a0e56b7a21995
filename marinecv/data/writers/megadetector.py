"""Write MegaDetector's batch output (JSON 1.6) with classifications: for Timelapse, AddaxAI and its own tools."""

import json
import re
from os import PathLike
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd

from marinecv.data.annotations import read_json
from marinecv.files.atomic import write_text

DETECTIONS = {"1": "animal", "2": "person", "3": "vehicle"}
WHOLE_IMAGE = [0.0, 0.0, 1.0, 1.0]
MOST_CLASSES = 5  # of a detection, by custom
_PLACE = re.compile(r"images\[(\d+)\]\.detections\[(\d+)\]$")  # in the `source` of a box


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
    pairs = [
        [[str(number), round(float(row[number]), 4)] for number in order]
        for row, order in zip(probabilities, best, strict=True)
    ]
    is_named = table["predicted_class"].isin(class_names) & (table["problem"] == "")
    if detections:
        content = _classified(read_json(Path(detections)), table, is_named, pairs)
        how = "boxes of a detector"
    else:
        images = []
        for index, row in enumerate(table[["file", "problem"]].itertuples(index=False)):
            whole = {"category": "1", "conf": 1.0, "bbox": WHOLE_IMAGE}
            whole |= {"classifications": pairs[index]} if is_named.iloc[index] else {}
            failed = {"detections": None, "failure": row.problem}
            images.append({"file": row.file} | (failed if row.problem else {"detections": [whole]}))
        content = {"info": {"detector": "see classifier"}, "detection_categories": DETECTIONS, "images": images}
        how = "whole images: each has one detection, 0,0,1,1 of category 1, conf 1.0"
    info = content["info"] | {"format_version": "1.6", "classifier": f"{classifier}; {how}"}
    content |= {"info": info, "classification_categories": names}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    renamed = f"{path.name}: the classes {', '.join(clash)} are called {', '.join(f'{name} (class)' for name in clash)}"
    return [f"{renamed}, as detections have those names."] if clash else []


def _classified(content: dict, table: pd.DataFrame, is_named: pd.Series, pairs: list) -> dict:
    """Return the content of a file of detections with the classifications of a table in place of its own."""
    files, at_row = {*table["file"]}, {}
    for row, source in enumerate(table["detection"]):
        if match := _PLACE.search(source):
            at_row[tuple(map(int, match.groups()))] = row
    for number, image in enumerate(content["images"]):
        rows = [at_row.get((number, index)) for index in range(len(image.get("detections") or ()))]
        for row, detection in zip(rows, image.get("detections") or (), strict=True):
            detection.pop("classifications", None)
            if row is not None and is_named.iloc[row]:
                detection["classifications"] = pairs[row]
        of_rows = [table["file"].iloc[row] for row in rows if row is not None]
        image["file"] = of_rows[0] if of_rows else _relative(str(image.get("file")), files)
    content.pop("classification_category_descriptions", None)
    return content | {"info": content["info"] if isinstance(content.get("info"), dict) else {}}


def _relative(name: str, files: set[str]) -> str:
    """Return the end of a path, perhaps of another machine, that is one of the files, else all of it below its root."""
    path = PureWindowsPath(name)
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in files), "/".join(parts) if not path.anchor else path.name)
