"""Write MegaDetector's batch output (JSON 1.6) with classifications: for Timelapse, AddaxAI and its own tools."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.writers import BOX_COLUMNS, probability_columns
from marinecv.files.atomic import write_text

DETECTIONS = {"1": "animal", "2": "person", "3": "vehicle"}
WHOLE_IMAGE = [0.0, 0.0, 1.0, 1.0]
MOST_CLASSES = 5  # of a detection, by custom


def write_megadetector(path: Path, table: pd.DataFrame, class_names: tuple[str, ...], classifier: str) -> list[str]:
    """Write a table of `predict` with `file` as MegaDetector's JSON; return sentences on what is not as in the table.

    Rows with `BOX_COLUMNS`, `detection_category` and `detection_conf` are detections of their file, kept as they are;
    else each image is one detection, the whole of it, of category 1 with confidence 1.0. `problem` is the `failure` of
    a file. A row of another predicted class than those of `class_names` (unknown) has no classifications.
    """
    clash = [name for name in class_names if name.casefold() in DETECTIONS.values()]
    names = {str(number): f"{name} (class)" if name in clash else name for number, name in enumerate(class_names)}
    is_boxes = {*BOX_COLUMNS, "detection_category", "detection_conf"} <= {*table}
    if "box" in table and not is_boxes:
        raise ValueError(
            f"{path.name} cannot be written: the crops lack {', '.join(BOX_COLUMNS)}. Write a CSV instead."
        )
    probabilities = table[probability_columns(class_names)].to_numpy(float)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :MOST_CLASSES]
    images: dict[str, dict] = {}
    for index, row in enumerate(table.to_dict("records")):
        image = images.setdefault(row["file"], {"file": row["file"], "detections": []})
        if row["problem"]:
            image |= {"detections": None, "failure": row["problem"]}
            continue
        detection = {"category": "1", "conf": 1.0, "bbox": WHOLE_IMAGE}
        if is_boxes:
            detection = {"category": str(row["detection_category"]), "conf": float(row["detection_conf"])}
            detection["bbox"] = [float(row[name]) for name in BOX_COLUMNS]
        if row["predicted_class"] in class_names:
            pairs = [[str(number), round(float(probabilities[index, number]), 4)] for number in best[index]]
            detection["classifications"] = pairs
        if image["detections"] is not None:
            image["detections"].append(detection)
    how = "boxes of a detector" if is_boxes else "whole images: each has one detection, 0,0,1,1 of category 1, conf 1.0"
    info = {"format_version": "1.6", "detector": "see classifier", "classifier": f"{classifier}; {how}"}
    content = {"info": info, "detection_categories": DETECTIONS, "classification_categories": names}
    write_text(path, json.dumps(content | {"images": list(images.values())}, indent=1, ensure_ascii=False) + "\n")
    renamed = f"{path.name}: the classes {', '.join(clash)} are called {', '.join(f'{name} (class)' for name in clash)}"
    return [f"{renamed}, as detections have those names."] if clash else []
