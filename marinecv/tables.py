"""The CSV files that marinecv writes and reads back: whole, exact, and harmless in a spreadsheet."""

import csv
import io
import re
import warnings
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.atomic import write_text

# A spreadsheet takes such a cell for a formula, and a file or a class may be named like one. The apostrophes before it
# are counted too, so that one can be put in front of it and taken away again without a doubt.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ANY_FORMULA = re.compile(r"\0'*[=+\-@\t\r\n]")  # in cells with a zero byte before each
_GUARDED = re.compile(r"''*[=+\-@\t\r\n]")
_QUOTED_OR_END = re.compile(r'"[^"]*"|\r\n')
_NUMBER = r"|[+-]?(inf|nan|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)"  # or empty


def table_text(table: pd.DataFrame, *, header: bool = True, float_format: str | None = None) -> str:
    """Return a table as CSV text; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Numbers are written as they are, negative ones too, in a `float_format` such as "%.9g"; None writes all digits.
    """
    guarded = table.set_axis([_guard(name) for name in table.columns], axis=1)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            cells = table.iloc[:, place].to_numpy(dtype=object)
            if _ANY_FORMULA.search("\0" + "\0".join(map(str, cells))):
                cells = [_guard(cell) for cell in cells]
            guarded.isetitem(place, pd.Series(cells, index=table.index, dtype=object))
    # A cell is quoted that has any letter of the line end in it: with "\r\n" one with a carriage return is quoted too,
    # which a spreadsheet would take for the end of the row.
    return _unix(guarded.to_csv(index=False, header=header, float_format=float_format, lineterminator="\r\n"))


def write_table(path: str | Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write `table_text` as UTF-8, whole or not at all."""
    write_text(path, table_text(table, float_format=float_format))


def read_table(path: str | Path) -> pd.DataFrame:
    """Read what `write_table` wrote as the text it holds, whatever a class is called ("NA", "007", "=1+1").

    Raises FileNotFoundError where there is no such file, and ValueError where it is no CSV in UTF-8, names a column
    twice, or has a row with too few or too many cells.
    """
    data = Path(path).read_bytes()
    if (table := _read_plain(data)) is not None:
        return table
    try:
        header, *rows = _read_rows(data.decode("utf-8-sig"))
    except (csv.Error, UnicodeError, ValueError) as error:
        raise ValueError(f"{path} is no table of marinecv: {error}. Expected CSV in UTF-8 with a header.") from error
    if twice := [name for number, name in enumerate(header) if name in header[:number]]:
        raise ValueError(f"{path} is no table of marinecv: its header names {twice[0]!r} twice.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"{path} is no table of marinecv: row {number} below the header has {len(row)} cells ({row!r:.80}). "
                f"Expected {len(header)}: {', '.join(header)}."
            )
    return pd.DataFrame(rows, columns=header, dtype=str)


def check_columns(table: Iterable[object], columns: Iterable[str], what: object) -> None:
    """Raise ValueError, which calls it `what`, where a table, or the header of one, lacks a column."""
    if missing := [repr(column) for column in columns if column not in [*table]]:
        expected, found = ", ".join(columns), ", ".join(map(str, table)) or "nothing"
        raise ValueError(f"{what} lacks the column {', '.join(missing)}. Expected {expected}; found {found:.200}.")


def numbers(table: pd.DataFrame, columns: Iterable[str], path: str | Path) -> pd.DataFrame:
    """Return a table that was read with some columns as float64, to the last digit; an empty cell is NaN.

    Raises ValueError where a column is missing, or a cell holds no number.
    """
    read = {}
    check_columns(table, columns, path)
    for column in columns:
        wrong = ~table[column].str.fullmatch(_NUMBER)
        if wrong.any():
            raise ValueError(
                f"{path} has {table[column][wrong].iloc[0]!r:.60} for {column!r}, in row {wrong.argmax() + 1} below "
                f"the header. Expected a number, as in all {len(table)} rows."
            )
        codes, cells = pd.factorize(table[column])
        read[column] = np.array([float(cell or "nan") for cell in cells])[codes]  # pandas 2 loses the last digit
    return table.assign(**{column: pd.Series(cells, index=table.index, dtype=float) for column, cells in read.items()})


def _read_plain(data: bytes) -> pd.DataFrame | None:
    """Read a table without quotes and apostrophes quickly; None where it has some, or is odd in any way."""
    first, _, rest = data.removeprefix(BOM_UTF8).partition(b"\n")
    if not rest or rest.startswith(BOM_UTF8) or any(mark in data for mark in (b'"', b"'", b"\r", b"\0", b"\n\n")):
        return None
    how = {"header": None, "index_col": False, "skip_blank_lines": False, "quoting": csv.QUOTE_NONE}
    try:
        header = first.decode().split(",")
        lines = rest.count(b"\n") + (not rest.endswith(b"\n"))
        if "" in header or len({*header}) < len(header) or rest.count(b",") != lines * (len(header) - 1):
            return None
        with warnings.catch_warnings(action="error"):
            table = pd.read_csv(io.BytesIO(rest), names=header, dtype=str, na_filter=False, lineterminator="\n", **how)
    except (ValueError, pd.errors.ParserWarning):  # it is not UTF-8, or a row has more cells than the header
        return None
    return table if len(table) == lines else None


def _read_rows(text: str) -> list[list[str]]:
    """The cells of each row that is not empty; only a line feed ends a row, as `write_table` ends it."""
    if "\0" in text:
        raise ValueError("it holds a zero byte")
    text = _unix(text)  # where it was saved again by a spreadsheet, or by git on Windows
    # The csv module would end a row at a carriage return in a cell: a zero byte stands for it meanwhile.
    found = csv.reader(io.StringIO(text.replace("\r", "\0"), newline="\n"), strict=True)
    rows = [[_unguard(cell.replace("\0", "\r")) for cell in row] for row in found if row]
    if not rows:
        raise ValueError("it is empty")
    return rows


def _unix(text: str) -> str:
    """End rows with a line feed alone; what stands in quotes stays."""
    if '"' not in text:
        return text.replace("\r\n", "\n")
    return _QUOTED_OR_END.sub(lambda found: "\n" if found[0] == "\r\n" else found[0], text)


def _guard(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unguard(value: str) -> str:
    return value[1:] if _GUARDED.match(value) else value
