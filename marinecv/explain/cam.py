"""Raw heat maps of one batch: Grad-CAM, Grad-CAM++, Score-CAM, saliency (by tf-keras-vis, on JAX `jax_cam`) and LIME.

Where several layers feed the head, each is differentiated as an input of its own, so that one behind another does not
count twice. tf-keras-vis knows one layer; the tests compare its Grad-CAM and Grad-CAM++. Its normalization, noise (from
NumPy's global state) and Score-CAM (it masks attributes like pixels) are not used either.

Each function takes `scores` (a model that gives logits), `inputs` (pixels in [0, 255], and attributes if the model has
them), `classes` (n,), names of layers, and a seed. It returns `(n, h, w)`, the size of the finest layer or the input.
"""

import importlib
import io
import warnings
from contextlib import redirect_stderr

import keras
import numpy as np
import tensorflow as tf

from marinecv.explain import jax_cam

CELLS = (1, 2)
CHANNELS = 64
"""Score-CAM takes the channels that vary most over the image, for each costs a forward pass; ResNet50 has 2048."""
MASKED_BATCH = 32
NOISY_COPIES, NOISE_GRAY_LEVELS = 16, 25.5
"""Saliency is SmoothGrad: the mean over so many copies with Gaussian noise, a tenth of the range of the pixels."""
QUANTILE = 0.99
"""Saliency above this quantile is cut: a single pixel would leave all others dark."""
SAMPLES, SUPERPIXELS = 200, 50
"""LIME fits its linear model to so many versions of an image, in which a random half of its superpixels is covered."""


def gradcam(scores: keras.Model, inputs: list, classes: np.ndarray, names: list[str], seed: int) -> np.ndarray:
    """Weigh each map by the mean gradient of the score over it. Source: Selvaraju et al. (2017)."""
    gradients, maps = _gradients_and_maps(scores, inputs, classes, names)
    heats = [_weighted(each, gradient.mean(CELLS)) for gradient, each in zip(gradients, maps, strict=True)]
    return _joined(heats, gradients, maps)


def gradcam_plus_plus(scores, inputs: list, classes: np.ndarray, names: list[str], seed: int) -> np.ndarray:
    """Weigh the gradients of each cell too, so that several animals all show. Source: Chattopadhay et al. (2018)."""
    gradients, maps = _gradients_and_maps(scores, inputs, classes, names)
    heats = []
    for gradient, each in zip(gradients, maps, strict=True):
        second, third = gradient**2, gradient**3
        below = 2 * second + third * each.sum(CELLS, keepdims=True)
        alphas = second / np.where(second == 0, below + 1, below)
        sums = alphas.sum(CELLS, keepdims=True)
        alphas = alphas / np.where(sums == 0, 1, sums)
        heats.append(_weighted(each, (np.maximum(gradient, 0) * alphas).sum(CELLS)))
    return _joined(heats, gradients, maps)


def saliency(scores: keras.Model, inputs: list, classes: np.ndarray, names: list[str], seed: int) -> np.ndarray:
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


def scorecam(scores: keras.Model, inputs: list, classes: np.ndarray, names: list[str], seed: int) -> np.ndarray:
    """Weigh each map by the probability of the class for the image masked by it. Source: Wang et al. (2020).

    Only the 64 maps of a layer that vary most over the image are used, as in "Faster Score-CAM".
    """
    gradients, maps = _gradients_and_maps(scores, inputs, classes, names)
    return _joined([_scorecam_of_layer(scores, inputs, classes, each) for each in maps], gradients, maps)


def _scorecam_of_layer(
    scores: keras.Model, inputs: list, classes: np.ndarray, maps_of_images: np.ndarray
) -> np.ndarray:
    heat = []
    for index, class_index in enumerate(classes):
        image, *attributes = [part[index : index + 1] for part in inputs]
        maps = tf.transpose(maps_of_images[index : index + 1], (3, 1, 2, 0))
        varied = tf.math.top_k(tf.math.reduce_std(maps, axis=(1, 2, 3)), min(CHANNELS, len(maps))).indices
        maps = tf.gather(maps, varied)  # (channels, h, w, 1)
        masks = tf.image.resize(maps, image.shape[1:3])
        masks -= tf.reduce_min(masks, axis=(1, 2, 3), keepdims=True)
        masks = tf.math.divide_no_nan(masks, tf.reduce_max(masks, axis=(1, 2, 3), keepdims=True))
        weights = [
            probabilities(scores, image * masks[start : start + MASKED_BATCH], attributes)[:, class_index]
            for start in range(0, len(masks), MASKED_BATCH)
        ]
        heat.append(tf.nn.relu(tf.einsum("k,khwo->hw", tf.concat(weights, axis=0), maps)))
    return np.stack(heat)


def lime(scores: keras.Model, inputs: list, classes: np.ndarray, names: list[str], seed: int) -> np.ndarray:
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


def _gradients_and_maps(scores: keras.Model, inputs: list, classes: np.ndarray, names: list[str]) -> tuple[list, list]:
    """Return the gradient of each image's score over the maps of each layer, and the maps, `(n, h, w, channels)`."""
    tensors = [scores.get_layer(name).output for name in names]
    inputs = [keras.ops.convert_to_tensor(part) for part in inputs]
    maps = keras.tree.flatten(keras.Model(scores.inputs, tensors)(inputs, training=False))
    head = keras.Model([*scores.inputs, *tensors], scores.outputs[0])
    if keras.backend.backend() == "jax":
        gradients = jax_cam.gradients(head, inputs, maps, classes)
    else:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            score = _score_of(classes)(head([*inputs, *maps], training=False))
        gradients = tape.gradient(score, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tuple([np.asarray(keras.ops.convert_to_numpy(x), np.float32) for x in part] for part in (gradients, maps))


def _weighted(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what `(n, h, w, channels)` with weights `(n, channels)` say for the class, `(n, h, w)`."""
    return np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)


def _joined(heats: list[np.ndarray], gradients: list[np.ndarray], maps: list[np.ndarray]) -> np.ndarray:
    """Add up the heat of several layers, each in proportion to its contribution to the score, at the finest size.

    The contribution is the sum of gradient times activation: what is added to the logit by the maps of a layer that is
    pooled. Layers that speak against the class have no heat, unless none speaks for it: then all count alike.
    """
    if len(heats) == 1:
        return heats[0]
    contributions = np.maximum([(x * y).sum((1, 2, 3)) for x, y in zip(gradients, maps, strict=True)], 0)
    contributions[:, ~contributions.any(axis=0)] = 1
    size, total = np.max([heat.shape[1:] for heat in heats], axis=0), 0.0
    for heat, contribution in zip(heats, contributions, strict=True):
        heat = tf.image.resize(heat[..., np.newaxis], size)[..., 0].numpy()
        sums = heat.sum(CELLS)
        total = total + heat * np.divide(contribution, sums, out=np.zeros_like(sums), where=sums > 0)[:, None, None]
    return total


def _pixel_gradient(scores, classes):
    """Return a function from inputs to the largest gradient over the channels of each pixel."""
    if keras.backend.backend() == "jax":
        return lambda inputs: np.abs(jax_cam.gradients(scores, [], inputs, classes)[0]).max(axis=-1)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of scipy, for an import of its
        library = importlib.import_module("tf_keras_vis.saliency")
    settings = {"normalize_map": False, "unconnected_gradients": tf.UnconnectedGradients.ZERO}
    method = library.Saliency(scores)
    return lambda inputs: method(_score_of(classes), inputs, **settings)[0]


def _score_of(classes):
    return lambda outputs: tf.gather(outputs, classes, batch_dims=1)
