"""The bytes of an image by its path, be it a file or a record of a pack's shard."""

import os
import re
import zlib
from pathlib import Path

FRAME = (12, 4)  # bytes before and behind what a record of a TFRecord file holds: length and checksum; checksum
MEND = "Bring it back from a copy, or pack the images again into another folder with `data pack`."
_RECORD = re.compile(r"(.+\.tfrecord)#(\d+)\+(\d+)-([0-9a-f]{8})(-pillow)?", re.DOTALL)


def record_path(shard: str | Path, offset: int, length: int, crc32: int, by_pillow: bool = False) -> str:
    """Write where a record lies as a path, such as `images-00003.tfrecord#12345+6789-1a2b3c4d`.

    Args:
        shard: the file.
        offset: bytes before what the record holds.
        length: bytes that it holds.
        crc32: their checksum, as zlib has it.
        by_pillow: it is an image that Pillow decodes and TensorFlow does not.
    """
    return f"{shard}#{offset}+{length}-{crc32:08x}{'-pillow' if by_pillow else ''}"


def is_record(path: str | Path) -> bool:
    """Whether a path is one that `record_path` gives."""
    return bool(_RECORD.fullmatch(str(path)))


def is_by_pillow(path: str | Path) -> bool:
    """Whether a path is that of a record which only Pillow decodes."""
    return str(path).endswith("-pillow") and is_record(path)


def is_present(path: str | Path) -> bool:
    """Whether there is such a file, or such a shard."""
    record = _RECORD.fullmatch(str(path))
    return os.path.isfile(record[1] if record else path)


def byte_size(path: str | Path) -> int:
    """How many bytes `read_bytes` gives."""
    record = _RECORD.fullmatch(str(path))
    return int(record[3]) if record else os.path.getsize(path)


def read_bytes(path: str | Path) -> bytes:
    """Read a file, or a record.

    Raises:
        OSError: the file cannot be read.
        ValueError: the shard cannot be read, or is damaged where the record lies.
    """
    record = _RECORD.fullmatch(str(path))
    if not record:
        return Path(path).read_bytes()
    shard, offset, length, crc32, _ = record.groups()
    try:
        with open(shard, "rb", buffering=0) as file:
            file.seek(int(offset))
            data = file.read(int(length))
    except OSError as error:
        raise ValueError(f"The shard {shard} cannot be read: {error.strerror}. {MEND}") from error
    if zlib.crc32(data) != int(crc32, 16):
        raise ValueError(f"The shard {shard} is damaged at byte {int(offset):,}. {MEND}")
    return data
