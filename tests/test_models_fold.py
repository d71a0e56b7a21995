"""A folded network gives the same with fewer operations."""

import keras
import numpy as np
import pytest
from keras import layers

from marinecv.models.backbones import BACKBONES, backbone_classifier
from marinecv.models.fold import fold


def with_statistics(model, seed=0):
    """Normalisations that do something, each its own way, and keep the numbers in range."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.8, 1.2, weights.shape) for weights in layer.get_weights()])
    return model


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
    "backbone", [name if "mobile" in name else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_every_backbone_gives_the_same_without_its_normalisations(backbone, double_precision):
    side = 75 if backbone == "inceptionv3" else 64
    model = with_statistics(backbone_classifier((side, side, 3), 3, backbone=backbone, weights=None))
    folded = fold(model)
    assert_same(folded, model, side)
    assert len(norms(model)) > 20 and len(norms(folded)) < 5


def block(**options):
    return layers.Conv2D(4, 3, padding="same", **options)


def plain(x):
    return layers.ReLU()(layers.BatchNormalization()(block(use_bias=False)(x)))


def scaleless_after_a_bias(x):
    return layers.BatchNormalization(scale=False, center=False)(block(bias_initializer="normal")(x))


def depthwise(x):
    return layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2, bias_initializer="normal")(x))


def added_by_an_operation(x):
    return layers.BatchNormalization()(block()(x)) * 2 + x[..., :1]


def seen_by_another(x):
    x = block()(x)
    return layers.Add()([layers.BatchNormalization()(x), x])


def after_an_activation(x):
    return layers.BatchNormalization()(block(activation="relu")(x))


def after_no_convolution(x):
    return layers.BatchNormalization()(layers.MaxPooling2D()(x))


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (plain, 0),
        (scaleless_after_a_bias, 0),
        (depthwise, 0),
        (added_by_an_operation, 0),
        (seen_by_another, 1),
        (after_an_activation, 1),
        (after_no_convolution, 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_only_what_can_go_goes(build, left, double_precision):
    inputs = keras.Input((16, 16, 3))
    model = with_statistics(keras.Model(inputs, build(inputs)))
    folded = fold(model)
    assert_same(folded, model, 16)
    assert len(norms(folded)) == left


def test_a_convolution_that_is_an_output_stays_as_it_is(double_precision):
    inputs = keras.Input((16, 16, 3))
    seen = block()(inputs)
    model = with_statistics(keras.Model(inputs, [seen, layers.BatchNormalization()(seen)]))
    assert_same(fold(model), model, 16)


def test_the_original_keeps_its_weights(double_precision):
    inputs = keras.Input((16, 16, 3))
    model = with_statistics(keras.Model(inputs, plain(inputs)))
    before = [weights.copy() for weights in model.get_weights()]
    folded = fold(model)
    folded.set_weights([weights + 1 for weights in folded.get_weights()])
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
