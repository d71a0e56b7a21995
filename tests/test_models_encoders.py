"""A classifier on the encoder of a U-Net: what moves into it, what stays frozen, and what does not fit."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.features.frontier import split
from marinecv.inputs.spec import ImageSpec
from marinecv.models.autoencoders import encoder_classifier, encoder_of, unet
from marinecv.recipes.butterflies import B1, A
from marinecv.runs import Run
from marinecv.training.build import build_model
from marinecv.training.fit import fit_recipe, load_run
from marinecv.training.model_choice import EncoderModel
from marinecv.training.recipe import DataChoice, Recipe, Training

SMALL = {"filters": (4, 8), "bottleneck": 8}
NORMS = pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
SETTINGS = Training(optimizer="adam", learning_rate=1e-2, epochs=2, batch_size=4, monitor="loss")


@pytest.fixture(scope="module")
def make_run(shared_tank, tmp_path_factory):
    catalog = read_catalog(manifest_of_folder(shared_tank))

    def make(recipe):
        folder = tmp_path_factory.mktemp("run")
        return Run.create(folder, recipe.to_dict(), recipe.contract(["crab", "eel", "ray"]), catalog)

    return make


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """The files of two encoders of U-Nets, by whether they have batch normalization."""
    files = {}
    for batch_norm in (False, True):
        keras.utils.set_random_seed(7)
        encoder = encoder_of(unet((16, 16, 3), **SMALL, convolutions=1, batch_norm=batch_norm))
        encoder.set_weights([weights + 0.1 for weights in encoder.get_weights()])
        files[batch_norm] = tmp_path_factory.mktemp("encoders") / "encoder.keras"
        encoder.save(files[batch_norm])
    return files


def classifier(file, batch_norm=False, side=16, **settings):
    settings = {**SMALL, "convolutions": 1, "batch_norm": batch_norm, "weights": file} | settings
    return encoder_classifier((side, side, 3), 3, **settings)


def weights_of(file):
    """Return the weights of a saved encoder by layer, with the moving statistics of batch normalization."""
    return {layer.name: layer.get_weights() for layer in keras.saving.load_model(file).layers if layer.weights}


def the_same(model, weights):
    """Return by layer whether a model has exactly these weights."""
    return {
        name: all(map(np.array_equal, model.get_layer(name).get_weights(), values)) for name, values in weights.items()
    }


def pixels(side=16, images=3):
    return np.random.default_rng(0).uniform(0, 255, (images, side, side, 3)).astype(np.float32)


@NORMS
@pytest.mark.parametrize("frozen", [False, True], ids=["free", "frozen"])
def test_a_trained_encoder_moves_in_to_the_last_bit(encoders, batch_norm, frozen):
    weights = weights_of(encoders[batch_norm])
    assert len(weights) == (6 if batch_norm else 3)
    begun, random = (classifier(file, batch_norm, frozen=frozen) for file in (encoders[batch_norm], None))
    assert all(the_same(begun, weights).values()) and not any(the_same(random, weights).values())
    codes = keras.saving.load_model(encoders[batch_norm])(pixels(), training=False)
    np.testing.assert_array_equal(encoder_of(begun)(pixels(), training=False), codes)


CASES = {  # frozen, batch norm, feature cache
    "frozen": (True, True, 0),
    "frozen, its code computed once": (True, True, 1),
    "free": (False, True, 0),
    "free, plain": (False, False, 0),
}


@pytest.mark.parametrize(("frozen", "batch_norm", "bank"), CASES.values(), ids=CASES)
def test_training_leaves_a_frozen_encoder_as_it_was_and_moves_a_free_one(encoders, make_run, frozen, batch_norm, bank):
    weights = weights_of(encoders[batch_norm])
    settings = {**SMALL, "convolutions": 1, "batch_norm": batch_norm, "frozen": frozen}
    model = EncoderModel(**settings, weights=str(encoders[batch_norm]))
    image, data = ImageSpec(height=16, width=16), DataChoice(name="tank")
    training = replace(SETTINGS, bank=bank)
    recipe = Recipe(name="unet", title="A small U-Net", data=data, image=image, model=model, training=training)
    run = make_run(recipe)
    trained = fit_recipe(recipe, run, load_run(run, recipe), say=lambda line: None)
    assert set(the_same(trained, weights).values()) == {frozen}
    if not frozen and batch_norm:
        moving = trained.get_layer("code_norm1").get_weights()[2:], weights["code_norm1"][2:]
        assert not any(map(np.array_equal, *moving))
    before = classifier(encoders[batch_norm], batch_norm).get_layer("probabilities").get_weights()[1]
    assert not np.array_equal(trained.get_layer("probabilities").get_weights()[1], before)
    again = run.load_model()
    np.testing.assert_array_equal(again(pixels(), training=False), trained(pixels(), training=False))


@NORMS
def test_the_front_of_a_frozen_one_is_the_whole_encoder_and_its_pooling(encoders, batch_norm):
    model = classifier(encoders[batch_norm], batch_norm, frozen=True)
    front, rest = split(model)
    assert front.output is model.get_layer("features").output
    assert len(front.weights) == len(encoder_of(model).weights) and not front.trainable_weights
    assert [weight.path.split("/")[0] for weight in rest.weights] == ["scaled"] * 2 + ["probabilities"] * 2
    in_parts = rest(front(pixels(), training=True), training=False)  # training changes nothing in the front
    np.testing.assert_array_equal(in_parts, model(pixels(), training=False))
    assert not split(classifier(encoders[batch_norm], batch_norm))[0].weights


def test_an_encoder_serves_an_image_of_another_size(encoders):
    for pooling, features in (("avg", 8), ("flatten", 8 * 8 * 8)):
        model = classifier(encoders[True], True, side=32, pooling=pooling)
        assert all(the_same(model, weights_of(encoders[True])).values())
        assert model.get_layer("features").output.shape == (None, features) and model(pixels(32)).shape == (3, 3)


@pytest.mark.parametrize(
    ("batch_norm", "other", "message"),
    [
        (False, {"bottleneck": 16}, r"6 weights, number 5 of shape \(3, 3, 8, 8\). Expected 6, .* \(3, 3, 8, 16\)"),
        (False, {"filters": (4, 8, 8)}, "6 weights, number 7 of shape none. Expected 8"),
        (True, {}, r"15 weights, number 3 of shape \(4,\). Expected 6"),
    ],
    ids=["bottleneck", "levels", "batch norm"],
)
def test_another_encoder_is_refused_with_the_first_difference(encoders, batch_norm, other, message):
    with pytest.raises(ValueError, match=message):
        classifier(encoders[batch_norm], **other)


def test_a_file_that_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no encoder .*none.keras"):
        classifier(tmp_path / "none.keras")
    with pytest.raises(FileNotFoundError, match="There is no encoder butterflies_unet"):
        build_model(B1, 3)  # which one is for `learning-curve` to say
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras is no model"):
        classifier(tmp_path / "text.keras")


def test_classifier_a_has_the_size_of_the_report():
    model = build_model(A, 20)
    assert (model.input_shape, model.output_shape) == ((None, 128, 128, 3), (None, 20))
    assert encoder_of(model).output_shape == (None, 8, 8, 256)
    channels = [3, 32, 64, 128, 256, 256]
    encoder = sum(9 * taken * given + given for taken, given in itertools.pairwise(channels))
    assert encoder_of(model).count_params() == encoder == 978_496
    assert model.count_params() == encoder + 8 * 8 * 256 * 20 + 20 == 1_306_196
    assert model.get_layer("head_dropout").rate == 0.2


def test_the_head_of_a_frozen_encoder_does_not_mind_how_small_its_code_is(encoders, tmp_path):
    small = keras.saving.load_model(encoders[False])
    code = [layer for layer in small.layers if layer.weights][-1]
    code.set_weights([weight / 1000 for weight in code.get_weights()])
    small.save(tmp_path / "small.keras")
    both = [classifier(file, frozen=True) for file in (encoders[False], tmp_path / "small.keras")]
    seen, seen_small = (keras.Model(model.input, model.get_layer("scaled").output)(pixels()) for model in both)
    np.testing.assert_allclose(seen, seen_small, rtol=1e-2, atol=1e-2)
    assert np.std(seen) > 0.1
