"""Any model is one flat graph that gives the same, and one network gives one answer, however its end is written."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from marinecv.models.flat import check_graph, flat, is_stock
from marinecv.models.outputs import embedding_tensor, with_logits, with_probabilities

SIDE, NAMES = 32, ("crab", "eel", "ray")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)


def backbone():
    """Return a MobileNet whose batch normalization has statistics of its own."""
    model = keras.applications.MobileNet(input_shape=(SIDE, SIDE, 3), include_top=False, weights=None, alpha=0.25)
    draws = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([weights + draws.uniform(0.1, 0.5, weights.shape) for weights in layer.get_weights()])
    model.trainable = False
    return model


def tiny():
    """Return as little of a backbone as has a state that training changes."""
    parts = [keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(name="conv1_bn")]
    model = keras.Sequential([*parts, layers.ReLU(), layers.Conv2D(4, 3)], name="tiny")
    model.get_layer("conv1_bn").set_weights(np.random.default_rng(1).uniform(0.1, 0.5, (4, 4)))
    return model


def transfer_learning(units=3, backbone=tiny):
    """Build the pattern of the Keras guide on transfer learning."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)], name="augmentation")(inputs)
    x = backbone()(keras.applications.mobilenet.preprocess_input(x), training=False)
    return keras.Model(inputs, layers.Dense(units)(layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))))


def around(inner, *before):
    inputs = x = keras.Input((SIDE, SIDE, 3))
    for layer in before:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(inner(x))))


def twice():
    inner = tiny()
    return around(lambda x: layers.Add()([inner(x), inner(ops.flip(x, 2))]))


def adapted(axis):
    layer = layers.Normalization(axis=axis)
    layer.adapt(IMAGES)
    return layer


class Scale(layers.Layer):
    """A layer of the user's own, without a configuration."""

    def __init__(self, factors):
        super().__init__(name="scale")
        self.factors = factors

    def call(self, x, training=None):
        return x * self.factors[0]


class OfCode(keras.Model):
    def call(self, x):
        return x / 2


def two_calls_of_one_layer():
    shared, inputs = layers.Conv2D(3, 3, padding="same", name="shared"), keras.Input((SIDE, SIDE, 3))
    return keras.Model(inputs, layers.Flatten()(shared(shared(inputs / 255))))


def pyramid():
    whole, inputs = tiny(), keras.Input((SIDE, SIDE, 3))
    parts = {"early": whole.get_layer("conv1_bn").output, "late": whole.outputs[0]}
    seen = keras.Model(whole.inputs, parts, name="pyramid")(inputs)
    return keras.Model(inputs, layers.Concatenate()([layers.GlobalMaxPooling2D()(seen[name]) for name in seen]))


MODELS = {
    "transfer learning": lambda: transfer_learning(backbone=backbone),
    "two levels": lambda: keras.Sequential([transfer_learning(5), layers.Dense(3)]),
    "called twice": twice,
    "one layer called twice": two_calls_of_one_layer,
    "adapted": lambda: around(tiny(), adapted(-1)),
    "adapted as a whole": lambda: around(tiny(), adapted(None)),
    "lambda": lambda: around(tiny(), layers.Lambda(lambda x: x / 2)),
    "own layer": lambda: around(tiny(), Scale([0.5])),
    "model of code": lambda: around(lambda x: tiny()(OfCode()(x))),
    "several outputs within": pyramid,
    "no input": lambda: sequential(),
}


def given(model):
    return ops.convert_to_numpy(model(IMAGES, training=False))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_flat_graph_gives_the_same_bit_by_bit(model):
    model = model()
    before = given(model)
    graph = flat(model)
    assert not any(isinstance(operation, keras.Model) for operation in graph.operations)
    np.testing.assert_array_equal(given(graph), before)
    np.testing.assert_array_equal(given(model), before)
    assert flat(graph) is graph
    assert not {id(layer) for layer in graph.layers} & {id(layer) for layer in model.layers}


def test_a_flat_graph_keeps_names_training_and_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = transfer_learning()
    finally:
        keras.config.set_dtype_policy("float32")
    graph, called = flat(model), {}
    names = [layer.name for layer in graph.layers]
    assert "conv1_bn" in names and len(set(names)) == len(names)
    assert graph.get_layer("conv1_bn").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(given(graph), given(model))

    def call(layer, *args, **kwargs):
        called[layer.name] = kwargs.get("training")
        return layer(*args, **kwargs)

    keras.models.clone_model(graph, call_function=call)
    assert called["conv1_bn"] is False


