"""Write a Keras model as the file of another runtime, by the exporters of Keras and TensorFlow."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from marinecv.export.formats import SAMPLED
from marinecv.export.metadata import describe_litert, describe_onnx
from marinecv.inputs.spec import ImageSpec
from marinecv.models.safe_load import first_line


def write_model(
    model: keras.Model,
    path: Path,
    format: str,
    quantize: str = "none",
    samples: np.ndarray = (),
    class_names: tuple[str, ...] = (),
    preprocessing: dict | None = None,
    resize: ImageSpec | None = None,
) -> None:
    """Write a model for another runtime: one input `image`, pixels in [0, 255], and one output `probabilities`.

    Both are float32, and with `"int8-io"` uint8. The file holds the class names and `preprocessing`.

    `format` is a key of `formats.FILES`; `quantize`, for `"litert"`, one of `formats.QUANTIZATIONS`. For `"int8-full"`
    and `"int8-io"` the samples, uint8 `(n, height, width, 3)`, give the range of each tensor. With `resize` the file
    takes RGB pictures of any size and fits them itself. Raise ValueError for a layer that the converter does not
    support.
    """
    plain = in_float32(model)
    if resize:
        pictures = keras.Input((None, None, 3))
        plain = keras.Model(pictures, plain(layers.Lambda(_fit, resize.shape, arguments={"spec": resize})(pictures)))
    named = keras.Model(plain.inputs[0], {"probabilities": plain.outputs[0]})
    batch, shape = 1 if format == "litert" else None, named.inputs[0].shape[1:]  # phones and boards: one image
    signature = [keras.InputSpec(shape=(batch, *shape), dtype="float32", name="image")]
    try:
        with warnings.catch_warnings(action="ignore"):  # of NumPy, caused by Keras for tf2onnx
            if format == "savedmodel":
                return _save(named, path, class_names, preprocessing)
            named(np.zeros((1, *(side or 8 for side in shape)), np.float32))  # Keras exports models that were called
            options = _litert_options(quantize, samples) if format == "litert" else {}
            named.export(str(path), format=format, verbose=False, input_signature=signature, **options)
            (describe_litert if format == "litert" else describe_onnx)(path, class_names, preprocessing)
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError):  # disk or memory is full
        raise
    except Exception as error:  # a converter raises many kinds for an unsupported layer
        raise ValueError(f"This model cannot be written as {format} ({quantize}): {first_line(error)}") from error


def _fit(images: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Fit pictures of one size, `(n, H, W, 3)` in [0, 255], as `fit_to_bytes` does, by operations that ONNX has."""
    if spec.fit == "pad":
        sides = tf.shape(images)[1:3]
        room = tf.maximum(tf.reduce_max(sides), spec.letterbox_px or 0) - sides
        before, after = room // 2, room - room // 2
        images = tf.pad(images, [[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]])
    return tf.round(tf.image.resize(images, (spec.height, spec.width), antialias=spec.antialias))


def _save(model: keras.Model, path: Path, class_names: tuple[str, ...], preprocessing: dict | None) -> None:
    """Write a SavedModel by TensorFlow: the exporter of Keras writes each weight twice."""
    module, image = tf.Module(), tf.TensorSpec(model.inputs[0].shape, tf.float32, "image")
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(lambda image: model(image, training=False), input_signature=[image])
    texts = {"class_names": list(class_names), "preprocessing": json.dumps(preprocessing)}
    describe = tf.function(lambda: {name: tf.constant(text) for name, text in texts.items()}, input_signature=[])
    tf.saved_model.save(module, path, {"serving_default": module.serve, "describe": describe})


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


def _litert_options(quantize: str, samples: np.ndarray) -> dict:
    """Return the settings of TensorFlow's converter."""
    options, target = {}, {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize != "none":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
    if quantize in SAMPLED:
        target["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        options["representative_dataset"] = lambda: ([image[np.newaxis].astype(np.float32)] for image in samples)
    if quantize == "int8-io":
        options |= {"inference_input_type": tf.uint8, "inference_output_type": tf.uint8}
    return {**options, "target_spec": target}
