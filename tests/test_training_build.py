import os
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from marinecv.data.store import store_path
from marinecv.features.frontier import split
from marinecv.inputs.augment import DRAWS, augment
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.models.flat import one_or_all
from marinecv.recipes.registry import RECIPES
from marinecv.training import estimate
from marinecv.training.autoencode import with_loss, with_targets
from marinecv.training.build import build_model, compile_model, freeze_backbone
from marinecv.training.estimate import estimate_seconds
from marinecv.training.learner import _whole
from marinecv.training.model_choice import Autoencoder, BackboneModel, ScratchModel
from marinecv.training.recipe import DataChoice, Recipe, Training

CNN = Recipe(
    name="cnn",
    title="",
    data=DataChoice(name="tank"),
    image=ImageSpec(height=16, width=24),
    model=ScratchModel(filters=(4,), kernels=(3,), pools=(2,), dense=5),
    training=Training(),
)
BACKBONE = Recipe(
    name="backbone",
    title="",
    data=DataChoice(name="tank"),
    image=ImageSpec(height=32, width=32),
    model=BackboneModel(backbone="mobilenet", alpha=0.25, weights="none", hidden=(6,), pooling="avg_max"),
    training=Training(),
)


@pytest.fixture(scope="module")
def cnn():
    return build_model(CNN, 3)


def test_a_recipe_becomes_the_model_it_names(cnn, tmp_path):
    assert (cnn.input_shape, cnn.output_shape) == ((None, 16, 24, 3), (None, 3))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 24, 3)).astype(np.float32)
    cnn.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(pixels), cnn(pixels))


