"""Annotation files: read JSON and XML with care, and bring what they state of images to the files of a folder."""

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, CORNERS, MAX_CORNER_PX, bad_row, refuse_mostly_bad
from marinecv.data.images import IMAGE_COLUMNS, image_table, open_image
from marinecv.data.layouts import HIDDEN_PREFIXES, image_files
from marinecv.data.names import leaves_folder, match_names, normalize_name, normalize_path, refuse_unmatched
from marinecv.data.user_csv import utf8_text
from marinecv.data.user_tables import is_usable

EMPTY_NAMES = ("empty", "blank", "none")  # of a class, in formats that have one for images without an animal
PLACE_COLUMNS = ["camera", "sequence", "taken_at"]  # of an images table, after `IMAGE_COLUMNS`, where a layout has them
NO_FILE = "an annotation names it but the file is absent"
UNNAMED = "no annotation names it"
SWAPPED = "its width and height are stated the other way round, and its boxes fit both readings"
OTHER_SIZE = "its image has another size"
UNKNOWN_SIZE = "the size of its image is unknown"
FRACTION_RANGE = (-1, 2)  # coordinates beyond are no fractions of the image
MAX_DEPTH, MAX_FOLDERS = 100, 20  # of an XML file; of the end of a path that is compared
_FLIPS_X, _FLIPS_Y = (6, 7), (7, 8)  # quarter turns of EXIF: x and y change places, then one or both run backwards


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box as a file states it, of its image as the file states its size."""

    class_name: str
    corners: tuple[float, float, float, float]  # xmin, ymin, xmax, ymax
    relative: bool  # in fractions of the image, else in pixels
    source: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """An image as an annotation file states it; several of one image are joined."""

    name: str  # path as written, with any slash
    folder: Path  # in which relative names begin; the root or below it
    source: str  # such as "file.json:images[3]"
    split: str = ""
    class_name: str = ""  # of the whole image
    group: str = ""
    camera: str = ""
    sequence: str = ""
    taken_at: str = ""  # date and time as written, see `iso_time`; never that of an export
    size: tuple[int, int] | None = None  # width and height as stated
    boxes: tuple[Box, ...] = ()
    problem: str = ""


def json_files(folders: Iterable[Path], *keys: str) -> list[Path]:
    """Return the JSON files directly in folders that hold an object with all these keys, sorted; none is parsed."""
    files = {path for folder in folders for path in folder.glob("*.[jJ][sS][oO][nN]") if path.is_file()}
    visible = sorted(path for path in files if not path.name.startswith(HIDDEN_PREFIXES))
    return [path for path in visible if _has_keys(path, path.stat().st_mtime_ns, *keys)]


@lru_cache(maxsize=256)
def _has_keys(path: Path, mtime_ns: int, *keys: str) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # it is counted as not read
        return False
    return bool(re.match(rb"(\xef\xbb\xbf)?\s*\{", content)) and all(
        re.search(rb'"%b"\s*:' % key.encode(), content) for key in keys
    )


def objects_of(content: dict, key: str, path: Path) -> list[dict]:
    """Return a list of objects in a JSON file; raise ValueError where it is none."""
    objects = content.get(key)
    if not isinstance(objects, list):
        raise ValueError(f"{path} has no list {key!r}. Expected one of objects. Export it again.")
    for number, each in enumerate(objects):
        if not isinstance(each, dict):
            raise ValueError(f"{key}[{number}] of {path} is {str(each)[:40]!r}. Expected an object. Export it again.")
    return objects


def read_json(path: Path, kind: type = dict) -> dict | list:
    """Return the content of a JSON file in UTF-8, a `kind`; `NaN` is a number.

    Raises ValueError where it is no JSON, is nested too deeply, repeats a key or is of another kind.
    """
    text = utf8_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(
            f"{path} is no JSON that can be read: {reason}. Expected a whole file. Export it again."
        ) from None
    if not isinstance(content, kind):
        words = {dict: 'an object, "{...}"', list: 'a list, "[...]"'}
        raise ValueError(f"{path} begins with {str(content)[:40]!r}. Expected {words[kind]}. Export it again.")
    return content


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root element of an XML file; raise ValueError where it is malformed, deep, or declares a DOCTYPE.

    A DOCTYPE may define entities that grow without bound, or that name other files.
    """
    builder, parser, depth = ElementTree.TreeBuilder(), expat.ParserCreate(), 0

    def refuse_doctype(*_):
        raise ValueError("it has a DOCTYPE, which may define entities; delete that line")

    def start(tag, attributes):
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} elements")
        builder.start(tag, attributes)

    def end(tag):
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, ValueError) as error:
        raise ValueError(
            f"{path} is no XML that can be read: {error}. Expected a whole file. Export it again."
        ) from None
    return builder.close()


