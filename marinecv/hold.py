"""One process at a time: a folder is held by the one that writes into it, and free again when that ends, however."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from marinecv.atomic import is_part

LOCK = ".lock"


@contextmanager
def hold(folder: str | Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a folder for this process; what a killed one has left half-written in it, and in its figures, is removed.

    The operating system frees it when the process ends, killed or not. The folder gets a file `.lock`, which stays.
    When another process holds it, `waiting` is called once and its end waited for; without it that is a ValueError.
    """
    lock = FileLock(Path(folder) / LOCK, is_singleton=True)  # one process may hold a folder twice
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            raise ValueError(
                f"{folder} is in use: another process writes into it. Wait for its end, or name another folder."
            ) from None
        waiting()
        lock.acquire()
    try:
        for path in (*Path(folder).iterdir(), *Path(folder).glob("figures/*")):
            if is_part(path):
                path.unlink()
        yield
    finally:
        lock.release()
