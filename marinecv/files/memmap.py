"""Memory-mapped arrays in files: disk space is taken before they are written, and they are checked before use."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np


def make_array(path: str | Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """Make and map a `.npy` file of zeros, its disk space allocated: a mapped write without space kills the process.

    Raises OSError where there is no space; the message has the bytes needed and free.
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
        reason = f"{size:,} bytes are needed and {free:,} are free: {error.strerror}"
        raise OSError(error.errno, reason, str(path.parent)) from error
    return np.load(path, mmap_mode="r+", allow_pickle=False)


def open_array(path: str | Path, shape: tuple[int, ...], dtype: type, mode: str = "r") -> np.memmap | None:
    """Map an array that `make_array` made; None where there is none, it is cut short, or has another shape or type."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mode "r+" would lengthen a file cut short
        is_whole = Path(path).stat().st_size == array.offset + array.nbytes
    except (OSError, ValueError, EOFError):
        return None
    if not (is_whole and array.dtype == dtype and array.shape == shape):
        return None
    return array if mode == "r" else np.load(path, mmap_mode=mode, allow_pickle=False)
