"""Unpack a zip or tar file from an unknown source: every entry is checked before anything is written."""

import errno
import gzip
import posixpath
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

MAX_BYTES = 64 * 2**30
MAX_RATIO = 200  # photographs hardly shrink; text and label files shrink 20-fold
RATIO_MATTERS_FROM = 256 * 2**20
MAX_ENTRIES = 5_000_000
_MAX_HEADER_BYTES = 2**24  # a longer header of a compressed tar file is there to fill the memory
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class Entry(NamedTuple):
    """One entry of an archive; `is_plain` is False for a link or a device, and `extract` writes it below a folder."""

    name: str
    size: int
    is_file: bool
    is_plain: bool
    extract: Callable[[Path], object]


def safe_unpack(archive: Path, folder: Path, below: str = "") -> None:
    """Unpack a zip or tar file, compressed with gzip or not, into a new folder; an error leaves no folder.

    Where the archive has a folder `below`, only that one is unpacked. A killed process leaves the folder incomplete:
    give one inside `building`. Raises ValueError where the archive is damaged or would write elsewhere, overwrite files
    or fill the disk, and OSError where the disk has no room.
    """
    folder.mkdir(parents=True)
    try:
        with _open_archive(archive) as unchecked:
            entries = _check_entries(archive, unchecked)
            entries = [each for each in entries if below and _path(each).startswith(f"{below}/")] or entries
            size, free = sum(entry.size for entry in entries), shutil.disk_usage(folder).free
            if size > free:
                reason = f"{size:,} bytes unpacked are needed and {free:,} are free; make room or set MARINECV_HOME"
                raise OSError(errno.ENOSPC, reason, str(archive))
            for entry in entries:
                entry.extract(folder)
    except Exception as error:  # a damaged archive raises many kinds
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):  # of the disk
            raise
        raise ValueError(
            f"{archive} was not unpacked: {error}. Expected a whole zip or tar file of plain files with relative "
            "paths, each name once. Download it again; or unpack it yourself, if you trust it, and give it as data_dir."
        ) from None


@contextmanager
def _open_archive(archive: Path) -> Iterator[Iterator[Entry]]:
    """Yield the entries of an archive as they are read; its content decides on the kind, not its name."""
    with archive.open("rb") as file:
        first_bytes = file.read(262)
        file.seek(0)
        if first_bytes.startswith(b"\x1f\x8b") or first_bytes[257:] == b"ustar":
            stream = _Gzip(fileobj=file) if first_bytes.startswith(b"\x1f\x8b") else file
            with tarfile.TarFile(fileobj=stream) as tarred:
                yield _tar_entries(tarred, stream)
        else:
            with zipfile.ZipFile(file) as zipped:
                yield _zip_entries(zipped)


class _Gzip(gzip.GzipFile):
    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"it has a header of {size:,} bytes")
        return super().read(size)


def _tar_entries(tarred: tarfile.TarFile, stream) -> Iterator[Entry]:
    for member in tarred:
        is_plain, extract = member.isreg() or member.isdir(), partial(tarred.extract, member, filter="data")
        yield Entry(member.name, member.size, member.isreg(), is_plain, extract)
    while remaining := stream.read(2**20):  # tarfile takes a damaged header for the end; gzip compares its checksum
        if remaining.strip(b"\0"):
            raise tarfile.ReadError("a header in its midst is damaged")


def _zip_entries(zipped: zipfile.ZipFile) -> Iterator[Entry]:
    is_windows = not any("/" in info.filename for info in zipped.infolist())
    for info in zipped.infolist():
        info.filename = info.filename.replace("\\", "/") if is_windows else info.filename
        is_plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        yield Entry(info.filename, info.file_size, not info.is_dir(), is_plain, partial(zipped.extract, info))


def _check_entries(archive: Path, unchecked: Iterator[Entry]) -> list[Entry]:
    """Return the entries; refuse the first harmful one, since a tar file is known only as it is read."""
    entries, size = [], 0
    limit = min(MAX_BYTES, max(RATIO_MATTERS_FROM, MAX_RATIO * archive.stat().st_size))
    for entry in unchecked:
        if entry.name.startswith("__MACOSX/"):
            continue
        entries.append(entry)
        size += entry.size
        if ".." in re.split(r"[/\\]", entry.name) or _CONTROL.search(entry.name) or not entry.is_plain:
            raise ValueError(f"entry {entry.name!r:.200} is a link or device, or has '..' or a control character in it")
        if size > limit or len(entries) > MAX_ENTRIES:
            raise ValueError(f"it would become {size:,} bytes in {len(entries):,} entries, expected at most {limit:,}")
    # One name for all file systems: without case, and with one way to write an accent.
    files = Counter(unicodedata.normalize("NFC", _path(entry)).casefold() for entry in entries if entry.is_file)
    for name, count in files.items():
        if count > 1 or any(str(parent) in files for parent in PurePosixPath(name).parents):
            raise ValueError(f"{name!r:.200} is there twice, perhaps in upper and lower case, or lies below a file")
    return entries


def _path(entry: Entry) -> str:
    return posixpath.normpath(entry.name).lstrip("/")
