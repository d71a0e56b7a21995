"""The images table that every reader returns: one row an image, with its size and the reason if it cannot be read."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from PIL import Image, PngImagePlugin

from marinecv.data.formats import HEAD_BYTES, content_format, format_of, how_to_read, printable, unsupported_reason
from marinecv.data.names import normalize_name
from marinecv.data.shards.records import Box, file_problem, is_record, photo_and_box, read_bytes
from marinecv.data.times import iso_time

IMAGE_COLUMNS = ["image_id", "path", "split", "class_name", "group", "width", "height", "problem"]
MAX_PIXELS = 178_956_970  # Pillow's own bound: 0.5 GB of RGB
MAX_TEXT_BYTES = 16 * 2**20  # of one text or profile in a PNG, unpacked; Pillow's own bound is 1 MB
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # of the content, whatever the name; no PostScript
ABSENT_FILE = "the file is absent"
DEAD_LINK = "a link that leads to no file; put the file itself in its place"
BOX_NAME = "its name ends as that of a crop does; rename it"
FOLDER_LINK = "a link to a folder, which is not followed; put the folder itself in its place"
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
_EXIF, _TIMES = 0x8769, ((0x9003, 0x9011), (0x9004, 0x9012))  # DateTimeOriginal, DateTimeDigitized, and their offsets
_MODEL, _SERIAL = 0x0110, 0xA431  # of the camera
_PILLOW_LOCK = threading.Lock()


def image_table(root: Path, rows: list[tuple], reasons: Mapping[Path, str] | None = None) -> pd.DataFrame:
    """Return the images table, `IMAGE_COLUMNS` and `exif_time`, of rows (path, split[, class name[, group]]).

    Image ids are relative to `root`. Width and height are in pixels as displayed, 0 where the header cannot be read.
    `reasons` maps a path to the problem of an image whose header can be read.
    """
    records, start = [], 0 if str(root) == "." else len(os.path.join(root, ""))
    for path, split, *labels in rows:
        class_name, group = (normalize_name(printable(text)) for text in (*labels, "", "")[:2])
        image_id = printable(str(path)[start:].replace(os.sep, "/") or ".")  # a tenth of the time of `relative_to`
        width, height, problem, exif_time = _read_header_and_time(path)
        problem = problem or (reasons or {}).get(path, "")
        where = image_id, printable(path.absolute())
        records.append((*where, split, class_name, group, width, height, problem, exif_time))
    table = pd.DataFrame(records, columns=[*IMAGE_COLUMNS, "exif_time"])
    return table.astype({name: int if name in ("width", "height") else str for name in table})


def read_header(path: Path) -> tuple[int, int, str]:
    """Return width and height in pixels after EXIF orientation, and "" or the problem; no pixel is decoded."""
    photo, box = photo_and_box(path)
    if box:
        width, height, reason = (0, 0, BOX_NAME) if os.path.lexists(path) else read_header(Path(photo))
        reason = reason or box_problem(box, width, height)
        return (0, 0, reason) if reason else (box[2] - box[0], box[3] - box[1], "")
    return _read_header_and_time(path)[:3]


def _read_header_and_time(path: Path) -> tuple[int, int, str, str]:
    """Return what `read_header` does of a file, and the capture time of the EXIF data, see `_exif_time`."""
    if reason := _missing_reason(path) or unsupported_reason(path):
        return 0, 0, reason, ""
    try:
        with open_image(path) as image:
            exif = exif_of(image)
            is_rotated = exif.get(_ORIENTATION) in _QUARTER_TURNS
            return *(image.size[::-1] if is_rotated else image.size), "", _exif_time(exif) if exif else ""
    except Image.UnidentifiedImageError:
        return 0, 0, "cannot be read: not an image of a known kind, or its header is cut short", ""
    except Exception as error:  # Pillow raises many kinds for damaged bytes
        return 0, 0, f"cannot be read: {error}", ""


def _exif_time(exif: Image.Exif) -> str:
    """Return DateTimeOriginal, else DateTimeDigitized, by `iso_time`; "" for none. Editors set DateTime: no time."""
    with suppress(Exception), _PILLOW_LOCK, warnings.catch_warnings(action="ignore"):  # hostile EXIF raises many kinds
        details = exif.get_ifd(_EXIF)
        for time, offset in _TIMES:
            if taken_at := iso_time(str(details.get(time, ""))):
                return iso_time(taken_at + str(details.get(offset, "")).strip("\0 ")) or taken_at
    return ""


def read_capture(path: str | Path) -> tuple[str, str]:
    """Return the capture time in the EXIF data of a file, and model and serial number of its camera, else ""."""
    with suppress(Exception), open_image(path) as image:  # damaged bytes and hostile EXIF raise many kinds
        exif = exif_of(image)
        return _exif_time(exif), f"{exif.get(_MODEL, '')} {exif.get_ifd(_EXIF).get(_SERIAL, '')}".strip()
    return "", ""


def box_problem(box: Box, width: int, height: int) -> str:
    """Return "", or that a box does not lie in its photograph of some pixels as displayed: another lies there now."""
    if box[2] <= width and box[3] <= height:
        return ""
    return f"its box {','.join(map(str, box))} is not inside the photograph, which has {width}x{height} pixels now"


def _missing_reason(path: Path) -> str:
    """Return why there is no such file, or why a folder cannot be read; "" where there is a file."""
    try:
        if is_record(path) or not stat.S_ISDIR(os.stat(path).st_mode):
            return ""
        os.scandir(path).close()
        return FOLDER_LINK if os.path.islink(path) else ABSENT_FILE
    except OSError as error:
        if os.path.isdir(path):
            return f"a folder that cannot be read, so its images are left out: {error.strerror}"
        if os.path.islink(path):
            return DEAD_LINK
        return ABSENT_FILE if isinstance(error, FileNotFoundError) else ""


@contextmanager
def open_image(file: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """Open an image, a file or a record of a pack, by its header; no pixel is decoded, and a crop's photograph opened.

    Raises ValueError (more than `MAX_PIXELS`, or another format), OSError (no readable file),
    PIL.UnidentifiedImageError; damaged bytes make Pillow raise many other kinds.
    """
    if isinstance(file, str | Path):
        file, _ = photo_and_box(file)
        if is_record(file):
            file = io.BytesIO(read_bytes(file))
        elif problem := file_problem(file):
            raise OSError(problem)
    # Pillow's bound does not name the size, its warnings of odd EXIF not the file. Both are of the whole process.
    with _PILLOW_LOCK, warnings.catch_warnings(action="ignore"):
        bounds = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, MAX_TEXT_BYTES
        try:
            image = Image.open(file, formats=_formats())
        except Image.UnidentifiedImageError as error:
            path = isinstance(file, str | Path)
            if not path:
                file.seek(0)
            found = content_format(Path(file)) if path else format_of(file.read(HEAD_BYTES))
            if fix := how_to_read(found):
                raise ValueError(f"its content is {found}, which is not read; {fix}") from error
            raise
        except ValueError as error:
            long = f"its text is longer than {MAX_TEXT_BYTES:,} bytes; save it without"
            is_long = any(word in str(error) for word in ("MAX_TEXT", "Decompressed"))
            raise ValueError(long if is_long else str(error)) from error
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = bounds
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
        with _PILLOW_LOCK, warnings.catch_warnings(action="ignore"):
            exif_of(image)  # Pillow caches it and does not warn again
        yield image


@cache
def _formats() -> tuple[str, ...]:
    """Return the names that Pillow gives `FORMATS`, and AVIF and HEIF where they can be read here."""
    if not how_to_read("HEIF"):
        import pillow_heif

        pillow_heif.register_heif_opener()  # pictures are rotated already, and their EXIF data say so
    return *FORMATS, *(name for name in ("AVIF", "HEIF") if not how_to_read(name))


def exif_of(image: Image.Image) -> Image.Exif | dict:
    """Return the EXIF data of an open image; none of a PNG that announces none, which Pillow would decode to search."""
    return image.getexif() if image.format != "PNG" or "exif" in image.info else {}


def read_orientation(path: str | Path) -> int:
    """Return the EXIF orientation of an image file, 1 to 8; 1 where none is stated or it cannot be read."""
    with suppress(Exception), open_image(path) as image:  # Pillow raises many kinds for damaged bytes
        return exif_of(image).get(_ORIENTATION, 1)
    return 1