@pytest.mark.parametrize(
    ("settings", "kind", "held"),
    [
        ({}, keras.optimizers.RMSprop, {"learning_rate": 1e-3, "weight_decay": None}),
        ({"optimizer": "adam", "weight_decay": 0.01}, keras.optimizers.Adam, {"weight_decay": 0.01}),
        ({"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1}, keras.optimizers.SGD, {"momentum": 0.5}),
    ],
)
def test_the_optimizer_is_the_recipes(cnn, settings, kind, held):
    compile_model(cnn, Training(**settings))
    assert type(cnn.optimizer) is kind
    config = cnn.optimizer.get_config()
    assert {name: config[name] for name in held} == pytest.approx(held)


def test_another_learning_rate_can_be_given(cnn):
    compile_model(cnn, Training(), learning_rate=0.25)
    assert float(cnn.optimizer.learning_rate) == 0.25


def test_label_smoothing_spreads_its_share_over_all_classes(cnn):
    true, predicted = np.array([[0, 1.0, 0]], np.float32), np.array([[0.1, 0.7, 0.2]], np.float32)
    for smoothing in (0.0, 0.3):
        compile_model(cnn, Training(label_smoothing=smoothing))
        expected = -((true * (1 - smoothing) + smoothing / 3) * np.log(predicted)).sum()
        assert float(cnn.loss(true, predicted)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("choice", "expected"), [("auto", False), ("on", True), ("off", False)])
def test_xla_is_a_choice_and_off_on_a_processor(cnn, choice, expected):
    compile_model(cnn, Training(jit_compile=choice))
    assert cnn.jit_compile in ((expected, True) if choice == "auto" else (expected,))  # auto: on where a GPU is


def test_an_unknown_optimizer_and_other_things_are_refused(cnn):
    with pytest.raises(ValueError, match="Expected optimizer to be one of .*Received: optimizer='lion'"):
        Training(optimizer="lion")
    with pytest.raises(ValueError, match=r"Expected training of type Training. Received: 'adam' \(str\)"):
        compile_model(cnn, "adam")
    with pytest.raises(ValueError, match=r"Expected model of type Model. Received: Training\("):
        compile_model(Training(), cnn)


def test_only_a_recipe_and_a_number_of_classes_are_built(cnn):
    with pytest.raises(ValueError, match="Expected recipe of type Recipe. Received: <Functional"):
        build_model(cnn, 3)
    with pytest.raises(ValueError, match=r"Expected num_classes of type int. Received: \('crab', 'eel'\) \(tuple\)"):
        build_model(CNN, ("crab", "eel"))


def test_a_frozen_backbone_leaves_the_head_to_learn():
    model = build_model(BACKBONE, 3)
    before = [layer.trainable for layer in model.layers]
    frozen = freeze_backbone(model)
    assert len(frozen) == sum(before) - 3  # a dropout, two dense layers
    assert [variable.path.split("/")[0] for variable in model.trainable_variables] == [
        *("head_dense1", "head_dense1"),
        *("probabilities", "probabilities"),
    ]
    for layer in frozen:
        layer.trainable = True
    assert [layer.trainable for layer in model.layers] == before


@pytest.mark.parametrize("recipe", [CNN, BACKBONE], ids=lambda recipe: recipe.name)
def test_the_estimate_grows_with_epochs_and_images(recipe):
    one = estimate_seconds(recipe.with_training(epochs=1), 100, 20, 3)
    assert 0 < one < 600
    assert estimate_seconds(recipe.with_training(epochs=3), 100, 20, 3) == pytest.approx(3 * one)
    assert estimate_seconds(recipe.with_training(epochs=1), 1000, 200, 3) == pytest.approx(10 * one)
    assert estimate_seconds(recipe.with_training(epochs=1), 100, 0, 3) < one


def test_what_was_measured_today_is_not_measured_again(monkeypatch):
    estimate._measure.cache_clear()
    one = estimate_seconds(CNN, 100, 20, 3)
    [kept] = store_path("timings").iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(estimate, "_time_batch", lambda *args: pytest.fail("measured again"))
        estimate._measure.cache_clear()
        assert estimate_seconds(CNN, 100, 20, 3) == one
    monkeypatch.setattr(estimate, "_time_batch", lambda *args: (0.0, 0.0, 0))
    for spoil in (
        lambda: os.utime(kept, (1, 1)),
        lambda: kept.write_text("[1, 2"),
        lambda: kept.write_text("[1, 2]"),
        lambda: kept.unlink(),
    ):
        estimate._measure.cache_clear()
        spoil()
        assert estimate_seconds(CNN, 100, 20, 3) == 0
        kept.write_text("[1, 2, 3]")
    estimate._measure.cache_clear()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_coupled_weight_decay_is_part_of_the_gradient(optimizer):
    """As PyTorch has it: each weight's gradient grows by l2 times the weight, before the optimiser sees it."""

    def stepped(l2, own=None):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        settings = {"optimizer": optimizer, "learning_rate": 0.1, "momentum": 0.0, "l2": l2, "decay_scope": "all"}
        compile_model(model, Training(**settings))
        x, y = np.ones((1, 3), np.float32), np.array([[1.0, 0.0]], np.float32)
        if own:  # the same gradient written down
            with tf.GradientTape() as tape:
                loss = keras.ops.mean(keras.losses.categorical_crossentropy(y, model(x)))
            gradients = tape.gradient(loss, model.trainable_variables)
            pairs = zip(gradients, model.trainable_variables, strict=True)
            model.optimizer.apply_gradients([(g + own * v, v) for g, v in pairs])
        else:
            model.train_on_batch(x, y)
        return model.get_weights()

    for coupled, written in zip(stepped(0.5), stepped(0.0, own=0.5), strict=True):
        np.testing.assert_allclose(coupled, written, atol=1e-6)
    assert not np.allclose(stepped(0.5)[0], stepped(0.0)[0], atol=1e-3)


def normalized(policy="float32"):
    """A model with kernels of three kinds, biases, a normalization, and weights of which none is 0."""
    x = inputs = keras.Input((4, 4, 3))
    for layer in (keras.layers.DepthwiseConv2D(3, dtype=policy), keras.layers.BatchNormalization(dtype=policy)):
        x = layer(x)
    x = keras.layers.Reshape((1, 3))(keras.layers.Conv2D(3, 2, dtype=policy)(x))
    x = keras.layers.MultiHeadAttention(2, 2, dtype=policy)(x, x)  # whose biases have two axes
    x = keras.layers.Dense(2, activation="softmax", dtype="float32")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, x)
    for number, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(number).uniform(0.5, 1, variable.shape))
    return model


def is_decayed(variable, scope):
    return scope == "all" or "kernel" in variable.name


@pytest.mark.parametrize("scope", ["kernels", "all"])
def test_l2_is_half_the_squares_of_its_scope_in_the_loss(scope):
    model = normalized()
    compile_model(model, Training(l2=0.2, decay_scope=scope))
    decayed = [variable.numpy() for variable in model.trainable_variables if is_decayed(variable, scope)]
    assert 7 <= len(decayed) < len(model.trainable_variables) or scope == "all"
    assert float(sum(model.losses)) == pytest.approx(0.1 * sum((array**2).sum() for array in decayed))
    compile_model(model, Training())
    assert not model.losses


def test_a_regularizer_of_the_model_itself_stays():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer="l2")])
    compile_model(model, Training())
    assert len(model.losses) == 1


@pytest.mark.parametrize("scope", ["kernels", "all"])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "sgd"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_decoupled_weight_decay_shrinks_its_scope_alone(policy, optimizer, scope):
    model = normalized(policy)
    compile_model(model, Training(optimizer=optimizer, learning_rate=0.1, weight_decay=0.5, decay_scope=scope))
    before = [variable.numpy() for variable in model.trainable_variables]
    x, y = np.ones((2, 4, 4, 3), np.float32), np.eye(2, dtype=np.float32)
    model.train_on_batch(x, y, sample_weight=np.zeros(2))  # no gradient
    for variable, was in zip(model.trainable_variables, before, strict=True):
        expected = was * 0.95 if is_decayed(variable, scope) else was
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize("decay", ["l2", "weight_decay"])
def test_decay_of_a_model_without_variables_is_refused(decay):
    model = keras.Sequential([keras.layers.Dense(2)])
    compile_model(model, Training())
    with pytest.raises(ValueError, match="Expected a built model, whose variables l2 and weight_decay"):
        compile_model(model, Training(**{decay: 0.1}))


