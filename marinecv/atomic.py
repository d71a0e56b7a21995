"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, what was written there takes its place.

    Killed at any instant, the old file stands or the new one does; a block that raises leaves nothing behind.
    """
    path = Path(path)
    part = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: some writers choose the format by it
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
