"""Write files and folders whole or not at all: beside their place, flushed to the disk, then renamed."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r"\.\d+\..+")


def part_of(path: Path) -> Path:
    """Return the name under which this process writes a file; the suffix stays, since some writers need it."""
    return path.with_name(f".{os.getpid()}.{path.name}")


def is_part(path: Path) -> bool:
    """Return whether a file has a name that `part_of` gives."""
    return bool(_PART.fullmatch(path.name)) and path.is_file()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to it when the block succeeds, and removed when it fails.

    A process killed at any time leaves the old file or the new one.
    """
    path = Path(path)
    part = part_of(path)
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, data: dict) -> None:
    """Write indented JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def replaced(place: Path, say: Callable[[str], object] | None = None) -> Iterator[Path]:
    """Yield a new folder that replaces an older one when the block succeeds; lock the parent before.

    Stopped at any time, the older one stays, or is put back by the next call. `say` gets a line if there was one.
    """
    new, old = (place.with_name(f".{place.name}.{word}") for word in ("new", "old"))
    _tidy(place, new, old)
    new.mkdir()
    try:
        yield new
        if place.exists():
            if say is not None:
                say(f"The older {place} is replaced.")
            os.replace(place, old)
        os.replace(new, place)
    finally:
        _tidy(place, new, old)


def _tidy(place: Path, new: Path, old: Path) -> None:
    if old.exists() and not place.exists():  # stopped between the two renames
        os.replace(old, place)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
