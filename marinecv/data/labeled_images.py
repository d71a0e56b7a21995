"""Bring what annotation files state of images to the files of a folder: their classes, boxes and splits."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from marinecv.data.annotations import text_of
from marinecv.data.boxes import BOX_COLUMNS, CORNERS, MAX_CORNER_PX, bad_row, refuse_mostly_bad
from marinecv.data.formats import printable
from marinecv.data.images import ABSENT_FILE, image_table, read_orientation
from marinecv.data.layouts import image_files
from marinecv.data.names import EMPTY_CLASS, leaves_folder, match_names, normalize_path, refuse_unmatched
from marinecv.data.times import iso_time
from marinecv.data.user_tables import is_usable
from marinecv.language import tr

STATED = ["camera", "sequence", "taken_at"]  # of `PLACE_COLUMNS`, what annotations state
ONLY_ONE = {"split": "splits", "class_name": "classes"}
UNNAMED = "no annotation names it"
SWAPPED = "its width and height are stated the other way round, and its boxes fit both readings"
OTHER_SIZE = "its image has another size"
VIDEO = "a video, not an image; extract its frames"
UNKNOWN_SIZE = "the size of its image is unknown"
FRACTION_RANGE = (-1, 2)  # coordinates beyond are no fractions of the image
MAX_FOLDERS = 20  # of the end of a path that is compared
QUARTER_TURNS = {  # EXIF orientation -> corners after it, of those before it and the image's size before it
    5: lambda left, top, right, bottom, width, height: (top, left, bottom, right),
    6: lambda left, top, right, bottom, width, height: (height - bottom, left, height - top, right),
    7: lambda left, top, right, bottom, width, height: (height - bottom, width - right, height - top, width - left),
    8: lambda left, top, right, bottom, width, height: (top, width - right, bottom, width - left),
}


class Box(NamedTuple):
    """A box as a file states it, of its image as the file states its size."""

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    source: str
    problem: str
    relative: bool  # in fractions of the image, else in pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Labeled:
    """An image as an annotation file states it; several of one image are joined."""

    name: str  # path as written, with any slash
    source: str  # the file, and perhaps the place in it: "file.json:3"
    folder: str = ""  # below the root, in which relative names begin
    split: str = ""
    class_names: tuple[str, ...] = ()  # of the whole image; several are a problem, and "" is none
    group: str = ""  # else the camera, else the sequence
    camera: str = ""
    sequence: str = ""
    taken_at: str = ""  # date and time as written, see `iso_time`; never that of an export
    size: tuple[int, int] | None = None  # width and height as stated
    boxes: tuple[Box, ...] = ()
    problem: str = ""


class Facts(NamedTuple):
    """What all records of an image state together."""

    split: str = ""
    class_name: str = ""
    group: str = ""
    problem: str = ""
    camera: str = ""
    sequence: str = ""
    taken_at: str = ""


def box_of(
    class_name: object, numbers: object, source: str, relative: bool = False, xywh: bool = False, reason: str = ""
) -> Box:
    """Return the box of four numbers, corners or (`xywh`) a corner and sizes; a bad row for a `reason` or no class."""
    name, corners = text_of(class_name), (nan,) * 4
    low, high = FRACTION_RANGE if relative else (-MAX_CORNER_PX, MAX_CORNER_PX)
    try:
        left, top, right, bottom = values = [nan if isinstance(number, bool) else float(number) for number in numbers]
        ends = (left + right, top + bottom) if xywh else (right, bottom)
        if not all(map(isfinite, values)) or not low <= min(left, top, *ends) <= max(left, top, *ends) <= high:
            raise ValueError
        corners = (left, top, *ends)
    except (TypeError, ValueError, OverflowError):
        reason = reason or f"expected four {'fractions of the image (0 to 1)' if relative else 'numbers of pixels'}"
    reason = reason or ("" if name else "expected the name of a class")
    problem = bad_row(text_of(numbers), reason) if reason else ""
    return Box("" if problem else name, *corners, source, problem, relative)


def tables_of(
    root: Path, records: Iterable[Labeled], files: Sequence[Path] | None = None, decisions: Iterable[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (as `image_table` does, then `STATED`) and boxes (`BOX_COLUMNS`, corners in pixels as displayed).

    A name is a file below `root`: at its path from its folder or from the root, else nearly (see `match_names`), else
    by the end of its path, down to its base name, where one file alone has it. No other file is opened. Files that no
    record names, and names of no file or of several are rows with a problem. What was decided, after the reader's own
    `decisions`, is in `attrs["decisions"]` of the images, sentences. Raises ValueError where no name fits.
    """
    records, decisions = list(records), [*decisions]
    files = image_files(root, deep=True) if files is None else files
    known = {printable(path.relative_to(root).as_posix()): path for path in files}
    image_ids, reasons = _find_files(root, records, known, decisions)
    of_image = defaultdict(list)
    for record, image_id in zip(records, image_ids, strict=True):
        of_image[image_id].append(record)
    stated = {image_id: _joined(of_image[image_id], reasons.get(image_id, "")) for image_id in of_image}
    stated |= {image_id: Facts(problem=UNNAMED) for image_id in known if image_id not in stated}
    here = {known[image_id]: facts for image_id, facts in stated.items() if image_id in known}
    rows = [(path, facts.split, facts.class_name, facts.group) for path, facts in here.items()]
    images = image_table(root, rows, {path: facts.problem for path, facts in here.items()})
    absent = {image_id: facts for image_id, facts in stated.items() if image_id not in known}
    lost = pd.DataFrame(absent.values(), columns=Facts._fields).drop(columns=STATED)
    lost = lost.assign(image_id=[*absent], path=[f"{root.absolute()}/{image_id}" for image_id in absent])
    lost = lost.assign(width=0, height=0, exif_time="").astype(images.dtypes)
    images = pd.concat([images, lost], ignore_index=True)
    for column in STATED:
        images[column] = pd.Series([getattr(stated[image_id], column) for image_id in images["image_id"]], dtype=str)
    times = images["taken_at"].map(iso_time)
    if unread := ((times == "") & (images["taken_at"] != "")).sum():
        decisions.append(tr("{n} dates are not read; expected year-month-day hour:minute:second.", n=unread))
    images["taken_at"] = times
    boxes = pd.DataFrame([box for record in records for box in record.boxes], columns=Box._fields)
    boxes["record"] = np.repeat(np.arange(len(records)), [len(record.boxes) for record in records])
    boxes["image_id"] = [image_ids[number] for number in boxes["record"]]
    boxes = boxes.astype(dict.fromkeys(BOX_COLUMNS, str) | dict.fromkeys(CORNERS, float) | {"relative": bool})
    refuse_mostly_bad(boxes)
    sizes = np.array([record.size or (0, 0) for record in records], np.int64).reshape(-1, 2).T
    images, boxes = _to_pixels(images, boxes, image_ids, sizes, decisions)
    images.attrs["decisions"] = decisions
    return images, boxes[~(boxes.duplicated(["image_id", "class_name", *CORNERS]) & is_usable(boxes))]


