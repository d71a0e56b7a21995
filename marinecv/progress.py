"""Show the progress of long work: a bar in a terminal or a notebook, else a line from time to time."""

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Lock

from marinecv.console import Log

BAR_AFTER_S, LINE_AFTER_S = 2.0, 10.0  # of shorter work nothing is shown
LINE_EVERY_S = 30.0  # or a tenth of the work, whichever takes longer
BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
BAR_OPTIONS = {"bar_format": BAR_FORMAT, "dynamic_ncols": True, "miniters": 0, "leave": False}


@contextmanager
def progress_bar(
    total: int | None, description: str, *, unit: str = "", done: int = 0, log: Log | None = None
) -> Iterator[Callable[[int], None]]:
    """Show the progress of the block: a bar on standard error, or else lines given to `log`.

    Yields `show(done)`, which takes the number done so far, from any thread. `total` is None where unknown, `unit` is
    what is counted, and `done` was done before.
    """
    started, lock, initial, due = time.monotonic(), Lock(), done, LINE_AFTER_S

    def show_line(done: int) -> None:
        nonlocal due
        elapsed = time.monotonic() - started
        with lock:
            if log and done > initial and elapsed >= due:
                whole = elapsed * (total - initial) / (done - initial) if total else elapsed
                due = elapsed + max(LINE_EVERY_S, whole / 10)
                left = f", about {duration(whole - elapsed)} left" if whole > elapsed else ""
                log(f"  {description}: {done:,}{f' of {total:,}' if total else ''} {unit}".rstrip() + left)

    def show_bar(done: int) -> None:
        with lock:
            bar.update(done - bar.n)

    if not is_interactive():
        yield show_line
        return
    with warnings.catch_warnings(action="ignore"):  # a notebook without widgets has a bar of text
        from tqdm.auto import tqdm
    with tqdm(total=total, desc=description, initial=done, delay=BAR_AFTER_S, **BAR_OPTIONS) as bar:
        yield show_bar
        bar.n = bar.total or bar.n  # a notebook marks a bar that is not full as an error


def is_interactive() -> bool:
    """Return whether this is a notebook, or a terminal with both outputs: `| tee` would break a bar."""
    if parent_process() is not None or os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") != "0":
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if "IPKernelApp" in getattr(shell, "config", ()):
        return True
    are_terminals = all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
    return are_terminals and 0 not in shutil.get_terminal_size((0, 0))  # a log file in CI is a terminal without a size


def duration(seconds: float) -> str:
    """Return seconds as text: `"40 s"`, `"3 min"`, `"1 h 10 min"`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