def text_of(value: object) -> str:
    """Return a value of a file as a name: "" for nothing and NaN, "3" for 3.0; never a text that UTF-8 cannot hold."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normalize_name(str(value).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode())


def class_of(value: object) -> str:
    """Return the name of a class as `text_of` does; those of `EMPTY_NAMES` are one."""
    name = text_of(value)
    return EMPTY_NAMES[0] if name.casefold() in EMPTY_NAMES else name


def iso_time(text: str) -> str:
    """Return a date and time as YYYY-MM-DDTHH:MM:SS, with +hh:mm where stated; "" where the order is not clear."""
    text = re.sub(r"^(\d{4})[:/](\d\d)[:/](\d\d)(?=[ T])", r"\1-\2-\3", text.strip())  # of EXIF
    try:
        return datetime.fromisoformat(text).isoformat(timespec="seconds") if re.search(r"\d[ T]\d\d:", text) else ""
    except ValueError:
        return ""


def box_of(class_name: object, numbers: object, source: str, relative: bool = False, xywh: bool = False) -> Box:
    """Return the box of four numbers, corners or (`xywh`) a corner and sizes; a bad row where they are none."""
    try:
        left, top, right, bottom = values = [nan if isinstance(number, bool) else float(number) for number in numbers]
        corners = (left, top, left + right, top + bottom) if xywh else (left, top, right, bottom)
        low, high = FRACTION_RANGE if relative else (-MAX_CORNER_PX, MAX_CORNER_PX)
        if not all(map(isfinite, values)) or not low <= min(corners) <= max(corners) <= high:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        expected = f"expected four {'fractions of the image (0 to 1)' if relative else 'numbers of pixels'}"
        return Box(
            class_name="",
            corners=(nan,) * 4,
            relative=relative,
            source=source,
            problem=bad_row(text_of(numbers), expected),
        )
    if not (name := text_of(class_name)):
        problem = bad_row(text_of(numbers), "expected the name of a class")
        return Box(class_name="", corners=corners, relative=relative, source=source, problem=problem)
    return Box(class_name=name, corners=corners, relative=relative, source=source)


def tables_of(
    root: Path, records: Iterable[Labeled], files: Sequence[Path] | None = None, unnamed: str = UNNAMED
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`, then `PLACE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels as displayed).

    A name is a file below `root`: at its path from its folder or from the root, else nearly (see `match_names`), else
    by the end of its path, down to its base name, where one file alone has it. No other file is opened. Files that no
    record names, `unnamed`, and names of no file or of several are rows with a problem. What was decided is in
    `attrs["decisions"]` of the images, sentences. Raises ValueError where no name fits.
    """
    records, decisions = list(records), []
    files = image_files(root, deep=True) if files is None else files
    known = {path.relative_to(root).as_posix(): path for path in files}
    image_ids, reasons = _find_files(root, records, known, decisions)
    by_image = defaultdict(list)
    for record, image_id in zip(records, image_ids, strict=True):
        by_image[image_id].append(record)
    rows = {image_id: _joined(of_image, reasons.get(image_id, "")) for image_id, of_image in by_image.items()}
    rows |= {image_id: ("", "", "", unnamed, "", "", "") for image_id in known if image_id not in rows}
    names = [image_id for image_id in rows if image_id in known]
    problems = {known[name]: rows[name][3] for name in names}
    images = image_table(root, [(known[name], *rows[name][:3]) for name in names], problems)
    absent = [
        (name, str(root.absolute() / name), *row[:3], 0, 0, row[3]) for name, row in rows.items() if name not in known
    ]
    if absent:
        images = pd.concat([images, pd.DataFrame(absent, columns=IMAGE_COLUMNS)], ignore_index=True)
    places = pd.DataFrame([rows[name][4:] for name in (*names, *(name for name, *_ in absent))], columns=PLACE_COLUMNS)
    images = pd.concat([images, places.astype(str)], axis=1)
    times = images["taken_at"].map(iso_time)
    if unread := ((times == "") & (images["taken_at"] != "")).sum():
        decisions.append(f"{unread} dates are not read; expected year-month-day hour:minute:second.")
    images["taken_at"] = times
    stated = [(image_id, *(record.size or (0, 0))) for image_id, record in zip(image_ids, records, strict=True)]
    boxes = [
        (number, image_ids[number], text_of(box.class_name), *box.corners, box.source, box.problem, box.relative)
        for number, record in enumerate(records)
        for box in record.boxes
    ]
    boxes = pd.DataFrame(boxes, columns=["record", *BOX_COLUMNS, "relative"])
    kinds = dict.fromkeys(BOX_COLUMNS, str) | dict.fromkeys(CORNERS, float) | {"record": int, "relative": bool}
    boxes = boxes.astype(kinds)
    refuse_mostly_bad(boxes)
    images, boxes = _to_pixels(images, boxes, pd.DataFrame(stated, columns=["image_id", "width", "height"]), decisions)
    images.attrs["decisions"] = decisions
    return images, boxes[~(boxes.duplicated(["image_id", "class_name", *CORNERS]) & is_usable(boxes))]


