"""Models of unknown sources: ours load and predict as before, all else is refused and no code of it runs."""

import json
import os
import pickle
import random
import re
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from marinecv.models.backbones import backbone_classifier
from marinecv.models.cnn import cnn
from marinecv.models.safe_load import load_model
from marinecv.runs import Run

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def policy():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small model, saved; only to be read."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    small_cnn(3).save(path)
    return path


def small_cnn(num_classes):
    return cnn((16, 16, 3), num_classes, filters=(4,), kernels=(3,), pools=(2,), dense=4, batch_norm=True)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def refused(path, reason):
    with pytest.raises(ValueError, match=reason) as error:
        load_model(path)
    assert str(path) in str(error.value) and "Expected" in str(error.value)


MOBILENET = {"backbone": "mobilenet", "weights": None, "alpha": 0.25}
LARGE = [{"backbone": name, "weights": None} for name in ("inceptionv3", "resnet50", "efficientnetb4")]
LARGE = [pytest.param(backbone_classifier, options, "float32", marks=pytest.mark.slow) for options in LARGE]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "options", "policy_name"),
    [
        (cnn, {"normalization": "unit", "pooling": "avg"}, "float32"),
        (cnn, {"batch_norm": True}, "mixed_float16"),
        (backbone_classifier, {**MOBILENET, "hidden": (4,)}, "float32"),
        (backbone_classifier, MOBILENET, "mixed_float16"),
        (backbone_classifier, {"backbone": "mobilenetv2", "weights": None, "alpha": 0.35, "pooling": "max"}, "float32"),
        (backbone_classifier, {"weights": None, "pooling": "avg_max"}, "float32"),
        *LARGE,
    ],
)
def test_our_models_load_and_predict_the_same(build, options, policy_name, tmp_path):
    keras.config.set_dtype_policy(policy_name)
    side = 96 if options.get("backbone") in ("inceptionv3", "resnet50", "efficientnetb4") else 32
    model = build((side, side, 3), 3, **options)
    model.compile(keras.optimizers.Adam(), keras.losses.CategoricalCrossentropy(label_smoothing=0.1), ["accuracy"])
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(pixels), model(pixels))


def test_a_custom_layer_is_refused_unless_the_session_registered_it(tmp_path):
    class Ripple(layers.Layer):
        def call(self, x):
            return x

    keras.saving.register_keras_serializable(package="pond")(Ripple)
    inputs = keras.Input((4,))
    keras.Model(inputs, Ripple()(inputs)).save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").output_shape == (None, 4)
    keras.saving.get_custom_objects().pop("pond>Ripple")
    refused(tmp_path / "model.keras", "Ripple")


def test_a_lambda_is_refused_whatever_the_session_allows(tmp_path, monkeypatch):
    inputs = keras.Input((4,))
    keras.Model(inputs, layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "model.keras")
    monkeypatch.setattr(keras.saving, "load_model", pytest.fail)  # before Keras sees it
    refused(tmp_path / "model.keras", "it holds .*(Lambda|__lambda__)")


ENTRIES = [  # module, class, and what more stands in the entry
    ("keras.layers", "TFSMLayer", {"config": {"filepath": "/x"}}),
    *(("keras.layers", name, {}) for name in ("TorchModuleWrapper", "JaxLayer", "TextVectorization", ["Dense"])),
    (None, "__lambda__", {"config": {"value": "AAAA"}}),
    ("os", "__typespec__", {"spec_name": "x", "config": []}),
    ("os", "__tensor__", {}),
    ("keras.layers", "StringLookup", {"config": {"vocabulary": "/x"}}),
    ("keras.src.layers.preprocessing.index_lookup", "IndexLookup", {}),
    ("os", "System", {}),
    ("keras_hub.models", "Backbone", {}),
    ("keras.utils", "FeatureSpace", {}),
    ("keras.models", "load_model", {}),
    ("keras.utils", "function", {"config": "get_file"}),
    ("posix", "function", {"config": "system"}),
    (None, "Dense", {}),
]