def drop_refuted_classes(records: list[Labeled], what: str, decisions: list[str]) -> list[Labeled]:
    """Return records without classes of whole images where some differ from the boxes: then "night" is no species."""
    for record in records:
        of_boxes = {box.class_name for box in record.boxes if not box.problem}
        if of_boxes and record.class_names and not (len(record.class_names) == 1 and {*record.class_names} <= of_boxes):
            sentence = "{what} are no classes here, because some differ from the boxes of their image."
            decisions.append(tr(sentence, what=tr(what)))
            return [replace(each, class_names=()) for each in records]
    return records


def _joined(records: list[Labeled], reason: str) -> Facts:
    joined = {}
    for field in Facts._fields:
        is_class = field == "class_name"
        values = [name for each in records for name in (each.class_names if is_class else [getattr(each, field)])]
        values = [*dict.fromkeys(filter(None, map(text_of, values)))]
        joined[field] = next(iter(values), "")
        if len(values) > 1 and field in ONLY_ONE:
            joined[field] = ""
            reason = reason or f"names several {ONLY_ONE[field]}: {', '.join(sorted(values))}"
    if joined["class_name"] == EMPTY_CLASS and any(not box.problem for record in records for box in record.boxes):
        reason = reason or "is stated to be empty, and has boxes"
    group = joined["group"] or joined["camera"] or joined["sequence"]
    return Facts(**(joined | {"group": group, "problem": joined["problem"] or reason}))


