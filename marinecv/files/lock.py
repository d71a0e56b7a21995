"""Lock a folder for one process; the operating system releases it when the process ends, killed or not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from marinecv.files.atomic import is_temporary

LOCK = ".lock"


@contextmanager
def lock_folder(folder: str | Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Lock a folder by its file `.lock`, which stays, and remove half-written files of a killed process in it.

    When another process holds the lock, `waiting` is called once and its end waited for; without it, raise ValueError.
    """
    lock = FileLock(Path(folder) / LOCK, is_singleton=True)  # one process may lock a folder twice
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            reason = f"{folder} is in use: another process writes into it."
            raise ValueError(f"{reason} Wait for its end, or name another folder.") from None
        waiting()
        lock.acquire()
    try:
        for path in (*Path(folder).iterdir(), *Path(folder).glob("figures/*")):
            if is_temporary(path):
                path.unlink()
        yield
    finally:
        lock.release()
