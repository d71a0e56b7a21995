"""Arrays in files, mapped from there: their room truly taken, and looked at before they are used."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np


def make_array(path: str | Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """Make a `.npy` file of zeros to be written; to write to a file without room kills the process that maps it.

    Raises OSError where there is no room; the message has the bytes wanted and free.
    """
    path, size = Path(path), int(np.prod(shape)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(path.parent).free
    try:
        with open(path, "wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, file.tell() + size)
            elif size > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                file.truncate(file.tell() + size)
    except OSError as error:
        raise OSError(
            error.errno, f"{size:,} bytes are needed and {free:,} are free: {error.strerror}", str(path.parent)
        ) from error
    return np.load(path, mmap_mode="r+", allow_pickle=False)


def open_array(path: str | Path, shape: tuple[int, ...], dtype: type, mode: str = "r") -> np.memmap | None:
    """Map an array that `make_array` made; None where there is none, it is cut short, or it is another."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # to write, NumPy would lengthen a file cut short
        whole = Path(path).stat().st_size == array.offset + array.nbytes
    except (OSError, ValueError, EOFError):  # absent; damaged, or shorter than it says; empty
        return None
    if not (whole and array.dtype == dtype and array.shape == shape):
        return None
    return array if mode == "r" else np.load(path, mmap_mode=mode, allow_pickle=False)
