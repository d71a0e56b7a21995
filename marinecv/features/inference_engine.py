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
from marinecv.models.fuse_batch_norm import fuse_batch_norm

MIN_VIEWS_FOR_LITERT = 4000  # from there LiteRT saves more than its conversion takes: benchmarks/inference_engines.py
TOLERANCE = 1e-4  # of the largest feature


def run_extractor(
    extractor: keras.Model, batch: int, views: int
) -> Callable[[tf.Tensor], list[tf.Tensor | np.ndarray]]:
    """Return a function from pixels, at most `batch` images, to the tensors of a feature extractor.

    LiteRT (`pip install 'marinecv[litert]'`) is used where it is installed, there are many views in all, the output is
    one float32 tensor, and it agrees with TensorFlow; else TensorFlow, with batch normalization fused.
    """
    folded = fuse_batch_norm(extractor)
    if keras.backend.backend() != "tensorflow":
        return lambda images: keras.tree.flatten(folded.predict_on_batch(images.numpy()))
    signature = tf.TensorSpec((None, *extractor.input_shape[1:]), tf.float32)
    run_tensorflow = tf.function(
        lambda images: keras.tree.flatten(folded(images, training=False)), input_signature=[signature]
    )
    run_tensorflow = run_tensorflow.get_concrete_function()  # traced once, though the last batch is shorter
    single = [tensor.dtype for tensor in extractor.outputs] == ["float32"]
    if views >= MIN_VIEWS_FOR_LITERT and single and importlib.util.find_spec("ai_edge_litert"):
        run_litert = _in_litert(folded, batch)
        probe = np.random.default_rng(0).integers(0, 256, (2, *extractor.input_shape[1:])).astype(np.float32)
        [expected], [found] = run_tensorflow(tf.constant(probe)), run_litert(tf.constant(probe))
        if np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max():  # false for NaN
            return run_litert
    return run_tensorflow


def litert_interpreter(model: bytes, threads: int):
    """Return LiteRT's interpreter of a model, without tensors; its package is an extra."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=model, num_threads=threads)


def _in_litert(folded: keras.Model, batch: int) -> Callable[[tf.Tensor], list[np.ndarray]]:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "front.tflite"
        folded.export(file, format="litert", verbose=False)
        interpreter = litert_interpreter(file.read_bytes(), os.cpu_count())
    full_batch = np.zeros((batch, *folded.input_shape[1:]), np.float32)  # a shorter batch leaves its end unused
    [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(into["index"], full_batch.shape)
    with silence():  # of the greeting of XNNPACK
        interpreter.allocate_tensors()

    def run(images: tf.Tensor) -> list[np.ndarray]:
        full_batch[: len(images)] = images
        interpreter.set_tensor(into["index"], full_batch)
        interpreter.invoke()
        return [interpreter.get_tensor(out["index"])[: len(images)]]

    return run
