"""Read a CSV of other people as the strings it holds, each row with the line it stands on."""

import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import pandas as pd

MARKS = (",", ";", "\t")


def read_strings(path: Path, columns: list[str], root: Path, optional: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read some columns of a CSV; nothing is guessed, so that a bad value can be named with its line.

    Cells are divided by comma, semicolon or tab, whichever the header holds most of.

    Args:
        path: the CSV, UTF-8 with or without BOM; its first column of `columns` names files below its own folder.
        columns: the ones wanted; others are ignored.
        root: the data root.
        optional: columns that may be absent, or empty in a row; both give "".
    Returns:
        DataFrame of strings with `columns`, `optional` and `source`, such as "test/_annotations.csv:72" (the header is
        line 1).
    Raises:
        ValueError: not UTF-8, not divided into cells, a column is missing or there twice, a row is short or long, or a
            file lies outside the folder.
    """
    text, name = utf8_text(path), path.relative_to(root).as_posix()
    file, rows = io.StringIO(text, newline=""), []
    mark = max(MARKS, key=file.readline().count)
    file.seek(0)
    reader = csv.DictReader(file, delimiter=mark, strict=True)
    try:
        _check_header(path, reader.fieldnames or [], columns, optional)
        for row in reader:
            source = f"{name}:{reader.line_num}"
            _check_row(source, row, columns)
            rows.append([*(row[column] for column in columns), *(row.get(column) or "" for column in optional), source])
    except csv.Error as error:
        raise ValueError(
            f"Row {name}:{reader.reader.line_num} cannot be divided into cells: {error}. Expected "
            f"{','.join(columns)}, and a closing quote for every opening one. Fix the CSV."
        ) from None
    return pd.DataFrame(rows, columns=[*columns, *optional, "source"], dtype=str)


def find_named(folder: Path, names: Iterable[str], images: list[Path]) -> list[Path]:
    """Say which file each name of a CSV means.

    An exact name goes first. Otherwise a backslash counts as a slash, and an accent as the same whether it is part of
    its letter (Windows, Linux) or follows it (macOS), where exactly one image fits.

    Args:
        folder: of the CSV.
        names: files below it.
        images: those found below it.
    Returns:
        A path a name; one that does not exist where nothing fits.
    """
    fitting: dict[str, list[Path]] = {}
    for path in images:
        fitting.setdefault(_plain(path.relative_to(folder).as_posix()), []).append(path)
    exact = set(images)
    places = {}
    for name in dict.fromkeys(names):
        alike = fitting.get(_plain(Path(name).as_posix()), [])
        places[name] = folder / name if folder / name in exact or len(alike) != 1 else alike[0]
    return [places[name] for name in names]


def utf8_text(path: Path) -> str:
    """Return the text of a file, without its byte order mark.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
    if "\0" in text:
        raise ValueError(f"{path} is not UTF-8: it holds NUL characters, as UTF-16 does. Save it as UTF-8.")
    return text


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _check_header(path: Path, found: list[str], columns: list[str], optional: tuple[str, ...]) -> None:
    if missing := [column for column in columns if column not in found]:
        raise ValueError(
            f"{path} lacks the column {', '.join(missing)}. Expected {','.join(columns)}; "
            f"found {','.join(found) or 'nothing'}."
        )
    if twice := [column for column in (*columns, *optional) if found.count(column) > 1]:
        raise ValueError(f"{path} has the column {twice[0]} twice. Expected it once. Remove one of the two.")


def _check_row(source: str, row: dict, columns: list[str]) -> None:
    expected = f"Expected {','.join(columns)}."
    if lacking := [column for column in columns if not row[column]]:
        raise ValueError(f"Row {source} lacks its {lacking[0]}. {expected} Fix the CSV.")
    if None in row:  # the key of what DictReader has no column for
        raise ValueError(
            f"Row {source} has {len(row[None])} cells more than the header. {expected} Put a name that holds a comma "
            "into double quotes."
        )
    file = PureWindowsPath(row[columns[0]])  # knows both kinds of slash, and drives
    if file.anchor or ".." in file.parts:
        raise ValueError(
            f"Row {source} names {row[columns[0]]!r}, outside the folder of the CSV. Expected a file below it."
        )
