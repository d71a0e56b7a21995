"""What is in an archive, a zip or a tar: each entry named, with what would harm, before anything is written."""

import errno
import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_GZIP = b"\x1f\x8b"
_TAR, _TAR_AT = b"ustar", 257
_HEADER_BYTES = 30  # the least that stands before the content of an entry of a zip
_LONGEST_READ = 2**24  # bytes at once; a header that wants more is there to fill the memory


class Entry(NamedTuple):
    """One entry: its name, its size in bytes when unpacked, whether it is a folder, and "" or what is wrong with it."""

    name: str
    size: int
    is_folder: bool
    harm: str
    member: zipfile.ZipInfo | tarfile.TarInfo


Opened = tuple[Iterator[Entry], Callable[[Entry, Path], None]]


@contextmanager
def opened(archive: Path) -> Iterator[Opened]:
    """Give the entries of an archive as they are read, and a function that writes one below a folder.

    Raise ValueError where it is not a zip and not a tar, packed with gzip or not at all; or it is damaged.
    """
    with archive.open("rb") as file:
        head = file.read(_TAR_AT + len(_TAR))
    packed = head.startswith(_GZIP)
    with _tar(archive, packed) if packed or head[_TAR_AT:] == _TAR else _zip(archive) as content:
        yield content


@contextmanager
def _zip(archive: Path) -> Iterator[Opened]:
    with _reading(archive, "zip"):
        zipped = zipfile.ZipFile(archive)

    def write(entry: Entry, folder: Path) -> None:
        with _reading(archive, "zip"):
            zipped.extract(entry.member, folder)

    with zipped:
        yield _zip_entries(archive, zipped), write


def _zip_entries(archive: Path, zipped: zipfile.ZipFile) -> Iterator[Entry]:
    ends, overlong = archive.stat().st_size, set()
    in_place = sorted(zipped.infolist(), key=lambda each: each.header_offset)
    for member, behind in pairwise([*in_place, None]):
        if member.header_offset + _HEADER_BYTES + member.compress_size > (behind.header_offset if behind else ends):
            overlong.add(id(member))
    if not any("/" in member.filename for member in zipped.infolist()):  # of a Windows program against the standard
        for member in zipped.infolist():
            member.filename = member.filename.replace("\\", "/")
    for member in zipped.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        harm = "shares its bytes with another or has none" if id(member) in overlong else ""
        if member.flag_bits & 1:
            harm = "is encrypted"
        if kind == stat.S_IFLNK:
            harm = "is a link"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            harm = "is a device"
        yield Entry(member.filename, member.file_size, member.is_dir(), harm, member)


@contextmanager
def _tar(archive: Path, packed: bool) -> Iterator[Opened]:
    with _Gzip(archive) if packed else archive.open("rb") as stream:
        with _reading(archive, "tar"):
            tarred = tarfile.TarFile(fileobj=stream)

        def write(entry: Entry, folder: Path) -> None:
            """Write the bytes alone: no owner, no mode and no link of the archive's is taken over."""
            place = folder / entry.name
            (place if entry.is_folder else place.parent).mkdir(parents=True, exist_ok=True)
            if not entry.is_folder:
                with _reading(archive, "tar"), tarred.extractfile(entry.member) as source, place.open("xb") as file:
                    shutil.copyfileobj(source, file)

        with tarred:
            yield _tar_entries(archive, tarred, stream), write


def _tar_entries(archive: Path, tarred: tarfile.TarFile, stream) -> Iterator[Entry]:
    while True:
        with _reading(archive, "tar"):
            member = tarred.next()
            if member is None:
                # tarfile takes a header that it cannot read for the end. At the end gzip compares its checksum, too.
                while rest := stream.read(2**20):
                    if rest.strip(b"\0"):
                        raise tarfile.ReadError("a header in its midst is damaged")
                return
        harm = "" if member.isreg() or member.isdir() else "is a device"
        if member.issym() or member.islnk():
            harm = "is a link"
        yield Entry(member.name, member.size, member.isdir(), harm, member)


class _Gzip(gzip.GzipFile):
    """A packed file of which nobody reads more at once than memory holds."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return super().read(size)


@contextmanager
def _reading(archive: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a broken archive raises many kinds
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk, not of the archive
            raise
        raise ValueError(
            f"{archive} cannot be unpacked: {error}. Expected a whole {kind}. Download it again."
        ) from None
