"""Unpack a zip that came from elsewhere: look at every entry first, write only if all are harmless."""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

MAX_BYTES = 64 * 2**30
MAX_RATIO = 200  # photographs hardly shrink at all; text and label files shrink 20-fold
RATIO_MATTERS_FROM = 256 * 2**20


def safe_unpack(archive: Path, folder: Path, below: str = "") -> None:
    """Unpack a zip so that `folder` appears only when it is complete.

    Args:
        archive: the zip file.
        folder: must not exist yet.
        below: unpack only what lies below this folder of the archive, if the archive has it.
    Raises:
        ValueError: not a zip, damaged, or an entry that could write elsewhere or fill the disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        try:
            with zipfile.ZipFile(archive) as zipped:
                entries = [each for each in zipped.infolist() if not each.filename.startswith("__MACOSX/")]
                _refuse_harm(archive, entries, free=shutil.disk_usage(temporary).free)
                wanted = [each for each in entries if below and each.filename.startswith(f"{below}/")] or entries
                for entry in wanted:
                    zipped.extract(entry, content)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(
                f"{archive} cannot be unpacked: {error}. Expected a whole zip. Download it again."
            ) from None
        os.replace(content, folder)


def _refuse_harm(archive: Path, entries: list[zipfile.ZipInfo], free: int) -> None:
    for entry in entries:
        if reason := _harm(entry):
            raise ValueError(
                f"{archive} was not unpacked: entry {entry.filename!r} {reason}. Expected plain files with relative "
                "paths. Unpack it yourself, if you trust it, and give the folder with --data-dir."
            )
    size = sum(entry.file_size for entry in entries)
    if size > MAX_BYTES or size > max(RATIO_MATTERS_FROM, MAX_RATIO * archive.stat().st_size):
        raise ValueError(
            f"{archive} was not unpacked: its {archive.stat().st_size:,} bytes would become {size:,}. Expected at most "
            f"{MAX_RATIO} times its size and {MAX_BYTES:,} bytes. Unpack it yourself, if you trust it."
        )
    if size > free:
        raise ValueError(
            f"{archive} needs {size:,} bytes unpacked and {free:,} are free. Make room, or set MARINECV_HOME."
        )


def _harm(entry: zipfile.ZipInfo) -> str:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
        return "has an absolute or a Windows path"
    if ".." in PurePosixPath(name).parts:
        return "climbs out with '..'"
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device"
    return "is encrypted" if entry.flag_bits & 1 else ""
