"""The bytes of an image by its path, be it a file or a record of a pack's shard."""

import os
import re
import stat
import zlib
from pathlib import Path

FRAME = (12, 4)  # bytes before and behind what a record of a TFRecord file holds: length and checksum; checksum
MEND = "Bring it back from a copy, or pack the images again into another folder with `data pack`."
MAX_BYTES = 2**30  # of a file or a record: more than the largest image that is decoded takes uncompressed
_RECORD = re.compile(r"(.+\.tfrecord)#(\d+)\+(\d+)-([0-9a-f]{8})(-pillow)?", re.DOTALL)


def record_path(shard: str | Path, offset: int, length: int, crc32: int, by_pillow: bool = False) -> str:
    """Write where a record lies as a path, such as `images-00003.tfrecord#12345+6789-1a2b3c4d`.

    Offset and length are those in bytes of what the record holds, `crc32` its checksum, as zlib has it, and `by_pillow`
    says that it is an image that Pillow decodes and TensorFlow does not.
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


def file_problem(path: str | Path) -> str:
    """Return "", or why a file, or the shard of a record, is never opened; only its directory entry is read.

    A pipe or a device would never end, a very large file would fill the memory, and TensorFlow takes an address such
    as `gs://bucket/a.jpg` to the network.
    """
    record = _RECORD.fullmatch(str(path))
    if "://" in str(path):
        return "the path is an address; expected a file on this machine"
    try:
        state = os.stat(record[1] if record else path)
    except (OSError, ValueError) as error:  # a name with a NUL is no OSError
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISREG(state.st_mode):
        return "no regular file, but a folder, a pipe, a socket or a device"
    size = int(record[3]) if record else state.st_size
    return f"{size:,} bytes are more than the {MAX_BYTES:,} that an image may have" if size > MAX_BYTES else ""


def byte_size(path: str | Path) -> int:
    """How many bytes `read_bytes` gives."""
    record = _RECORD.fullmatch(str(path))
    return int(record[3]) if record else os.path.getsize(path)


def read_bytes(path: str | Path) -> bytes:
    """Read a file (OSError where that fails, see `file_problem`), or a record (ValueError where it is damaged)."""
    record, problem = _RECORD.fullmatch(str(path)), file_problem(path)
    if problem:
        raise ValueError(f"The shard {record[1]} cannot be read: {problem}. {MEND}") if record else OSError(problem)
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
