"""The cache folder of the user, for data sets and downloads: outside every project, shared by all processes."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from marinecv.files.lock import LOCK, lock_folder

_FILE_NAME = re.compile(r"[^./\\:\0][^/\\:\0]*")


def cache_home() -> Path:
    """Return `$MARINECV_HOME`, else the folder `marinecv` in the operating system's cache folder."""
    home = os.environ.get("MARINECV_HOME") or platformdirs.user_cache_path("marinecv", appauthor=False, opinion=False)
    return Path(os.path.expanduser(home)).absolute()


def cache_path(*parts: str) -> Path:
    """Return a path in the cache folder, not created; ValueError where a part, as of an unknown manifest, leads out."""
    if wrong := [part for part in parts if not _FILE_NAME.fullmatch(part)]:
        raise ValueError(f"{wrong[0]!r} is no name for the cache. Expected one without / \\ : and a leading dot.")
    return cache_home().joinpath(*parts)


def is_cached(path: Path) -> bool:
    """Return whether a path exists; raise ValueError where it is a link to a folder that is gone."""
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{path} is a link to a folder that is gone. Remove the link, or restore what it points to.")
    return path.exists()


@contextmanager
def building(path: Path, log: Callable[[str], object] | None = None) -> Iterator[Path]:
    """Lock and yield the empty hidden folder beside a path, to make there what is then renamed to the path.

    Beside `.../data/aquarium` it is `.../data/.aquarium.making`; it stays, and is emptied before and after. One process
    at a time is in it; `log` gets a line when another is waited for. After waiting, check whether the path exists now.
    """
    folder = path.with_name(f".{path.name}.making")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, waiting=lambda: log and log(f"Another process is making {path}; waiting for it.")):
        _empty(folder)
        try:
            yield folder
        finally:
            _empty(folder)


def make_room(path: Path, needed: int, budget_bytes: int) -> None:
    """Remove the least recently used siblings of a path until `needed` bytes fit into the budget and on the disk.

    The budget in bytes is for all of that folder. What another process has locked stays, and so do hidden names.
    """
    found = []
    for sibling in path.parent.iterdir():
        if sibling != path and not sibling.name.startswith("."):
            with suppress(OSError):  # another process has removed it
                found.append((sibling.stat().st_mtime, _size(sibling), sibling))
    used = sum(size for _, size, _ in found)
    for _, size, sibling in sorted(found):
        if used + needed <= budget_bytes and needed <= shutil.disk_usage(path.parent).free:
            return
        with suppress(ValueError, OSError):  # another process has locked it, or, on Windows, maps it
            if sibling.is_dir():
                with lock_folder(sibling):
                    shutil.rmtree(sibling, ignore_errors=True)  # Windows keeps the lock file
            else:
                sibling.unlink()
            used -= size


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
