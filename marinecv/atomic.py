"""Files and folders that are whole or absent: written beside their place, flushed to the disk, then renamed."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r"\.\d+\..+")


def part_of(path: Path) -> Path:
    """The name under which this process writes a file; the suffix stays, for some writers choose the format by it."""
    return path.with_name(f".{os.getpid()}.{path.name}")


def is_part(path: Path) -> bool:
    """Whether a file has a name that `part_of` gives."""
    return bool(_PART.fullmatch(path.name)) and path.is_file()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, what was written there takes its place.

    Killed at any instant, the old file stands or the new one does; a block that raises leaves nothing behind.
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
    """Give a new folder that takes the place of an older one when the block ends well; the caller holds its parent.

    Stopped at any instant, the older one stands, or is put back by the next call. `say` is told that there was one.
    """
    new, old = (place.with_name(f".{place.name}.{word}") for word in ("new", "old"))
    _tidy(place, new, old)
    new.mkdir()
    try:
        yield new
        if place.exists():
            if say is not None:
                say(f"What lay in {place} is replaced.")
            os.replace(place, old)
        os.replace(new, place)
    finally:
        _tidy(place, new, old)


def _tidy(place: Path, new: Path, old: Path) -> None:
    if old.exists() and not place.exists():  # stopped between the two renames
        os.replace(old, place)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
