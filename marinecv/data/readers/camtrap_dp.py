"""Read Camtrap DP 1.0: `datapackage.json`, and its tables of deployments, media and observations."""

import csv
import gzip
import io
import re
import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import (
    EMPTY_NAMES,
    Box,
    Labeled,
    box_of,
    class_of,
    decisions_sentence,
    iso_time,
    objects_of,
    read_json,
    tables_of,
    text_of,
)
from marinecv.data.manifests import Manifest
from marinecv.data.names import leaves_folder
from marinecv.data.readers import Reader
from marinecv.data.user_csv import DELIMITERS
from marinecv.files.csv_tables import check_columns

PACKAGE = "datapackage.json"
TABLES = {  # and the columns that each must have
    "deployments": ["deploymentID"],
    "media": ["mediaID", "deploymentID"],
    "observations": ["deploymentID", "mediaID", "observationType"],
}
BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
MAX_TABLE_BYTES = 2**30  # of one table, unpacked
NOT_CLASSIFIED = "unclassified"
UNNAMED = "the table of media does not name it"
VIDEO = "a video, not an image; extract its frames"
Row = dict[str, str]


def read_camtrap_dp(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`, `PLACE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels), see `tables_of`.

    The class is the scientific name, else the type of an observation. An observation of an event is of every image of
    its deployment in that time that has none of its own. Photographs of a camera being set up have no class. `camera`
    and `group` are the location, else the deployment. Raises ValueError where a table is elsewhere, or cannot be read.
    """
    root, decisions = manifest.root, []
    deployments, media, observations = (_rows(root, name) for name in TABLES)
    locations = {row["deploymentID"]: row.get("locationID", "") for row in deployments}
    of_media: dict[str, list[Row]] = {row["mediaID"]: [] for row in media}
    if len(of_media) < len(media):
        raise ValueError(
            f"The media of {root / PACKAGE} repeat a mediaID. Expected each once. Export the package again."
        )
    used = [row for row in observations if not row.get("cameraSetupType") and row["observationType"] != NOT_CLASSIFIED]
    for row in used:
        if row["mediaID"] in of_media:
            of_media[row["mediaID"]].append(row)
    events, in_time = [row for row in used if not row["mediaID"]], _media_in_time(media, used)
    of_event = {id(row): in_time(row) for row in events}
    own, by_event = {number for number, rows in of_media.items() if rows}, set()
    for row in events:
        for number in set(of_event[id(row)]) - own:
            of_media[number].append(row)
            by_event.add(number)
    if by_event:
        decisions.append(f"{len(by_event)} images have the class of their event, which one image may not show.")
    if lost := sum(row["mediaID"] not in of_media if row["mediaID"] else not of_event[id(row)] for row in used):
        decisions.append(f"{lost} of {len(used)} observations are of no image of the package.")
    if unknown := len({row["deploymentID"] for row in media} - locations.keys()):
        decisions.append(f"{unknown} deployments of the media are not in the table of deployments.")
    records = []
    for row in media:
        records += _records(row, of_media[row["mediaID"]], locations.get(row["deploymentID"], ""), root)
    images, boxes = tables_of(root, records, unnamed=UNNAMED)
    images.attrs["decisions"] += decisions
    return images, boxes


def _records(row: Row, observations: list[Row], location: str, root: Path) -> list[Labeled]:
    """Return an image, a record for each class of the whole image."""
    labels, boxes, boxed = {}, [], {}
    for each in observations:
        name = class_of(each.get("scientificName") or each["observationType"])
        if any(each.get(side) for side in BOX) and each["mediaID"]:
            boxes.append(_box(each, name))
            if each.get("scientificName"):
                boxed[name] = True
        else:
            labels[name] = True
    if labels.keys() - {EMPTY_NAMES[0]}:
        labels |= boxed  # of two species, one of which has no box, the boxes cannot choose
    path, name = row.get("filePath", ""), row.get("fileName", "")
    if "://" in path:
        path = f"{row['deploymentID']}/{name}" if name else path
    record = Labeled(
        name=path or name,
        folder=root,
        source=row["source"],
        camera=location or row["deploymentID"],
        group=location or row["deploymentID"],
        sequence=next((each["eventID"] for each in observations if each.get("eventID")), ""),
        taken_at=row.get("timestamp", ""),
        boxes=tuple(boxes),
        problem=VIDEO if row.get("fileMediatype", "").startswith("video") else "",
    )
    first, *others = labels or [""]
    return [replace(record, class_name=first), *(replace(record, class_name=other, boxes=()) for other in others)]


def _box(row: Row, name: str) -> Box:
    numbers = [row.get(side, "").replace(",", ".") for side in BOX]
    return box_of(name, numbers, row["source"], relative=True, xywh=True)


def _media_in_time(media: list[Row], observations: list[Row]) -> Callable[[Row], list[str]]:
    """Return a function from an observation of an event to the ids of the media of its deployment in that time.

    Times with an offset are compared as such, unless some have none: then all are times of the camera's clock.
    """
    columns = [(row, name) for row in observations for name in ("eventStart", "eventEnd") if not row["mediaID"]]
    texts = filter(
        None, (iso_time(row.get(name, "")) for row, name in [*columns, *((row, "timestamp") for row in media)])
    )
    has_offset = all(re.search(r"[+-]\d\d:\d\d$", text) for text in texts)

    def seconds(row: Row, name: str) -> float | None:
        if not (text := iso_time(row.get(name, ""))):
            return None
        time = datetime.fromisoformat(text)
        return (time if has_offset else time.replace(tzinfo=UTC)).timestamp()

    of_deployment = defaultdict(list)
    for row in media:
        if (time := seconds(row, "timestamp")) is not None:
            of_deployment[row["deploymentID"]].append((time, row["mediaID"]))
    times = {name: [*zip(*sorted(rows), strict=True)] for name, rows in of_deployment.items()}

    def in_time(row: Row) -> list[str]:
        start, end = seconds(row, "eventStart"), seconds(row, "eventEnd")
        if start is None or end is None or row["deploymentID"] not in times:
            return []
        clock, ids = times[row["deploymentID"]]
        return [*ids[bisect_left(clock, start) : bisect_right(clock, end)]]

    return in_time


def _rows(root: Path, name: str) -> list[Row]:
    """Return the rows of a table of the package as text, with their `source`; the table may be in several files."""
    rows = []
    for path in _paths(root, name):
        with io.StringIO(_text(path), newline="") as text:
            delimiter = max(DELIMITERS, key=text.readline().count)
            text.seek(0)
            reader, where = csv.reader(text, delimiter=delimiter, strict=True), path.relative_to(root).as_posix()
            try:
                header = [cell.strip() for cell in next(reader, [])]
                check_columns(header, TABLES[name], path)
                for cells in reader:
                    if len(cells) > len(header):
                        raise csv.Error(f"it has {len(cells)} cells, the header {len(header)}")
                    cells = [re.sub(r"^(\d+)\.0+$", r"\1", text_of(cell)) for cell in cells]
                    row = dict.fromkeys(TABLES[name], "") | dict(zip(header, cells, strict=False))
                    rows.append(row | {"source": f"{where}:{reader.line_num}"})
            except csv.Error as error:
                raise ValueError(
                    f"Row {where}:{reader.line_num} cannot be divided into cells: {error}. Expected a CSV, with double "
                    "quotes around text with commas. Correct the row."
                ) from None
    return rows


def _paths(root: Path, name: str) -> list[Path]:
    """Return the files of a table; raise ValueError where there are none, or some are not below the folder."""
    package = read_json(root / PACKAGE)
    profile = text_of(package.get("profile"))
    version = re.search(r"/(\d+)\.\d+[^/]*/", profile)
    if version and version[1] != "1":
        raise ValueError(f"{root / PACKAGE} is of the profile {profile:.200}. Expected Camtrap DP 1.0. Convert it.")
    paths: dict[str, None] = {}
    for resource in objects_of(package, "resources", root / PACKAGE):
        if text_of(resource.get("name")).casefold() == name:
            path = resource.get("path")
            paths |= dict.fromkeys(map(text_of, path if isinstance(path, list) else [path]))
    if not paths:
        raise ValueError(f"{root / PACKAGE} has no resource {name}. Expected {', '.join(TABLES)}. Export it again.")
    for path in paths:
        if "://" in path or leaves_folder(path) or not path.lower().endswith((".csv", ".csv.gz")):
            raise ValueError(
                f"The {name} of {root / PACKAGE} are in {path!r:.200}. Expected .csv or .csv.gz files beside it. "
                "Download or convert them, and name them in the package."
            )
        if not (root / path).is_file():
            raise ValueError(f"{root / path}, the {name} of {root / PACKAGE}, is no file. Put it there.")
    return [root / path for path in paths]


def _text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
        if len(content) > MAX_TABLE_BYTES:
            raise ValueError(f"it holds more than {MAX_TABLE_BYTES:,} bytes")
        return content.decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}. Expected a CSV in UTF-8. Export it again.") from None


def _is_package(root: Path) -> bool:
    path = root / PACKAGE
    return path.is_file() and all(f'"{name}"'.encode() in path.read_bytes() for name in TABLES)


def _tables(manifest: Manifest) -> list[Path]:
    return [manifest.root / PACKAGE, *(path for name in TABLES for path in _paths(manifest.root, name))]


READER = Reader(
    rank=5,
    detects=_is_package,
    read=read_camtrap_dp,
    holds=f"{PACKAGE} of deployments, media and observations (Camtrap DP)",
    class_from_boxes=True,
    tables=_tables,
    sentence=decisions_sentence,
)
