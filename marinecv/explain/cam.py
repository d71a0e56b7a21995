"""Raw heat maps of one batch: Grad-CAM, Grad-CAM++ and saliency by tf-keras-vis (on JAX `jax_cam`), Score-CAM and LIME.

tf-keras-vis computes the gradients. Its enlarging of maps (half a cell off), normalization, noise (from NumPy's global
state) and Score-CAM (it masks attributes like pixels, and chooses channels by the whole batch) are not used.

Each function takes `scores` (a model that gives logits), `inputs` (pixels in [0, 255], and attributes if the model has
them), `classes` (n,), the name of a layer, and a seed. It returns `(n, h, w)`, of the size of the layer or the input.
"""

import importlib
import io
import warnings
from contextlib import redirect_stderr

import keras
import numpy as np
import tensorflow as tf

from marinecv.explain import jax_cam

CHANNELS = 64
"""Score-CAM takes the channels that vary most over the image, for each costs a forward pass; ResNet50 has 2048."""
MASKED_BATCH = 32
NOISY_COPIES, NOISE_GRAY_LEVELS = 16, 25.5
"""Saliency is SmoothGrad: the mean over so many copies with Gaussian noise, a tenth of the range of the pixels."""
QUANTILE = 0.99
"""Saliency above this quantile is cut: a single pixel would leave all others dark."""
SAMPLES, SUPERPIXELS = 200, 50
"""LIME fits its linear model to so many versions of an image, in which a random half of its superpixels is covered."""


def gradcam(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: str, seed: int) -> np.ndarray:
    """Weigh each map by the mean gradient of the score over it. Source: Selvaraju et al. (2017)."""
    return _library_cam("Gradcam", scores, inputs, classes, layer)


def gradcam_plus_plus(scores: keras.Model, inputs: list, classes: np.ndarray, layer: str, seed: int) -> np.ndarray:
    """Weigh the gradients of each cell too, so that several animals all show. Source: Chattopadhay et al. (2018)."""
    return _library_cam("GradcamPlusPlus", scores, inputs, classes, layer)


def saliency(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: None, seed: int) -> np.ndarray:
    """Average the largest gradient of the score over the channels of a pixel over noisy copies of the image.

    Every image gets the same noise, so that no map depends on the others. Source: Smilkov et al. (2017), SmoothGrad.
    """
    rng, (pixels, *attributes) = np.random.default_rng(seed), inputs
    gradient, total = _pixel_gradient(scores, classes), 0.0
    for _ in range(NOISY_COPIES):
        noisy = pixels + rng.normal(0, NOISE_GRAY_LEVELS, (1, *pixels.shape[1:])).astype(np.float32)
        total = total + gradient([noisy, *attributes])
    limit = np.quantile(total, QUANTILE, axis=(1, 2), keepdims=True)
    return np.where(limit > 0, np.minimum(total, limit), total)


def scorecam(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: str, seed: int) -> np.ndarray:
    """Weigh each map by the probability of the class for the image masked by it. Source: Wang et al. (2020).

    Only the 64 maps that vary most over the image are used, as in "Faster Score-CAM".
    """
    extractor = keras.Model(scores.inputs, scores.get_layer(layer).output)
    heat = []
    for index, class_index in enumerate(classes):
        image, *attributes = one = [part[index : index + 1] for part in inputs]
        maps = tf.transpose(keras.ops.convert_to_numpy(extractor(one, training=False)), (3, 1, 2, 0))
        varied = tf.math.top_k(tf.math.reduce_std(maps, axis=(1, 2, 3)), min(CHANNELS, len(maps))).indices
        maps = tf.cast(tf.gather(maps, varied), tf.float32)  # (channels, h, w, 1)
        masks = tf.image.resize(maps, image.shape[1:3])
        masks -= tf.reduce_min(masks, axis=(1, 2, 3), keepdims=True)
        masks = tf.math.divide_no_nan(masks, tf.reduce_max(masks, axis=(1, 2, 3), keepdims=True))
        weights = [
            probabilities(scores, image * masks[start : start + MASKED_BATCH], attributes)[:, class_index]
            for start in range(0, len(masks), MASKED_BATCH)
        ]
        heat.append(tf.nn.relu(tf.einsum("k,khwo->hw", tf.concat(weights, axis=0), maps)))
    return np.stack(heat)


