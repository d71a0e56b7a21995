"""Read the bytes of an image by its path: of a file, or of a record in a shard of a pack."""

import os
import re
import stat
import zlib
from pathlib import Path

FRAME = (12, 4)  # bytes before and after the content of a TFRecord: length and checksum; checksum
HINT = "Bring it back from a copy, or pack the images again into another folder with `data pack`."
MAX_BYTES = 2**30  # of a file or a record: more than the largest image that is decoded takes uncompressed
_RECORD = re.compile(r"(.+\.tfrecord)#(\d+)\+(\d+)-([0-9a-f]{8})(-pillow)?", re.DOTALL)


def record_path(shard: str | Path, offset: int, length: int, crc32: int, by_pillow: bool = False) -> str:
    """Return the path of a record, such as `images-00003.tfrecord#12345+6789-1a2b3c4d`.

    Offset and length of its content are in bytes; `by_pillow` marks an image that Pillow decodes and TensorFlow not.
    """
    return f"{shard}#{offset}+{length}-{crc32:08x}{'-pillow' if by_pillow else ''}"


def is_record(path: str | Path) -> bool:
    """Return whether a path is one that `record_path` gives."""
    return bool(_RECORD.fullmatch(str(path)))


def is_by_pillow(path: str | Path) -> bool:
    """Return whether a path is that of a record which only Pillow decodes."""
    return str(path).endswith("-pillow") and is_record(path)


def is_present(path: str | Path) -> bool:
    """Return whether the file, or the shard of the record, exists."""
    record = _RECORD.fullmatch(str(path))
    return os.path.isfile(record[1] if record else path)


def file_problem(path: str | Path) -> str:
    """Return "", or why a file or shard must not be opened: an address, no regular file, too large.

    TensorFlow would take an address such as `gs://bucket/a.jpg` to the network; a pipe would never end.
    """
    record = _RECORD.fullmatch(str(path))
    if "://" in str(path):
        return "the path is an address; expected a file on this machine"
    try:
        state = os.stat(record[1] if record else path)
    except (OSError, ValueError) as error:  # ValueError of a name with a NUL
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISREG(state.st_mode):
        return "no regular file, but a folder, a pipe, a socket or a device"
    size = int(record[3]) if record else state.st_size
    return f"{size:,} bytes are more than the {MAX_BYTES:,} that an image may have" if size > MAX_BYTES else ""


def byte_size(path: str | Path) -> int:
    """Return the number of bytes that `read_bytes` gives."""
    record = _RECORD.fullmatch(str(path))
    return int(record[3]) if record else os.path.getsize(path)


def read_bytes(path: str | Path) -> bytes:
    """Read a file (OSError where that fails, see `file_problem`) or a record (ValueError where it is damaged)."""
    record, problem = _RECORD.fullmatch(str(path)), file_problem(path)
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
