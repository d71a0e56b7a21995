"""Write a table as CSV for people: with a byte order mark, so that spreadsheets read it as UTF-8."""

from pathlib import Path

import pandas as pd

from marinecv.files.atomic import write_text
from marinecv.files.csv_tables import BOM, table_text


def write_csv(path: Path, table: pd.DataFrame) -> list[str]:
    """Write a table; return no sentences."""
    write_text(path, BOM + table_text(table, float_format="%.6f"))
    return []