def lime(scores: keras.Model, inputs: list[np.ndarray], classes: np.ndarray, layer: None, seed: int) -> np.ndarray:
    """Give each superpixel its weight for the class in a linear model of the class's probability; negative ones are 0.

    Superpixels are by SLIC; a covered one has its mean color, and near versions weigh more. Source: Ribeiro et al.
    (2016). Raise ValueError if lime is not installed.
    """
    try:
        from lime.lime_image import LimeImageExplainer
        from skimage.segmentation import slic
    except ImportError as error:
        raise ValueError(
            f"LIME cannot be used: {error}. Install it with `pip install marinecv[explain]`, or take another method."
        ) from error

    def explain(class_index, image, attributes):
        with redirect_stderr(io.StringIO()):  # it shows a progress bar for each image
            explanation = LimeImageExplainer(random_state=seed).explain_instance(
                image.round().astype(np.uint8),
                lambda versions: probabilities(scores, versions.astype(np.float32), attributes).numpy(),
                labels=(class_index,),
                top_labels=None,
                num_samples=SAMPLES,
                batch_size=MASKED_BATCH,
                segmentation_fn=lambda picture: slic(picture, n_segments=SUPERPIXELS, start_label=0),
            )
        weights = dict(explanation.local_exp[class_index])
        return np.vectorize(lambda piece: max(weights[piece], 0.0), otypes=[np.float32])(explanation.segments)

    pixels, *attributes = inputs
    attributes_of = [[part[i : i + 1] for part in attributes] for i in range(len(classes))]
    return np.stack(list(map(explain, classes.tolist(), pixels, attributes_of)))


def probabilities(scores: keras.Model, pixels: np.ndarray, attributes: list[np.ndarray]) -> tf.Tensor:
    """Predict several versions of one image, all with its attributes: `(n, classes)`."""
    inputs = [np.asarray(pixels), *(np.repeat(part, len(pixels), axis=0) for part in attributes)]
    logits = keras.ops.convert_to_numpy(scores(inputs, training=False))
    return tf.nn.softmax(tf.cast(logits, tf.float32))


def _pixel_gradient(scores, classes):
    """Return a function from inputs to the largest gradient over the channels of each pixel."""
    if keras.backend.backend() == "jax":
        return lambda inputs: np.abs(jax_cam.gradients(scores, inputs, classes, None)[0]).max(axis=-1)
    settings = {"normalize_map": False, "unconnected_gradients": tf.UnconnectedGradients.ZERO}
    method = _library("saliency", "Saliency")(scores)
    return lambda inputs: method(_score_of(classes), inputs, **settings)[0]


def _library_cam(name, scores, inputs, classes, layer):
    if keras.backend.backend() == "jax":
        by_jax = {"Gradcam": jax_cam.gradcam, "GradcamPlusPlus": jax_cam.gradcam_plus_plus}[name]
        return by_jax(*jax_cam.gradients(scores, inputs, classes, layer))
    module = "gradcam" if name == "Gradcam" else "gradcam_plus_plus"
    return _library(module, name)(scores)(
        _score_of(classes),
        inputs,
        penultimate_layer=layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def _score_of(classes):
    """Return the score of each image's class, moved to 0: Grad-CAM++ takes its exponential, infinite from 89 on."""

    def score(outputs):
        picked = tf.gather(outputs, classes, batch_dims=1)
        return picked - tf.stop_gradient(picked)

    return score


def _library(module, name):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of scipy, for an import of its
        return getattr(importlib.import_module(f"tf_keras_vis.{module}"), name)
