import gc
import subprocess
import sys
import urllib.error
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import file_utils

from marinecv.models.backbone_table import BACKBONES, backbones_here, backbones_table, weights_file
from marinecv.models.backbones import backbone_classifier, backbone_features, set_batch_norm_statistics
from marinecv.models.cnn import cnn
from marinecv.models.flat import flat
from marinecv.models.normalize import NORMALIZATIONS
from marinecv.recipes.aquarium import GRID
from marinecv.training.build import build_model

SIZE = 96  # InceptionV3 wants 75 at least
SMALL = ("mobilenet", "mobilenetv2", "mobilenetv3large", "inceptionv3", "resnet50", "efficientnetb0", "convnexttiny")
RELOAD = """
import sys
from pathlib import Path
import keras, numpy as np
for path in sorted(Path(sys.argv[1]).glob("*.keras")):
    model = keras.saving.load_model(path, safe_mode=True)
    np.save(path.with_suffix(".npy"), model(np.load(path.with_suffix(".pixels.npy"))))
assert not [name for name in sys.modules if name.startswith("marinecv")]
"""


def gradients(height=SIZE, width=SIZE):
    """Return two images: 0 to 255 from left to right, and from top to bottom with other channels."""
    rows, columns = np.mgrid[0 : 255 : height * 1j, 0 : 255 : width * 1j]
    first = np.stack([columns, columns, columns], axis=-1)
    return np.stack([first, np.stack([rows, 255 - rows, columns], axis=-1)]).astype(np.float32)


def small_backbone(**settings):
    settings = {"backbone": "mobilenet", "alpha": 0.25, "weights": None} | settings
    return backbone_classifier((64, 64, 3), 3, **settings)


def fed_and_size(model, pixels):
    """What the first convolution reads, or the padding before it, and the number of weights; the model is freed."""
    kinds, size, model = (keras.layers.Conv2D, keras.layers.ZeroPadding2D), model.count_params(), flat(model)
    first = next(layer for layer in model.layers if isinstance(layer, kinds))
    fed = keras.Model(model.input, first.input)(pixels).numpy()
    del model, first
    gc.collect()
    return fed, size


@pytest.fixture(scope="module")
def built():
    """Every backbone once, with random weights."""
    keras.utils.set_random_seed(0)
    return {
        name: backbone_classifier((SIZE, SIZE, 3), 3, backbone=name, weights=None, trainable_layers=20)
        for name in SMALL
    }


@pytest.fixture(scope="module")
def small_cnns():
    keras.utils.set_random_seed(0)
    options = {"filters": (4, 6), "kernels": (3, 3), "pools": (2, 3), "dense": 8}
    return {
        "cnn_flatten": cnn((24, 36, 3), 3, **options),
        "cnn_avg_norm_unit": cnn((24, 36, 3), 3, **options, batch_norm=True, pooling="avg", normalization="unit"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_backbone_is_one_flat_graph_whose_last_20_layers_learn_less_batch_norm(built, name):
    model = built[name]
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    backbone = model.layers[: [layer.name for layer in model.layers].index("average")]
    for layer in backbone[-20:]:
        assert layer.trainable != isinstance(layer, keras.layers.BatchNormalization), layer.name
    assert not [layer.name for layer in backbone[:-20] if layer.trainable]
    assert model.get_layer("probabilities").trainable and model.name == name


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_the_first_weights_read_what_keras_own_preprocessing_gives_them(name, monkeypatch):
    row, pixels, asked = BACKBONES[name], gradients(), []
    fed, ours = fed_and_size(backbone_features(pixels.shape[1:], backbone=name, weights=None), pixels)
    factory = getattr(keras.applications, row.factory)
    preprocessed = sys.modules[factory.__module__].preprocess_input(pixels.copy())
    plain = {"include_top": False, "weights": None, "input_shape": pixels.shape[1:]}
    expected, theirs = fed_and_size(factory(**plain), preprocessed)
    np.testing.assert_allclose(fed, expected, atol=1e-4)
    assert np.ptp(fed) > 0.9 and np.ptp(expected, axis=(1, 2)).max(axis=0).min() > 0.9  # a ramp is still a ramp
    assert ours == theirs == pytest.approx(row.parameters * 1e6, abs=5e3)
    monkeypatch.setattr(file_utils, "get_file", lambda name, *args, **how: asked.append(name) or 1 / 0)
    for alpha in row.alphas or [None]:
        with pytest.raises(ZeroDivisionError):
            factory(include_top=False, input_shape=(row.px, row.px, 3), **({"alpha": alpha} if alpha else {}))
        assert asked.pop() == weights_file(name, alpha or 1.0).name


def test_a_download_that_breaks_off_says_where_the_file_would_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))  # read once, when Keras is imported
    refused = Mock(side_effect=urllib.error.HTTPError("url", 503, "busy", None, None))
    monkeypatch.setattr(file_utils, "urlretrieve", refused)
    with pytest.raises(ConnectionError, match=r"(?s)503.*put mobilenet_\w+\.h5 into"):
        small_backbone(weights="imagenet")


