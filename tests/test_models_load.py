"""Models from strangers: ours load and predict as before, all else is refused with a reason and no code of it runs."""

import ast
import json
import os
import pickle
import random
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from marinecv.models import load as room
from marinecv.models.backbones import backbone_classifier
from marinecv.models.cnn import cnn
from marinecv.models.load import check_weights, load_model
from marinecv.runs import Run

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def policy():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small model of ours, saved; only to be read."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    cnn((16, 16, 3), 3, filters=(4,), kernels=(3,), pools=(2,), dense=4, batch_norm=True).save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def with_config(good, path, change):
    """The good model with its configuration changed; `change` gets the list of its layers."""
    content = members(good)
    config = json.loads(content["config.json"])
    change(config["config"]["layers"])
    return packed(path, content | {"config.json": json.dumps(config)})


def refused(path, reason):
    with pytest.raises(ValueError, match=reason) as error:
        load_model(path)
    assert str(path) in str(error.value) and ("Get it again" in str(error.value) or "Expected" in str(error.value))


@pytest.mark.parametrize(
    ("build", "options", "policy_name"),
    [
        (cnn, {"normalisation": "unit", "pooling": "avg"}, "float32"),
        (cnn, {"batch_norm": True}, "float32"),
        (cnn, {}, "mixed_float16"),
        (backbone_classifier, {"backbone": "mobilenet", "weights": None, "alpha": 0.25, "hidden": (4,)}, "float32"),
        (backbone_classifier, {"backbone": "mobilenet", "weights": None, "alpha": 0.25}, "mixed_float16"),
        (backbone_classifier, {"backbone": "mobilenetv2", "weights": None, "alpha": 0.35, "pooling": "max"}, "float32"),
        (backbone_classifier, {"weights": None, "pooling": "avg_max"}, "float32"),
    ],
)
def test_our_models_load_and_predict_the_same(build, options, policy_name, tmp_path):
    keras.config.set_dtype_policy(policy_name)
    model = build((32, 32, 3), 3, **options)
    model.compile(keras.optimizers.Adam(), keras.losses.CategoricalCrossentropy(label_smoothing=0.1), ["accuracy"])
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(pixels), model(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["inceptionv3", "resnet50", "efficientnetb4"])
def test_our_large_models_load_and_predict_the_same(backbone, tmp_path):
    model = backbone_classifier((96, 96, 3), 3, backbone=backbone, weights=None)
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras")(pixels), model(pixels))


def test_a_lambda_is_refused_before_keras_sees_it_so_that_no_setting_of_a_session_lets_it_in(tmp_path, monkeypatch):
    inputs = keras.Input((4,))
    keras.Model(inputs, layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "model.keras")
    monkeypatch.setattr(keras.saving, "load_model", pytest.fail)
    refused(tmp_path / "model.keras", "it holds (Lambda|__lambda__), which runs code that the file brings")


