"""The embedding of an image is the input of a classifier's last layer, or the output of any other network."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from marinecv.features import cache
from marinecv.features.embeddings import embed
from marinecv.inputs.spec import ImageSpec

SPEC = ImageSpec(height=32, width=40, fit="stretch")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, *SPEC.shape)).astype(np.uint8)


@pytest.fixture
def catalog(tmp_path):
    """Five usable images of two splits that take turns, and one that cannot be used."""
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    for path in paths:
        path.write_bytes(path.name.encode())
    split = ["train", "test", "train", "train", "test", "test"]
    table = pd.DataFrame({"image_id": [path.name for path in paths], "path": map(str, paths), "split": split})
    return table.assign(problem=["", "", "broken", "", "", ""])


def classifier(last=layers.Softmax):
    pixels = keras.Input(SPEC.shape)
    x = layers.GlobalAveragePooling2D(name="code")(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(pixels)))
    x = layers.Dropout(0.5)(x)
    return keras.Model(pixels, layers.Softmax()(x) if last is layers.Softmax else layers.Dense(3, "softmax")(x))


def given(model, name=None):
    part = model if name is None else keras.Model(model.inputs, model.get_layer(name).output)
    return part.predict(PIXELS.astype(np.float32), verbose=0).reshape(len(PIXELS), -1)


@pytest.mark.parametrize("last", [layers.Softmax, layers.Dense])
def test_of_a_classifier_it_is_what_the_softmax_layer_takes_in_inference(last, catalog):
    model = classifier(last)
    embeddings = embed(model, catalog, SPEC, PIXELS)
    assert embeddings.shape == (5, 4) and embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, given(model, "code"), atol=1e-5)


def backbone(size):
    return keras.applications.MobileNet(input_shape=size, include_top=False, weights=None, alpha=0.25, pooling="avg")


class OfCode(keras.Model):
    def call(self, inputs):
        return inputs / 255.0


def adapted():
    layer = layers.Normalization()
    layer.adapt(PIXELS.astype(np.float32))
    return layer


def sequence(*parts):
    return keras.Sequential([keras.Input(SPEC.shape), *parts])


NETWORKS = {
    "maps": lambda: sequence(layers.Rescaling(1 / 255), layers.Conv2D(2, 3, strides=9)),
    "backbone for any size": lambda: backbone((None, None, 3)),
    "backbone within a model": lambda: sequence(layers.Rescaling(1 / 255), backbone((None, None, 3))),
    "model of code wrapped": lambda: keras.Model(x := keras.Input(SPEC.shape), OfCode()(x)),
    "adapted": lambda: sequence(adapted(), layers.GlobalAveragePooling2D()),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_of_any_other_network_it_is_what_it_gives(network, catalog):
    model = NETWORKS[network]()
    np.testing.assert_allclose(embed(model, catalog, SPEC, PIXELS), given(model), rtol=1e-3, atol=1e-4)


def test_a_second_time_and_by_split_the_store_has_it(catalog, monkeypatch):
    model = classifier()
    embeddings = embed(model, catalog, SPEC, PIXELS)
    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("computed again"))
    np.testing.assert_array_equal(embed(model, catalog, SPEC, PIXELS), embeddings)
    test = catalog.query("split == 'test' and problem == ''")
    np.testing.assert_array_equal(embed(model, test, SPEC, PIXELS[[1, 3, 4]]), embeddings[[1, 3, 4]])


def test_codes_of_other_pixels_than_the_files_show_are_neither_kept_nor_found(catalog):
    model, noisy = classifier(), np.where(PIXELS < 128, np.uint8(0), PIXELS)
    clean = given(model, "code")
    before = embed(model, catalog, SPEC, noisy, keep=False)  # nothing is kept yet
    np.testing.assert_allclose(embed(model, catalog, SPEC, PIXELS), clean, atol=1e-5)
    after = embed(model, catalog, SPEC, noisy, keep=False)  # codes of the same files are
    np.testing.assert_array_equal(after, before)
    assert np.abs(after - clean).max() > 1e-3
    np.testing.assert_allclose(embed(model, catalog, SPEC, PIXELS), clean, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Model([x := keras.Input(SPEC.shape), y := keras.Input(SPEC.shape)], x + y), "takes 2 inputs"),
        (OfCode, "has no graph"),
        (lambda: keras.Sequential([keras.Input((9,)), layers.Dense(2)]), r"takes \(9,\). Expected an ImageSpec"),
        (lambda: backbone((64, 64, 3)), r"takes \(64, 64, 3\). .*\(32, 40, 3\)"),
    ],
)
def test_a_model_without_one_code_of_these_images_is_refused(model, message, catalog):
    with pytest.raises(ValueError, match=message):
        embed(model(), catalog, SPEC, PIXELS)


class Doubled(layers.Layer):
    def call(self, x):
        return x * 2


def test_a_backbone_within_a_model_is_kept_and_a_layer_of_ones_own_is_not(catalog, monkeypatch):
    inputs = keras.Input(SPEC.shape)
    parts = [keras.Input(SPEC.shape), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization()]
    x = layers.GlobalAveragePooling2D(name="code")(keras.Sequential(parts)(inputs, training=False))
    model = keras.Model(inputs, layers.Softmax()(layers.Dense(3)(x)))
    embeddings = embed(model, catalog, SPEC, PIXELS)
    np.testing.assert_allclose(embeddings, given(model, "code"), rtol=1e-3, atol=1e-5)
    own = keras.Model(inputs, layers.Dense(3, activation="softmax")(Doubled()(x)))
    before = embed(own, catalog, SPEC, PIXELS)
    monkeypatch.setattr(cache, "_build", lambda *args: pytest.fail("computed again, or kept"))
    np.testing.assert_array_equal(embed(model, catalog, SPEC, PIXELS), embeddings)
    monkeypatch.setattr(Doubled, "call", lambda self, x: x * 3)  # the cell was changed and run again
    np.testing.assert_allclose(embed(own, catalog, SPEC, PIXELS), before * 1.5, rtol=1e-3)


def test_pixels_of_other_rows_and_an_embedding_that_is_no_number_are_refused(catalog):
    model = classifier()
    with pytest.raises(ValueError, match="pixels of the 5 usable rows"):
        embed(model, catalog, SPEC, PIXELS[:4])
    model.layers[2].set_weights([weights * np.nan for weights in model.layers[2].get_weights()])
    with pytest.raises(ValueError, match="5 of 5 embeddings .* 0.jpg"):
        embed(model, catalog, SPEC, PIXELS)
