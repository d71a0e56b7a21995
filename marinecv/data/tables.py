"""Read a CSV as the strings it holds, each row with the line it stands on."""

import csv
from pathlib import Path, PureWindowsPath

import pandas as pd


def read_strings(path: Path, columns: list[str], root: Path) -> pd.DataFrame:
    """Read some columns of a CSV; nothing is guessed, so that a bad value can be named with its line.

    Args:
        path: the CSV, UTF-8 with or without BOM; its first column of `columns` names files below its own folder.
        columns: the ones wanted; others are ignored.
        root: the data root.
    Returns:
        DataFrame of strings with `columns` and `source`, such as "test/_annotations.csv:72" (the header is line 1).
    Raises:
        ValueError: not UTF-8, a column is missing, a row is short, or a file lies outside the folder.
    """
    name = path.relative_to(root).as_posix()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            rows = [[*(row.get(column) for column in columns), f"{name}:{reader.line_num}"] for row in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
    if missing := [column for column in columns if column not in found]:
        raise ValueError(
            f"{path} lacks the column {', '.join(missing)}. Expected {','.join(columns)}; "
            f"found {','.join(found) or 'nothing'}."
        )
    for *values, source in rows:
        if lacking := [column for column, value in zip(columns, values, strict=True) if not value]:
            raise ValueError(f"Row {source} lacks its {lacking[0]}. Expected {','.join(columns)}. Fix the CSV.")
        file = PureWindowsPath(values[0])  # knows both kinds of slash, and drives
        if file.anchor or ".." in file.parts:
            raise ValueError(
                f"Row {source} names {values[0]!r}, outside the folder of the CSV. Expected a file below it."
            )
    return pd.DataFrame(rows, columns=[*columns, "source"], dtype=str)
