"""Read a user's CSV as text, each row with its file and line."""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import bad_row, refuse_mostly_bad
from marinecv.data.names import leaves_folder, match_names, normalize_name
from marinecv.data.user_tables import is_usable
from marinecv.files.csv_tables import check_columns

DELIMITERS = (",", ";", "\t")
MAX_UNPACKED_BYTES = 2**30  # of a packed table
Row = tuple[str, list[str], str]  # such as ("test/_annotations.csv:72", ["a.jpg", "eel"], "a.jpg,eel")


def read_user_csv(
    path: Path, columns: list[str], root: Path, optional: tuple[str, ...] = (), numbers: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read some columns of a CSV as text; a bad row has a `problem` that quotes it.

    The delimiter is the comma, semicolon or tab that the header has most of; header names have any case. Returned are
    `columns`, of which the first names files below the CSV's folder; `optional` ones, "" where absent; `source`, such
    as "test/_annotations.csv:72" below `root`; and `problem`. Values of `numbers` are finite. Raises ValueError where
    the whole file cannot be read, or names a file outside its folder.
    """
    header, rows = read_cells(path, root, ",".join(columns))
    header = [normalize_name(cell).casefold() for cell in header]
    check_columns(header, columns, path)
    wanted = [*columns, *optional]
    if twice := [column for column in wanted if header.count(column) > 1]:
        raise ValueError(f"{path} has the column {twice[0]} twice. Expected it once. Remove one of the two.")
    table = []
    for source, cells, text in rows:
        row = dict(zip(header, cells, strict=False))
        if leaves_folder(row.get(columns[0], "")):
            raise ValueError(
                f"Row {source} names {row[columns[0]]!r}, outside the folder of the CSV. Expected one below."
            )
        problem = row_problem({column: row.get(column, "") for column in columns}, len(cells) - len(header))
        table.append([*(row.get(each, "") for each in wanted), source, problem, text])
    table = pd.DataFrame(table, columns=[*wanted, "source", "problem", "text"], dtype=str)
    for column in numbers:
        is_no_number = ~np.isfinite(pd.to_numeric(table[column], errors="coerce").astype(float)) & is_usable(table)
        is_no_number &= (table[column] != "") | (column in columns)
        reasons = table[column].map(f"{column} is {{!r:.40}}, no number".format)
        table["problem"] = table["problem"].mask(is_no_number, reasons)
    has_problem = ~is_usable(table)
    table.loc[has_problem, "problem"] = [*map(bad_row, table["text"][has_problem], table["problem"][has_problem])]
    refuse_mostly_bad(table)
    return table.drop(columns="text")


def read_cells(path: Path, root: Path, expected: str) -> tuple[list[str], list[Row]]:
    """Return the header of a CSV and its rows that are not blank: source, cells, and the text of the row.

    Raises ValueError where the file is not UTF-8, or a row cannot be divided into cells.
    """
    text, name = utf8_text(path), path.relative_to(root).as_posix()
    delimiter = max(DELIMITERS, key=io.StringIO(text, newline="").readline().count)
    reader, rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), []
    try:
        header = next(reader, [])
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((f"{name}:{reader.line_num}", cells, delimiter.join(cells)))
    except csv.Error as error:
        raise ValueError(
            f"Row {name}:{reader.line_num} cannot be divided into cells: {error}. Expected {expected}, and a closing "
            "quote for every opening one. Fix the CSV."
        ) from None
    return header, rows


def find_named_images(folder: Path, names: Sequence[str], images: list[Path]) -> list[Path]:
    """Return the image that each name of a CSV means, see `match_names`, else a path that does not exist."""
    files = {path.relative_to(folder).as_posix(): path for path in images}
    texts = {name: Path(name).as_posix() for name in names}
    found = match_names(texts.values(), files)
    return [files[found[texts[name]]] if texts[name] in found else folder / name for name in names]


def utf8_text(path: Path) -> str:
    """Return the text of a file, a .gz unpacked, without byte order mark; raise ValueError where it is not UTF-8."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                content = file.read(MAX_UNPACKED_BYTES + 1)
            if len(content) > MAX_UNPACKED_BYTES:
                raise ValueError(f"unpacked it has more than {MAX_UNPACKED_BYTES:,} bytes")
        else:
            content = path.read_bytes()
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds NUL characters, as UTF-16 does")
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
    return text


def row_problem(needed: dict[str, str], num_extra: int) -> str:
    """Return "", or why a row is bad: a needed cell is empty, or there are more cells than columns."""
    if missing := [column for column, cell in needed.items() if not cell.strip()]:
        return f"lacks its {missing[0]}, expected {','.join(needed)}"
    return (
        f"has {num_extra} cells more than the header; put names with commas in double quotes" if num_extra > 0 else ""
    )
