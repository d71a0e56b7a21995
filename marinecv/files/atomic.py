"""Write files and folders whole or not at all: beside their place, flushed to the disk, then renamed."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\.\d+\..+")


def temporary_name(path: Path) -> Path:
    """Return the name under which this process writes a file; the suffix stays, since some writers need it."""
    return path.with_name(f".{os.getpid()}.{path.name}")


def is_temporary(path: Path) -> bool:
    """Return whether a file has a name that `temporary_name` gives."""
    return bool(_TEMPORARY.fullmatch(path.name)) and path.is_file()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to it when the block succeeds, and removed when it fails.

    A process killed at any time leaves the old file or the new one.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # that of a full disk names no file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, data: dict) -> None:
    """Write indented JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def replaced_folder(place: Path, log: Callable[[str], object] | None = None) -> Iterator[Path]:
    """Yield a new folder that replaces an older one when the block succeeds; lock the parent before.

    Stopped at any time, the older one stays, or is put back by the next call. `log` gets a line if there was one.
    """
    new, old = (place.with_name(f".{place.name}.{word}") for word in ("new", "old"))
    _restore_and_clean(place, new, old)
    new.mkdir()
    try:
        yield new
        if place.exists():
            if log is not None:
                log(f"The older {place} is replaced.")
            os.replace(place, old)
        os.replace(new, place)
    finally:
        _restore_and_clean(place, new, old)


def _restore_and_clean(place: Path, new: Path, old: Path) -> None:
    if old.exists() and not place.exists():  # stopped between the two renames
        os.replace(old, place)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
