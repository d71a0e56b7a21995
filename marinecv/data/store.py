"""Where data sets and downloads are kept: one folder of the user's, outside every project, shared by all processes."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marinecv.hold import LOCK, hold

_PLAIN = re.compile(r"[^./\\:\0][^/\\:\0]*")


def store_home() -> Path:
    """`$MARINECV_HOME`, else the operating system's cache folder with `marinecv` below it."""
    if own := os.environ.get("MARINECV_HOME"):
        return Path(os.path.expanduser(own)).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "marinecv"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "marinecv"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marinecv"


def store_path(*parts: str) -> Path:
    """Return a path below the store, such as `store_path("data", "aquarium")`; nothing is created.

    Raise ValueError where a part would lead elsewhere, as the name in a manifest from a stranger may.
    """
    if wrong := [part for part in parts if not _PLAIN.fullmatch(part)]:
        raise ValueError(f"{wrong[0]!r} is no name for the store. Expected one without / \\ : and a dot in front.")
    return store_home().joinpath(*parts)


def stored(place: Path) -> bool:
    """Whether something lies at a place of the store; a link to a folder that is gone is a ValueError."""
    if place.is_symlink() and not place.exists():
        raise ValueError(f"{place} is a link to a folder that is gone. Remove the link, or mend what it points to.")
    return place.exists()


@contextmanager
def making(place: Path, say: Callable[[str], object] | None = None) -> Iterator[Path]:
    """Hold the hidden folder beside a place; what shall lie there is made in it and renamed when it is complete.

    Beside `.../data/aquarium` it is `.../data/.aquarium.making`; it stays, empty. One process at a time is in it
    (`say` is told once when another is waited for), and what a killed one left in it is gone. Who has waited looks
    again whether the place is there now.
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
    """Remove what lies beside a place and was used longest ago, until something new fits into the budget and the disk.

    `needed` are the bytes of the new thing, the budget is for all there. What another process holds stays, and so do
    names that begin with a dot.
    """
    others = [other for other in place.parent.iterdir() if other != place and not other.name.startswith(".")]
    sizes = {other: _size(other) for other in others}
    for other in sorted(sizes, key=lambda other: other.stat().st_mtime):
        if sum(sizes.values()) + needed <= budget_bytes and needed <= shutil.disk_usage(place.parent).free:
            return
        with suppress(ValueError, OSError):  # another process holds it; on Windows, it maps it
            if other.is_dir():
                with hold(other):
                    shutil.rmtree(other, ignore_errors=True)  # Windows keeps the lock, which is held
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