def ending(*last, units=3, activation=None):
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.ReLU()(layers.Conv2D(6, 3, name="conv")(layers.Rescaling(1 / 255)(inputs)))
    x = layers.Dense(units, activation=activation)(layers.GlobalAveragePooling2D()(x))
    for operation in last:
        x = operation(x)
    return keras.Model(inputs, x)


def nested_ending(*last):
    x = inputs = keras.Input((SIDE, SIDE, 3))
    for operation in (ending(), *last):
        x = operation(x)
    return keras.Model(inputs, x)


def sequential(*last):
    """Build a model that was never given an input, only called."""
    parts = [layers.Rescaling(1 / 255), layers.Conv2D(6, 3), layers.ReLU(), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*parts, layers.Dense(3), *last])
    model.predict(IMAGES, verbose=0)
    return model


WAYS = {
    "activation": lambda: ending(activation="softmax"),
    "layer": lambda: ending(layers.Softmax()),
    "activation layer": lambda: ending(layers.Activation("softmax")),
    "operation": lambda: ending(ops.softmax),
    "function": lambda: ending(keras.activations.softmax),
    "cast": lambda: ending(layers.Softmax(), layers.Activation("linear", dtype="float32")),
    "logits": ending,
    "nested": lambda: nested_ending(layers.Softmax()),
    "nested logits": nested_ending,
    "sequential": lambda: sequential(layers.Softmax()),
    "sequential logits": sequential,
    "around a model": lambda: keras.Sequential([ending(), layers.Softmax()]),
}


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(5)
    return WAYS["activation"]()


@pytest.mark.parametrize("way", WAYS)
def test_one_network_has_one_answer_however_its_softmax_is_written(way, plain):
    model, expected = WAYS[way](), plain.predict(IMAGES, verbose=0)
    model.set_weights(plain.get_weights())
    found = with_probabilities(model, NAMES)
    np.testing.assert_array_equal(found.predict(IMAGES, verbose=0), expected)
    assert (found is model) == ("logits" not in way)
    logits = [with_logits(each)([IMAGES], training=False) for each in (plain, model)]
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, logits))
    np.testing.assert_allclose(ops.softmax(logits[0]), expected, rtol=1e-5)
    code = embedding_tensor(flat(model))
    assert code.shape == ((None, 3) if "logits" in way else (None, 6))  # logits may be an encoder's code


OF_TWO = {
    "sigmoid": lambda: ending(units=1, activation="sigmoid"),
    "sigmoid operation": lambda: ending(ops.sigmoid, units=1),
    "logit": lambda: ending(units=1),
}


@pytest.mark.parametrize("way", OF_TWO)
def test_one_output_is_the_second_of_two_classes(way):
    plain, model = OF_TWO["sigmoid"](), OF_TWO[way]()
    model.set_weights(plain.get_weights())
    expected, found = plain.predict(IMAGES, verbose=0), with_probabilities(model, ["cat", "dog"])
    np.testing.assert_allclose(found.predict(IMAGES, verbose=0), np.hstack([1 - expected, expected]), atol=1e-6)
    assert embedding_tensor(flat(found)).shape == (None, 6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.last = layers.Dense(3)

    def call(self, x):
        return self.last(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: "model.keras", "model='model.keras'"),
        (Subclassed, "'subclassed' has no graph"),
        (lambda: keras.Sequential([layers.Dense(3)]), "has no graph"),
        (lambda: keras.Model(x := keras.Input((3,)), [x, x + 1]), "takes 1 inputs and gives 2 outputs"),
        (lambda: ending(units=4), r"gives \(4,\) for each image. .* 3 class_names .'crab'"),
        (lambda: ending(activation="sigmoid"), r"gives \(3,\) of a sigmoid"),
        (backbone, r"gives \(1, 1, 256\)"),
    ],
)
def test_a_model_whose_outputs_are_no_classes_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        with_probabilities(model(), NAMES)


@pytest.mark.parametrize("shape", [(16, 16, 3), (32, 32, 1), (32, 31, 3)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes \(32, 32, 3\). Expected an ImageSpec"):
        check_graph(ending(), shape=shape)


def test_what_is_not_keras_own_is_known():
    inputs = keras.Input((5,))  # a subclassed model that is wrapped is taken
    wrapped = keras.Model(inputs, ops.softmax(Subclassed()(inputs)))
    assert flat(wrapped) is wrapped and with_probabilities(wrapped, NAMES) is wrapped
    ours = (layers.Lambda(lambda x: x), Scale([1]), layers.Dense(2, activation=lambda x: x), Subclassed())
    assert not any(map(is_stock, ours)) and all(map(is_stock, backbone().operations))
