"""What reaches the console and what is kept off it, such as remarks of C++ libraries, which Python cannot catch."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Log = Callable[[str], None]
"""What a workflow calls with each line of text for its user, such as `print`."""


def quiet(line: str) -> None:
    """Say nothing."""


def link(path: str | Path) -> str:
    """Return a path as text; in a terminal as a link (OSC 8) that opens the file."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return str(path)
    return f"\033]8;;{Path(path).absolute().as_uri()}\033\\{path}\033]8;;\033\\"


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


def choose_backend(distribute: str | None) -> None:
    """Import TensorFlow without its remarks, and have Keras on JAX where a distribution asks for that.

    Raises:
        ValueError: JAX is not there.
    """
    if distribute == "data-parallel":
        if importlib.util.find_spec("jax") is None:
            raise ValueError("JAX is not installed. Install it with: pip install 'marinecv[jax]'")
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "jax"
    import_tensorflow()


def import_tensorflow() -> None:
    """Import TensorFlow with the standard error of its C++ side closed; what Python raises is raised all the same."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")  # a study builds a model a run; each is traced, and that is no fault
