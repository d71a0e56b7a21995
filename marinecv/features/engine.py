"""Run a frozen feature extractor on the fastest engine: TensorFlow, or LiteRT for many images."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from marinecv.console import silence
from marinecv.models.fold import fold

MANY = 4000  # views above which LiteRT saves more than the seconds of its conversion: benchmarks/front.py
TOLERANCE = 1e-4  # of the largest feature


def run_front(front: keras.Model, batch: int, views: int) -> Callable[[tf.Tensor], list[tf.Tensor | np.ndarray]]:
    """Return a function from pixels, at most `batch` images, to the tensors of a feature extractor.

    LiteRT (`pip install 'marinecv[litert]'`) is used where it is installed, there are many views in all, the output is
    one float32 tensor, and it agrees with TensorFlow; else TensorFlow, with batch normalization fused.
    """
    folded = fold(front)
    if keras.backend.backend() != "tensorflow":
        return lambda images: keras.tree.flatten(folded.predict_on_batch(images.numpy()))
    some = tf.TensorSpec((None, *front.input_shape[1:]), tf.float32)
    see = tf.function(lambda images: keras.tree.flatten(folded(images, training=False)), input_signature=[some])
    see = see.get_concrete_function()  # traced once, though the last batch is shorter
    single = [tensor.dtype for tensor in front.outputs] == ["float32"]
    if views >= MANY and single and importlib.util.find_spec("ai_edge_litert"):
        fast = _in_litert(folded, batch)
        probe = np.random.default_rng(0).integers(0, 256, (2, *front.input_shape[1:])).astype(np.float32)
        [expected], [found] = see(tf.constant(probe)), fast(tf.constant(probe))
        if np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max():  # false for NaN
            return fast
    return see


def litert_interpreter(model: bytes, threads: int):
    """Return LiteRT's interpreter of a model, without tensors; its package is an extra."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=model, num_threads=threads)


def _in_litert(folded: keras.Model, batch: int) -> Callable[[tf.Tensor], list[np.ndarray]]:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "front.tflite"
        folded.export(file, format="litert", verbose=False)
        interpreter = litert_interpreter(file.read_bytes(), os.cpu_count())
    whole = np.zeros((batch, *folded.input_shape[1:]), np.float32)  # a shorter batch leaves its end unused
    [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(into["index"], whole.shape)
    with silence():  # of the greeting of XNNPACK
        interpreter.allocate_tensors()

    def run(images: tf.Tensor) -> list[np.ndarray]:
        whole[: len(images)] = images
        interpreter.set_tensor(into["index"], whole)
        interpreter.invoke()
        return [interpreter.get_tensor(out["index"])[: len(images)]]

    return run
