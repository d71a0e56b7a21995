"""Building and compiling the model of a recipe."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from marinecv.features.split_point import split_model
from marinecv.inputs.spec import ImageSpec
from marinecv.models.flat import one_or_all
from marinecv.recipes.registry import RECIPES
from marinecv.training.build import build_model, compile_model, freeze_backbone, with_loss, with_targets
from marinecv.training.fit_inputs import _with_fused_extractor
from marinecv.training.model_config import Autoencoder, BackboneModel, ScratchModel
from marinecv.training.recipe import DataConfig, Recipe, Training

CNN = Recipe(
    name="small",
    title="",
    data=DataConfig(name="tank"),
    image=ImageSpec(height=32, width=32),
    model=ScratchModel(filters=(4,), kernels=(3,), pools=(2,), dense=5),
    training=Training(),
)


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (lambda: compile_model(build_model(CNN, 3), "adam"), "Expected training of type Training"),
        (lambda: compile_model(Training(), CNN), "Expected model of type Model"),
        (lambda: build_model(Training(), 3), "Expected recipe of type Recipe"),
        (lambda: build_model(CNN, ("crab", "eel")), "Expected num_classes of type int"),
    ],
)
def test_other_arguments_are_refused_by_name(refused, named):
    with pytest.raises(ValueError, match=named):
        refused()


def test_a_frozen_backbone_leaves_the_head_to_learn():
    network = BackboneModel(backbone="mobilenet", alpha=0.25, weights="none", hidden=(6,), pooling="avg_max")
    model = build_model(replace(CNN, model=network), 3)
    before = [layer.trainable for layer in model.layers]
    frozen = freeze_backbone(model)
    assert len(frozen) == sum(before) - 3  # a dropout, two dense layers
    assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {"head_dense1", "probabilities"}
    for layer in frozen:
        layer.trainable = True
    assert [layer.trainable for layer in model.layers] == before


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


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["kernels", "all"])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw", "sgd"])
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


@pytest.mark.slow
def test_adamw_without_decay_decays_nothing_and_is_adam():
    adam, adamw = normalized(), normalized()
    for model, optimizer in ((adam, "adam"), (adamw, "adamw")):
        compile_model(model, Training(optimizer=optimizer))
        model.train_on_batch(np.ones((2, 4, 4, 3), np.float32), np.eye(2, dtype=np.float32))
    for mine, theirs in zip(adam.get_weights(), adamw.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("clip_norm", "norm"), [(0.0, None), (1e3, None), (0.01, 0.01)])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_step_is_as_long_as_the_gradient_is_clipped(policy, clip_norm, norm):
    plain, model = normalized(policy), normalized(policy)
    steps = []
    for each, bound in ((plain, 0.0), (model, clip_norm)):
        compile_model(each, Training(optimizer="sgd", momentum=0.0, learning_rate=1.0, clip_norm=bound))
        before = [variable.numpy() for variable in each.trainable_variables]
        each.train_on_batch(np.ones((2, 4, 4, 3), np.float32), np.eye(2, dtype=np.float32))
        after = [variable.numpy() for variable in each.trainable_variables]
        steps.append(np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)]))
    length = np.linalg.norm(steps[0])
    assert 0.01 < length < 1e3  # of all variables together
    np.testing.assert_allclose(steps[1], steps[0] * (norm or length) / length, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_focal_loss_weighs_each_class_by_how_far_it_is_from_sure(smoothing):
    model = normalized()
    compile_model(model, Training(focal_gamma=2.0, label_smoothing=smoothing))
    labels, sure = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.9, 0.1], [0.8, 0.2]])
    smooth = labels * (1 - smoothing) + smoothing / 2
    expected = (-((1 - sure) ** 2) * smooth * np.log(sure)).sum(axis=1).mean()
    assert float(model.loss(labels, sure)) == pytest.approx(expected, rel=1e-5)
    if not smoothing:
        assert expected == pytest.approx((0.01 * 0.10536 + 0.64 * 1.60944) / 2, rel=1e-4)  # by hand


@pytest.mark.parametrize("decay", ["l2", "weight_decay"])
def test_decay_of_a_model_without_variables_is_refused(decay):
    model = keras.Sequential([keras.layers.Dense(2)])
    compile_model(model, Training())
    with pytest.raises(ValueError, match="Expected a built model"):
        compile_model(model, Training(**{decay: 0.1}))


RUNS = ("aquarium_four_conv", "birds_mobilenet", "butterflies_vae", "butterflies_b1")
QUICK = (*RUNS, "birds_customcnn", "butterflies_unet")
"""One of each kind: from scratch, on a feature cache, autoencoders, an encoder, with batch normalization."""


def distinct_recipes():
    """The first of the recipes with the same training step, from random weights."""
    first = {}
    for name, recipe in RECIPES.items():
        recipe = recipe.with_model(weights="none") if hasattr(recipe.model, "weights") else recipe
        step = repr(recipe.model), recipe.training.optimizer, recipe.training.cache_features > 0
        first.setdefault(step, (name, recipe))
    return dict(first.values())


def step_of(recipe, side=80):
    """The model to fit of a recipe, compiled for XLA, and a batch of two."""
    image = replace(recipe.image, height=side, width=side, letterbox_px=None)
    recipe = replace(recipe, image=image, training=replace(recipe.training, jit_compile="on"))
    model = build_model(recipe, 3)
    if isinstance(recipe.model, Autoencoder):
        learns, images = with_loss(model, recipe), np.zeros((2, side, side, 3), np.float32)
        [batch] = with_targets(tf.data.Dataset.from_tensors((images, images)), model)
        return learns, batch
    extractor, trainable = split_model(model)
    learns = trainable if recipe.training.cache_features else _with_fused_extractor(model, extractor, trainable)
    compile_model(learns, recipe.training)
    shapes = [(2, *tensor.shape[1:]) for tensor in learns.inputs]
    return learns, (one_or_all([np.ones(shape, np.float32) for shape in shapes]), np.eye(3, dtype=np.float32)[:2])


def lowered(learns, batch):
    """A training step in XLA's language, before the slow compilation; an error names what XLA does not support."""
    learns.optimizer.build(learns.trainable_variables)
    return tf.function(learns.train_step, jit_compile=True).experimental_get_compiler_ir(batch)(stage="hlo")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in distinct_recipes()]
)
def test_xla_takes_a_step_of_every_recipe(name):
    learns, batch = step_of(distinct_recipes()[name])
    assert learns.jit_compile and "ENTRY" in lowered(learns, batch)
    assert all(layer.supports_jit for layer in learns.layers)  # or jit_compile="auto" would leave it out


def test_xla_takes_a_step_with_every_setting():
    training = Training(optimizer="adamw", weight_decay=1e-3, clip_norm=1.0, ema=0.9, focal_gamma=2.0)
    learns, batch = step_of(replace(CNN, training=training))
    assert learns.jit_compile and "ENTRY" in lowered(learns, batch)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", RUNS)
def test_a_step_compiled_by_xla_runs(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        learns, batch = step_of(distinct_recipes()[name])
        history = learns.fit(tf.data.Dataset.from_tensors(batch), verbose=0).history
        assert np.isfinite(history["loss"]).all()
        assert policy == "float32" or "bf16" in lowered(learns, batch)
    finally:
        keras.config.set_dtype_policy("float32")
