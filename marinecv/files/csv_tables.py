"""Read and write the CSV files of marinecv: UTF-8, exact, and harmless in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.files.atomic import write_text

BOM = "\ufeff"
"""The byte order mark at the start of a table that a person opens: spreadsheets read it as UTF-8, and we strip it."""
DELIMITERS = ",;\t"
"""Of tables that people bring: spreadsheets save ";" where the comma is the decimal sign."""
# A spreadsheet runs such a cell as a formula. The apostrophes in front are part of the pattern, so that reading takes
# away exactly the one that writing added.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_FORMULA_STARTS = "'=+-@\t\r\n"
_ROW_END = re.compile(r'("[^"]*")|\r\n')
_NUMBER = r"|[+-]?(inf|nan|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)"  # or empty


def table_text(table: pd.DataFrame, *, header: bool = True, float_format: str | None = None) -> str:
    """Return a table as CSV text; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Numbers are written as they are, negative ones too, in a `float_format` such as "%.9g"; None writes all digits.
    """
    escaped = table.set_axis([escape(name) for name in table.columns], axis=1)
    for position, dtype in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            column = table.iloc[:, position]
            cells, starts = column.tolist(), column.astype(str).str[:1].unique()
            if not {*starts}.isdisjoint(_FORMULA_STARTS):
                cells = [*map(escape, cells)]  # not `Series.map`, which makes 1 and None 1.0 and NaN
            escaped.isetitem(position, pd.Series(cells, index=table.index, dtype=object))
    # Cells with a letter of the line end in them are quoted: with "\r\n" those with a carriage return, too.
    text = escaped.to_csv(index=False, header=header, float_format=float_format, lineterminator="\r\n")
    return _ROW_END.sub(lambda match: match[1] or "\n", text) if '"' in text else text.replace("\r\n", "\n")


def escape(value: object) -> object:
    """Return a cell; text that a spreadsheet would run as a formula with an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def write_table(path: str | Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write `table_text` to a file, whole or not at all."""
    write_text(path, table_text(table, float_format=float_format))


def delimiter_of(text: str, delimiters: str = DELIMITERS) -> str:
    """Return the delimiter that the first line of a table has most often."""
    return max(delimiters, key=re.match(r"[^\r\n]*", text)[0].count)


def read_table(path: str | Path, delimiters: str = ",") -> pd.DataFrame:
    """Read the file of a table as text, so that a class may be called "NA", "007" or "=1+1".

    Of several `delimiters` that of `delimiter_of` counts. Raises FileNotFoundError where there is no such file, and
    ValueError where it is no CSV in UTF-8, names a column twice, or has a row with too few or too many cells.
    """
    return parse_table(Path(path).read_bytes(), path, delimiters)


def parse_table(data: bytes, path: str | Path, delimiters: str = ",") -> pd.DataFrame:
    """Read the bytes of a table as `read_table` does; an error names `path`."""
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds a zero byte")
        delimiter = delimiter_of(text, delimiters)
        # Without quotes, and with as many cells in each row, pandas reads the same in a third of the memory.
        header = text.partition("\n")[0].split(delimiter)
        is_plain = len({*header}) == len(header) > 1 and not any(mark in text for mark in "\"'\r")
        if is_plain and {line.count(delimiter) for line in io.StringIO(text)} == {len(header) - 1}:
            plain = {"quoting": csv.QUOTE_NONE, "dtype": str, "na_filter": False, "encoding": "utf-8-sig"}
            return pd.read_csv(io.BytesIO(data), sep=delimiter, header=0, names=header, **plain)
        # The csv module, not pandas, which fills a row that was cut short with empty cells.
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        rows = [tuple(row) for row in reader if row]  # the garbage collector visits a million lists again and again
        header = [*map(_unescape, rows[0])] if rows else []
        if not header or len({*header}) < len(header):
            raise ValueError(f"its header is {','.join(header)!r:.200}, empty or with a name twice")
        if bad_row := next((number for number, row in enumerate(rows) if len(row) != len(header)), 0):
            cells = [*rows[bad_row]]
            raise ValueError(f"row {bad_row} below the header has {len(cells)} cells ({cells!r:.80})")
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path} is no table of marinecv: {error}. Expected CSV in UTF-8 with a header.") from error
    if "'" in text:
        rows = [tuple(map(_unescape, row)) for row in rows]
    return pd.DataFrame(rows[1:], columns=header, dtype=str)


def check_columns(table: Iterable[object], columns: Iterable[str], table_name: object) -> None:
    """Raise ValueError where the columns of a table, which the message calls `table_name`, lack some of `columns`."""
    if missing := ", ".join(repr(column) for column in columns if column not in [*table]):
        expected, found = ", ".join(columns), ", ".join(map(str, table)) or "nothing"
        raise ValueError(f"{table_name} lacks the column {missing}. Expected {expected}; found {found:.200}.")


def parse_numbers(table: pd.DataFrame, columns: Iterable[str], path: str | Path) -> pd.DataFrame:
    """Return a table of text with some columns as float64, exact to the last digit; an empty cell is NaN.

    Raises ValueError where a column is missing, or a cell holds no number.
    """
    check_columns(table, columns, path)
    values = {}
    for column in columns:
        positions, cells = pd.factorize(table[column])
        if wrong := [cell for cell in cells if not re.fullmatch(_NUMBER, cell)]:
            raise ValueError(
                f"{path} has {wrong[0]!r:.60} for {column!r}, in row {(table[column] == wrong[0]).argmax() + 1} below "
                f"the header. Expected a number, as in all {len(table)} rows."
            )
        values[column] = np.array([float(cell or "nan") for cell in cells])[positions]
    return table.assign(**values)


def read_number_table(path: str | Path, columns: Iterable[str], numbers: Iterable[str]) -> pd.DataFrame:
    """Read a table as `read_table`, its `numbers` as `parse_numbers`; ValueError too where it lacks some `columns`."""
    check_columns(table := read_table(path), columns, path)
    return parse_numbers(table, numbers, path)


def _unescape(value: str) -> str:
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value
