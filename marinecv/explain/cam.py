"""Raw heat of one batch: Grad-CAM, Grad-CAM++ and saliency by tf-keras-vis (on JAX `jax_cam`), Score-CAM by ourselves.

tf-keras-vis works on flat models where it is told the layer by name. What it is not asked for here: to grow the maps
(it lays the outermost cells on the outermost pixels, half a cell off, and fails beside an attribute vector), to
normalise them, and to draw noise (from numpy's global state, for attributes too). Its Score-CAM is not used: it prints
a bar an image, masks attributes as if they were pixels, and chooses its channels by all images of a batch together.

All take `scores` (a model that gives logits), `inputs` (pixels in [0, 255], and attributes where the model has them),
`classes` (n,), the name of a layer, and a seed; they give `(n, h, w)`, at the size of the layer or the input.
"""

import importlib
import warnings

import keras
import numpy as np
import tensorflow as tf

from marinecv.explain import jax_cam

CHANNELS = 64
"""Score-CAM takes the channels that vary most over the image, for each costs a forward pass; ResNet50 has 2048."""
MASKED_BATCH = 32
NOISY_COPIES, NOISE_GREY_LEVELS = 16, 25.5
"""Saliency is SmoothGrad: the mean over so many copies with Gaussian noise, a tenth of the range of the pixels."""
QUANTILE = 0.99
"""All pixels of a saliency map above it are as hot as it: a single one would leave all others dark."""


def gradcam(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: str, seed: int) -> np.ndarray:
    """Weigh each map by the mean gradient of the score over it. Source: Selvaraju et al. (2017)."""
    return _library_cam("Gradcam", scores, inputs, classes, layer)


def gradcam_plus_plus(
    scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: str, seed: int
) -> np.ndarray:
    """Weigh the gradients of each cell too, so that several animals all show. Source: Chattopadhay et al. (2018)."""
    return _library_cam("GradcamPlusPlus", scores, inputs, classes, layer)


def saliency(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: None, seed: int) -> np.ndarray:
    """Largest gradient of the score over the channels of a pixel, averaged over noisy copies of the image.

    Every image of every batch gets the same noise, so that no map depends on the others.
    Source: Smilkov et al. (2017), SmoothGrad.
    """
    rng, (pixels, *attributes) = np.random.default_rng(seed), inputs
    gradient, total = _pixel_gradient(scores, classes), 0.0
    for _ in range(NOISY_COPIES):
        noisy = pixels + rng.normal(0, NOISE_GREY_LEVELS, (1, *pixels.shape[1:])).astype(np.float32)
        total = total + gradient([noisy, *attributes])
    limit = np.quantile(total, QUANTILE, axis=(1, 2), keepdims=True)
    return np.where(limit > 0, np.minimum(total, limit), total)


def scorecam(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: str, seed: int) -> np.ndarray:
    """Weigh each map by the probability of the class when the image is seen through it. Source: Wang et al. (2020).

    Only the `CHANNELS` maps that vary most over the image are tried, as "Faster Score-CAM" has it.
    """
    front = keras.Model(scores.inputs, scores.get_layer(layer).output)
    heat = []
    for place, class_index in enumerate(classes):
        image, *attributes = one = [part[place : place + 1] for part in inputs]
        maps = tf.transpose(keras.ops.convert_to_numpy(front(one, training=False)), (3, 1, 2, 0))  # a channel a row
        varied = tf.math.top_k(tf.math.reduce_std(maps, axis=(1, 2, 3)), min(CHANNELS, len(maps))).indices
        maps = tf.cast(tf.gather(maps, varied), tf.float32)
        masks = tf.image.resize(maps, image.shape[1:3])
        masks -= tf.reduce_min(masks, axis=(1, 2, 3), keepdims=True)
        masks = tf.math.divide_no_nan(masks, tf.reduce_max(masks, axis=(1, 2, 3), keepdims=True))
        weights = [
            probabilities(scores, image * masks[start : start + MASKED_BATCH], attributes)[:, class_index]
            for start in range(0, len(masks), MASKED_BATCH)
        ]
        heat.append(tf.nn.relu(tf.einsum("k,khwo->hw", tf.concat(weights, axis=0), maps)))
    return np.stack(heat)


def probabilities(scores: keras.Model, pixels: np.ndarray, attributes: list[np.ndarray]) -> tf.Tensor:
    """What the model says of several versions of one image, all with its attributes: `(n, classes)`."""
    repeated = [tf.repeat(part, len(pixels), axis=0) for part in attributes]
    inputs = [tf.convert_to_tensor(pixels), *repeated]
    logits = keras.ops.convert_to_numpy(scores(list(map(np.asarray, inputs)), training=False))
    return tf.nn.softmax(tf.cast(logits, tf.float32))


def _pixel_gradient(scores, classes):
    """A function of the inputs: the largest gradient over the channels of each pixel."""
    if keras.backend.backend() == "jax":
        return lambda inputs: np.abs(jax_cam.gradients(scores, inputs, classes, None)[0]).max(axis=-1)
    settings = {"normalize_map": False, "unconnected_gradients": tf.UnconnectedGradients.ZERO}
    method = _library("Saliency")(scores)
    return lambda inputs: method(_score_of(classes), inputs, **settings)[0]


def _library_cam(name, scores, inputs, classes, layer):
    if keras.backend.backend() == "jax":
        by_jax = {"Gradcam": jax_cam.gradcam, "GradcamPlusPlus": jax_cam.gradcam_plus_plus}[name]
        return by_jax(*jax_cam.gradients(scores, inputs, classes, layer))
    return _library(name)(scores)(
        _score_of(classes),
        inputs,
        penultimate_layer=layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def _score_of(classes):
    """The score of each image's class, moved to 0: Grad-CAM++ takes its exponential, infinite from 89 on."""

    def score(outputs):
        picked = tf.gather(outputs, classes, batch_dims=1)
        return picked - tf.stop_gradient(picked)

    return score


def _library(name):
    modules = {"Gradcam": "gradcam", "GradcamPlusPlus": "gradcam_plus_plus", "Saliency": "saliency"}
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # scipy is about to close a place of it
        return getattr(importlib.import_module(f"tf_keras_vis.{modules[name]}"), name)
