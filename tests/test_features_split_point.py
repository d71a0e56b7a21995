"""The split point of a network, and that its two halves are the whole."""

import keras
import numpy as np
import pytest
from keras import layers

from marinecv.features.cache import fingerprint
from marinecv.features.split_point import split_model, split_point
from marinecv.models.backbones import backbone_classifier


def skipping(norm_learns=False, dropped=0.0, learns="late"):
    """A small network with a skip across the cut, an addition that is no layer, and a random layer by choice."""
    x = inputs = keras.Input((32, 32, 3), name="pixels")
    x = layers.Conv2D(4, 3, padding="same", name="early")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.SpatialDropout2D(dropped, name="drop")(x)
    skip = layers.ReLU(name="kept")(x)
    x = layers.Conv2D(4, 3, padding="same", name="late")(skip)
    x = (x + skip) * 0.5
    x = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    for layer in model.layers:
        layer.trainable = layer.name in (learns, "head") or (layer.name == "norm" and norm_learns)
    return model


def maker(model, tensor):
    return next(op.name for op in model.operations if any(out is tensor for out in keras.tree.flatten(op.output)))


@pytest.mark.parametrize(
    ("options", "makers"),
    [
        ({}, ["kept"]),
        ({"learns": "head"}, ["average"]),
        ({"learns": "early"}, ["pixels"]),
        ({"norm_learns": True}, ["early"]),
        ({"dropped": 0.5}, ["norm"]),
    ],
    ids=["a skip across", "all but the head", "nothing", "statistics that follow", "a dropout that drops"],
)
def test_the_front_ends_where_something_learns_or_is_random(options, makers):
    model = skipping(**options)
    assert [maker(model, tensor) for tensor in split_point(model)] == makers


def test_of_a_skip_around_a_learning_layer_both_ends_are_kept_and_of_a_frozen_model_its_output():
    x = inputs = keras.Input((8,))
    first = layers.Dense(8, trainable=False, name="first")(x)
    second = layers.Dense(8, trainable=False, name="second")(first)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8)(second) + first))
    assert sorted(maker(model, tensor) for tensor in split_point(model)) == ["first", "second"]
    model.trainable = False
    assert split_point(model)[0] is model.outputs[0]


def test_to_train_the_rest_trains_the_model_and_leaves_its_front():
    model = skipping()
    extractor, trainable = split_model(model)
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    before, features = {layer.name: layer.get_weights() for layer in model.layers}, extractor.predict(images, verbose=0)
    np.testing.assert_array_equal(trainable.predict(features, verbose=0), model.predict(images, verbose=0))
    trainable.compile(optimizer="sgd", loss="mse")
    trainable.fit(features, np.eye(3, 2), verbose=0)
    for name, weights in before.items():
        same = all(map(np.array_equal, weights, model.get_layer(name).get_weights()))
        assert same == (name not in ("late", "head")), name
    np.testing.assert_array_equal(trainable.predict(features, verbose=0), model.predict(images, verbose=0))


def test_the_rest_has_the_trainable_weights_of_the_model_in_their_order():
    model = backbone_classifier((32, 32, 3), 3, backbone="mobilenetv2", weights=None, alpha=0.35)
    extractor, trainable = split_model(model)
    assert [w.path for w in trainable.trainable_weights] == [w.path for w in model.trainable_weights]
    assert not extractor.trainable_weights


@pytest.mark.parametrize(
    ("side", "settings", "shape"),
    [(224, {}, (7, 7, 160)), (32, {"backbone": "efficientnetb4", "trainable_layers": 0}, (1792,))],
    ids=["MobileNetV3Large", "frozen dropout does not drop"],
)
def test_a_cut_through_a_backbone_is_a_single_tensor(side, settings, shape):
    model = backbone_classifier((side, side, 3), 7, weights=None, **settings)
    assert [tuple(tensor.shape[1:]) for tensor in split_point(model)] == [shape]


def test_a_fingerprint_knows_structure_and_weights_and_not_names():
    def made(units=4, seed=0, activation="relu"):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((3,))
        return keras.Model(inputs, layers.Dense(2)(layers.Dense(units, activation=activation)(inputs)))

    first = fingerprint(made())
    assert fingerprint(made()) == first  # its layers have other names
    others = [made(units=5), made(seed=1), made(activation="tanh")]
    assert len({first, *map(fingerprint, others)}) == 4
