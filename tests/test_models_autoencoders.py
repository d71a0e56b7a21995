"""Autoencoders: what goes in, what comes out, and where they are cut in two."""

import keras
import numpy as np
import pytest

from marinecv.models.autoencoders import decoder_of, dense_autoencoder, encoder_of, target_of, to_pixels, unet

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


def pixels_for(model, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, *model.input_shape[1:])).astype(np.float32)


def test_the_networks_of_the_report_have_its_sizes():
    whole = unet((128, 128, 3))
    assert encoder_of(whole).output_shape == (None, 8, 8, 256) and whole.output_shape == (None, 128, 128, 3)
    dense = dense_autoencoder((28, 28, 3))
    units = [layer.units for layer in dense.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [128, 64, 32, 64, 128, 784] and dense.output_shape == (None, 28, 28, 1)
    assert dense.count_params() == 222_384
    assert encoder_of(dense).output_shape == (None, 32)


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


def test_a_unet_whose_image_cannot_be_halved_so_often_is_refused():
    with pytest.raises(ValueError, match="multiple of 4. .*: 16x18"):
        unet((16, 18, 3), **SMALL)
