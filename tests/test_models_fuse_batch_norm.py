"""A folded network gives the same with fewer operations."""

import keras
import numpy as np
import pytest
from keras import layers

from marinecv.models.backbones import backbone_classifier
from marinecv.models.fuse_batch_norm import fuse_batch_norm


def with_statistics(model, seed=0):
    """Normalizations that do something, each its own way, and keep the numbers in range."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.8, 1.2, weights.shape) for weights in layer.get_weights()])
    return model


LARGE = ("inceptionv3", "resnet50", "efficientnetb4")


def norms(model):
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def assert_same(folded, model, side):
    images = np.random.default_rng(1).uniform(0, 255, (2, side, side, 3))
    for found, expected in zip(
        keras.tree.flatten(folded(images, training=False)),
        keras.tree.flatten(model(images, training=False)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    "backbone",
    ["mobilenet", "mobilenetv2", "mobilenetv3large", *(pytest.param(n, marks=pytest.mark.slow) for n in LARGE)],
)
def test_every_backbone_gives_the_same_without_its_normalizations(backbone, double_precision):
    side = 80 if backbone == "inceptionv3" else 64
    model = with_statistics(backbone_classifier((side, side, 3), 3, backbone=backbone, weights=None))
    folded = fuse_batch_norm(model)
    assert_same(folded, model, side)
    assert len(norms(model)) > 20 and len(norms(folded)) < 5


def block(**options):
    return layers.Conv2D(4, 3, padding="same", **options)


def seen_by_another(x):
    x = block()(x)
    return layers.Add()([layers.BatchNormalization()(x), x])


def called_twice(shared):
    """A convolution, a normalization or an addition that two paths share."""

    def build(x):
        convolve, normalize, add = block(), layers.BatchNormalization(), layers.Add()
        before = block()(x), convolve(x)
        if shared == "convolution":
            before = convolve(x), convolve(x * 2)
        if shared == "addition":
            first = add([before[1], before[1]])
            return add([layers.BatchNormalization()(before[0]), before[0]]) * first
        after = normalize if shared == "normalization" else layers.BatchNormalization()
        return normalize(before[0]) + after(before[1])

    return build


norm, depthwise = layers.BatchNormalization, layers.DepthwiseConv2D
BLOCKS = {  # what to build, and how many normalizations stay
    "plain": (lambda x: layers.ReLU()(norm()(block(use_bias=False)(x))), 0),
    "without scale": (lambda x: norm(scale=False, center=False)(block(bias_initializer="normal")(x)), 0),
    "depthwise": (lambda x: norm()(depthwise(3, depth_multiplier=2, bias_initializer="normal")(x)), 0),
    "added by an operation": (lambda x: norm()(block()(x)) * 2 + x[..., :1], 0),
    "seen by another": (seen_by_another, 1),
    "a convolution called twice": (called_twice("convolution"), 2),
    "a normalization called twice": (called_twice("normalization"), 1),
    "seen by a later call": (called_twice("addition"), 1),
    "after an activation": (lambda x: norm()(block(activation="relu")(x)), 1),
    "after no convolution": (lambda x: norm()(layers.MaxPooling2D()(x)), 1),
}


@pytest.mark.parametrize(("build", "left"), BLOCKS.values(), ids=BLOCKS)
def test_only_what_can_go_goes(build, left, double_precision):
    inputs = keras.Input((16, 16, 3))
    model = with_statistics(keras.Model(inputs, build(inputs)))
    folded = fuse_batch_norm(model)
    assert_same(folded, model, 16)
    assert len(norms(folded)) == left


def test_a_convolution_that_is_an_output_stays_and_so_does_the_original(double_precision):
    inputs = keras.Input((16, 16, 3))
    seen = block()(inputs)
    model = with_statistics(keras.Model(inputs, [seen, layers.BatchNormalization()(seen)]))
    before = [weights.copy() for weights in model.get_weights()]
    folded = fuse_batch_norm(model)
    assert_same(folded, model, 16)
    folded.set_weights([weights + 1 for weights in folded.get_weights()])
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