def test_a_custom_layer_is_refused_even_where_the_session_knows_it(tmp_path):
    @keras.saving.register_keras_serializable(package="pond")
    class Ripple(layers.Layer):
        def call(self, x):
            return x

    inputs = keras.Input((4,))
    keras.Model(inputs, Ripple()(inputs)).save(tmp_path / "model.keras")
    refused(tmp_path / "model.keras", "it holds 'Ripple' .* registered as 'pond>Ripple': no class of Keras")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/x"}}, "TFSMLayer, which runs"),
        ({"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}}, "TorchModuleWrapper, which"),
        ({"module": "keras.layers", "class_name": "JaxLayer", "config": {}}, "JaxLayer, which runs code"),
        ({"module": "keras.layers", "class_name": "FlaxLayer", "config": {}}, "FlaxLayer, which runs code"),
        ({"class_name": "__lambda__", "config": {"value": "AAAA"}}, "__lambda__, which runs code"),
        ({"class_name": "__typespec__", "spec_name": "x", "module": "os", "config": []}, "'__typespec__' of 'os'"),
        ({"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/x"}}, "reads files"),
        ({"module": "keras.layers", "class_name": "TextVectorization", "config": {}}, "reads files"),
        ({"module": "keras.src.layers.preprocessing.index_lookup", "class_name": "IndexLookup"}, "no class of Keras"),
        ({"module": "os", "class_name": "System", "config": {}}, "'System' of 'os'"),
        ({"module": "keras_hub.models", "class_name": "Backbone", "config": {}}, "'Backbone' of 'keras_hub.models'"),
        ({"module": "keras.utils", "class_name": "FeatureSpace", "config": {}}, "'FeatureSpace' of 'keras.utils'"),
        ({"module": "keras.models", "class_name": "load_model", "config": {}}, "'load_model' of 'keras.models'"),
        ({"module": "keras.utils", "class_name": "function", "config": "get_file"}, "'get_file' of 'keras.utils'"),
        ({"module": "posix", "class_name": "function", "config": "system"}, "calls 'system' of 'posix'"),
        ({"module": None, "class_name": "Dense", "config": {}}, "'Dense' of None"),
        ({"class_name": "Dense", "config": {}}, "'Dense' of None"),
        ({"class_name": ["Dense"], "config": {}}, r"an object of the class \['Dense'\]"),
        ({"module": "os", "class_name": "__tensor__", "config": {}}, "'__tensor__' of 'os'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("deep", [False, True])
def test_what_is_no_stock_layer_is_refused_wherever_it_stands(entry, reason, deep, good, tmp_path):
    def change(stack):
        if deep:
            stack[-1]["config"]["activation"] = {"anywhere": [{"at": {"all": entry}}]}
        else:
            stack[1] = {"name": "x", "inbound_nodes": [], **entry}

    refused(with_config(good, tmp_path / "model.keras", change), f"was not loaded: it .*{reason}")


def test_a_stock_function_and_a_stock_loss_are_no_harm(good, tmp_path):
    def change(stack):
        stack[-1]["config"]["activation"] = {"module": "builtins", "class_name": "function", "config": "softmax"}

    assert load_model(with_config(good, tmp_path / "model.keras", change)).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no description of a model"),
        (b"{}", "cannot be loaded"),
        (b'{"module": "keras", "class_name": "Sequential", "config": {"layers": 3}}', "cannot be loaded"),
    ],
)
def test_a_broken_configuration_is_refused(config, reason, good, tmp_path):
    refused(packed(tmp_path / "model.keras", members(good) | {"config.json": config}), reason)


@pytest.mark.parametrize(
    ("added", "taken"),
    [
        ("assets/vocabulary.txt", None),
        ("archive/data.pkl", None),
        ("../evil.py", None),
        (None, "model.weights.h5"),
        (None, "config.json"),
        (None, "metadata.json"),
    ],
)
def test_an_archive_of_other_files_is_refused(added, taken, good, tmp_path):
    content = members(good) | ({added: b"x"} if added else {})
    content.pop(taken, None)
    reason = "Expected config.json, metadata.json, model.weights.h5, each once"
    refused(packed(tmp_path / "model.keras", content), reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_member_twice_is_refused(good, tmp_path):
    path = packed(tmp_path / "model.keras", members(good))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b"{}")
    refused(path, "each once")


def test_a_bomb_is_refused(good, tmp_path, monkeypatch):
    content = members(good)
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, bytes(10**6) if name == "metadata.json" else data)
    refused(tmp_path / "model.keras", "metadata.json of .* would become 1,000,000 bytes: a bomb")
    monkeypatch.setattr(room, "MAX_CONFIG_BYTES", 100)
    refused(good, "config.json of .* bytes. Expected at most 100")


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