def test_what_keras_refuses_stays_its_error():
    with pytest.raises(ValueError, match="at least 75x75"):
        backbone_classifier((32, 32, 3), 3, backbone="inceptionv3", weights=None)


def test_the_table_has_every_network_of_keras_and_says_which_weights_are_here(tmp_path, monkeypatch):
    assert {row.factory for row in BACKBONES.values()} == {
        name for name in dir(keras.applications) if name[0].isupper()
    }
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert backbones_here() == [] and not backbones_table()["weights_here"].any()
    (tmp_path / "models").mkdir()
    best_first = [("convnexttiny", 1.0), ("mobilenetv2", 1.4), ("mobilenetv3large", 0.75), ("mobilenet", 0.25)]
    for each in best_first:
        weights_file(*each).touch()
    table = backbones_table()
    assert backbones_here() == best_first and set(table.index[table["weights_here"]]) == {
        name for name, _ in best_first
    }
    assert table.loc["densenet121"].tolist() == [224, 7.04, 75.0, "imagenet", "BSD-3-Clause", False]


@pytest.mark.parametrize("asked", [0, 1, 10_000])
def test_trainable_layers_are_counted_from_the_last(asked):
    model = small_backbone(backbone="mobilenetv2", alpha=0.35, trainable_layers=asked, freeze_batch_norm=False)
    backbone = model.layers[: [layer.name for layer in model.layers].index("average")]
    assert sum(layer.trainable for layer in backbone) == min(asked, len(backbone))
    assert asked or len(model.trainable_variables) == 2  # kernel and bias of the head


@pytest.mark.slow
def test_saved_models_reload_without_marinecv_and_predict_the_same(built, small_cnns, tmp_path):
    """Pixels in, probabilities out: a colleague's plain `keras.saving.load_model`, in safe mode, is right."""
    expected = {}
    for name, model in {**built, **small_cnns}.items():
        pixels = gradients(*model.input_shape[1:3])
        expected[name] = model(pixels).numpy()
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.pixels.npy", pixels)
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path)], check=True, cwd=tmp_path)
    for name, probabilities in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), probabilities, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_reloaded_cnn_answers_differently_for_different_images(small_cnns, tmp_path):
    model, pixels = small_cnns["cnn_flatten"], gradients(24, 36)
    model.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras").predict(pixels, verbose=0)
    np.testing.assert_allclose(found, model(pixels), atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_the_aquarium_cnns_have_the_size_they_had():
    sizes = {"aquarium_four_conv": 504_007, "aquarium_three_conv": 669_255, "aquarium_five_conv": 669_639}
    models = {row.name: build_model(row, 7) for row in GRID if row.name in sizes}
    assert {name: model.count_params() for name, model in models.items()} == sizes
    assert {(model.input_shape, model.output_shape) for model in models.values()} == {((None, 64, 64, 3), (None, 7))}


def test_standardize_is_tensorflows_per_image_standardization():
    dots = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.float32)
    images = np.stack([*gradients(30, 50), dots, 90 + dots / 4])
    inputs = keras.Input((30, 50, 3))
    found = keras.Model(inputs, NORMALIZATIONS["standardize"](inputs))(images).numpy()
    np.testing.assert_allclose(found, tf.image.per_image_standardization(images), atol=2e-6, rtol=0)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), 1, atol=1e-4)
    plain = np.full((1, 30, 50, 3), 99, np.float32)  # one color becomes zeros and no NaN
    np.testing.assert_allclose(keras.Model(inputs, NORMALIZATIONS["standardize"](inputs))(plain), 0, atol=1e-3)


@pytest.mark.parametrize(
    ("normalization", "low", "high"), [("backbone", -1, 1), ("unit", 0, 1), ("standardize", -1.8, 1.8)]
)
def test_another_normalization_reaches_the_first_convolution(normalization, low, high):
    fed, _ = fed_and_size(small_backbone(normalization=normalization), gradients(64, 64)[:1])
    np.testing.assert_allclose((fed.min(), fed.max()), (low, high), atol=0.1)


