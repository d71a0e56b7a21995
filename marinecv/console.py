"""Write to the console, and keep messages of C++ libraries off it, which Python cannot catch."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Log = Callable[[str], None]
"""A function that a workflow calls with each line of text for its user, such as `print`."""


def silent(line: str) -> None:
    """Print nothing."""


def link(path: str | Path) -> str:
    """Return a path as text, in a terminal with an OSC 8 link that opens the file."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return str(path)
    return f"\033]8;;{Path(path).absolute().as_uri()}\033\\{path}\033]8;;\033\\"


@contextmanager
def silence(descriptor: int = 2) -> Iterator[None]:
    """Send standard error (or output, 1) of the process, C++ libraries included, to nowhere while the block runs."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = os.dup(descriptor)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(saved, descriptor)
            os.close(saved)


def choose_backend(distribute: str | None) -> None:
    """Import TensorFlow quietly, with Keras on JAX for `distribute="data-parallel"`; ValueError without JAX."""
    if distribute == "data-parallel":
        if importlib.util.find_spec("jax") is None:
            raise ValueError("JAX is not installed. Install it with: pip install 'marinecv[jax]'")
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "jax"
    import_tensorflow()


def import_tensorflow() -> None:
    """Import TensorFlow without the messages of its C++ libraries; Python errors are raised."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else one process takes the whole GPU
    with silence():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")  # each model of an experiment is traced again, which is no fault
