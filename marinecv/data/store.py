"""The cache folder of the user, for data sets and downloads: outside every project, shared by all processes."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from marinecv.hold import LOCK, hold

_PLAIN = re.compile(r"[^./\\:\0][^/\\:\0]*")


def store_home() -> Path:
    """Return `$MARINECV_HOME`, else the folder `marinecv` in the operating system's cache folder."""
    home = os.environ.get("MARINECV_HOME") or platformdirs.user_cache_path("marinecv", appauthor=False, opinion=False)
    return Path(os.path.expanduser(home)).absolute()


def store_path(*parts: str) -> Path:
    """Return a path in the cache folder, such as `store_path("data", "aquarium")`; nothing is created.

    Raises ValueError where a part would lead elsewhere, as a name in an unknown manifest may.
    """
    if wrong := [part for part in parts if not _PLAIN.fullmatch(part)]:
        raise ValueError(f"{wrong[0]!r} is no name for the cache. Expected one without / \\ : and a leading dot.")
    return store_home().joinpath(*parts)


def stored(place: Path) -> bool:
    """Return whether a path exists; raise ValueError where it is a link to a folder that is gone."""
    if place.is_symlink() and not place.exists():
        raise ValueError(f"{place} is a link to a folder that is gone. Remove the link, or restore what it points to.")
    return place.exists()


@contextmanager
def making(place: Path, say: Callable[[str], object] | None = None) -> Iterator[Path]:
    """Lock and yield the empty hidden folder beside a path, to make there what is then renamed to the path.

    Beside `.../data/aquarium` it is `.../data/.aquarium.making`; it stays, and is emptied before and after. One process
    at a time is in it; `say` gets a line when another is waited for. After waiting, check whether the path exists now.
    """
    folder = place.with_name(f".{place.name}.making")
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder, waiting=lambda: say and say(f"Another process is making {place}; waiting for it.")):
        _empty(folder)
        try:
            yield folder
        finally:
            _empty(folder)


def make_room(place: Path, needed: int, budget_bytes: int) -> None:
    """Remove the least recently used siblings of a path until `needed` bytes fit into the budget and on the disk.

    The budget in bytes is for all of that folder. What another process has locked stays, and so do hidden names.
    """
    others = [other for other in place.parent.iterdir() if other != place and not other.name.startswith(".")]
    sizes = {other: _size(other) for other in others}
    for other in sorted(sizes, key=lambda other: other.stat().st_mtime):
        if sum(sizes.values()) + needed <= budget_bytes and needed <= shutil.disk_usage(place.parent).free:
            return
        with suppress(ValueError, OSError):  # another process has locked it, or, on Windows, maps it
            if other.is_dir():
                with hold(other):
                    shutil.rmtree(other, ignore_errors=True)  # Windows keeps the lock file
            else:
                other.unlink()
            del sizes[other]


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.iterdir()) if place.is_dir() else place.stat().st_size


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
