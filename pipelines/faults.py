"""What a command says of the error that ended it: one sentence that names the cause, and how to mend it."""

import argparse
import errno
import re

from .options import in_flags

NO_ROOM = "Make room, or write elsewhere: --output-dir for results, MARINECV_HOME for the store, TMPDIR for the rest."
NOT_ALLOWED = "Name a folder that may be written: --output-dir for results, MARINECV_HOME for the store."
MENDS = dict.fromkeys(("ENOSPC", "EDQUOT", "EFBIG"), NO_ROOM) | dict.fromkeys(("EACCES", "EPERM", "EROFS"), NOT_ALLOWED)
FULL = re.compile(r"(?:(\S+); )?(No space left on device|Disk quota exceeded|File too large|disk is full)")
MEMORY = re.compile(r"OOM when allocating .*?\]|Unable to allocate .*|Out of memory.*|RESOURCE_EXHAUSTED.*")
"""Of a full disk and of a full memory, as libraries report them in errors of many kinds."""
SMALLER = {"batch_size": "--batch-size", "image_size": "--image-size", "limit": "--limit"}


def in_words(error: Exception, args: argparse.Namespace) -> str:
    """Return what went wrong and how to mend it; empty for a fault of the program, which needs its traceback."""
    said, kind = in_flags(str(error)), type(error).__name__
    mend, full, memory = MENDS.get(errno.errorcode.get(getattr(error, "errno", None)), ""), FULL.search(said), None
    if isinstance(error, UnicodeEncodeError):
        return ""
    if full and not mend and "Make room" not in said:
        said, mend = f"{full[1] or 'A file'} cannot be written: {full[2]}.", NO_ROOM
    elif not full and (isinstance(error, MemoryError) or kind == "ResourceExhaustedError" or MEMORY.search(said)):
        memory = MEMORY.search(said)
        flags = " or ".join(flag for name, flag in SMALLER.items() if hasattr(args, name)) or "model"
        said, mend = f"Out of memory{f' ({memory[0]:.200})' if memory else ''}.", f"Use a smaller {flags}."
    elif kind == "InvalidArgumentError":  # what TensorFlow makes of a ValueError that was raised while it read images
        said = (re.findall("ValueError: (.+)", said) or [""])[0]
    elif not full and not isinstance(error, (ValueError, OSError)):
        return ""
    said = f"{said.rstrip('.')}. {mend}" if said and mend else said
    return " ".join(filter(None, [said, *notes(error)]))


def notes(error: BaseException) -> list[str]:
    """Return the outermost note: that of a study, not of the run within it."""
    return [in_flags(note) for note in getattr(error, "__notes__", [])[-1:]]
