"""The networks of both bird reports and of the animals: shapes, parameters, and which of their layers are trained."""

import keras
import numpy as np
import pytest

from marinecv.models.backbones import multimodal_classifier, set_batch_norm_statistics
from marinecv.recipes.registry import RECIPES
from marinecv.training.build import backbone_of, build_model, freeze_backbone

FOUR_CONV = sum(9 * a * b + b for a, b in ((3, 32), (32, 64), (64, 128), (128, 256)))
NETWORKS = {  # classes, layer before the head, its shape, parameters
    "birdcnn_base": (20, "features", (65_536,), FOUR_CONV + 65_537 * 512 + 513 * 20),
    "birdcnn_kernel6": (20, "features", (43_264,), None),
    "birdcnn_two_conv": (20, "features", (262_144,), None),
    "birds_customcnn": (20, "features", (128,), 9 * (3 * 32 + 32 * 64 + 64 * 128) + 4 * 224 + 129 * 256 + 257 * 20),
    "birds_resnet50": (20, "average", (2048,), None),
    "birds_efficientnetb4": (20, "average", (1792,), None),
    "birds_multimodal": (20, "image_and_attributes", (2048 + 256,), None),
    "animals_inceptionv3": (5, "average", (2048,), None),
    "animals_inceptionv3_adam": (5, "average", (2048,), 21_802_784 + 2049 * 5),
}
TRAINED = {  # prefixes of the trained layers
    "birds_resnet50": {"conv5", "head", "probabilities"},
    "birds_efficientnetb4": {"block6h", "block7a", "block7b", "top", "probabilities"},
    "animals_inceptionv3": {"head", "probabilities"},
}


def built(name, num_classes=20):
    recipe = RECIPES[name]
    return build_model(recipe.with_model(weights="none") if hasattr(recipe.model, "weights") else recipe, num_classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_reports_has_its_shapes_and_its_trained_layers(name):
    classes, layer, shape, parameters = NETWORKS[name]
    model = built(name, classes)
    assert model.get_layer(layer).output.shape[1:] == shape and parameters in (None, model.count_params())
    if name in TRAINED:
        assert {layer.name.split("_")[0] for layer in model.layers if layer.trainable_weights} == TRAINED[name]
    if name == "birdcnn_kernel6":
        maps = [layer.output.shape[1] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
        assert maps == [253, 126, 123, 61, 58, 29, 26, 13]


def small_multimodal(**settings):
    given = {"attributes": 7, "attribute_units": 5, "backbone": "mobilenet", "alpha": 0.25, "weights": None}
    return multimodal_classifier((32, 32, 3), 3, **given, **settings)


def test_both_the_image_and_the_attributes_count_and_learn_without_the_backbone():
    keras.utils.set_random_seed(0)
    model, rng = small_multimodal(hidden=(6,)), np.random.default_rng(0)
    pixels, attributes = rng.uniform(0, 255, (2, 32, 32, 3)), rng.uniform(0, 1, (2, 7))
    set_batch_norm_statistics(backbone_of(model), [pixels])
    expected = model.predict([pixels, attributes], verbose=0)
    for other in ([pixels[::-1], attributes], [pixels, attributes[::-1]]):
        assert not np.allclose(expected, model.predict(other, verbose=0), atol=1e-6)
    freeze_backbone(model)
    learning = {layer.name for layer in model.layers if layer.trainable_weights}
    assert learning == {"attribute_dense", "head_dense1", "probabilities"}


def test_a_gate_lets_the_image_weigh_the_attributes():
    model = small_multimodal(fusion="gated")
    model.get_layer("attribute_gate").bias.assign(np.full(5, -1e9))  # a gate that is shut
    pixels, attributes = np.ones((2, 32, 32, 3)), np.random.default_rng(0).uniform(0, 1, (2, 7))
    np.testing.assert_array_equal(*model.predict([pixels, attributes], verbose=0))
    with pytest.raises(ValueError, match="fusion='added'"):
        small_multimodal(fusion="added")
