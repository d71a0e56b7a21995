"""Write a Keras model as the file of another runtime, by Keras' own exporters."""

import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from marinecv.models.safe_load import first_line


def write_model(model: keras.Model, path: Path, format: str, quantize: str = "none", samples: np.ndarray = ()) -> None:
    """Write a model for another runtime: one input, float32 pixels in [0, 255], and float32 probabilities.

    `format` is a key of `formats.FILES`; `quantize`, for `"litert"`, one of `formats.QUANTIZATIONS`. For `"int8-full"`
    the samples, uint8 `(n, height, width, 3)`, give the range of each tensor. Raise ValueError for a layer that the
    converter does not support.
    """
    plain = in_float32(model)
    plain(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only models that were called
    options = _litert_options(plain, quantize, samples) if format == "litert" else {}
    keras_name = "tf_saved_model" if format == "savedmodel" else format
    try:
        with warnings.catch_warnings(action="ignore"):  # of NumPy, caused by Keras for tf2onnx
            plain.export(str(path), format=keras_name, verbose=False, **options)
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError):  # disk or memory is full
        raise
    except Exception as error:  # a converter raises many kinds for an unsupported layer
        raise ValueError(f"This model cannot be written as {format} ({quantize}): {first_line(error)}") from error


def in_float32(model: keras.Model) -> keras.Model:
    """Copy a model into one that computes in float32, with `Rescaling` in place of the equal `Normalization`.

    `Normalization` keeps its constants outside the graph, where the converter to ONNX does not find them. Augmentation
    layers become identities: they draw random numbers, which that converter does not support.
    """

    def copy(layer: layers.Layer | keras.Operation) -> layers.Layer | keras.Operation:
        settings = layer.get_config()
        if isinstance(layer, layers.Normalization):
            mean, variance = np.ravel(settings["mean"]), np.ravel(settings["variance"])
            scale = 1 / np.sqrt(variance)
            return layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=layer.name)
        if type(layer).__name__.startswith("Random") and not isinstance(layer, layers.RandomCrop):
            return layers.Identity(name=layer.name)
        return type(layer).from_config(settings | ({"dtype": "float32"} if "dtype" in settings else {}))

    plain = keras.models.clone_model(model, clone_function=copy)
    plain.set_weights(model.get_weights())
    return plain


def _litert_options(model: keras.Model, quantize: str, samples: np.ndarray) -> dict:
    """Return the settings of TensorFlow's converter: one image at a time, a fixed shape for phones and small boards."""
    options = {"input_signature": [keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32", name="pixels")]}
    target = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize != "none":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
    if quantize == "int8-full":
        target["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        options["representative_dataset"] = lambda: ([image[np.newaxis].astype(np.float32)] for image in samples)
    return {**options, "target_spec": target}
