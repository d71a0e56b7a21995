"""TensorFlow greets every process with remarks about processors and drivers. A calm command leaves them out."""

import os

from marinecv.console import silence


def import_tensorflow() -> None:
    """Import TensorFlow with the standard error of its C++ side closed; what Python raises is raised all the same."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")  # a study builds a model a run; each is traced, and that is no fault