def decisions_sentence(manifest: object, images: pd.DataFrame) -> str:
    """Return how `tables_of` read the images, where that was a choice; the `sentence` of a reader."""
    return " ".join(images.attrs.get("decisions", ()))


def _unique_keys(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.60} occurs twice in one object")
    return content


def _joined(records: list[Labeled], reason: str) -> tuple[str, ...]:
    """Return split, class, group, problem, camera, sequence and time of all records of an image."""
    first = {}
    for field in ("split", "class_name", "group", "problem", *PLACE_COLUMNS):
        values = [*dict.fromkeys(filter(None, (text_of(getattr(record, field)) for record in records)))]
        first[field] = next(iter(values), "")
        if len(values) > 1 and field in ("split", "class_name"):
            first[field] = ""
            what = {"split": "splits", "class_name": "classes"}[field]
            reason = reason or f"names several {what}: {', '.join(sorted(values))}"
    if first["class_name"] == EMPTY_NAMES[0] and any(not box.problem for record in records for box in record.boxes):
        reason = reason or "is stated to be empty, and has boxes"
    first["problem"] = first["problem"] or reason
    return tuple(first.values())


def _find_files(
    root: Path, records: list[Labeled], known: dict[str, Path], decisions: list[str]
) -> tuple[list[str], dict[str, str]]:
    """Return the image id of each record, and why there is no file of some ids."""
    places = {
        folder: folder.relative_to(root).as_posix().removeprefix(".")
        for folder in {record.folder for record in records}
    }
    keys = [(places[record.folder], record.name) for record in records]
    texts = {key: normalize_path(key[1]).strip() for key in keys}
    below = {key: posixpath.normpath(posixpath.join(key[0], text)) for key, text in texts.items()}
    inside = [key for key in texts if texts[key] and not leaves_folder(below[key]) and not _is_foreign(texts[key])]
    found = {key: below[key] for key in inside if below[key] in known}
    exact = {key: posixpath.join(*key) for key in inside}
    found |= {key: name for key, name in exact.items() if name in known}
    for name_of in (below, texts):
        names = {name_of[key] for key in inside if key not in found}
        matches = match_names(names, known.keys() - found.values()) if names else {}
        found |= {key: matches[name_of[key]] for key in inside if key not in found and name_of[key] in matches}
    by_end, reasons = _find_by_end(
        {key: text for key, text in texts.items() if text and key not in found}, known, found
    )
    for (_, name), file in list(by_end.items())[:1]:
        decisions.append(
            f"{len(by_end)} of {len(texts)} named images were found by the end of their path alone, such as "
            f"{text_of(name)[-80:]!r} as {file!r:.80}."
        )
    found |= by_end
    if keys:
        table = root / records[0].source.rpartition(":")[0] if ":" in records[0].source else root / records[0].source
        refuse_unmatched(table, (name for _, name in texts), [known[file] for file in found.values()], known.values())
    absent = {}
    for key in texts.keys() - found.keys():
        parts = [part for part in below[key].split("/") if part not in ("", ".", "..")] if texts[key] else []
        absent[key] = text_of("/".join(parts)) or "no name"
        while absent[key] in known:
            absent[key] = f"absent/{absent[key]}"
    problems = {name: reasons.get(key, NO_FILE if texts[key] else "names no file") for key, name in absent.items()}
    return [(found | absent)[key] for key in keys] if absent else [found[key] for key in keys], problems


