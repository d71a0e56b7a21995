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
LITERT_BATCH = 8  # images at a time: their activations stay in the processor's cache, which saves a fifth
TOLERANCE = 1e-4  # of the largest feature
MAX_PIXELS = 16 * 320 * 320  # in a batch: more only take memory for their activations


def run_extractor(
    extractor: keras.Model, views: int, tolerance: float = TOLERANCE, *, fuse: bool = True
) -> Callable[[tf.Tensor | np.ndarray], list[tf.Tensor | np.ndarray]]:
    """Return a function from pixels of any type to the tensors of a feature extractor or a classifier.

    LiteRT (`pip install 'marinecv[litert]'`) is used where it is installed, there are many views in all, the output is
    one float32 tensor of images of one size, and it agrees with TensorFlow to `tolerance` of the largest value; else
    TensorFlow. Batch normalization is fused, if `fuse`.
    """
    folded = fuse_batch_norm(extractor) if fuse else extractor
    if keras.backend.backend() != "tensorflow":
        return lambda images: keras.tree.flatten(folded.predict_on_batch(np.asarray(images, np.float32)))
    signature = tf.TensorSpec((None, *extractor.input_shape[1:]), tf.float32)
    graph = tf.function(
        lambda images: keras.tree.flatten(folded(images, training=False)), input_signature=[signature], autograph=False
    ).get_concrete_function()  # traced once, though the last batch is shorter

    batch_size = images_a_batch(extractor.input_shape)

    def run_tensorflow(images):
        starts = range(0, max(1, len(images)), batch_size)
        parts = [graph(tf.cast(images[start : start + batch_size], tf.float32)) for start in starts]
        return parts[0] if len(parts) == 1 else [tf.concat(tensors, axis=0) for tensors in zip(*parts, strict=True)]

    single = [tensor.dtype for tensor in extractor.outputs] == ["float32"] and None not in extractor.input_shape[1:]
    if views >= MIN_VIEWS_FOR_LITERT and single and importlib.util.find_spec("ai_edge_litert"):
        run_litert = _in_litert(folded)
        probe = np.random.default_rng(0).integers(0, 256, (2, *extractor.input_shape[1:])).astype(np.float32)
        [expected], [found] = run_tensorflow(probe), run_litert(probe)
        if np.abs(found - expected).max() <= tolerance * np.abs(expected).max():  # false for NaN
            return run_litert
    return run_tensorflow


def images_a_batch(shape: tuple[int | None, ...]) -> int:
    """Return how many images `(batch, height, width, 3)` a network should take at a time."""
    return max(1, MAX_PIXELS // ((shape[1] or 1) * (shape[2] or 1)))


def litert_interpreter(model: bytes, threads: int):
    """Return LiteRT's interpreter of a model, without tensors; its package is an extra."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=model, num_threads=threads)


def _in_litert(folded: keras.Model) -> Callable[[tf.Tensor | np.ndarray], list[np.ndarray]]:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "front.tflite"
        folded.export(file, format="litert", verbose=False)
        interpreter = litert_interpreter(file.read_bytes(), os.cpu_count())
    [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(into["index"], (LITERT_BATCH, *folded.input_shape[1:]))
    with silence():  # of the greeting of XNNPACK
        interpreter.allocate_tensors()
    batch = interpreter.tensor(into["index"])  # a view is asked for each time: one that is held stops LiteRT

    def run(images: tf.Tensor | np.ndarray) -> list[np.ndarray]:
        images, features = np.asarray(images), []
        for start in range(0, len(images), LITERT_BATCH):
            part = images[start : start + LITERT_BATCH]
            batch()[: len(part)] = part  # a shorter one leaves the end unused
            interpreter.invoke()
            features.append(interpreter.get_tensor(out["index"])[: len(part)])
        return [np.concatenate(features)]

    return run