@pytest.mark.parametrize(("module", "name", "more"), ENTRIES)
@pytest.mark.parametrize("deep", [False, True])
def test_what_is_no_stock_layer_is_refused_wherever_it_stands(module, name, more, deep, good, tmp_path):
    entry = {"module": module, "class_name": name, "config": {}, **more}
    config = json.loads(members(good)["config.json"])
    stack = config["config"]["layers"]
    if deep:
        stack[-1]["config"]["activation"] = entry
    else:
        stack[1] = {"name": "x", "inbound_nodes": [], **entry}
    path = packed(tmp_path / "model.keras", members(good) | {"config.json": json.dumps(config)})
    refused(path, "was not loaded")


BROKEN = (b"{", b"\xff", b"[" * 100_000, b"[]", b"{}", b'{"class_name": 3}')


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *((lambda content, text=text: content | {"config.json": text}, "was not loaded") for text in BROKEN),
        (lambda content: content | {"assets/vocabulary.txt": b"x"}, "other files"),
        (lambda content: content | {"../evil.py": b"x"}, "other files"),
        (lambda content: {name: content[name] for name in content if name != "config.json"}, "other files"),
        (lambda content: content | {"config.json": bytes(10**6)}, "was not loaded"),  # bombs
        (lambda content: content | {"model.weights.h5": bytes(10**6)}, "was not loaded"),
    ],
)
def test_a_broken_configuration_or_other_files_are_refused(change, reason, good, tmp_path):
    refused(packed(tmp_path / "model.keras", change(members(good)), zipfile.ZIP_DEFLATED), reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_member_twice_is_refused(good, tmp_path):
    path = packed(tmp_path / "model.keras", members(good))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b"{}")
    refused(path, "each once")


def test_a_model_with_any_byte_changed_is_the_same_model_or_refused(good, tmp_path):
    whole, dice = good.read_bytes(), random.Random(0)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected, refusals = load_model(good)(pixels), 0
    for attempt in range(60):
        data = bytearray(whole[: dice.randrange(1, len(whole))] if attempt % 3 == 0 else whole)
        data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        (tmp_path / "model.keras").write_bytes(data)
        try:
            np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(pixels), expected)
        except ValueError as error:
            assert str(tmp_path) in str(error)
            refusals += 1
    assert refusals > 40


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_other_formats_are_refused_by_their_first_bytes(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Evil())
    hdf5 = b"\x89HDF\r\n\x1a\n" + b"x" * 100
    for name, content in (
        ("model.keras", pickled),
        ("model.keras", pickled + good.read_bytes()),
        ("model.keras", hdf5),
        ("model.keras", b""),
        ("model.keras", b"PK\x03\x04 and no more"),
        ("model.h5", good.read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "no .keras file|not a zip file")
    (tmp_path / "saved.keras").mkdir()
    refused(tmp_path / "saved.keras", "Is a directory")
    (tmp_path / "model.keras").write_bytes(pickled)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="no .keras file"):  # and so is the model of a run
        Run(tmp_path).load_model()
    assert not (tmp_path / "ran").exists()
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.keras")


VIRTUAL = h5py.VirtualLayout((10,), "u1")
VIRTUAL[:] = h5py.VirtualSource("/etc/passwd", "x", (10,))
FAULTS = [
    lambda file: file.update({"x": h5py.ExternalLink("/etc/passwd", "/")}),
    lambda file: file.update({"x": h5py.SoftLink("/layers")}),
    lambda file: file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)]),
    lambda file: file.create_virtual_dataset("x", VIRTUAL),
    lambda file: file.create_dataset("x", (10**9,), "f8", chunks=(1000,), compression="gzip"),  # which swells
]


