"""Read a table beside the images: a CSV, TSV or XLSX whose header has a column of files and one of classes."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from marinecv.data.annotations import text_of
from marinecv.data.boxes import refuse_mostly_bad
from marinecv.data.formats import printable
from marinecv.data.labeled_images import Labeled, tables_of
from marinecv.data.layouts import HIDDEN_PREFIXES, folder_splits
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_name, normalize_path
from marinecv.data.readers import Reader
from marinecv.data.splits.split_catalog import known_splits
from marinecv.data.user_csv import MAX_UNPACKED_BYTES, Row, bad_rows, read_cells
from marinecv.data.user_tables import is_usable
from marinecv.files.csv_tables import delimiter_of
from marinecv.language import tr
from marinecv.schema import check_choice

LABELS, OWN = "labels", "labels.csv"  # the name of a table that goes before others; that of our own form
SUFFIXES = (".csv", ".tsv", ".xlsx")
COLUMN_NAMES = {  # what a column holds -> its usual names, as `column_key` returns them
    "file": ("file", "filepath", "filename", "image", "path"),
    "class": ("class", "label", "species", "scientificname", "commonname", "category"),
    "split": ("split", "set", "subset"),
    "site": ("site", "station", "placename", "locationid", "deploymentid", "location"),
    "camera": ("camera", "cameraid"),
    "datetime": ("datetime", "timestamp", "datetimeoriginal"),
    "date": ("date",),
    "time": ("time",),
    "sequence": ("sequence", "sequenceid", "seqid", "eventid", "burst"),
    "folder": ("relativepath",),
}
WILDLIFE_INSIGHTS = {"deploymentid", "filename", "commonname", "genus", "species"}
NOT_CLASSES = ("cv needed", "cv failed", "no cv result")  # of Wildlife Insights
BOXES = ({"xmin", "ymin", "xmax", "ymax"}, {"x1", "y1", "x2", "y2"}, {"bboxx", "bboxy"})
_HEAD_BYTES = 2**16
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_FIRST = rf"(\d{{1,2}})([/.-])(\d{{1,2}}|{'|'.join(MONTHS)})\2(\d{{4}})"
_DATE = re.compile(rf"^{_DAY_FIRST}[ T]+(\d{{1,2}}):(\d\d(?::\d\d)?)(?: ?([AP]M))?$", re.IGNORECASE)


def read_table(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images, see `tables_of`, and an empty boxes table; a labels.csv that names a file again is an error.

    `columns` of the manifest name columns, `COLUMN_NAMES` the others. The `group` of an image is its site and camera,
    else its sequence; without such columns its first sub-folder, unless that is of all images or a split.
    """
    root, table = manifest.root, _find_table(manifest.root, manifest.columns)
    header, rows = _read_rows(table, root)
    key_of, keys = _choose_columns(table, header, manifest.columns), [*map(column_key, header)]
    is_own, unlabeled = table.name == OWN, f"no class in {table.name}"
    by_key = [dict(zip(keys, map(str.strip, cells), strict=False)) for _, cells, _ in rows]
    facts = [{name: cells.get(key_of.get(name), "") for name in COLUMN_NAMES} for cells in by_key]
    facts = pd.DataFrame(facts, columns=[*COLUMN_NAMES], dtype=str)
    if {*keys} >= WILDLIFE_INSIGHTS and "class" not in manifest.columns:
        facts = facts.assign(folder=facts["site"], **{"class": [*map(_insights_class, by_key)]})
    facts["source"] = pd.Series([source for source, *_ in rows], dtype=str)
    facts["split"] = known_splits(facts["split"], facts["source"])
    facts["name"] = (facts["folder"] + "/").where(facts["folder"] != "", "") + facts["file"]
    facts["camera"] = (facts["site"] + "/" + facts["camera"]).str.strip("/")
    dates = facts["date"].str.removesuffix(" 00:00:00").where(facts["time"] != "", facts["date"])  # day of a workbook
    times = facts["datetime"].where(facts["datetime"] != "", (dates + " " + facts["time"]).str.strip())
    facts["taken_at"] = _iso_dates(times, table)
    repeated = facts["name"].map(normalize_path).duplicated() | (facts["file"] == "")
    for row in facts[repeated & is_own].head(1).itertuples():
        what = f"{row.name} again" if row.file else "no file"
        raise ValueError(f"Row {row.source} names {what}. Expected one row an image. Fix the CSV.")
    needed = facts[["file", "class"] if is_own else ["file"]].to_dict("records")
    facts["problem"] = pd.Series(bad_rows(needed, rows, len(header)), dtype=str)
    refuse_mostly_bad(facts)
    facts["problem"] = facts["problem"].mask(is_usable(facts) & (facts["class"] == ""), unlabeled)
    rows_of_records = facts[["name", "source", "split", "camera", "sequence", "taken_at", "problem"]].to_dict("records")
    records = [Labeled(class_names=(name,), **row) for name, row in zip(facts["class"], rows_of_records, strict=True)]
    used = {name: header[keys.index(key)] for name, key in key_of.items()}
    words = ", ".join(f"{name} {column!r}" for name, column in used.items())
    is_said = not is_own or used.keys() - {"file", "class", "split"}
    decisions = [tr("Columns of {file}: {columns}.", file=table.name, columns=words)] if is_said else []
    images, boxes = tables_of(root, records, decisions=decisions)
    if not {"site", "camera", "sequence"} & used.keys():
        folders = [normalize_name(name.partition("/")[0]) if "/" in name else "" for name in images["image_id"]]
        is_common = "folder" not in used and len({*folders}) == 1  # such as "images/"
        no_groups = {*folders} if is_common else folder_splits({*folders})
        images["group"] = ["" if folder in no_groups else folder for folder in folders]
    return images, boxes