def test_history_may_keep_precision_and_recall(cnn):
    compile_model(cnn, Training(metrics=("accuracy", "precision", "recall")))
    cnn.fit(np.zeros((2, 16, 24, 3)), np.eye(3)[:2], verbose=0)
    assert set(cnn.history.history) == {"loss", "accuracy", "precision", "recall"}


@pytest.mark.parametrize("metrics", [("precision",), ("accuracy", "f2")])
def test_metrics_that_cannot_be_kept_are_refused(metrics):
    with pytest.raises(ValueError, match="Expected metrics to be accuracy and others of"):
        Training(metrics=metrics)


QUICK = (
    "aquarium_four_conv",
    "birds_customcnn",
    "birds_mobilenet",
    "butterflies_unet",
    "butterflies_vae",
    "butterflies_b1",
)
"""One of each kind: from scratch, with batch normalization, behind a bank, autoencoders, an encoder."""


def distinct_recipes():
    """The recipes whose step of training differs, by the first of each, all from random weights."""
    first = {}
    for name, recipe in RECIPES.items():
        recipe = recipe.with_model(weights="none") if hasattr(recipe.model, "weights") else recipe
        first.setdefault((repr(recipe.model), recipe.training.optimizer, recipe.training.bank > 0), (name, recipe))
    return dict(first.values())


def step_of(recipe, side=80):
    """What learns by a recipe, compiled for XLA, and a batch of two."""
    image = replace(recipe.image, height=side, width=side, canvas_px=None)
    recipe = replace(recipe, image=image, training=replace(recipe.training, jit_compile="on"))
    model = build_model(recipe, 3)
    if isinstance(recipe.model, Autoencoder):
        learns, images = with_loss(model, recipe), np.zeros((2, side, side, 3), np.float32)
        [batch] = with_targets(tf.data.Dataset.from_tensors((images, images)), model)
        return learns, batch
    front, rest = split(model)
    learns = rest if recipe.training.bank else _whole(model, front, rest)
    compile_model(learns, recipe.training)
    shapes = [(2, *tensor.shape[1:]) for tensor in learns.inputs]
    return learns, (one_or_all([np.ones(shape, np.float32) for shape in shapes]), np.eye(3, dtype=np.float32)[:2])


def lowered(learns, batch):
    """A step of training as XLA has it, without the slow compilation that follows: it names what XLA cannot do."""
    learns.optimizer.build(learns.trainable_variables)
    return tf.function(learns.train_step, jit_compile=True).experimental_get_compiler_ir(batch)(stage="hlo")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in distinct_recipes()]
)
def test_xla_takes_a_step_of_every_recipe(name):
    learns, batch = step_of(distinct_recipes()[name])
    assert learns.jit_compile and "ENTRY" in lowered(learns, batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aquarium_four_conv", "birds_multimodal_gated", "birds_mobilenet", "butterflies_vae"])
def test_xla_takes_a_step_of_half_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert "bf16" in lowered(*step_of(distinct_recipes()[name]))
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aquarium_four_conv", "birds_mobilenet", "butterflies_vae", "butterflies_b1"])
def test_a_step_compiled_by_xla_runs(name):
    learns, batch = step_of(distinct_recipes()[name])
    history = learns.fit(tf.data.Dataset.from_tensors(batch), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_what_xla_cannot_do_is_seen():
    class Moved(keras.layers.Layer):
        def call(self, images):
            return augment(images, tf.zeros((2, DRAWS)), Augmentation())

    model = keras.Sequential([keras.Input((8, 8, 3)), Moved(), keras.layers.Flatten(), keras.layers.Dense(3)])
    compile_model(model, Training(jit_compile="on"))
    with pytest.raises(ValueError, match="ImageProjectiveTransformV3"):
        lowered(model, (np.ones((2, 8, 8, 3), np.float32), np.eye(3, dtype=np.float32)[:2]))


@pytest.mark.parametrize("name", ["aquarium_four_conv", "birdcnn_base", "aquarium_mobilenetv3large_p2"])
def test_no_layer_of_a_recipe_turns_xla_off(name):
    recipe = RECIPES[name]
    if isinstance(recipe.model, BackboneModel):
        recipe = recipe.with_model(weights="none")
    assert all(layer.supports_jit for layer in build_model(recipe, 3).layers)


def test_random_movements_in_a_model_would_turn_xla_off():
    assert not keras.layers.RandomRotation(0.1).supports_jit
