"""Write predictions as a data package of the standard Camtrap DP 1.0.2: deployments, media and observations."""

import mimetypes
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pandas as pd
from msgspec import Meta, Struct, to_builtins

from marinecv.data.names import EMPTY_CLASS
from marinecv.data.writers import BOX_COLUMNS
from marinecv.files.atomic import replaced_folder, write_json, write_text
from marinecv.files.csv_tables import DELIMITERS, check_columns, read_table
from marinecv.schema import convert, read_toml

SCHEMAS = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/"
FIELDS = read_table(Path(__file__).with_suffix(".csv"))  # our own list of the columns of the standard, and their rules
PATTERNS = {
    "integer": r"[+-]?\d+",
    "number": r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
    "boolean": "true|false",
    "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
    "path": r"(?!.*\.\.)[^./~].*",
    "mediatype": "(image|video|audio)/.+",
}
ObservationType = Literal["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
TYPES = {EMPTY_CLASS: "blank", "blank": "blank", "person": "human", "human": "human", "vehicle": "vehicle"}
TYPES |= {"unknown": "unknown", "": "unclassified"}  # any other class is an animal
BBOX = dict(zip(BOX_COLUMNS, ("bboxX", "bboxY", "bboxWidth", "bboxHeight"), strict=True))
TEMPLATE = """deployments=, a CSV with a row for each time that a camera stood at a place, such as
    deploymentID,cameraID,latitude,longitude,deploymentStart,deploymentEnd
    ridge-1,cam1,46.2044,7.1012,2025-04-01T10:00:00,2025-05-01T09:30:00
timezone=, the offset of the cameras' clocks from UTC, such as +02:00
project=, a TOML file such as
    name = "ridge-2025"                    # lower case
    title = "Ridge 2025"
    samplingDesign = "targeted"            # simpleRandom systematicRandom clusteredRandom experimental opportunistic
    captureMethod = ["activityDetection"]  # timeLapse
    individualAnimals = false              # whether individuals are recognized
    filePublic = false                     # whether everyone can see the images
    contributors = [{title = "R. Sole", role = "contact"}]
    licenses = [{name = "CC0-1.0", scope = "data"}, {name = "CC-BY-4.0", scope = "media"}]  # or none
    [scientificNames]                      # of classes; a class without one has no scientificName
    badger = "Meles meles"
    [observationTypes]                     # of classes that are no animal, as human, vehicle, blank or unknown
    hikers = "human\""""


class Contributor(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person or an organization behind a package."""

    title: str
    role: Literal["contact", "principalInvestigator", "rightsHolder", "publisher", "contributor"] = "contributor"
    email: str = ""
    organization: str = ""


class License(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the tables (data) or of the images (media)."""

    name: str
    scope: Literal["data", "media"]


class Project(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What only a person can say of a package; see `TEMPLATE`."""

    name: Annotated[str, Meta(pattern="^[-a-z0-9._/]+$")]
    title: str
    sampling_design: Literal[
        "simpleRandom", "systematicRandom", "clusteredRandom", "experimental", "targeted", "opportunistic"
    ]
    capture_method: list[Literal["activityDetection", "timeLapse"]]
    individual_animals: bool
    file_public: bool
    contributors: list[Contributor]
    licenses: list[License] = []
    scientific_names: dict[str, str] = {}
    observation_types: dict[str, ObservationType] = {}


class Metadata(NamedTuple):
    """Deployments as the standard has them, the offset of the clocks, and the project."""

    deployments: pd.DataFrame
    timezone: str
    project: Project


def read_metadata(deployments: Path | None, timezone: str | None, project: Path | None) -> Metadata:
    """Read what a package needs beside predictions; ValueError that lists what is missing, with templates, or wrong."""
    given = {"deployments=": deployments, "timezone=": timezone, "project=": project}
    if missing := [name for name, value in given.items() if value is None]:
        raise ValueError(f"Camtrap DP needs {', '.join(missing)} too; nothing is written. Expected\n{TEMPLATE}")
    if not re.fullmatch(r"Z|[+-]\d\d:\d\d", timezone):
        raise ValueError(
            f"timezone is {timezone!r}. Expected an offset from UTC that the clocks kept all year: +02:00, -03:30 or Z."
        )
    found = convert(read_toml(project), Project, project)
    if {each.scope for each in found.licenses} not in (set(), {"data", "media"}) or not found.contributors:
        raise ValueError(f"{project} needs a contributor, and licenses of data and of media, or none. Complete it.")
    table = read_table(deployments, DELIMITERS)
    check_columns(table, ("deploymentID", "latitude", "longitude", "deploymentStart", "deploymentEnd"), deployments)
    for name, of_day in (("deploymentStart", "T00:00:00"), ("deploymentEnd", "T23:59:59")):
        times = table[name].str.replace(r"^(\d{4}-\d\d-\d\d)$", rf"\1{of_day}", regex=True)
        table[name] = [_stamp(time, timezone) for time in times]
    table = _in_form("deployments", table)
    check_table("deployments", table, deployments)
    return Metadata(table, timezone, found)


def write_camtrap_dp(folder: Path, table: pd.DataFrame, metadata: Metadata, classifier: str) -> list[str]:
    """Write a table of `predict` with `file` as a package; return sentences on what was left out.

    An image belongs to the deployment whose cameraID (or else locationID, or deploymentID) is its `camera`, at its
    `taken_at`. Where there is no such, or no time, the standard has no place for it. With `event_id` in the table, each
    class of an event is an observation of its own beside that of each image, or of each box (`BOX_COLUMNS`).
    """
    project, created = metadata.project, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows, reasons = _with_deployments(table, metadata)
    sentences = [f"{folder.name}: {count} of {len(table)} rows left out: {reason}" for reason, count in reasons.items()]
    if rows.empty:
        raise ValueError(f"No image can be listed in {folder}. {'; '.join(sentences)}. Correct the deployments.")
    keys = ["deploymentID", "event_id" if "event_id" in rows else "file"]
    bound = rows.groupby(keys)["timestamp"].transform
    rows = rows.assign(eventID=rows.get("event_id", ""), eventStart=bound("min"), eventEnd=bound("max"))
    media = rows.drop_duplicates("file")
    media = media.assign(
        mediaID=media["file"],
        filePath=media["file"],
        filePublic=str(project.file_public).lower(),
        fileName=media["file"].str.rpartition("/")[2],
        fileMediatype=[mimetypes.guess_type(name)[0] or "image/unknown" for name in media["file"]],
    )
    observations = rows.rename(columns=BBOX).assign(
        observationID=[f"o{number}" for number in range(1, len(rows) + 1)],
        mediaID=rows["file"],
        observationLevel="media",
        classificationProbability=rows["probability"].map("{:.6f}".format, na_action="ignore"),
    )
    if "event_id" in rows:
        seen = rows[rows["predicted_class"] != ""].groupby([*keys, "predicted_class"])
        events = seen[["eventID", "eventStart", "eventEnd"]].first()
        if BOX_COLUMNS[0] in rows:
            counts = seen["file"].agg(lambda files: files.value_counts().max()).astype(object)
            events["count"] = counts.mask([_type(name, project) == "blank" for *_, name in counts.index])
        events["observationID"] = ["/".join(key) for key in events.index]
        observations = pd.concat([observations, events.reset_index().assign(observationLevel="event")])
    names = observations["predicted_class"]
    observations["observationType"] = [_type(name, project) for name in names]
    observations["scientificName"] = names.map(project.scientific_names)
    machine = {"classificationMethod": "machine", "classifiedBy": classifier, "classificationTimestamp": created}
    observations.loc[names != "", [*machine]] = [*machine.values()]
    tables = {"deployments": metadata.deployments, "media": media, "observations": observations}
    with replaced_folder(folder) as new:
        for name, content in tables.items():
            content = _in_form(name, content)
            check_table(name, content, folder / f"{name}.csv")
            write_text(new / f"{name}.csv", content.to_csv(index=False, lineterminator="\n"))
        write_json(new / "datapackage.json", _package(metadata, observations, created))
    return sentences


def _package(metadata: Metadata, observations: pd.DataFrame, created: str) -> dict:
    given, deployments = to_builtins(metadata.project), metadata.deployments
    start, end = deployments["deploymentStart"].str[:10].min(), deployments["deploymentEnd"].str[:10].max()
    project = {name: given[name] for name in ("title", "samplingDesign", "captureMethod", "individualAnimals")}
    return {
        "profile": f"{SCHEMAS}camtrap-dp-profile.json",
        "created": created,
        **{name: given[name] for name in ("name", "contributors", "licenses") if given[name]},
        "project": project | {"observationLevel": [*observations["observationLevel"].unique()]},
        "spatial": _extent(deployments),
        "temporal": {"start": start, "end": end},
        "taxonomic": [{"scientificName": name} for name in sorted(observations["scientificName"].dropna().unique())],
        "resources": [
            {"name": name, "path": f"{name}.csv", "profile": "tabular-data-resource", "format": "csv"}
            | {"mediatype": "text/csv", "encoding": "utf-8", "schema": f"{SCHEMAS}{name}-table-schema.json"}
            for name in FIELDS["table"].unique()
        ],
    }


def check_table(name: str, table: pd.DataFrame, where: object) -> None:
    """Raise ValueError for the first cell of a table of the standard that breaks a rule of `FIELDS`."""
    for field in FIELDS[FIELDS["table"] == name].to_dict("records"):
        column, kind, values = table[field["field"]], field["kind"], field["values"].split("|")
        if kind == "unique" and column.duplicated().any():
            twice = column[column.duplicated()].iloc[0]
            raise ValueError(f"{where} has {twice!r} twice as {field['field']}. Rename one.")
        low, high = (float(field[bound] or "nan") for bound in ("minimum", "maximum"))
        for cell in column.unique():
            is_right = bool(re.fullmatch(PATTERNS.get(kind, r"[\s\S]*"), cell)) and (values == [""] or cell in values)
            if is_right and kind in ("integer", "number"):
                is_right = not (float(cell) < low or float(cell) > high)  # nan is no bound
            if not (is_right if cell else field["required"] == "0"):
                bounds = f"from {field['minimum']} {field['maximum'] and 'to '}{field['maximum']}".strip()
                bounds = bounds if field["minimum"] else ""
                expected = " ".join(filter(None, (kind, ", ".join(values), bounds)))
                raise ValueError(f"{where} has {cell!r} as {field['field']}. Expected {expected}. Correct it.")


def _in_form(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with all columns of the standard in order, as text."""
    table = table.reindex(columns=FIELDS["field"][FIELDS["table"] == name]).astype(object)
    return table.where(table.notna(), "").astype(str)


def _stamp(text: str, timezone: str) -> str:
    """Return a local time with its offset, by `timezone` where it states none; "" for none."""
    return text if not text or re.search(r"(Z|[+-]\d\d:\d\d)$", text[19:]) else f"{text}{timezone}"


def _with_deployments(table: pd.DataFrame, metadata: Metadata) -> tuple[pd.DataFrame, Counter]:
    """Return the rows that can be listed, with `timestamp` and `deploymentID`, and the number of others by reason."""
    by_camera, reasons, names = defaultdict(list), Counter(), []
    for row in metadata.deployments.to_dict("records"):
        camera = row["cameraID"] or row["locationID"] or row["deploymentID"]
        times = (datetime.fromisoformat(row[name]) for name in ("deploymentStart", "deploymentEnd"))
        by_camera[camera].append((*times, row["deploymentID"]))
    stamps = [_stamp(taken_at, metadata.timezone) for taken_at in table["taken_at"]]
    for file, camera, stamp in zip(table["file"], table["camera"], stamps, strict=True):
        found, reason = [], 'a file name with ".." or a dot in front'
        if re.fullmatch(PATTERNS["path"], file):
            reason = f"no deployment of camera {camera or '(unknown)'} at their time" if stamp else "no time"
            spans = by_camera[camera] if stamp else []
            found = [name for start, end, name in spans if start <= datetime.fromisoformat(stamp) <= end]
        if len(found) > 1:
            raise ValueError(f"{file} lies in the deployments {' and '.join(found)}. Part the times of {camera}.")
        reasons.update([] if found else [reason])
        names.append("".join(found))
    rows = table.assign(timestamp=stamps, deploymentID=names)
    return rows[rows["deploymentID"] != ""], reasons


def _type(class_name: str, project: Project) -> str:
    return project.observation_types.get(class_name) or TYPES.get(class_name.casefold(), "animal")


def _extent(deployments: pd.DataFrame) -> dict:
    """Return the GeoJSON box around all deployments, or their one point."""
    x, y = (deployments[name].astype(float) for name in ("longitude", "latitude"))
    west, east, south, north = x.min(), x.max(), y.min(), y.max()
    if (west, south) == (east, north):
        return {"type": "Point", "coordinates": [west, south]}
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}