def column_key(name: str) -> str:
    """Return the name of a column without case, blanks and underscores."""
    return re.sub(r"[\s_]", "", normalize_name(name)).casefold()


def _table_files(root: Path) -> list[Path]:
    files = sorted(path for path in root.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [path for path in files if not path.name.startswith((*HIDDEN_PREFIXES, "~$"))]  # the lock of a spreadsheet


def _candidates(root: Path, columns: Mapping[str, str]) -> list[Path]:
    """Return the tables of a folder that may name the classes of images: that called `LABELS`, else by their header."""
    files = _table_files(root)
    own = [path for path in files if path.stem == LABELS]
    if own and not columns:
        return own
    keys_of = {path: {*map(column_key, _header(path))} for path in files}
    if columns:
        wanted = {*map(column_key, columns.values())}
        found = [path for path in files if wanted <= keys_of[path]] or files
        return [path for path in found if path in own] or found
    both = [path for path in files if all(keys_of[path] & {*COLUMN_NAMES[name]} for name in ("file", "class"))]
    return [path for path in both if not any(keys_of[path] >= corners for corners in BOXES)]


def _find_table(root: Path, columns: Mapping[str, str]) -> Path:
    found = _candidates(root, columns)
    if len(found) != 1:
        raise ValueError(
            f"{root} has {len(found)} tables that may name the classes of images: "
            f"{', '.join(printable(path.name) for path in found) or 'none'}. Expected one. Call it {OWN}, or move the "
            "others away."
        )
    return found[0]


def _header(path: Path) -> list[str]:
    """Return the header of a table, as far as it can be read."""
    if path.suffix.lower() == ".xlsx":
        with suppress(ValueError):
            return next(iter(_sheet(path, num_rows=1)), [])
        return []
    with open(path, "rb") as file:
        line = io.StringIO(file.read(_HEAD_BYTES).decode("utf-8-sig", "replace"), newline="").readline()
    return next(csv.reader([line], delimiter=delimiter_of(line)), [])


def _read_rows(path: Path, root: Path) -> tuple[list[str], list[Row]]:
    if path.suffix.lower() != ".xlsx":
        return read_cells(path, root, "a column of files and one of classes")
    header, *rows = _sheet(path) or [[]]
    numbered = [(f"{path.relative_to(root).as_posix()}:{number}", row) for number, row in enumerate(rows, start=2)]
    return header, [(source, row, ",".join(row)) for source, row in numbered if any(row)]


def _sheet(path: Path, num_rows: int | None = None) -> list[list[str]]:
    """Return the first rows of the first sheet of an XLSX as text, of a formula its value."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := sum(entry.file_size for entry in archive.infolist())) > MAX_UNPACKED_BYTES:
                raise ValueError(f"unpacked it has {size:,} bytes, more than {MAX_UNPACKED_BYTES:,}")
        with warnings.catch_warnings(action="ignore"):  # of styles and extensions, which hold no values
            sheet = pd.read_excel(path, header=None, nrows=num_rows, dtype=object, na_filter=False, engine="openpyxl")
    except ImportError:
        raise ValueError(
            f"{path} needs openpyxl: pip install 'marinecv[tables]'. Or save the sheet as {OWN}."
        ) from None
    except Exception as error:  # a damaged zip or XML raises many kinds
        raise ValueError(f"{path} is no XLSX that can be read: {error}. Save the sheet as {OWN}.") from error
    return [[*map(text_of, row)] for row in sheet.to_numpy().tolist()]


def _choose_columns(table: Path, header: list[str], named: Mapping[str, str]) -> dict[str, str]:
    """Return which columns are there: name of `COLUMN_NAMES` -> key of the column."""
    for name in named:
        check_choice(COLUMN_NAMES, columns=name)
    keys, found_in = [*map(column_key, header)], f"Found in {table}: {', '.join(header) or 'nothing'}."
    chosen = {name: column_key(column) for name, column in named.items()}
    if {*keys} >= WILDLIFE_INSIGHTS:
        chosen = {"class": "commonname"} | chosen
    for name, usual in COLUMN_NAMES.items():
        found = [key for key in usual if key in keys and key not in chosen.values()]
        if name in ("file", "class") and name not in chosen and len(found) > 1 and found[0] != name:
            words = [header[keys.index(key)] for key in found]
            raise ValueError(
                f"The column of the {name} could be {' or '.join(words)}. {found_in} Choose one, such as "
                f'columns={{"{name}": "{words[0]}"}}.'
            )
        if found:
            chosen.setdefault(name, found[0])
    for name in dict.fromkeys((*named, "file", "class", *chosen)):
        if keys.count(key := chosen.get(name, "")) != 1:
            column = repr(named.get(name, key)) if key else f"of the {name}"
            raise ValueError(
                f"There are {keys.count(key)} columns {column}. {found_in} Expected one. "
                f'Name it with columns={{"{name}": "{header[0] if header else "..."}"}}.'
            )
    return chosen


def _insights_class(row: Mapping[str, str]) -> str:
    """Return the class of a row of Wildlife Insights, "" where nobody has named one or `is_blank` contradicts it."""
    name = row.get("commonname") or " ".join(filter(None, (row.get("genus"), row.get("species"))))
    is_refuted = row.get("isblank") in ("1", "true") and name.casefold() != "blank"
    return "" if is_refuted or name.casefold() in NOT_CLASSES else name


def _iso_dates(texts: pd.Series, table: Path) -> pd.Series:
    """Return times whose date is ISO where it was day, month and year; raise ValueError where it is not clear which."""
    numbers = texts.str.extract(_DATE)[[0, 2]].apply(pd.to_numeric, errors="coerce").dropna()
    day_first, month_first = (numbers > 12).any()
    if len(numbers) and day_first == month_first:
        raise ValueError(
            f"The dates of {table}, such as {texts[numbers.index[0]]!r}, could be day/month or month/day. Expected ISO "
            "dates, such as 2024-11-03 18:22:40. Write the column so."
        )

    def as_iso(match: re.Match) -> str:
        first, _, second, year, hour, minutes, half = match.groups()
        day, month = (second, first) if month_first and second.isdigit() else (first, second)
        month = int(month) if month.isdigit() else MONTHS.index(month.lower()) + 1
        hour = int(hour) % 12 + 12 * (half.lower() == "pm") if half else int(hour)
        return f"{year}-{month:02}-{int(day):02} {hour:02}:{minutes}"

    return texts.str.replace(_DATE, as_iso, regex=True)


READER = Reader(
    rank=4,
    detects=lambda root: bool(_candidates(root, {})),
    read=read_table,
    class_from_boxes=False,
    holds="labels.csv with columns file,class, or another .csv, .tsv or .xlsx with such columns",
    tables=lambda manifest: [_find_table(manifest.root, manifest.columns)],
    takes_columns=lambda root: bool(_table_files(root)),
)