def _find_files(
    root: Path, records: list[Labeled], known: dict[str, Path], decisions: list[str]
) -> tuple[list[str], dict[str, str]]:
    """Return the image id of each record, and why there is no file of some ids."""
    keys = [(record.folder, record.name) for record in records]
    texts = {key: normalize_path(key[1]).strip() for key in keys}
    below = {key: posixpath.normpath(posixpath.join(key[0], text)) for key, text in texts.items()}
    foreign = {key for key, text in texts.items() if "://" in text or PureWindowsPath(text).anchor}  # of some machine
    inside = [key for key in texts if texts[key] and not leaves_folder(below[key]) and key not in foreign]
    found: dict[tuple[str, str], str] = {}
    for name_of in (below, texts):
        names = {key: name_of[key] for key in inside if key not in found}
        matches = match_names(names.values(), known.keys() - found.values()) if names else {}
        found |= {key: matches[name] for key, name in names.items() if name in matches}
    lost = {key: text for key, text in texts.items() if key not in found}
    by_end, reasons = _find_by_end(lost, known.keys() - found.values()) if lost else ({}, {})
    if by_end:
        (_, name), file = next(iter(by_end.items()))
        sentence = "{n} of {of} named images were found by the end of their path alone, such as {name!r} as {file!r}."
        decisions.append(tr(sentence, n=len(by_end), of=len(texts), name=text_of(name)[-80:], file=file[:80]))
    found |= by_end
    if records:
        table = root / re.sub(r":[^:]*$", "", records[0].source)
        refuse_unmatched(table, (name for _, name in texts), [known[file] for file in found.values()], known.values())
    problems = {}
    for key, text in lost.items():
        if key not in found:
            image_id = text_of("/".join(_parts(below[key]))) if text else "no name"
            while image_id in known:
                image_id = f"absent/{image_id}"
            problems[image_id] = reasons.get(key, ABSENT_FILE if text else "names no file")
            found[key] = image_id
    return [found[key] for key in keys], problems


