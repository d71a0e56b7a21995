"""Read the bytes of an image by its path: of a file, or of a record in a shard of a pack; of a crop, those of both."""

import os
import re
import stat
import zlib
from pathlib import Path

FRAME = (12, 4)  # bytes before and after the content of a TFRecord: length and checksum; checksum
HINT = "Bring it back from a copy, or pack the images again into another folder with `data pack`."
MAX_BYTES = 2**30  # of a file or a record: more than the largest image that is decoded takes uncompressed
_RECORD = re.compile(r"(.+\.tfrecord)#(\d+)\+(\d+)-([0-9a-f]{8})(-pillow)?", re.DOTALL)
_CROP = re.compile(r"(.+)#(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", re.DOTALL)
Box = tuple[int, int, int, int]


def record_path(shard: str | Path, offset: int, length: int, crc32: int, by_pillow: bool = False) -> str:
    """Return the path of a record, such as `images-00003.tfrecord#12345+6789-1a2b3c4d`.

    Offset and length of its content are in bytes; `by_pillow` marks an image that Pillow decodes and TensorFlow not.
    """
    return f"{shard}#{offset}+{length}-{crc32:08x}{'-pillow' if by_pillow else ''}"


def photo_and_box(path: str | Path) -> tuple[str, Box | None]:
    """Return the path of the file or record that an image is cut out of, and its box; None for a whole image.

    The path of a crop is such as `cam1/a.jpg#12,40,300,288`: xmin, ymin, xmax, ymax in pixels as displayed.
    """
    path = str(path)
    crop = "," in path and _CROP.fullmatch(path)  # most paths have no comma
    box = crop and tuple(map(int, crop.groups()[1:]))
    return (crop[1], box) if box and box[0] < box[2] and box[1] < box[3] else (path, None)


def _record_of(path: str | Path) -> tuple[str, re.Match | None]:
    """Return the path of the file or record without a box, and its match where it is a record."""
    path, _ = photo_and_box(path)
    return path, _RECORD.fullmatch(path)


def is_record(path: str | Path) -> bool:
    """Return whether a path is one that `record_path` gives, or of a crop of it."""
    return bool(_record_of(path)[1])


def is_by_pillow(path: str | Path) -> bool:
    """Return whether a path is that of a record which only Pillow decodes."""
    record = _record_of(path)[1]
    return bool(record and record[5])


def is_present(path: str | Path) -> bool:
    """Return whether the file, or the shard of the record, exists."""
    path, record = _record_of(path)
    return os.path.isfile(record[1] if record else path)


def file_problem(path: str | Path) -> str:
    """Return "", or why a file or shard must not be opened: an address, no regular file, too large.

    TensorFlow would take an address such as `gs://bucket/a.jpg` to the network; a pipe would never end.
    """
    path, record = _record_of(path)
    if "://" in path:
        return "the path is an address; expected a file on this machine"
    try:
        state = os.stat(record[1] if record else path)
    except (OSError, ValueError) as error:  # ValueError of a name with a NUL
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISREG(state.st_mode):
        return "no regular file, but a folder, a pipe, a socket or a device"
    size = int(record[3]) if record else state.st_size
    return f"{size:,} bytes are more than the {MAX_BYTES:,} that an image may have" if size > MAX_BYTES else ""


def file_state(path: str | Path) -> tuple[int, int, str] | None:
    """Return size in bytes, modification time in ns and "" of a file, else None; of a record size, -1, CRC-32."""
    path, record = _record_of(path)
    try:
        state = None if record else os.stat(path)
    except (OSError, ValueError):  # ValueError of a name with a NUL
        return None
    return (state.st_size, state.st_mtime_ns, "") if state else (int(record[3]), -1, record[4])


def read_bytes(path: str | Path) -> bytes:
    """Read a file (OSError where that fails, see `file_problem`) or a record (ValueError where it is damaged)."""
    (path, record), problem = _record_of(path), file_problem(path)
    try:
        if problem:
            raise OSError(problem)
        with open(record[1] if record else path, "rb", buffering=0) as file:
            file.seek(int(record[2]) if record else 0)
            data = file.read(int(record[3]) if record else -1)
    except OSError as error:
        if record:
            raise ValueError(f"The shard {record[1]} cannot be read: {error.strerror or error}. {HINT}") from error
        raise
    if record and zlib.crc32(data) != int(record[4], 16):
        raise ValueError(f"The shard {record[1]} is damaged at byte {int(record[2]):,}. {HINT}")
    return data