def _find_by_end(texts: dict, known: dict[str, Path], found: dict) -> tuple[dict, dict]:
    """Return the file whose path ends most like each name, and why there is none; `found` ones are left out."""
    if not texts:
        return {}, {}
    of_end: dict[str, str] = {}
    for file in known.keys() - found.values():
        for end in _ends(file):
            of_end[end] = "" if end in of_end else file
    ends = {key: next((end for end in _ends(text) if end in of_end), "") for key, text in texts.items()}
    files = {key: of_end[end] for key, end in ends.items() if end}
    names_of_file = defaultdict(set)
    for key, file in files.items():
        names_of_file[file].add(texts[key])
    reasons = {
        key: f"several files end in {ends[key]!r:.80}, so that it could be any of them; state its folder"
        if not file
        else f"{file!r:.80} could be it, and {len(names_of_file[file]) - 1} other names; state their folders"
        for key, file in files.items()
        if not file or len(names_of_file[file]) > 1
    }
    return {key: file for key, file in files.items() if key not in reasons}, reasons


def _ends(path: str) -> list[str]:
    parts = [part for part in normalize_path(path).casefold().split("/") if part not in ("", ".", "..")][-MAX_FOLDERS:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _is_foreign(name: str) -> bool:
    """Return whether a name is an address, or begins at the root or a drive of some machine."""
    return "://" in name or bool(PureWindowsPath(name).anchor)


def _to_pixels(
    images: pd.DataFrame, boxes: pd.DataFrame, stated: pd.DataFrame, decisions: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes, corners in pixels as displayed, where the stated size explains the file's.

    A size in the same proportion scales the boxes. One the other way round was either written so, of boxes drawn as
    displayed, or it is that before the turn of EXIF, as the boxes then are: the reading in which all boxes fit their
    images decides for the folder. Fractions are of the image as displayed.
    """
    shown = images.set_index("image_id").loc[stated["image_id"], ["width", "height"]].to_numpy().T
    wide, high = stated["width"].to_numpy(), stated["height"].to_numpy()
    largest, known = np.max([*shown, wide, high], axis=0), (wide * high * shown[0] > 0)
    differs = known & ((wide != shown[0]) | (high != shown[1]))
    turned = differs & (abs(high * shown[1] - wide * shown[0]) <= largest)
    scaled = differs & (abs(wide * shown[1] - high * shown[0]) <= largest)
    turned &= ~scaled | ((wide == shown[1]) & (high == shown[0]))
    scaled &= ~turned
    of_box = boxes["record"].to_numpy()
    is_turned = turned[of_box] & ~boxes["relative"].to_numpy() & is_usable(boxes).to_numpy()
    ends = boxes[["xmax", "ymax"]].to_numpy()[is_turned]
    frame = np.stack([wide, high], axis=1)[of_box[is_turned]]
    over_stated, over_shown = ((ends > sides + 1).any(axis=1).sum() for sides in (frame, frame[:, ::-1]))
    reading = "displayed" if over_shown * 10 < over_stated else "file" if over_stated * 10 < over_shown else "unknown"
    image_ids, paths = stated["image_id"].tolist(), dict(zip(images["image_id"], images["path"], strict=True))
    reasons: dict[str, str] = {}
    for number in np.flatnonzero(differs & ~turned & ~scaled):
        size = f"{wide[number]}x{high[number]}, the file is {shown[0][number]}x{shown[1][number]}"
        reasons.setdefault(image_ids[number], f"the annotations say {size} as shown")
    turns = np.zeros(len(stated), int)  # by EXIF
    for number in dict.fromkeys(of_box[is_turned].tolist()):
        turns[number] = _orientation(paths[image_ids[number]]) if reading == "file" else 0
        if reading == "unknown" or (reading == "file" and turns[number] < 5):
            reasons.setdefault(image_ids[number], SWAPPED)
    for turn in (5, 6, 7, 8):
        rows = is_turned & (turns[of_box] == turn)
        frames = wide[of_box[rows]], high[of_box[rows]]
        boxes.loc[rows, CORNERS] = _turned(boxes.loc[rows, CORNERS].to_numpy(), turn, *frames)
    if num_read := (turned & ~stated["image_id"].isin(reasons).to_numpy()).sum():
        how = "before their EXIF rotation, and were turned with them" if reading == "file" else "as displayed"
        decisions.append(
            f"Of {num_read} images the annotations state width and height the other way round; "
            f"the boxes {'fit only if' if is_turned.any() else 'are taken as'} drawn on the images {how}."
        )
    if scaled.any():
        decisions.append(
            f"{scaled.sum()} images have another size than stated, in the same proportion: boxes are scaled."
        )
    for axis, (shown_side, side, other) in {"x": (shown[0], wide, high), "y": (shown[1], high, wide)}.items():
        factor = np.where(scaled, shown_side / np.maximum(side, 1), 1.0)
        factor = np.where(turned, shown_side / np.maximum(other, 1), factor)
        factor = np.where(boxes["relative"], shown_side[of_box], factor[of_box])
        for corner in (f"{axis}min", f"{axis}max"):
            boxes[corner] *= factor
    no_size = boxes["relative"].to_numpy() & (shown[0][of_box] == 0) & is_usable(boxes)
    boxes.loc[no_size, CORNERS] = np.nan
    boxes["problem"] = boxes["problem"].mask(no_size, UNKNOWN_SIZE)
    boxes["problem"] = boxes["problem"].mask(boxes["image_id"].isin(reasons) & is_usable(boxes), OTHER_SIZE)
    pairs = zip(images["image_id"], images["problem"], strict=True)
    problems = pd.Series([problem or reasons.get(image_id, "") for image_id, problem in pairs], dtype=str)
    return images.assign(problem=problems), boxes[BOX_COLUMNS]


def _orientation(path: str) -> int:
    try:
        with open_image(path) as image:
            return image.getexif().get(0x0112, 1)
    except Exception:  # Pillow raises many kinds for damaged bytes; its header has already been judged
        return 1


def _turned(corners: np.ndarray, turn: int, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return corners (n, 4) of images of these sizes (n,) after a quarter turn of EXIF, 5 to 8."""
    left, top, right, bottom = corners.T
    x = (height - bottom, height - top) if turn in _FLIPS_X else (top, bottom)
    y = (width - right, width - left) if turn in _FLIPS_Y else (left, right)
    return np.stack([x[0], y[0], x[1], y[1]], axis=1)