def _find_by_end(texts: dict, files: Iterable[str]) -> tuple[dict, dict]:
    """Return the file whose path ends most like each name, else why there is none though some end so."""
    of_end: dict[str, str] = {}
    for file in files:
        for end in _ends(file):
            of_end[end] = "" if end in of_end else file
    found, reasons, keys_of = {}, {}, defaultdict(list)
    for key, text in texts.items():
        if end := next((end for end in _ends(text) if end in of_end), ""):
            keys_of[of_end[end]].append(key)
            reasons[key] = f"several files end in {end!r:.80}, so that it could be any of them; state its folder"
    keys_of.pop("", None)
    for file, keys in keys_of.items():
        if num_others := len({texts[key] for key in keys}) - 1:
            reason = f"{file!r:.80} could be it, and {num_others} other names; state their folders"
            reasons |= dict.fromkeys(keys, reason)
        else:
            found |= dict.fromkeys(keys, file)
    return found, reasons


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _ends(path: str) -> list[str]:
    """Return the path and its ends of fewer folders, the longest first, without case."""
    parts = _parts(normalize_path(path).casefold())[-MAX_FOLDERS:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _to_pixels(
    images: pd.DataFrame, boxes: pd.DataFrame, image_ids: list[str], stated: np.ndarray, decisions: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes, corners in pixels as displayed, where the size stated in a record explains the file's.

    A size in the same proportion scales the boxes. One the other way round was either written so, of boxes drawn as
    displayed, or it is that before the turn of EXIF, as the boxes then are: the reading in which all boxes fit their
    images decides for the folder. Fractions are of the image as displayed. `stated` is (2, records), width and height.
    """
    of_image = images.set_index("image_id")
    shown = of_image.loc[image_ids, ["width", "height"]].to_numpy().T
    differs = (stated > 0).all(axis=0) & (shown[0] > 0) & (stated != shown).any(axis=0)
    largest = np.maximum(stated, shown).max(axis=0)
    turned = differs & (abs(stated[1] * shown[1] - stated[0] * shown[0]) <= largest)
    scaled = differs & (abs(stated[0] * shown[1] - stated[1] * shown[0]) <= largest)
    turned &= ~scaled | (stated[::-1] == shown).all(axis=0)
    scaled &= ~turned
    of_box, relative = boxes["record"].to_numpy(), boxes["relative"].to_numpy()
    is_turned = turned[of_box] & ~relative & is_usable(boxes).to_numpy()
    ends, frame = boxes[["xmax", "ymax"]].to_numpy()[is_turned].T, stated[:, of_box[is_turned]]
    over_stated, over_shown = ((ends > sides + 1).any(axis=0).sum() for sides in (frame, frame[::-1]))
    reading = "displayed" if over_shown * 10 < over_stated else "file" if over_stated * 10 < over_shown else "unknown"
    reasons: dict[str, str] = {}
    for number in np.flatnonzero(differs & ~turned & ~scaled):
        size, of_file = (f"{width}x{height}" for width, height in (stated[:, number], shown[:, number]))
        reasons.setdefault(image_ids[number], f"the annotations say {size}, the file is {of_file} as shown")
    turns = np.zeros(len(image_ids), int)  # by EXIF
    for number in np.unique(of_box[is_turned]):
        turns[number] = read_orientation(of_image.at[image_ids[number], "path"]) if reading == "file" else 0
        if reading != "displayed" and turns[number] not in QUARTER_TURNS:
            reasons.setdefault(image_ids[number], SWAPPED)
    for turn, corners_after in QUARTER_TURNS.items():
        rows = is_turned & (turns[of_box] == turn)
        corners = boxes.loc[rows, CORNERS].to_numpy().T
        boxes.loc[rows, CORNERS] = np.array(corners_after(*corners, *stated[:, of_box[rows]])).T
    if num_read := (turned & ~np.isin(image_ids, [*reasons])).sum():
        sentence = (
            "The annotations of {n} images state width and height the other way round; their boxes were drawn before "
            "the EXIF rotation, and are turned with them."
        )
        if reading != "file":
            sentence = (
                "The annotations of {n} images state width and height the other way round; their boxes are taken as "
                "drawn on the images as displayed."
            )
        decisions.append(tr(sentence, n=num_read))
    if scaled.any():
        sentence = "{n} images have another size than stated, in the same proportion: boxes are scaled."
        decisions.append(tr(sentence, n=scaled.sum()))
    factors = np.where(scaled, shown / np.maximum(stated, 1), 1.0)
    factors = np.where(turned, shown / np.maximum(stated[::-1], 1), factors)[:, of_box]
    factors = np.where(relative, shown[:, of_box], factors)
    no_size = relative & (shown[0][of_box] == 0) & is_usable(boxes)
    boxes[CORNERS] = (boxes[CORNERS] * factors[[0, 1, 0, 1]].T).mask(no_size)
    boxes["problem"] = boxes["problem"].mask(no_size, UNKNOWN_SIZE)
    boxes["problem"] = boxes["problem"].mask(boxes["image_id"].isin([*reasons]) & is_usable(boxes), OTHER_SIZE)
    problems = images["image_id"].map(lambda image_id: reasons.get(image_id, ""))
    return images.assign(problem=images["problem"].mask(is_usable(images), problems)), boxes[BOX_COLUMNS]
