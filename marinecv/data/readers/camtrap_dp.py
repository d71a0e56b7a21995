"""Read Camtrap DP 1.0: `datapackage.json`, and its tables of deployments, media and observations."""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import UTC, datetime
from itertools import chain
from math import nan
from operator import itemgetter
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import class_of, objects_of, read_json, text_of
from marinecv.data.labeled_images import VIDEO, Labeled, box_of, tables_of
from marinecv.data.manifests import Manifest
from marinecv.data.names import EMPTY_CLASS, leaves_folder
from marinecv.data.readers import Reader
from marinecv.data.times import iso_time
from marinecv.data.user_csv import read_cells, row_problem
from marinecv.files.csv_tables import check_columns
from marinecv.language import tr

PACKAGE = "datapackage.json"
TABLES = {  # and the columns that each must have
    "deployments": ["deploymentID"],
    "media": ["mediaID", "deploymentID"],
    "observations": ["deploymentID", "mediaID", "observationType"],
}
BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
NOT_CLASSIFIED = "unclassified"
Row = dict[str, str]


def read_camtrap_dp(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and boxes (corners in pixels), see `tables_of`; ValueError where a table cannot be read.

    An observation of an event is of every image of its deployment in that time that has none of its own. Photographs of
    a camera being set up have no class. `camera` and `group` are the location, else the deployment.
    """
    root, decisions = manifest.root, []
    deployments, media, observations = (_rows(root, name, paths) for name, paths in _files(root).items())
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
    events = [row for row in used if not row["mediaID"]]
    own, of_events = {number for number, rows in of_media.items() if rows}, _media_of_events(events, media)
    by_event = {number for numbers in of_events for number in numbers} - own
    for row, numbers in zip(events, of_events, strict=True):
        for number in by_event.intersection(numbers):
            of_media[number].append(row)
    if by_event:
        decisions.append(tr("{n} images have the class of their event, which one image may not show.", n=len(by_event)))
    of_one = [row["mediaID"] for row in used if row["mediaID"]]
    if lost := sum(number not in of_media for number in of_one) + of_events.count([]):
        decisions.append(tr("{n} of {of} observations are of no image of the package.", n=lost, of=len(used)))
    if unknown := len({row["deploymentID"] for row in media} - locations.keys()):
        decisions.append(tr("{n} deployments of the media are not in the table of deployments.", n=unknown))
    records = [
        _record(row, of_media[row["mediaID"]], locations.get(row["deploymentID"]) or row["deploymentID"])
        for row in media
    ]
    return tables_of(root, records, decisions=decisions)


def _record(row: Row, observations: list[Row], camera: str) -> Labeled:
    labels, boxes, boxed = {}, [], {}
    for each in observations:
        name = class_of(each.get("scientificName") or each["observationType"])
        if any(each.get(side) for side in BOX) and each["mediaID"]:
            numbers = [each.get(side, "").replace(",", ".") for side in BOX]
            boxes.append(box_of(name, numbers, each["source"], relative=True, xywh=True))
            boxed |= {name: True} if each.get("scientificName") else {}
        else:
            labels[name] = True
    if labels.keys() - {EMPTY_CLASS}:
        labels |= boxed  # of two species, one of which has no box, the boxes cannot choose
    path, name = row.get("filePath", ""), row.get("fileName", "")
    if "://" in path:
        path = f"{row['deploymentID']}/{name}" if name else path
    return Labeled(
        name=path or name,
        source=row["source"],
        class_names=tuple(labels),
        camera=camera,
        sequence=next((each["eventID"] for each in observations if each.get("eventID")), ""),
        taken_at=row.get("timestamp", ""),
        boxes=tuple(boxes),
        problem=VIDEO if row.get("fileMediatype", "").startswith("video") else "",
    )


def _media_of_events(events: list[Row], media: list[Row]) -> list[list[str]]:
    """Return for each observation of an event the ids of the media of its deployment in that time."""
    columns = (events, "eventStart"), (events, "eventEnd"), (media, "timestamp")
    starts, ends, moments = _seconds(*([row.get(name, "") for row in rows] for rows, name in columns))
    clock, found, moment = defaultdict(list), [], itemgetter(0)
    timed = [(row, time) for row, time in zip(media, moments, strict=True) if time == time]  # NaN is not sorted
    for row, time in sorted(timed, key=itemgetter(1)):
        clock[row["deploymentID"]].append((time, row["mediaID"]))
    for row, start, end in zip(events, starts, ends, strict=True):
        times = clock[row["deploymentID"]] if start <= end else []
        inside = times[bisect_left(times, start, key=moment) : bisect_right(times, end, key=moment)]
        found.append([number for _, number in inside])
    return found


def _seconds(*columns: list[str]) -> list[list[float]]:
    """Return times in seconds, NaN for none. Unless all have an offset, all are times of the camera's clock."""
    times = [[text and datetime.fromisoformat(text) for text in map(iso_time, column)] for column in columns]
    is_local = any(time and not time.tzinfo for column in times for time in column)
    return [
        [(time.replace(tzinfo=UTC) if is_local else time).timestamp() if time else nan for time in column]
        for column in times
    ]


def _rows(root: Path, name: str, paths: list[Path]) -> list[Row]:
    """Return the rows of a table of the package as text, with their `source`."""
    rows = []
    for path in paths:
        header, table = read_cells(path, root, f"the columns {', '.join(TABLES[name])}")
        header = [*map(str.strip, header)]
        check_columns(header, TABLES[name], path)
        for source, cells, _ in table:
            if problem := row_problem({}, len(cells) - len(header)):
                raise ValueError(f"Row {source} {problem}. Expected a CSV. Correct the row.")
            cells = [re.sub(r"^(\d+)\.0+$", r"\1", text_of(cell)) for cell in cells]
            rows.append(dict.fromkeys(TABLES[name], "") | dict(zip(header, cells, strict=False)) | {"source": source})
    return rows


def _files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each table; raise ValueError where there are none, or some are not below the folder."""
    package, files = read_json(root / PACKAGE), {}
    profile = text_of(package.get("profile"))
    version = re.search(r"/(\d+)\.\d+[^/]*/", profile)
    if version and version[1] != "1":
        raise ValueError(f"{root / PACKAGE} is of the profile {profile:.200}. Expected Camtrap DP 1.0. Convert it.")
    resources = objects_of(package, "resources", root / PACKAGE)
    for name in TABLES:
        stated = [each.get("path") for each in resources if text_of(each.get("name")).casefold() == name]
        paths = [text_of(path) for each in stated for path in (each if isinstance(each, list) else [each])]
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
        files[name] = [root / path for path in dict.fromkeys(paths)]  # some packages list a resource several times
    return files


def _is_package(root: Path) -> bool:
    path = root / PACKAGE
    return path.is_file() and all(f'"{name}"'.encode() in path.read_bytes() for name in TABLES)


READER = Reader(
    detects=_is_package,
    read=read_camtrap_dp,
    holds=f"{PACKAGE} of deployments, media and observations (Camtrap DP)",
    tables=lambda manifest: [manifest.root / PACKAGE, *chain(*_files(manifest.root).values())],
)
