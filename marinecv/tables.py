"""The CSV files that marinecv writes and reads back: whole, exact, and harmless in a spreadsheet."""

import re
from pathlib import Path

import pandas as pd

from marinecv.atomic import write_text

# A spreadsheet takes such a cell for a formula, and a file or a class may be named like one. The apostrophes before it
# are counted too, so that one can be put in front of it and taken away again without a doubt.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"''*[=+\-@\t\r]")


def table_text(table: pd.DataFrame, *, header: bool = True, float_format: str | None = None) -> str:
    """Return a table as CSV text; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Args:
        table: numbers are written as they are, negative ones too.
        header: with the names of the columns.
        float_format: such as "%.9g"; None writes all digits.
    """
    guarded = table.set_axis([_guard(name) for name in table.columns], axis=1)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            cells = [_guard(cell) for cell in table.iloc[:, place]]
            guarded.isetitem(place, pd.Series(cells, index=table.index, dtype=object))
    return guarded.to_csv(index=False, header=header, float_format=float_format, lineterminator="\n")


def write_table(path: str | Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write `table_text` as UTF-8, whole or not at all."""
    write_text(path, table_text(table, float_format=float_format))


def read_table(path: str | Path) -> pd.DataFrame:
    """Read what `write_table` wrote as the text it holds, whatever a class is called ("NA", "007", "=1+1").

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no CSV in UTF-8.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", lineterminator="\n")
    except ValueError as error:  # pandas' parser errors and those of the encoding
        raise ValueError(f"{path} is no table of marinecv: {str(error).strip()}.") from error
    table = table.apply(lambda column: column.map(_unguard))
    return table.set_axis([_unguard(name) for name in table.columns], axis=1)


def _guard(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unguard(value: str) -> str:
    return value[1:] if _GUARDED.match(value) else value
