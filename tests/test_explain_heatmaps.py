"""Every method finds the half of the image that a model uses, image by image, and refuses what it cannot explain."""

import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

from marinecv.explain import cam
from marinecv.explain import heatmaps as heat
from marinecv.explain.cam import CHANNELS, scorecam
from marinecv.explain.heatmaps import METHODS, head_layers, heatmaps, layers_of
from marinecv.models.backbones import backbone_classifier
from marinecv.models.cnn import cnn
from marinecv.models.outputs import with_logits

SIDE = 16
CAMS = ("gradcam", "gradcam++", "scorecam")
LEFT = (np.arange(SIDE) < SIDE // 2).astype(np.float32)[np.newaxis, :, np.newaxis]


def one_sided(seen, weights=(20.0, -20.0, 0.0)):
    """Sees bright spots, in a part of the image alone: many of them speak for class 0 and against class 1."""
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = layers.Conv2D(2, 1, activation="relu", name="conv")(pixels * (seen / 255))
    x = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", name="probabilities")(x), name="one_sided")
    model.get_layer("conv").set_weights([np.full((1, 1, 3, 2), 1 / 3), np.full(2, -0.5)])
    model.get_layer("probabilities").set_weights([np.tile(weights, (2, 1)), np.zeros(3)])
    return model


def told_where(weight):
    """Sees bright spots, in the left half where the first attribute is 1, and the right half where the second is."""
    pixels, attributes = keras.Input((SIDE, SIDE, 3), name="pixels"), keras.Input((2,), name="attributes")
    left = layers.Conv2D(1, 1, activation="relu", name="left")(pixels * (LEFT / 255))
    right = layers.Conv2D(1, 1, activation="relu", name="right")(pixels * ((1 - LEFT) / 255))
    both = layers.Concatenate(name="both")([left, right])
    x = layers.Multiply(name="gated")([layers.GlobalAveragePooling2D(name="average")(both), attributes])
    outputs = layers.Dense(2, activation="softmax", name="probabilities")(x)
    model = keras.Model([pixels, attributes], outputs, name="told_where")
    for name in ("left", "right"):
        model.get_layer(name).set_weights([np.full((1, 1, 3, 1), 1 / 3), np.full(1, -0.5)])
    model.get_layer("probabilities").set_weights([np.tile([weight, -weight], (2, 1)), np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def left_sighted():
    return one_sided(LEFT)


@pytest.fixture(scope="module")
def small_cnn():
    keras.utils.set_random_seed(1)
    return cnn((SIDE, SIDE, 3), 3, filters=(4, 6), kernels=(3, 3), pools=(2, 2), dense=5)


@pytest.mark.parametrize("method", METHODS)
def test_heat_lies_where_the_model_looks(left_sighted, images, method):
    heat = heatmaps(left_sighted, images, [0, 0, 0], method)
    assert heat.shape == (3, SIDE, SIDE) and heat.dtype == np.float32
    assert heat.min() == 0 and (heat.max(axis=(1, 2)) == 1).all()
    assert (heat[:, :, : SIDE // 2].sum(axis=(1, 2)) > 0.85 * heat.sum(axis=(1, 2))).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_its_own_map_whatever_lies_beside_it(small_cnn, images, method, monkeypatch):
    monkeypatch.setattr(heat, "BATCH", 2)
    classes = [0, 2, 1]
    together = heatmaps(small_cnn, images, classes, method)
    alone = [heatmaps(small_cnn, images[i : i + 1], classes[i : i + 1], method)[0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert abs(together[0] - together[1]).max() > 0.1 and (abs(together[1] - together[2]).max() > 0.1)


@pytest.mark.parametrize("method", METHODS)
def test_attributes_beside_the_image_are_heeded_and_left_as_they_are(images, method):
    # Score-CAM weighs by the probability, which is 1/2 where nothing is seen: some heat is left on the other side.
    weight, share = (4000.0, 0.6) if method == "scorecam" else (40.0, 0.85)
    heat = heatmaps(told_where(weight), (images[:2], np.eye(2)), [0, 0], method)
    left = heat[:, :, : SIDE // 2].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    assert left[0] > share and left[1] < 1 - share


def test_over_a_global_average_grad_cam_is_the_class_activation_map(images):
    keras.utils.set_random_seed(3)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(5, 3, strides=4, padding="same", activation="relu", name="conv")(pixels / 255)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", name="probabilities")(x))
    maps = keras.Model(pixels, model.get_layer("conv").output)(images)
    kernel = model.get_layer("probabilities").get_weights()[0]
    cams = np.maximum(np.asarray(maps) @ kernel, 0)
    classes = cams.max(axis=(1, 2)).argmax(axis=1)
    grown = np.asarray(keras.ops.image.resize(cams, (SIDE, SIDE)))[np.arange(3), :, :, classes]
    expected = grown / grown.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(heatmaps(model, images, classes), expected, atol=1e-5)


def test_score_cam_uses_no_more_channels_than_its_limit(images, monkeypatch):
    pixels, predicted, real = keras.Input((SIDE, SIDE, 3)), [], cam.probabilities
    x = layers.Conv2D(CHANNELS + 30, 3, padding="same", activation="relu", name="conv")(pixels / 255)
    model = with_logits(keras.Model(pixels, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(x))))
    monkeypatch.setattr(cam, "probabilities", lambda *inputs: predicted.append(len(inputs[1])) or real(*inputs))
    assert scorecam(model, [images[:1]], np.array([1]), ["conv"], 0).shape == (1, SIDE, SIDE)
    assert sum(predicted) == CHANNELS


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_sure_and_faint_answers_are_explained_alike_and_a_class_without_evidence_has_no_heat(images, method):
    """Near probability 1 a softmax has no gradient, and exponentials of large scores are infinite."""
    sure, faint = one_sided(LEFT, (9000.0, 0.0, 0.0)), one_sided(LEFT, (2e-6, 0.0, 0.0))
    assert sure.predict(images, verbose=0)[:, 0].min() == 1
    for model in (sure, faint):
        heat = heatmaps(model, images, [0, 0, 0], method)
        assert (heat.max(axis=(1, 2)) == 1).all() and not heat[:, :, SIDE // 2 :].any()
    assert not heatmaps(one_sided(LEFT), images, [1, 1, 1], method).any()


@pytest.mark.parametrize("method", ["saliency", "lime"])
def test_what_is_drawn_at_random_comes_from_the_seed(small_cnn, images, method):
    first, again, other = (heatmaps(small_cnn, images[:1], [0], method, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-3


def test_what_feeds_the_head_of_our_cnn_is_its_last_relu_before_pooling(small_cnn):
    assert head_layers(small_cnn) == ["relu2"]
    assert layers_of(small_cnn, "scorecam", "conv1") == ["conv1"] and layers_of(small_cnn, "lime") == []


NAMES = {"mobilenet": "conv_pw_13_relu", "resnet50": "conv5_block3_out", "inceptionv3": "mixed10"}
SLOW = {"mobilenetv2": "out_relu", "efficientnetb4": "top_activation", "mobilenetv3large": None}


@pytest.mark.parametrize(
    ("backbone", "name"), [*NAMES.items(), *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW.items())]
)
def test_what_feeds_the_head_of_a_backbone_is_what_it_pools(backbone, name):
    model = backbone_classifier((128, 128, 3), 3, backbone=backbone, weights=None)
    [found] = head_layers(model)
    assert model.get_layer(found).output is model.get_layer("average").input
    assert name in (found, None)


def branch(pixels, columns, name, strength, size):
    """Sees bright spots in some columns alone, with a map whose cells have a side of `size` pixels."""
    seen = layers.AveragePooling2D(size)(pixels * (columns / 255))
    x = layers.Conv2D(1, 1, activation="relu", name=name)(seen)
    return layers.Rescaling(strength)(layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_every_map_that_feeds_the_head_has_heat_in_proportion_to_its_contribution(images, method):
    pixels = keras.Input((SIDE, SIDE, 3))
    parts = [branch(pixels, LEFT, "left", 1.0, 1), branch(pixels, 1 - LEFT, "right", 0.25, 2)]
    x = layers.Concatenate()(parts)
    model = keras.Model(pixels, layers.Dense(3, name="logits")(x))
    for name in ("left", "right"):
        model.get_layer(name).set_weights([np.full((1, 1, 3, 1), 1 / 3), np.zeros(1)])
    kernel = np.array([[1.0, -1.0, 1.0], [1.0, -1.0, -1.0]])
    model.get_layer("logits").set_weights([kernel, np.zeros(3)])
    assert head_layers(model) == ["left", "right"]
    left, right = (np.asarray(keras.Model(pixels, part)(images))[:, 0] for part in parts)
    for kind, fraction in ((0, left / (left + right)), (2, np.ones(3))):
        heat = heatmaps(model, images, [kind] * 3, method)
        of_left = heat[:, :, : SIDE // 2].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
        np.testing.assert_allclose(of_left, fraction, atol=0.03)
    assert not heatmaps(model, images, [0] * 3, method, "right")[:, :, : SIDE // 2 - 1].any()
    assert not heatmaps(model, images, [1] * 3, method).any()


def test_a_map_behind_another_does_not_count_twice_and_one_of_a_single_cell_is_none(images):
    pixels = keras.Input((SIDE, SIDE, 3))
    first = layers.Conv2D(2, 1, activation="relu", name="first")(pixels * (LEFT / 255))
    second = layers.Conv2D(2, 1, activation="relu", name="second")(first)
    pooled = layers.Concatenate()(
        [layers.GlobalMaxPooling2D()(first), layers.GlobalAveragePooling2D(keepdims=True)(second)[:, 0, 0]]
    )
    model = keras.Model(pixels, layers.Dense(2)(pooled))
    assert head_layers(model) == ["first", "second"]
    scores = with_logits(model)
    gradients, maps = cam._gradients_and_maps(scores, [images], np.array([0, 1, 0]), ["first", "second"])
    logits = scores.predict(images, verbose=0)[np.arange(3), [0, 1, 0]] - model.layers[-1].get_weights()[1][[0, 1, 0]]
    contributions = [(gradient * each).sum(axis=(1, 2, 3)) for gradient, each in zip(gradients, maps, strict=True)]
    np.testing.assert_allclose(np.sum(contributions, axis=0), logits, atol=1e-5)


@pytest.mark.parametrize(("method", "name"), [("gradcam", "Gradcam"), ("gradcam++", "GradcamPlusPlus")])
def test_of_one_layer_the_map_is_that_of_tf_keras_vis(small_cnn, images, method, name):
    module = pytest.importorskip("tf_keras_vis.gradcam" + "_plus_plus" * (method == "gradcam++"))
    scores, classes = with_logits(small_cnn), np.array([0, 2, 1])

    def score(outputs):
        picked = keras.ops.take_along_axis(outputs, classes[:, None], axis=1)[:, 0]
        return picked - keras.ops.stop_gradient(picked)

    how = {"penultimate_layer": "relu2", "seek_penultimate_conv_layer": False, "expand_cam": False}
    theirs = getattr(module, name)(scores)(score, images, normalize_cam=False, **how)
    ours = heat.OF_A_LAYER[method](scores, [images], classes, ["relu2"], 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def without_convolution(inner=None):
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Flatten()(inner(pixels) if inner else layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(x), name="flat")


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("method to be one of .*'lime'.* Received: method='grad'", dict(method="grad")),
        ("no layer 'convv'. Did you mean 'conv'", dict(layer="convv")),
        ("no layer 'xyz'. Expected one of its 4 layers", dict(layer="xyz")),
        (r"'average' .* gives \(2,\), which is no map", dict(layer="average")),
        ("Leave out the layer 'conv'", dict(method="lime", layer="conv")),
        (r"a class an image. Received 2 for \[3\]", dict(classes=[0, 1])),
        ("classes from 0 to 2, .*'eel'", dict(classes=["eel"] * 3)),
        ("classes from 0 to 2, ", dict(classes=[0, 3, 0])),
        ("classes from 0 to 2, ", dict(classes=[0, -1, 0])),
        ("classes from 0 to 2, ", dict(classes=np.eye(3))),
        ("classes from 0 to 2, ", dict(classes=[True] * 3)),
        (r"one image is images\[np.newaxis\]. Received: \[\(16, 16, 3\)\]", dict(images=lambda x: x[0])),
        (r"takes \(16, 16, 3\). .* Received: \(8, 16, 3\)", dict(images=lambda x: x[:, :8])),
        ("images of one size, as numbers", dict(images=lambda x: [x[0], x[1, :8], x[2]])),
        (r"\[0, 255\] for lime. Received: .* to 1\. Rescale", dict(images=lambda x: x / 255, method="lime")),
        (r"\[0, 255\] for saliency. Received: -1 to ", dict(images=lambda x: x / 127.5 - 1, method="saliency")),
        ("finite numbers in images. Received: NaN", dict(images=lambda x: x * np.nan)),
    ],
)
def test_wrong_arguments_are_refused(left_sighted, images, message, change):
    images = change.pop("images", lambda x: x)(images)
    with pytest.raises(ValueError, match=message):
        heatmaps(left_sighted, **{"images": images, "classes": [0, 0, 0], **change})


def test_models_of_other_inputs_and_outputs_are_refused(left_sighted, images):
    with pytest.raises(ValueError, match="gives 2 outputs"):
        heatmaps(keras.Model(left_sighted.inputs, left_sighted.outputs * 2), images, [0, 0, 0])
    with pytest.raises(ValueError, match=r"inputs \[\(16, 16, 3\), \(2,\)\].* Received: \[\(16, 16, 3\),"):
        heatmaps(told_where(1.0), images, [0, 0, 0])


def test_a_model_without_convolution_is_explained_by_its_pixels(images):
    with pytest.raises(ValueError, match='flat has no convolution.*"saliency" or "lime"'):
        heatmaps(without_convolution(), images, [0, 1, 2])
    assert heatmaps(without_convolution(), images, [0, 1, 2], "saliency").any()
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(2, 3)], name="inner")
    assert head_layers(without_convolution(inner))[0].startswith("conv2d")
    assert heatmaps(without_convolution(inner), images, [0, 1, 2], "gradcam++").any()
    with pytest.raises(ValueError, match="'seen', a subclassed model"):
        heatmaps(without_convolution(Seen(name="seen")), images, [0, 1, 2])


class Seen(keras.Model):
    def call(self, x):
        return x / 255


def in_ways(left_sighted):
    """The model of `left_sighted`, its end written in other ways, and within another model."""
    pixels, average = left_sighted.inputs[0], left_sighted.get_layer("average").output
    logits = layers.Dense(3, name="logits")
    ends = {"logits": logits(average)}
    logits.set_weights(left_sighted.get_layer("probabilities").get_weights())
    ends["layer"], ends["operation"] = layers.Softmax()(ends["logits"]), keras.ops.softmax(ends["logits"])
    ways = {name: keras.Model(pixels, end) for name, end in ends.items()}
    outer = keras.Input((SIDE, SIDE, 3))
    ways["nested"] = keras.Model(outer, layers.Softmax()(ways["logits"](outer, training=False)))
    return ways


@pytest.mark.parametrize("method", METHODS)
def test_one_network_has_one_map_however_its_softmax_is_written(left_sighted, images, method):
    layer = "conv" if method in CAMS else None
    expected = heatmaps(left_sighted, images, [0, 0, 1], method, layer)
    for name, model in in_ways(left_sighted).items():
        found = heatmaps(model, list(images.astype(np.uint8)), np.array([0, 0, 1]), method, layer)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


def test_a_single_sigmoid_is_explained_by_its_logit_for_either_class(images):
    sure = one_sided(LEFT, weights=(-200.0, 200.0, 0.0))
    single = layers.Dense(1, activation="sigmoid")
    model = keras.Model(sure.inputs, single(sure.get_layer("average").output))
    single.set_weights([np.full((2, 1), 200.0), np.zeros(1)])
    expected = heatmaps(sure, images, [1, 1, 1])
    assert expected.any(axis=(1, 2)).all()
    np.testing.assert_allclose(heatmaps(model, images, [1, 1, 1]), expected, atol=1e-5)
    np.testing.assert_array_equal(heatmaps(model, images, [0, 0, 0]), 0)


def test_half_precision_has_heat_too(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = one_sided(LEFT)
    finally:
        keras.config.set_dtype_policy("float32")
    for method in METHODS:
        assert heatmaps(model, images, [0, 0, 0], method).any(axis=(1, 2)).all()


def test_lime_that_is_not_installed_is_named_with_its_extra(left_sighted, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "lime.lime_image", None)
    with pytest.raises(ValueError, match=r"LIME cannot be used: .*marinecv\[explain\]"):
        heatmaps(left_sighted, images, [0, 0, 0], "lime")


ON_JAX = """
import sys
import keras, numpy as np, pandas as pd
import marinecv as mcv
from marinecv.features.embeddings import embed
from marinecv.workflows.evaluate import run_of_model
from marinecv.report.run_page import write_run_report
from marinecv.explain.heatmaps import METHODS
folder = sys.argv[1]
model, given = keras.saving.load_model(f"{folder}/model.keras"), np.load(f"{folder}/given.npz")
images, catalog = given["images"], pd.read_csv(f"{folder}/catalog.csv", keep_default_na=False)
found = {method: mcv.heatmaps(model, list(images), given["classes"], method) for method in METHODS}
found["early"] = mcv.heatmaps(model, images, given["classes"], "gradcam++", "early")
spec, names = mcv.ImageSpec(height=16, width=16), ["a", "b", "c"]
found["probabilities"] = mcv.predict_table(model, catalog, spec, names).filter(like="p_").to_numpy()
run = run_of_model(f"{folder}/{keras.backend.backend()}", model, catalog, spec, names)
assert run.metrics["validation"]["accuracy"]["n"] == 3 and write_run_report(run.folder).is_file()
softmax, pixels = keras.Model(model.inputs, keras.ops.softmax(model.outputs[0])), mcv.load_pixels(catalog, spec)[0]
found["codes"] = embed(softmax, catalog, spec, pixels)
np.savez(f"{folder}/{keras.backend.backend()}.npz", **found)
"""


@pytest.mark.slow
def test_jax_gives_what_tensorflow_gives(images, tmp_path):
    pytest.importorskip("jax")
    keras.utils.set_random_seed(4)
    parts = [layers.Rescaling(1 / 255), layers.Conv2D(6, 3, name="early"), layers.BatchNormalization(), layers.ReLU()]
    parts += [layers.MaxPooling2D(), layers.Conv2D(8, 3, activation="relu", name="late")]
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *parts], name="inner")
    inputs = keras.Input((SIDE, SIDE, 3))
    x = inner(layers.RandomFlip()(inputs), training=False)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.set_weights([np.abs(weights) + 0.1 if weights.ndim == 1 else weights * 4 for weights in model.get_weights()])
    model.save(tmp_path / "model.keras")
    images = images.astype(np.uint8)
    np.savez(tmp_path / "given.npz", images=images, classes=[0, 1, 2])
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    rows = {"image_id": paths, "path": paths, "split": "validation", "class_name": list("abc"), "group": ""}
    catalog = pd.DataFrame({**rows, "width": SIDE, "height": SIDE, "dominance": 1.0, "problem": ""})
    catalog.to_csv(tmp_path / "catalog.csv", index=False)
    for backend in ("tensorflow", "jax"):
        environment = {**os.environ, "KERAS_BACKEND": backend, "MARINECV_HOME": str(tmp_path / f"home_{backend}")}
        done = subprocess.run([sys.executable, "-c", ON_JAX, tmp_path], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stdout and "Warning" not in done.stderr
    one, other = (np.load(tmp_path / f"{backend}.npz") for backend in ("tensorflow", "jax"))
    for name in one:
        assert one[name].any(), name
        np.testing.assert_allclose(other[name], one[name], atol=1e-4, err_msg=name)
