"""Write predictions for other programs: a module a format. No absolute path and, but for Camtrap DP, no place."""

from os.path import abspath, join, relpath, sep
from pathlib import Path

import pandas as pd

from marinecv.files.atomic import write_text
from marinecv.files.csv_tables import BOM, table_text

BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]
"""Of a row that is a box: left, top, width and height as fractions of the image, 0 to 1."""


def shared_table(table: pd.DataFrame, base: str) -> pd.DataFrame:
    """Return the table of `predict` with `file`, relative to `base`, for `path`; `problem` names no folder above."""
    files, problems = [relpath(path, base).replace(sep, "/") for path in table["path"]], []
    for path, file, problem in zip(table["path"], files, table["problem"], strict=True):
        problems.append(problem.replace(abspath(path), file).replace(path, file).replace(join(base, ""), ""))
    shared = table.drop(columns="path").assign(problem=problems)
    shared.insert(0, "file", files)
    return shared


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV for people: with a byte order mark, so that spreadsheets read it as UTF-8."""
    write_text(path, BOM + table_text(table, float_format="%.6f"))
