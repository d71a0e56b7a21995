"""The networks of both bird reports and of the animals, layer by layer: shapes, parameters, and what of them learns."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from marinecv.models.backbones import multimodal_classifier, set_batch_norm_statistics
from marinecv.recipes.registry import RECIPES
from marinecv.training.build import backbone_of, build_model, compile_model, freeze_backbone


def built(name, num_classes=20):
    recipe = RECIPES[name]
    return build_model(recipe.with_model(weights="none") if hasattr(recipe.model, "weights") else recipe, num_classes)


def shapes(model, kind):
    return [layer.output.shape[1:] for layer in model.layers if isinstance(layer, kind)]


def test_birdcnn_halves_its_map_four_times_before_65536_numbers():
    model = built("birdcnn_base")
    assert shapes(model, keras.layers.MaxPooling2D) == [(128, 128, 32), (64, 64, 64), (32, 32, 128), (16, 16, 256)]
    assert model.get_layer("features").output.shape[1:] == (65_536,)
    convolutions = sum(9 * a * b + b for a, b in ((3, 32), (32, 64), (64, 128), (128, 256)))
    assert model.count_params() == convolutions + 65_537 * 512 + 513 * 20


def test_with_kernels_of_6_and_a_padding_of_1_the_maps_are_those_of_the_report():
    model = built("birdcnn_kernel6")
    maps = [layer.output.shape[1] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert maps == [253, 126, 123, 61, 58, 29, 26, 13]
    assert model.get_layer("features").output.shape[1:] == (43_264,)
    assert built("birdcnn_two_conv").get_layer("features").output.shape[1:] == (262_144,)


def test_the_custom_cnn_is_three_blocks_a_mean_and_256_units():
    model = built("birds_customcnn")
    assert model.get_layer("features").output.shape[1:] == (128,)
    assert model.count_params() == 9 * (3 * 32 + 32 * 64 + 64 * 128) + 4 * 224 + 129 * 256 + 257 * 20


def test_of_resnet50_its_last_block_learns_and_nothing_else():
    model = built("birds_resnet50")
    learning = {layer.name for layer in model.layers if layer.trainable_weights} - {"head_dense1", "probabilities"}
    assert learning == {layer.name for layer in model.layers if layer.name.startswith("conv5_") and layer.weights}
    assert [layer.name for layer in model.layers[-4:]] == ["average", "head_dense1", "head_dropout1", "probabilities"]
    assert model.get_layer("average").output.shape[1:] == (2048,) and model.get_layer("head_dense1").units == 512


def test_of_efficientnetb4_the_last_three_blocks_learn():
    model = built("birds_efficientnetb4")
    learning = {layer.name for layer in model.layers if layer.trainable_weights} - {"probabilities"}
    assert {name.split("_")[0] for name in learning} == {"block6h", "block7a", "block7b", "top"}


def test_inceptionv3_learns_whole_from_scratch_and_not_at_all_when_frozen():
    scratch, frozen = built("animals_inceptionv3_adam", 5), built("animals_inceptionv3", 5)
    assert all(layer.trainable for layer in scratch.layers)
    assert scratch.count_params() == 21_802_784 + 2049 * 5
    assert {layer.name for layer in frozen.layers if layer.trainable_weights} == {"head_dense1", "probabilities"}
    assert shapes(scratch, keras.layers.GlobalAveragePooling2D) == [(2048,)]


def small_multimodal(**settings):
    given = {"attributes": 7, "attribute_units": 5, "backbone": "mobilenet", "alpha": 0.25, "weights": None}
    return multimodal_classifier((32, 32, 3), 3, **given, **settings)


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return small_multimodal(hidden=(6,))


def test_image_and_attributes_are_joined_before_the_dense_layers():
    model = built("birds_multimodal")
    assert [tuple(tensor.shape[1:]) for tensor in model.inputs] == [(224, 224, 3), (312,)]
    assert model.get_layer("image_and_attributes").output.shape[1:] == (2048 + 256,)
    dense = {layer.name: layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)}
    assert dense == {"attribute_dense": 256, "head_dense1": 512, "probabilities": 20}
    assert {layer.rate for layer in model.layers if layer.name.endswith(("dropout", "dropout1"))} == {0.5}


def test_both_the_image_and_the_attributes_count(small):
    rng = np.random.default_rng(0)
    pixels, told = rng.uniform(0, 255, (2, 32, 32, 3)), rng.uniform(0, 1, (2, 7))
    set_batch_norm_statistics(backbone_of(small), [pixels])
    here = small.predict([pixels, told], verbose=0)
    assert not np.allclose(here, small.predict([pixels[::-1], told], verbose=0), atol=1e-6)
    assert not np.allclose(here, small.predict([pixels, told[::-1]], verbose=0), atol=1e-6)


def test_frozen_for_the_head_the_attributes_still_learn(small):
    thawed = freeze_backbone(small)
    assert {layer.name for layer in small.layers if layer.trainable_weights} == {
        "attribute_dense", "head_dense1", "probabilities",
    }  # fmt: skip
    for layer in thawed:
        layer.trainable = True


def test_a_gate_lets_the_image_weigh_the_attributes():
    model = small_multimodal(fusion="gated")
    assert model.get_layer("attribute_gate").output.shape[1:] == (5,)
    model.get_layer("attribute_gate").bias.assign(np.full(5, -1e9))  # a gate that is shut
    pixels, told = np.ones((2, 32, 32, 3)), np.random.default_rng(0).uniform(0, 1, (2, 7))
    np.testing.assert_array_equal(*model.predict([pixels, told], verbose=0))


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="fusion='added'"):
        multimodal_classifier((32, 32, 3), 3, fusion="added")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["birds_resnet50", "birds_efficientnetb4", "birds_multimodal", "animals_inceptionv3", "animals_inceptionv3_adam"],
)
def test_two_steps_change_what_learns_and_nothing_else(name):
    """Their weights are not at hand everywhere, so this is what shows that they train."""
    recipe = RECIPES[name].with_model(weights="none")
    recipe = replace(recipe, image=replace(recipe.image, height=96, width=96))
    keras.utils.set_random_seed(0)
    model = build_model(recipe, 4)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (6, 96, 96, 3)).astype(np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    set_batch_norm_statistics(backbone_of(model), [x])
    inputs = x if len(model.inputs) == 1 else [x, rng.integers(0, 2, (6, 312)).astype(np.float32)]
    compile_model(model, recipe.training)
    learning = {id(variable) for variable in model.trainable_variables}
    weights = [variable for variable in model.weights if "seed" not in variable.path]
    before = [keras.ops.convert_to_numpy(variable) for variable in weights]
    losses = [float(model.train_on_batch(inputs, y)[0]) for _ in range(2)]
    assert np.isfinite(losses).all()
    for variable, old in zip(weights, before, strict=True):
        follows = variable.path.endswith(("moving_mean", "moving_variance")) and not recipe.model.freeze_batch_norm
        now = keras.ops.convert_to_numpy(variable)
        if id(variable) in learning:
            assert not np.array_equal(now, old), variable.path
        elif not follows:
            np.testing.assert_array_equal(now, old, err_msg=variable.path)