def test_a_byte_of_the_weights_that_changed_is_seen_before_keras_reads_them(good, tmp_path, monkeypatch):
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "model.keras").write_bytes(data)
    monkeypatch.setattr(keras.saving, "load_model", pytest.fail)
    refused(tmp_path / "model.keras", "is damaged: model.weights.h5 has changed since it was written")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Evil()), "is a pickle, which runs code. Expected a whole .keras file"),
        (b"\x89HDF\r\n\x1a\n" + b"x" * 100, "is a model in the old HDF5 form, which may hold code"),
        (b"", "is no model of Keras"),
        (b"PK\x03\x04 and no more", "is damaged: File is not a zip file"),
    ],
)
def test_other_formats_are_refused_by_their_first_bytes(content, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_bytes(content)
    refused(tmp_path / "model.keras", reason)
    assert not (tmp_path / "ran").exists()


def test_an_old_whole_model_a_saved_model_and_a_hidden_zip_are_refused(good, tmp_path):
    (tmp_path / "model.h5").write_bytes(good.read_bytes())
    refused(tmp_path / "model.h5", "is no model of Keras. Expected a whole .keras file")
    (tmp_path / "saved.keras").mkdir()
    refused(tmp_path / "saved.keras", "is a folder. Expected a .keras file: a SavedModel can run code")
    (tmp_path / "both.keras").write_bytes(pickle.dumps(Evil()) + good.read_bytes())
    refused(tmp_path / "both.keras", "is a pickle")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.keras")


def with_weights(good, path, weights):
    return packed(path, members(good) | {"model.weights.h5": weights.read_bytes()})


def test_weights_of_another_model_are_refused(good, tmp_path):
    cnn((16, 16, 3), 5, filters=(4,), kernels=(3,), pools=(2,), dense=4, batch_norm=True).save(tmp_path / "a.keras")
    content = members(good) | {"model.weights.h5": members(tmp_path / "a.keras")["model.weights.h5"]}
    refused(packed(tmp_path / "model.keras", content), "cannot be loaded: ")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x"] = np.zeros(3)
    refused(with_weights(good, tmp_path / "model.keras", tmp_path / "empty.h5"), "cannot be loaded: ")


def external_link(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["x"] = h5py.SoftLink("/layers")


def external_storage(file):
    file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (10,))
    file.create_virtual_dataset("x", layout)


def circle(file):
    file["a/b"] = np.zeros(3)
    file["a/c"] = file["a"]


def bomb(file):
    file.create_dataset("x", (10**9,), "f8", chunks=(1000,), compression="gzip")


def deep(file):
    group = file
    for _ in range(1500):
        group = group.create_group("x")


FAULTS = {
    external_link: "'x' of them is a link elsewhere",
    soft_link: "'x' of them is a link elsewhere",
    external_storage: "'x' of them lies in another file",
    virtual: "'x' of them lies in another file",
    circle: "is there twice",
    bomb: "declare 8,000,000,000 bytes in a file of",
    deep: "are damaged: maximum recursion depth",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_name_other_files_or_swell_are_refused(fault, good, tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        fault(file)
    refused(with_weights(good, tmp_path / "model.keras", tmp_path / "x.weights.h5"), FAULTS[fault])
    with pytest.raises(ValueError, match=FAULTS[fault]):
        check_weights(tmp_path / "x.weights.h5")


def test_the_model_of_a_run_is_loaded_by_the_same_door(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "model.keras").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="is a pickle"):
        Run(tmp_path).load_model()


def mobilenet(**options):
    return backbone_classifier((32, 32, 3), 3, backbone="mobilenet", alpha=0.25, **options)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mine.weights.h5", b"<html>not found</html>", "is no weights file. Expected HDF5"),
        ("mine.weights.h5", b"\x89HDF\r\n\x1a\n" + b"x" * 500, "are damaged"),
        ("mine.weights.h5", None, "cannot be loaded into mobilenet: .* Expected what save_weights of the same"),
        ("mine.h5", None, "cannot be loaded into mobilenet: .* at the same alpha"),
    ],
)
def test_a_weights_file_that_is_none_or_of_another_network_is_refused(name, content, reason, tmp_path):
    file = tmp_path / name
    if content is None:
        keras.applications.MobileNet(
            include_top=False, weights=None, alpha=0.5, input_shape=(32, 32, 3)
        ).save_weights(tmp_path / "other.weights.h5")  # fmt: skip
        content = (tmp_path / "other.weights.h5").read_bytes()
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        mobilenet(weights=str(file))
    assert str(file) in str(error.value)


def test_a_right_weights_file_is_loaded(tmp_path):
    network = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3))
    network.save_weights(tmp_path / "mine.weights.h5")
    ours = mobilenet(weights=str(tmp_path / "mine.weights.h5")).get_layer("conv1").kernel
    np.testing.assert_array_equal(ours, network.get_layer("conv1").kernel)


NEVER_IMPORTED = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
NEVER_CALLED = {
    "eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load", "pd.read_pickle",
    "keras.config.enable_unsafe_deserialization", "keras.models.load_model",
}  # fmt: skip
DOOR = "marinecv/models/load.py"


def dangers(source, name="x.py"):
    """What in a source could run code that a file brings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from NEVER_IMPORTED.intersection(module.split(".")[0] for module in modules)
        elif isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in NEVER_CALLED or called.endswith("enable_unsafe_deserialization"):
                yield called
            if called == "np.load" and given.get("allow_pickle", "False") != "False":
                yield "np.load"
            if called.endswith("saving.load_model") and name != DOOR:
                yield called
            if given.get("safe_mode", "True") != "True" or given.get("shell", "False") != "False":
                yield called


@pytest.mark.parametrize("folder", ["marinecv", "pipelines", "benchmarks"])
def test_nothing_in_the_house_unpickles_evaluates_or_asks_a_shell(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    found = {name: [*dangers(path.read_text("utf-8"), name)] for name, path in zip(names, paths, strict=True)}
    assert paths and not {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import marshal as m",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "yaml.load(text)",
        "torch.load(path)",
    ],
)
def test_a_danger_is_seen(line):
    assert list(dangers(line))
