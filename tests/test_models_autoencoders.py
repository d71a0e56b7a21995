"""Autoencoders: what goes in, what comes out, where they are cut in two; and a classifier on an encoder."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from marinecv.data.catalog import read_catalog
from marinecv.data.manifests import manifest_of_folder
from marinecv.features.split_point import split_model
from marinecv.inputs.spec import ImageSpec
from marinecv.models.autoencoders import (
    decoder_of,
    dense_autoencoder,
    encoder_classifier,
    encoder_of,
    target_of,
    to_pixels,
    unet,
)
from marinecv.recipes.butterflies import B1, A
from marinecv.runs import Run
from marinecv.training.build import build_model
from marinecv.training.fit import fit_recipe, load_run
from marinecv.training.model_config import EncoderModel
from marinecv.training.recipe import DataConfig, Recipe, Training

SMALL = {"filters": (4, 8), "bottleneck": 8}
MODELS = {
    "unet": lambda: unet((16, 24, 3), **SMALL),
    "without skips": lambda: unet((16, 24, 3), **SMALL, skips=False, batch_norm=True),
    "dense": lambda: dense_autoencoder((28, 28, 3)),
    "variational": lambda: dense_autoencoder((28, 28, 3), variational=True),
}


@pytest.fixture(params=MODELS)
def model(request):
    keras.utils.set_random_seed(0)
    return MODELS[request.param]()


def pixels_for(model):
    return np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype(np.float32)


def test_the_networks_of_the_report_have_its_sizes():
    whole = unet((128, 128, 3))
    assert encoder_of(whole).output_shape == (None, 8, 8, 256) and whole.output_shape == (None, 128, 128, 3)
    dense = dense_autoencoder((28, 28, 3))
    units = [layer.units for layer in dense.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [128, 64, 32, 64, 128, 784] and dense.output_shape == (None, 28, 28, 1)
    assert dense.count_params() == 222_384 and encoder_of(dense).output_shape == (None, 32)
    with pytest.raises(ValueError, match="multiple of 4. .*: 16x18"):
        unet((16, 18, 3), **SMALL)


def test_pixels_become_the_range_of_the_report_within_the_model_and_come_back(model):
    ends = np.zeros((2, *model.input_shape[1:]), np.float32)
    ends[1] = 255
    target = np.asarray(target_of(model)(ends))
    np.testing.assert_allclose(target[:, 0, 0, 0], [-1 if model.name == "unet" else 0, 1], atol=1e-3)
    images = pixels_for(model)
    wanted = images if model.output_shape[-1] == 3 else images @ np.float32([[0.2989], [0.587], [0.114]])
    np.testing.assert_allclose(to_pixels(model, np.asarray(target_of(model)(images))), wanted, atol=0.6)


def test_encoder_and_decoder_together_are_the_autoencoder(model):
    images = pixels_for(model)
    encoder, decoder = encoder_of(model), decoder_of(model)
    across = [layer.input[0] for layer in model.layers if layer.name.startswith("skip")]
    code = encoder.outputs[0]
    seen = keras.Model(model.inputs[0], [code, *across] if across else code)(images)
    np.testing.assert_array_equal(decoder(seen), model(images, training=False))
    for part in (encoder, decoder):
        assert {id(weight) for weight in part.weights} < {id(weight) for weight in model.weights}


def test_all_of_an_image_goes_through_the_code_without_skips_and_past_it_with_them():
    for skips, moves in ((True, True), (False, False)):
        keras.utils.set_random_seed(1)
        whole = unet((16, 16, 3), **SMALL, skips=skips)
        for layer in whole.layers:
            if layer.name.startswith("code_conv"):
                layer.set_weights([np.zeros_like(values) for values in layer.get_weights()])
        one, other = whole(pixels_for(whole))
        assert (np.abs(np.asarray(one) - np.asarray(other)).max() > 1e-6) == moves


def test_a_variational_code_is_drawn_in_training_and_its_mean_elsewhere():
    model = MODELS["variational"]()
    images = pixels_for(model)
    once, again = (np.asarray(model(images, training=True)) for _ in range(2))
    assert not np.array_equal(once, again)
    np.testing.assert_array_equal(model(images, training=False), decoder_of(model)(encoder_of(model)(images)))


def test_an_autoencoder_and_its_parts_are_ordinary_keras_models(model, tmp_path):
    images = pixels_for(model)
    for name, part in (("whole", model), ("encoder", encoder_of(model)), ("decoder", decoder_of(model))):
        part.save(tmp_path / f"{name}.keras")
        again = keras.saving.load_model(tmp_path / f"{name}.keras", safe_mode=True)
        if name != "decoder":
            np.testing.assert_array_equal(again(images, training=False), part(images, training=False))


NORMS = pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
SETTINGS = Training(optimizer="adam", learning_rate=1e-2, epochs=2, batch_size=4, monitor="loss")


@pytest.fixture(scope="module")
def make_run(shared_tank, tmp_path_factory):
    catalog = read_catalog(manifest_of_folder(shared_tank))

    def make(recipe):
        folder = tmp_path_factory.mktemp("run")
        return Run.create(folder, recipe.to_dict(), recipe.preprocessing(["crab", "eel", "ray"]), catalog)

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
    of_layer = {name: model.get_layer(name).get_weights() for name in weights}
    return {name: all(map(np.array_equal, of_layer[name], values)) for name, values in weights.items()}


def pixels(side=16, images=3):
    return np.random.default_rng(0).uniform(0, 255, (images, side, side, 3)).astype(np.float32)


@NORMS
@pytest.mark.parametrize("frozen", [False, True], ids=["free", "frozen"])
def test_a_trained_encoder_moves_in_to_the_last_bit(encoders, batch_norm, frozen):
    weights = weights_of(encoders[batch_norm])
    assert len(weights) == (6 if batch_norm else 3)
    begun, random = (classifier(file, batch_norm, frozen=frozen) for file in (encoders[batch_norm], None))
    assert all(the_same(begun, weights).values()) and not any(the_same(random, weights).values())
    embeddings = keras.saving.load_model(encoders[batch_norm])(pixels(), training=False)
    np.testing.assert_array_equal(encoder_of(begun)(pixels(), training=False), embeddings)


CASES = {  # frozen, batch norm, feature cache
    "frozen": (True, True, 0),
    "frozen, its code computed once": (True, True, 1),
    "free": (False, True, 0),
    "free, plain": (False, False, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_training_leaves_a_frozen_encoder_as_it_was_and_moves_a_free_one(encoders, make_run, case):
    frozen, batch_norm, cache_features = CASES[case]
    weights = weights_of(encoders[batch_norm])
    settings = {**SMALL, "convolutions": 1, "batch_norm": batch_norm, "frozen": frozen}
    model = EncoderModel(**settings, weights=str(encoders[batch_norm]))
    image, data = ImageSpec(height=16, width=16), DataConfig(name="tank")
    training = replace(SETTINGS, cache_features=cache_features)
    recipe = Recipe(name="unet", title="A small U-Net", data=data, image=image, model=model, training=training)
    run = make_run(recipe)
    trained = fit_recipe(recipe, run, load_run(run, recipe), log=lambda line: None)
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
    extractor, trainable = split_model(model)
    assert extractor.output is model.get_layer("features").output
    assert len(extractor.weights) == len(encoder_of(model).weights) and not extractor.trainable_weights
    assert [weight.path.split("/")[0] for weight in trainable.weights] == ["scaled"] * 2 + ["probabilities"] * 2
    in_parts = trainable(extractor(pixels(), training=True), training=False)  # training changes nothing in the front
    np.testing.assert_array_equal(in_parts, model(pixels(), training=False))
    assert not split_model(classifier(encoders[batch_norm], batch_norm))[0].weights


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
    with pytest.raises(ValueError, match="no .keras file"):
        classifier(tmp_path / "text.keras")


def test_classifier_a_has_the_size_of_the_report():
    model = build_model(A, 20)
    assert (model.input_shape, model.output_shape) == ((None, 128, 128, 3), (None, 20))
    assert encoder_of(model).output_shape == (None, 8, 8, 256) and encoder_of(model).count_params() == 978_496
    assert model.count_params() == 978_496 + 8 * 8 * 256 * 20 + 20 and model.get_layer("head_dropout").rate == 0.2


def test_the_head_of_a_frozen_encoder_does_not_mind_how_small_its_code_is(encoders, tmp_path):
    small = keras.saving.load_model(encoders[False])
    code = [layer for layer in small.layers if layer.weights][-1]
    code.set_weights([weight / 1000 for weight in code.get_weights()])
    small.save(tmp_path / "small.keras")
    both = [classifier(file, frozen=True) for file in (encoders[False], tmp_path / "small.keras")]
    seen, seen_small = (keras.Model(model.input, model.get_layer("scaled").output)(pixels()) for model in both)
    np.testing.assert_allclose(seen, seen_small, rtol=1e-2, atol=1e-2)
    assert np.std(seen) > 0.1