@pytest.mark.parametrize("fault", FAULTS, ids=["external link", "soft link", "external storage", "virtual", "swelling"])
def test_weights_that_name_other_files_or_swell_are_refused(fault, good, tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        fault(file)
    content = members(good) | {"model.weights.h5": (tmp_path / "x.weights.h5").read_bytes()}
    refused(packed(tmp_path / "model.keras", content), "was not loaded")
    with pytest.raises(ValueError, match="cannot be loaded into mobilenet"):
        backbone_classifier((32, 32, 3), 3, **MOBILENET | {"weights": str(tmp_path / "x.weights.h5")})


def test_weights_of_another_model_are_refused(good, tmp_path):
    small_cnn(5).save(tmp_path / "a.keras")
    content = members(good) | {"model.weights.h5": members(tmp_path / "a.keras")["model.weights.h5"]}
    refused(packed(tmp_path / "model.keras", content), "was not loaded")


def mobilenet(**options):
    return keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), **options)


WEIGHTS = {"page.weights.h5": b"<html>not found</html>", "cut.weights.h5": b"\x89HDF\r\n\x1a\n" + b"x" * 500}


@pytest.mark.parametrize("name", [*WEIGHTS, "other.weights.h5", "other.h5"])
def test_a_weights_file_that_is_none_or_of_another_network_is_refused(name, tmp_path):
    mobilenet(alpha=0.5).save_weights(tmp_path / "half.weights.h5")
    (tmp_path / name).write_bytes(WEIGHTS.get(name) or (tmp_path / "half.weights.h5").read_bytes())
    with pytest.raises(ValueError, match="into mobilenet: .* at the same alpha") as error:
        backbone_classifier((32, 32, 3), 3, **MOBILENET | {"weights": str(tmp_path / name)})
    assert str(tmp_path / name) in str(error.value)


def test_a_right_weights_file_is_loaded(tmp_path):
    network, file = mobilenet(alpha=0.25), str(tmp_path / "mine.weights.h5")
    network.save_weights(file)
    loaded = backbone_classifier((32, 32, 3), 3, **MOBILENET | {"weights": file}).get_layer("conv1").kernel
    np.testing.assert_array_equal(loaded, network.get_layer("conv1").kernel)


DANGER = re.compile(
    r"^\s*(import|from) (pickle|cPickle|joblib|dill|cloudpickle|shelve|marshal)\b"
    r"|(?<![\w.])(eval|exec|os\.system|os\.popen|torch\.load|yaml\.load|yaml\.unsafe_load|pd\.read_pickle)\("
    r"|enable_unsafe_deserialization|allow_pickle=True|shell=True|safe_mode=False|(saving|models)\.load_model\(",
    re.MULTILINE,
)
SCRIPTS = {f"marinecv/{name}.py" for name in ("recipes/keras_script", "report/reconstruction_page")}  # for own models
SCRIPTS |= {"marinecv/report/model_card.py", "benchmarks/predict_folder.py"}


def test_nothing_of_ours_unpickles_evaluates_or_asks_a_shell():
    lines = ("import pickle", "eval(text)", "run(text, shell=True)", "keras.saving.load_model(path)", "yaml.load(text)")
    assert all(map(DANGER.search, lines)) and not DANGER.search("yaml.safe_load(text)")
    paths = [path for folder in ("marinecv", "pipelines", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in paths if DANGER.search(path.read_text("utf-8"))}
    assert found - SCRIPTS == {"marinecv/models/safe_load.py"}


def test_a_saved_classifier_says_what_its_outputs_mean(finished_run):
    with zipfile.ZipFile(finished_run / "model.keras") as archive:
        facts = json.loads(archive.read("metadata.json"))
    preprocessing = json.loads((finished_run / "preprocessing.json").read_text(encoding="utf-8"))
    assert facts["class_names"] == preprocessing["class_names"] and facts["image"] == preprocessing["image"]
    assert facts["keras_version"] == keras.__version__ and "data_dirs" not in facts
    assert keras.saving.load_model(finished_run / "model.keras").output_shape[1] == len(facts["class_names"])
