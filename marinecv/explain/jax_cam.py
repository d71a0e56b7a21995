"""Grad-CAM and Grad-CAM++ on the JAX backend, equal to those of tf-keras-vis on TensorFlow's."""

import keras
import numpy as np


def gradients(scores: keras.Model, inputs: list, classes: np.ndarray, layer: str | None) -> tuple:
    """Return the gradient of each image's score over the maps of a layer, or its pixels, and the maps or pixels."""
    import jax

    model, values, index = scores, list(inputs), 0
    if layer is not None:
        maps = scores.get_layer(layer).output
        values.append(keras.Model(scores.inputs, maps)(inputs, training=False))
        model, index = keras.Model([*scores.inputs, maps], scores.outputs[0]), len(inputs)
    weights = [[each.value for each in part] for part in (model.trainable_variables, model.non_trainable_variables)]

    def total(differentiated: jax.Array) -> jax.Array:
        given = [differentiated if number == index else value for number, value in enumerate(values)]
        outputs, _ = model.stateless_call(*weights, given, training=False)
        return outputs.astype("float32")[np.arange(len(classes)), classes].sum()

    differentiated = jax.numpy.asarray(values[index])
    return np.asarray(jax.grad(total)(differentiated), np.float32), np.asarray(differentiated, np.float32)


def gradcam(gradient: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Weigh each map by the mean gradient over it."""
    return np.maximum((maps * gradient.mean(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)


def gradcam_plus_plus(gradient: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Weigh the positive gradients of each map by the influence of each cell on the score."""
    second, third = gradient**2, gradient**3
    below = 2 * second + third * maps.sum(axis=(1, 2), keepdims=True)
    alphas = second / np.where(second == 0, below + 1, below)
    sums = alphas.sum(axis=(1, 2), keepdims=True)
    alphas = alphas / np.where(sums == 0, 1, sums)
    return np.maximum((maps * (np.maximum(gradient, 0) * alphas).sum(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)