@pytest.mark.parametrize(
    ("pooling", "also_pooled", "hidden", "features"),
    [
        ("avg", (), (), 256),
        ("max", (), (5, 4), 256),
        ("avg_max", (), (5,), 512),
        ("avg", ("conv_pw_12_relu", "conv_pw_5_relu"), (), 256 + 256 + 64),
        ("avg_max", ("conv_pw_12_relu",), (), 1024),
    ],
)
def test_the_head_is_as_asked(pooling, also_pooled, hidden, features):
    model = small_backbone(dropout=0.3, pooling=pooling, also_pooled=also_pooled, hidden=hidden)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [*hidden, 3]
    assert dense[0].kernel.shape[0] == features
    dropouts = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropouts == [0.3] * max(1, len(hidden))


def test_statistics_from_images_give_random_features_a_sensible_size(built):
    model = keras.models.clone_model(built["mobilenetv3large"])
    features = keras.Model(model.input, model.get_layer("average").output)
    batches = np.random.default_rng(0).uniform(0, 255, (2, 6, SIZE, SIZE, 3)).astype(np.float32)
    batches *= np.linspace(0.2, 1, 6)[:, None, None, None]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    norms[3].trainable = False
    before = [(norm.trainable, norm.momentum) for norm in norms]
    assert np.abs(features(batches[0])).mean() < 1e-6  # the reason for the whole
    set_batch_norm_statistics(model, batches)
    assert features(batches[0]).numpy().std(axis=0).mean() > 1e-3  # images are told apart
    assert [(norm.trainable, norm.momentum) for norm in norms] == before


def test_statistics_are_the_mean_over_all_batches():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.BatchNormalization(momentum=0.9)])
    batches = np.random.default_rng(0).uniform(0, 255, (5, 7, 4, 4, 3)).astype(np.float32)
    set_batch_norm_statistics(model, batches)
    norm = model.layers[-1]
    np.testing.assert_allclose(norm.moving_mean, batches.mean(axis=(0, 1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, batches.var(axis=(1, 2, 3)).mean(axis=0), rtol=1e-3)


@pytest.mark.data
@pytest.mark.parametrize(("backbone", "alpha"), [("mobilenet", 0.75), ("mobilenetv2", 0.35)])
def test_imagenet_weights_load_from_keras_home(backbone, alpha, real_data, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(real_data / "keras_home"))
    settings, features = {"backbone": backbone, "alpha": alpha}, []
    for weights in ("imagenet", weights_file(backbone, alpha)):
        model = backbone_classifier((128, 128, 3), 3, weights=weights, **settings)  # a warning would be an error
        features.append(keras.Model(model.input, model.get_layer("average").output)(gradients(128, 128)).numpy())
    np.testing.assert_array_equal(*features)
    assert np.abs(features[0]).mean() > 0.01 and np.abs(features[0][0] - features[0][1]).max() > 0.1


def test_the_weights_file_is_looked_for_in_keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights_file("mobilenet", 0.75) == tmp_path / "models" / "mobilenet_7_5_224_tf_no_top.h5"
    assert weights_file("mobilenet").name == "mobilenet_1_0_224_tf_no_top.h5"
    assert weights_file("mobilenetv2", 1).name == "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "alexnet"}, 'no backbone "alexnet"'),
        ({"backbone": "efficientnetb4", "alpha": 1.0, "normalization": "standardize"}, "rescales"),
        ({"backbone": "efficientnetb4", "alpha": 1.0, "weights": "own.h5"}, "its own weights file"),
        ({"backbone": "resnet50", "alpha": 0.5}, "no width multiplier. Received: alpha=0.5"),
        ({"pooling": "median"}, "pooling='median'"),
        ({"also_pooled": ("average",)}, "no map 'average'"),
        ({"trainable_blocks": ("conv5_",)}, "begins with 'conv5_'"),
    ],
)
def test_a_backbone_that_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small_backbone(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": (4, 4)}, "of one length. Received 2, 4, 4"),
        ({"pools": (4, 4, 2, 2)}, r"Pools \(4, 4, 2, 2\) .* leave nothing of an image of \(32, 64\)"),
        ({"kernels": (19, 9, 3, 3), "padding": 0}, r"kernels \(19, 9, 3, 3\) leave nothing"),
    ],
)
def test_a_cnn_that_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cnn((32, 64, 3), 3, **settings)
