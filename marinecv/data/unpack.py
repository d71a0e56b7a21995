"""Unpack a zip that came from elsewhere: look at every entry first, write only if all are harmless."""

import errno
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath

MAX_BYTES = 64 * 2**30
MAX_RATIO = 200  # photographs hardly shrink at all; text and label files shrink 20-fold
RATIO_MATTERS_FROM = 256 * 2**20
MAX_ENTRIES = 5_000_000
MAX_DEPTH = 64
MAX_NAME_BYTES = 255  # what every common file system takes
_HEADER_BYTES = 30  # the least that stands before the content of an entry


def safe_unpack(archive: Path, folder: Path, below: str = "") -> None:
    """Unpack a zip into a new folder; what is wrong leaves none.

    Args:
        archive: the zip file.
        folder: must not exist yet. Killed half-way it stays: give one inside of `store.making`.
        below: unpack only what lies below this folder of the archive, if the archive has it.
    Raises:
        ValueError: not a zip, damaged, or an entry that could write elsewhere, overwrite another or fill the disk.
        OSError: the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _reading(archive):
        zipped = zipfile.ZipFile(archive)
    with zipped:
        entries = [each for each in zipped.infolist() if not each.filename.startswith("__MACOSX/")]
        _refuse_harm(archive, entries)
        wanted = [each for each in entries if below and each.filename.startswith(f"{below}/")] or entries
        _refuse_collisions(archive, wanted)
        _refuse_too_much(archive, sum(entry.file_size for entry in wanted), folder.parent)
        folder.mkdir()
        try:
            for entry in wanted:
                with _reading(archive):
                    zipped.extract(entry, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a broken zip raises many kinds
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk, not of the archive
            raise
        raise ValueError(f"{archive} cannot be unpacked: {error}. Expected a whole zip. Download it again.") from None


def _refuse_harm(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ValueError(
            f"{archive} was not unpacked: it has {len(entries):,} entries. Expected at most {MAX_ENTRIES:,}."
        )
    for entry in entries:
        if reason := _harm(entry):
            _refuse(archive, entry, reason, "plain files with relative paths")
    ends = archive.stat().st_size
    in_place = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, behind in pairwise([*in_place, None]):
        limit = behind.header_offset if behind else ends
        if entry.header_offset + _HEADER_BYTES + entry.compress_size > limit:
            _refuse(archive, entry, "shares its bytes with another or has none", "each entry to lie by itself")


def _refuse_collisions(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse names of which one would take the place of another, here or where upper and lower case are the same."""
    files: set[str] = set()
    for entry in entries:
        if not entry.is_dir():
            if (name := _folded(entry)) in files:
                _refuse(archive, entry, "is there twice, perhaps in upper and lower case", "each name once")
            files.add(name)
    for entry in entries:
        if any(str(parent) in files for parent in PurePosixPath(_folded(entry)).parents):
            _refuse(archive, entry, "lies below a file", "each name once")


def _refuse_too_much(archive: Path, size: int, place: Path) -> None:
    if size > MAX_BYTES or size > max(RATIO_MATTERS_FROM, MAX_RATIO * archive.stat().st_size):
        raise ValueError(
            f"{archive} was not unpacked: its {archive.stat().st_size:,} bytes would become {size:,}. Expected at most "
            f"{MAX_RATIO} times its size and {MAX_BYTES:,} bytes. Unpack it yourself, if you trust it."
        )
    if size > (free := shutil.disk_usage(place).free):
        raise OSError(
            f"{archive} needs {size:,} bytes unpacked and {free:,} are free. Make room, or set MARINECV_HOME."
        )


def _refuse(archive: Path, entry: zipfile.ZipInfo, reason: str, expected: str) -> None:
    raise ValueError(
        f"{archive} was not unpacked: entry {entry.filename!r:.200} {reason}. Expected {expected}. Unpack it yourself, "
        "if you trust it, and give the folder with --data-dir."
    )


def _harm(entry: zipfile.ZipInfo) -> str:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
        return "has an absolute or a Windows path"
    if not parts and not entry.is_dir():
        return "has no name"
    if ".." in parts:
        return "climbs out with '..'"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "has a control character in its name"
    if len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"lies deeper than {MAX_DEPTH} folders or has a name of more than {MAX_NAME_BYTES} bytes"
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device"
    return "is encrypted" if entry.flag_bits & 1 else ""


def _folded(entry: zipfile.ZipInfo) -> str:
    """A name as file systems compare it that know no case and one way to write an accent."""
    return unicodedata.normalize("NFC", str(PurePosixPath(entry.filename))).casefold()
