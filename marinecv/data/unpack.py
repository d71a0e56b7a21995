"""Unpack an archive that came from elsewhere: look at every entry first, write only if all are harmless."""

import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from marinecv.data.archives import Entry, opened

MAX_BYTES = 64 * 2**30
MAX_RATIO = 200  # photographs hardly shrink at all; text and label files shrink 20-fold
RATIO_MATTERS_FROM = 256 * 2**20
MAX_ENTRIES = 5_000_000
MAX_DEPTH = 64
MAX_NAME_BYTES = 255  # what every common file system takes


def safe_unpack(archive: Path, folder: Path, below: str = "") -> None:
    """Unpack a zip or a tar, packed with gzip or not, into a new folder; what is wrong leaves none.

    Only what lies `below` this folder of the archive, if it has it. Killed half-way the folder stays: give one inside
    of `store.making`. ValueError of an archive that is damaged, writes elsewhere, overwrites or fills the disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with opened(archive) as (found, write):
        entries = _harmless(archive, (each for each in found if not each.name.startswith("__MACOSX/")))
        wanted = [each for each in entries if below and _plain(each).startswith(f"{below}/")] or entries
        _refuse_collisions(archive, wanted)
        size, free = sum(entry.size for entry in wanted), shutil.disk_usage(folder.parent).free
        if size > free:
            raise OSError(
                f"{archive} needs {size:,} bytes unpacked and {free:,} are free. Make room, or set MARINECV_HOME."
            )
        folder.mkdir()
        try:
            for entry in wanted:
                write(entry, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _harmless(archive: Path, found: Iterator[Entry]) -> list[Entry]:
    """Return the entries; the first that is one too many or harmful ends it, for a tar is known only as it is read."""
    entries, size = [], 0
    for entry in found:
        entries.append(entry)
        size += entry.size
        if len(entries) > MAX_ENTRIES:
            raise ValueError(
                f"{archive} was not unpacked: it has {len(entries):,} entries. Expected at most {MAX_ENTRIES:,}."
            )
        if reason := _harm(entry.name, entry.is_folder) or entry.harm:
            _refuse(archive, entry, reason, "plain files with relative paths, each by itself")
        if size > MAX_BYTES or size > max(RATIO_MATTERS_FROM, MAX_RATIO * archive.stat().st_size):
            raise ValueError(
                f"{archive} was not unpacked: its {archive.stat().st_size:,} bytes would become {size:,}. Expected at "
                f"most {MAX_RATIO} times its size and {MAX_BYTES:,} bytes. Unpack it yourself, if you trust it."
            )
    return entries


def _refuse_collisions(archive: Path, entries: list[Entry]) -> None:
    """Refuse names of which one would take the place of another, here or where upper and lower case are the same."""
    files: set[str] = set()
    for entry in entries:
        if not entry.is_folder:
            if (name := _folded(entry)) in files:
                _refuse(archive, entry, "is there twice, perhaps in upper and lower case", "each name once")
            files.add(name)
    for entry in entries:
        if any(str(parent) in files for parent in PurePosixPath(_folded(entry)).parents):
            _refuse(archive, entry, "lies below a file", "each name once")


def _refuse(archive: Path, entry: Entry, reason: str, expected: str) -> None:
    raise ValueError(
        f"{archive} was not unpacked: entry {entry.name!r:.200} {reason}. Expected {expected}. Unpack it yourself, if "
        "you trust it, and give the folder with --data-dir."
    )


def _harm(name: str, is_folder: bool) -> str:
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
        return "has an absolute or a Windows path"
    if not parts and not is_folder:
        return "has no name"
    if ".." in parts:
        return "climbs out with '..'"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "has a control character in its name"
    if len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts):
        return f"lies deeper than {MAX_DEPTH} folders or has a name of more than {MAX_NAME_BYTES} bytes"
    return ""


def _plain(entry: Entry) -> str:
    return str(PurePosixPath(entry.name))


def _folded(entry: Entry) -> str:
    """A name as file systems compare it that know no case and one way to write an accent."""
    return unicodedata.normalize("NFC", _plain(entry)).casefold()
