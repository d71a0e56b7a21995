"""What is kept off the console: lines nobody asked for, remarks of C++ libraries, which Python cannot catch."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Log = Callable[[str], None]
"""What a workflow calls with each line of text for its user, such as `print`."""


def quiet(line: str) -> None:
    """Say nothing."""


@contextmanager
def silence(descriptor: int = 2) -> Iterator[None]:
    """Close standard error (or output, 1) while the block runs, for what C++ writes there."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = os.dup(descriptor)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)


def import_tensorflow() -> None:
    """Import TensorFlow with the standard error of its C++ side closed; what Python raises is raised all the same."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")  # a study builds a model a run; each is traced, and that is no fault
