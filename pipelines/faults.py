"""The error message of a failed command: one sentence with the cause and the fix."""

import argparse
import errno
import re

from .options import in_flags

NO_ROOM = "Make room, or write elsewhere: --output-dir for results, MARINECV_HOME for the cache, TMPDIR for the rest."
NOT_ALLOWED = (
    "Name a folder that may be written: --output-dir for results, MARINECV_HOME for the cache; or copy the run."
)
FIXES = dict.fromkeys(("ENOSPC", "EDQUOT", "EFBIG"), NO_ROOM) | dict.fromkeys(("EACCES", "EPERM", "EROFS"), NOT_ALLOWED)
DISK_FULL = re.compile(r"(?:(\S+); )?(No space left on device|Disk quota exceeded|File too large|disk is full)")
OUT_OF_MEMORY = re.compile(r"OOM when allocating .*?\]|Unable to allocate .*|Out of memory.*|RESOURCE_EXHAUSTED.*")
"""Messages of libraries about a full disk and a full memory."""
SIZE_FLAGS = {"batch_size": "--batch-size", "image_size": "--image-size", "limit": "--limit"}


def error_message(error: Exception, args: argparse.Namespace) -> str:
    """Return the cause and the fix in flags; empty for a bug of the program, which needs its traceback."""
    message, kind = in_flags(str(error)), type(error).__name__
    fix = FIXES.get(errno.errorcode.get(getattr(error, "errno", None)), "")
    full, memory = DISK_FULL.search(message), OUT_OF_MEMORY.search(message)
    if isinstance(error, UnicodeEncodeError):
        return ""
    if full and not fix and "Make room" not in message:
        message, fix = f"{full[1] or 'A file'} cannot be written: {full[2]}.", NO_ROOM
    elif not full and (memory or isinstance(error, MemoryError) or kind == "ResourceExhaustedError"):
        flags = " or ".join(flag for name, flag in SIZE_FLAGS.items() if hasattr(args, name)) or "model"
        message, fix = f"Out of memory{f' ({memory[0]:.200})' if memory else ''}.", f"Use a smaller {flags}."
    elif kind == "InvalidArgumentError":  # TensorFlow wraps a ValueError of reading images
        message = (re.findall("ValueError: (.+)", message) or [""])[0]
    elif not full and not isinstance(error, (ValueError, OSError)):
        return ""
    message = f"{message.rstrip('.')}. {fix}" if message and fix else message
    return " ".join(filter(None, [message, *notes(error)]))


def notes(error: BaseException) -> list[str]:
    """Return the outermost note: that of an experiment, not of its run."""
    return [in_flags(note) for note in getattr(error, "__notes__", [])[-1:]]
