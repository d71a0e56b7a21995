"""Read a user's CSV as text, each row with its file and line."""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

from marinecv.data.boxes import bad_row
from marinecv.data.names import match_names
from marinecv.files.csv_tables import delimiter_of

MAX_UNPACKED_BYTES = 2**30  # of a packed table
Row = tuple[str, list[str], str]  # such as ("test/_annotations.csv:72", ["a.jpg", "eel"], "a.jpg,eel")


def read_cells(path: Path, root: Path, expected: str) -> tuple[list[str], list[Row]]:
    """Return the header of a CSV and its rows that are not blank; ValueError if it is not UTF-8 or a quote is open."""
    text, name = utf8_text(path), path.relative_to(root).as_posix()
    delimiter = delimiter_of(text)
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
        if content.startswith(b"PK\x03\x04"):
            raise ValueError("it is a zip file, which is to be unzipped")
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


def bad_rows(needed: list[dict[str, str]], rows: list[Row], num_columns: int) -> list[str]:
    """Return the `bad_row` of each row of a CSV whose cells of needed columns are given, "" of a good one."""
    problems = [row_problem(row, len(cells) - num_columns) for row, (_, cells, _) in zip(needed, rows, strict=True)]
    return [bad_row(text, problem) if problem else "" for (*_, text), problem in zip(rows, problems, strict=True)]
