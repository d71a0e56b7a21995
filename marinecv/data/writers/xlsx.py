"""Write tables as an Excel workbook, row by row."""

import re
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from marinecv.files.atomic import whole_file
from marinecv.files.csv_tables import escape

MAX_ROWS = 1_048_576
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # no workbook may hold them


def check_xlsx(rows: int) -> None:
    """Raise ValueError where a table of so many rows cannot be written, or openpyxl is not installed."""
    if find_spec("openpyxl") is None:
        raise ValueError("An Excel workbook needs openpyxl. Install it: pip install 'marinecv[tables]'.")
    if rows >= MAX_ROWS:
        raise ValueError(f"{rows:,} rows and a header do not fit: Excel ends at {MAX_ROWS:,}. Write a CSV instead.")


def write_xlsx(path: Path, table: pd.DataFrame) -> None:
    """Write a table of predictions.

    `taken_at` becomes a date with the offset, where one is stated, in `utc_offset`: Excel has no time zones.
    """
    table, offset = table.copy(), table["taken_at"].str[19:]
    table.insert([*table].index("taken_at") + 1, "utc_offset", offset.mask(offset != "", "UTC" + offset))
    write_sheets(path, {"predictions": table})


def write_sheets(path: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write tables as sheets by name, each with a header that stays in view.

    Numbers are numbers, all else is text, with an apostrophe before what a spreadsheet would run as a formula.
    """
    check_xlsx(max(map(len, tables.values())))  # before the import
    from openpyxl import Workbook
    from openpyxl.utils import get_column_letter

    workbook = Workbook(write_only=True)
    for title, table in tables.items():
        sheet = workbook.create_sheet(re.sub(r"[\[\]:*?/\\]", " ", title)[:31])
        sheet.freeze_panes = "A2"
        for number in range(1, len(table.columns) + 1):
            sheet.column_dimensions[get_column_letter(number)].width = 36 if number == 1 else 18
        sheet.append([_cell("", name) for name in table])
        for row in table.itertuples(index=False, name=None):
            sheet.append([_cell(name, value) for name, value in zip(table, row, strict=True)])
    with whole_file(path) as temporary:
        workbook.save(temporary)


def _cell(name: str, value: object) -> object:
    if isinstance(value, str):
        return datetime.fromisoformat(value[:19]) if name == "taken_at" and value else escape(_CONTROL.sub("", value))
    return None if pd.isna(value) else value
