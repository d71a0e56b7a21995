"""A Keras file of one's own as a backbone: the same features from pixels, at any size, or a refusal in words."""

import json
import warnings

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from marinecv.models.backbones import backbone_features
from marinecv.models.safe_load import load_h5_model
from marinecv.recipes.own_data import head
from marinecv.workflows.prepare import with_available_weights

ROWS, COLUMNS = np.mgrid[0:255:32j, 0:255:40j]
RAMP = np.stack([np.stack([COLUMNS] * 3, -1), np.stack([ROWS, 255 - ROWS, COLUMNS], -1)]).astype(np.float32)


def network(*ends, begins=(), sides=(32, 40)):
    """A small CNN with statistics of its own and a layer `map`, behind and before other layers."""
    parts = [layers.Conv2D(4, 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU()]
    parts += [layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(6, 1, activation="relu", name="map")]
    model = keras.Sequential([keras.Input((*sides, 3)), *begins, *parts, *ends])
    model.layers[len(begins) + 1].moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    return model


def pooled_map(model, pixels):
    return np.asarray(keras.Model(model.inputs[0], model.get_layer("map").output)(pixels)).mean(axis=(1, 2))


def adapted():
    layer = layers.Normalization()
    layer.adapt(RAMP)
    return layer


def saved_h5(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def changed_config(path, change):
    """Rewrite the configuration of each layer in an HDF5 model."""

    def hook(entry):
        if "class_name" in entry and "name" in entry.get("config", ()):
            change(entry)
        return entry

    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(json.loads(file.attrs["model_config"], object_hook=hook))


HEADS = {
    "a map": list,
    "pooling": lambda: [layers.GlobalMaxPooling2D()],
    "pooling, dropout and dense": lambda: [layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(3)],
    "flatten": lambda: [layers.Flatten(), layers.Dense(5), layers.Dense(3, activation="softmax")],
    "MobileNet's": lambda: [
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(3, 1),
        layers.Reshape((3,)),
        layers.Softmax(),
    ],
}
BEGINS = {
    "0..255": ([], lambda x: x),
    "0..1": ([], lambda x: x / 255),
    "signed": ([], lambda x: x / 127.5 - 1),
    "imagenet": ([], lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    "bgr": ([], keras.applications.resnet.preprocess_input),
    "": ([lambda: layers.Rescaling(1 / 128, offset=-1)], lambda x: x),
    "Normalization": ([adapted], lambda x: x),
}


@pytest.mark.parametrize(("head", "begin"), [*((name, "") for name in HEADS), *(("flatten", name) for name in BEGINS)])
def test_features_are_those_of_the_file_s_own_map_of_pixels_in_its_range(head, begin, tmp_path):
    first, scale = BEGINS[begin]
    model = network(*HEADS[head](), begins=[make() for make in first])
    model.save(tmp_path / "own model.keras")
    stated = "" if first else begin
    found = backbone_features((32, 40, 3), backbone=str(tmp_path / "own model.keras"), input_range=stated)
    np.testing.assert_allclose(found(RAMP), pooled_map(model, scale(RAMP.copy())), rtol=1e-4, atol=1e-5)
    assert found.name == "own_model" and np.ptp(found(RAMP), axis=0).max() > 1e-3
    assert not [layer for layer in found.layers if isinstance(layer, keras.Model)]


def test_a_network_is_rebuilt_at_another_image_size_with_its_weights(tmp_path):
    model = network(*HEADS["pooling, dropout and dense"](), begins=[layers.Rescaling(1 / 255)], sides=(64, 64))
    any_size = network(begins=[layers.Rescaling(1 / 255)], sides=(None, None))
    any_size.set_weights(model.get_weights()[:-2])
    model.save(tmp_path / "own.keras")
    found = backbone_features((32, 40, 3), backbone=str(tmp_path / "own.keras"))
    np.testing.assert_allclose(found(RAMP), pooled_map(any_size, RAMP), rtol=1e-4, atol=1e-5)


def test_an_export_of_teachable_machine_which_keras_3_refuses_is_loaded_from_its_folder(tmp_path):
    model, folder = network(), tmp_path / "converted_keras"
    model = keras.Model(model.inputs[0], model.outputs[0])
    parts = [keras.Sequential([model, layers.GlobalAveragePooling2D()]), keras.Sequential([layers.Dense(3)])]
    (folder / "labels.txt").parent.mkdir()
    file = saved_h5(keras.Sequential([keras.Input((32, 40, 3)), *parts]), folder / "keras_model.h5")

    def as_keras_2_wrote_it(entry):
        config = entry["config"]
        config["dtype"] = "float32"
        if entry["class_name"] == "DepthwiseConv2D":
            config["groups"] = 1
        if entry["class_name"] == "InputLayer":
            config["batch_input_shape"] = config.pop("batch_shape")
        if entry["class_name"] == "Sequential":  # its first layer tells the shape
            config["layers"] = [layer for layer in config["layers"] if layer["class_name"] != "InputLayer"]
        if entry["class_name"] == "Functional":
            ends = {
                key: [end] if isinstance(end[0], str) else end for key, end in config.items() if "put_layers" in key
            }
            config.update(ends)
        if entry["class_name"] == "Dense":
            config["batch_input_shape"] = [None, 6]

    changed_config(file, as_keras_2_wrote_it)
    with pytest.raises(TypeError, match="groups"):
        keras.saving.load_model(file, compile=False)
    found = backbone_features((32, 40, 3), backbone=str(folder), input_range="signed")
    np.testing.assert_allclose(found(RAMP), pooled_map(model, RAMP / 127.5 - 1), rtol=1e-4, atol=1e-5)


def test_an_hdf5_file_that_could_run_code_or_holds_no_model_is_refused(tmp_path):
    def as_lambda(entry):
        if entry["class_name"] == "ReLU":
            entry["class_name"] = "Lambda"

    unsafe = saved_h5(network(), tmp_path / "unsafe.h5")
    changed_config(unsafe, as_lambda)
    linked = saved_h5(network(), tmp_path / "linked.h5")
    with h5py.File(linked, "r+") as file:
        [name, *_] = file["model_weights"].attrs["layer_names"]
        del file[f"model_weights/{name}"]
        file[f"model_weights/{name}"] = h5py.ExternalLink("/etc/passwd", "/")
    network().save_weights(tmp_path / "own.weights.h5")
    (tmp_path / "page.h5").write_text("<html>")
    cases = {unsafe: 'holds "Lambda", which runs code', linked: "Not allowed", tmp_path / "page.h5": "was not loaded"}
    for path, message in (cases | {tmp_path / "own.weights.h5": "holds no model"}).items():
        with pytest.raises(ValueError, match=f"(?s){path}.*{message}.*Expected a whole model."):
            load_h5_model(path)


REFUSED = {
    "does not scale pixels itself.*input_range": (lambda: network(), {}),
    "reach the first weights of .* from 0 to 0.0039": (
        lambda: network(begins=[layers.Rescaling(1 / 255)]),
        {"input_range": "0..1"},
    ),
    "from -1 to 509: they are scaled twice, or were scaled outside": (
        lambda: network(begins=[layers.Rescaling(2.0, offset=-1)]),
        {},
    ),
    "own weights, width and range": (lambda: network(begins=[layers.Rescaling(1.0)]), {"normalization": "unit"}),
    "has its own weights, width": (network, {"alpha": 0.5}),
    "range. Leave out weights=": (network, {"weights": None}),
    "takes 32 x 40 pixels only": (
        lambda: network(layers.Flatten(), layers.Dense(12), layers.Reshape((2, 2, 3))),
        {"input_range": "0..1", "side": 64},
    ),
    "has no trained feature map": (
        lambda: keras.Sequential([keras.Input((32, 40, 3)), layers.Flatten(), layers.Dense(3)]),
        {"input_range": "0..1"},
    ),
    "trained feature map .height, width, channels. before its pooling": (
        lambda: keras.Sequential([keras.Input((32, 40, 3)), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3)]),
        {"input_range": "0..1"},
    ),
    r"takes \(32, 40, 1\)": (
        lambda: keras.Sequential([keras.Input((32, 40, 1)), layers.Conv2D(3, 3)]),
        {"input_range": "0..1"},
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_file_that_cannot_be_a_backbone_is_refused_in_words(message, tmp_path):
    make, settings = REFUSED[message]
    make().save(tmp_path / "own.keras")
    shape = (settings.pop("side", 32), 40, 3)
    with pytest.raises(ValueError, match=message) as error:
        backbone_features(shape, backbone=str(tmp_path / "own.keras"), **settings)
    assert str(tmp_path / "own.keras") in str(error.value)


def test_the_range_of_a_known_network_is_not_asked():
    with pytest.raises(ValueError, match="The input range of mobilenet is known"):
        backbone_features((32, 32, 3), backbone="mobilenet", weights=None, input_range="0..1")


def test_a_settled_recipe_names_the_file_and_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network(begins=[layers.Rescaling(1 / 255)]).save("own.keras")
    recipe = with_available_weights(head("own.keras"))
    assert recipe.name == "own_head" and recipe.model.is_pretrained
    assert recipe.model.backbone == recipe.model.weights == str(tmp_path / "own.keras")
    assert with_available_weights(recipe) == recipe and recipe.model.build((32, 32, 3), 2).output_shape == (None, 2)
    for changes in ({"model.weights": "none"}, {"model.alpha": 0.5}):
        with pytest.raises(ValueError, match="has its own weights and width. Leave out weights= and alpha="):
            with_available_weights(recipe, changes)
    network(begins=[layers.Rescaling(1 / 128)]).save("own.keras")
    for use in (lambda: with_available_weights(recipe), lambda: recipe.model.build((32, 32, 3), 2)):
        with pytest.raises(ValueError, match="own.keras has changed since this recipe was settled"):
            use()
    (tmp_path / "own.keras").unlink()
    with pytest.raises(ValueError, match="There is no Keras file"):
        with_available_weights(recipe)
