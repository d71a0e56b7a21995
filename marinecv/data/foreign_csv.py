"""Read a CSV of other people as the strings it holds, each row with the line it stands on."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import bad_row, refuse_mostly_bad
from marinecv.data.names import leads_out, match_names, normalize_name
from marinecv.data.user_tables import is_usable
from marinecv.tables import check_columns

MARKS = (",", ";", "\t")


def read_strings(
    path: Path, columns: list[str], root: Path, optional: tuple[str, ...] = (), numbers: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read some columns of a CSV as text; a row that cannot be read is one with a `problem` that quotes it.

    Cells are divided by comma, semicolon or tab, whichever the header holds most of, in any case. Returned are
    `columns`, of which the first names files below the CSV's own folder; `optional` ones, "" where absent; `source`,
    such as "test/_annotations.csv:72" below `root`; and `problem`. Of these, `numbers` hold finite numbers. ValueError
    where the file as a whole cannot be read, or names a file outside of its folder.
    """
    text, name = utf8_text(path), path.relative_to(root).as_posix()
    file, rows = io.StringIO(text, newline=""), []
    mark = max(MARKS, key=file.readline().count)
    file.seek(0)
    reader, wanted = csv.reader(file, delimiter=mark, strict=True), [*columns, *optional]
    try:
        header = [normalize_name(cell).casefold() for cell in next(reader, [])]
        _check_header(path, header, columns, optional)
        for cells in reader:
            row = dict(zip(header, cells, strict=False))
            if any(cell.strip() for cell in cells):
                source = f"{name}:{reader.line_num}"
                problem = _row_problem(source, row, columns, len(cells) - len(header))
                rows.append([*(row.get(each, "") for each in wanted), source, problem, mark.join(cells)])
    except csv.Error as error:
        raise ValueError(
            f"Row {name}:{reader.line_num} cannot be divided into cells: {error}. Expected {','.join(columns)}, and a "
            "closing quote for every opening one. Fix the CSV."
        ) from None
    table = pd.DataFrame(rows, columns=[*wanted, "source", "problem", "text"], dtype=str)
    for column in numbers:
        wrong = ~np.isfinite(pd.to_numeric(table[column], errors="coerce").astype(float)) & is_usable(table)
        wrong &= (table[column] != "") | (column in columns)
        table["problem"] = table["problem"].mask(wrong, table[column].map(f"{column} is {{!r:.40}}, no number".format))
    bad = ~is_usable(table)
    table.loc[bad, "problem"] = [*map(bad_row, table["text"][bad], table["problem"][bad])]
    refuse_mostly_bad(table)
    return table.drop(columns="text")


def find_named(folder: Path, names: Sequence[str], images: list[Path]) -> list[Path]:
    """Say which file each name of a CSV in a folder means, see `match_names`; a path that is not there if none fits."""
    files = {path.relative_to(folder).as_posix(): path for path in images}
    texts = {name: Path(name).as_posix() for name in names}
    found = match_names(texts.values(), files)
    return [files[found[texts[name]]] if texts[name] in found else folder / name for name in names]


def utf8_text(path: Path) -> str:
    """Return the text of a file, without its byte order mark; raise ValueError where it is not UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
    if "\0" in text:
        raise ValueError(f"{path} is not UTF-8: it holds NUL characters, as UTF-16 does. Save it as UTF-8.")
    return text


def _check_header(path: Path, found: list[str], columns: list[str], optional: tuple[str, ...]) -> None:
    check_columns(found, columns, path)
    if twice := [column for column in (*columns, *optional) if found.count(column) > 1]:
        raise ValueError(f"{path} has the column {twice[0]} twice. Expected it once. Remove one of the two.")


def _row_problem(source: str, row: dict[str, str], columns: list[str], more: int) -> str:
    """Return "", or why a row cannot be read; raise ValueError where its file lies outside the folder."""
    if leads_out(row.get(columns[0], "")):
        raise ValueError(f"Row {source} names {row[columns[0]]!r}, outside the folder of the CSV. Expected one below.")
    if lacking := [column for column in columns if not row.get(column, "").strip()]:
        return f"lacks its {lacking[0]}, expected {','.join(columns)}"
    return f"has {more} cells more than the header; put a name that holds a comma into double quotes" * (more > 0)
