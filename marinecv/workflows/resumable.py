"""Long work in a folder: one process at a time, and whatever ends it early, a note says how to go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marinecv.hold import hold
from marinecv.runs import is_begun


@contextmanager
def at_work(folder: Path, go_on: str = "") -> Iterator[None]:
    """Hold a folder; an interruption, or a disk that fails, carries a note: `go_on`, else `--resume FOLDER`."""
    with noting(folder, go_on), hold(folder):
        yield


@contextmanager
def noting(folder: Path, go_on: str = "") -> Iterator[None]:
    """The note of `at_work` alone, for a folder that several processes may work in."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as stopped:
        way = f"What is done is kept; go on with {go_on or f'--resume {folder}'}"
        stopped.add_note(way if go_on or is_begun(folder) else f"Nothing was begun in {folder}; start again.")
        raise
