import gc
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import draw_image
from keras import layers

from marinecv.evaluation.predict import predict_table
from marinecv.inputs.pixel_cache import load_pixels
from marinecv.inputs.spec import ImageSpec

SPEC = ImageSpec(height=48, width=64, fit="stretch")
NAMES = ("crab", "eel", "ray")


def mean_color():
    """Probabilities are the shares of red, green and blue."""
    pixels = keras.Input(SPEC.shape)
    means = layers.GlobalAveragePooling2D()(pixels)
    return keras.Model(pixels, means / keras.ops.sum(means, axis=-1, keepdims=True))


@pytest.fixture
def catalog(tmp_path):
    rows = []
    for number, name in enumerate(("crab", "eel", "ray", "eel", "crab")):
        path = tmp_path / f"{number}.png"
        draw_image(name, seed=number).save(path)
        problem, label = ("no box", "") if number == 1 else ("", "" if number == 3 else name)
        rows.append([path.name, str(path), "test" if number > 2 else "train", label, "", 64, 48, 1.0, problem])
    columns = ["image_id", "path", "split", "class_name", "group", "width", "height", "dominance", "problem"]
    return pd.DataFrame(rows, columns=columns)


def test_each_usable_image_gets_its_own_row(catalog):
    table = predict_table(mean_color(), catalog, SPEC, NAMES, batch_size=2)
    assert table["image_id"].tolist() == ["0.png", "2.png", "3.png", "4.png"]
    assert table["predicted_class"].tolist() == ["crab", "ray", "eel", "crab"]
    assert table["true_class"].tolist() == ["crab", "ray", "", "crab"]
    assert table["split"].tolist() == ["train", "train", "test", "test"]


@pytest.mark.parametrize("cache_features", [False, True])
@pytest.mark.parametrize("wrong", [lambda pixels: pixels[:3], lambda pixels: pixels / 255])
def test_pixels_of_other_images_are_refused(catalog, wrong, cache_features):
    pixels, _ = load_pixels(catalog, SPEC)
    with pytest.raises(ValueError, match=r"Expected pixels of the 4 usable rows: an array of uint8 \(4, 48, 64, 3\)"):
        predict_table(mean_color(), catalog, SPEC, NAMES, pixels=wrong(pixels), cache_features=cache_features)


def test_predicting_leaves_no_pixels_in_memory(catalog):
    model = keras.Sequential([keras.Input(SPEC.shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Softmax()])
    for _ in range(2):
        pixels = load_pixels(catalog, SPEC)[0].copy()
        reference = weakref.ref(pixels)
        predict_table(model, catalog, SPEC, NAMES, pixels=pixels)
        del pixels
        gc.collect()
        assert reference() is None


def colors(*last, units=3):
    pixels = keras.Input(SPEC.shape)
    x = layers.Dense(units)(layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(pixels)))
    for layer in last:
        x = layer(x)
    return keras.Model(pixels, x)


def test_logits_get_the_softmax_that_the_user_would_lay_on_them(catalog):
    model = colors()
    expected = predict_table(keras.Sequential([model, layers.Softmax()]), catalog, SPEC, NAMES)
    pd.testing.assert_frame_equal(predict_table(model, catalog, SPEC, NAMES), expected)
    kept = predict_table(model, catalog, SPEC, NAMES, pixels=load_pixels(catalog, SPEC)[0], cache_features=True)
    np.testing.assert_allclose(kept.filter(like="p_"), expected.filter(like="p_"), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: colors(layers.ReLU(max_value=1)), r"End the model with a softmax"),
        (lambda: colors(units=2), r"gives \(2,\) for each image. Expected a softmax over the 3 class_names"),
        (lambda: keras.Sequential([keras.Input((9, 9, 3)), layers.Flatten(), layers.Dense(3)]), r"takes \(9, 9, 3\)"),
        (lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)]), "has no graph. Expected a functional"),
        (lambda: None, "Expected model to be a keras.Model. Received: model=None"),
    ],
)
def test_a_model_that_gives_no_probabilities_of_these_images_is_refused(model, said, catalog):
    with pytest.raises(ValueError, match=said):
        predict_table(model(), catalog, SPEC, NAMES)
