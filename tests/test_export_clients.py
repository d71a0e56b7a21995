"""Who has the folder of an export alone gives the answers of the training: in Python, in node and in MediaPipe."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict

import keras
import numpy as np
import pytest
from conftest import real_data_root
from keras import layers
from PIL import Image

import marinecv as mcv
from marinecv.export.model import export_model, measure_original
from marinecv.files.atomic import write_json
from marinecv.runs import Run
from marinecv.schema import read_json

FORMATS = {  # folder: what `export_model` takes
    "litert": ("litert",),
    "litert-int8-io": ("litert", "int8-io"),
    "onnx": ("onnx",),
    "savedmodel": ("savedmodel",),
    "onnx-resize": ("onnx", "none", True),
    "savedmodel-resize": ("savedmodel", "none", True),
}


def layout_reader():
    """A model that answers by where an image is bright, so that it notices another geometry."""
    pixels = keras.Input((32, 32, 3), name="pixels")
    x = layers.Flatten()(layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(pixels)))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax")(x))
    weights = np.random.default_rng(0).normal(0, 1, model.get_weights()[0].shape)
    model.set_weights([weights - weights.mean(axis=0), np.zeros(3)])
    return model


def with_model(finished_run, folder, **image) -> Run:
    """A copy of a run with `layout_reader` as its model, and another geometry."""
    shutil.copytree(finished_run, folder)
    preprocessing = read_json(folder / "preprocessing.json")
    preprocessing["image"] |= image
    write_json(folder / "preprocessing.json", preprocessing)
    layout_reader().save(folder / "model.keras")
    (folder / "calibration.json").unlink()
    return Run(folder)


@pytest.fixture(scope="module")
def exports(finished_run, tmp_path_factory):
    """The folder of exports of a run with a letterbox of the longer side. Only to be read."""
    for package in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    run = with_model(finished_run, tmp_path_factory.mktemp("clients") / "run", fit="pad", letterbox_px=None)
    original = measure_original(run)
    for format, *options in FORMATS.values():
        export_model(run, format, *options[:1], resize=len(options) > 1, margin=1, original=original)
    return run.path("exports")


def code_of(folder) -> list[str]:
    """The two blocks of Python of a README: the function `load`, and the check."""
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2 and "marinecv" not in "".join(blocks)
    return blocks


@pytest.mark.parametrize("name", FORMATS)
def test_the_code_of_the_readme_passes_its_own_check(exports, name, monkeypatch, capsys):
    monkeypatch.chdir(exports / name)
    names = {}
    exec("\n".join(code_of(exports / name)), names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["landscape.jpg", "sideways.jpg", "transparent.png"]
    tolerance = read_json(exports / name / "parity.json")["tolerance"]
    assert tolerance == (0.05 if "int8" in name else 0.02)
    assert max(float(line.split()[-1]) for line in lines) < tolerance / 4
    assert names["labels"] == [*Run(exports.parent).class_names]
    for line in lines:
        with Image.open(line.split()[0]) as picture:
            assert picture.size == (640, 480) and os.path.getsize(picture.filename) < 200_000


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    picture = square\n", ""),  # the picture is stretched
        ("ImageOps.exif_transpose(Image.open(path))", "Image.open(path)"),
        ("    if picture.has_transparency_data:", "    if False:"),
        (".transform(size, *whole, bilinear)", ".resize(size, bilinear)"),  # antialiasing
        ("return np.stack(bands, axis=-1)", "return np.stack(bands[::-1], axis=-1)"),  # BGR
        ("return np.stack(bands, axis=-1).round()", "return (np.stack(bands, axis=-1) / 255)"),
    ],
)
def test_a_program_that_makes_other_pixels_fails_the_check(exports, right, wrong, monkeypatch):
    load, check = code_of(exports / "litert")
    assert right in load
    monkeypatch.chdir(exports / "litert")
    with pytest.raises(AssertionError, match="pixels or the engine are not those of the training"):
        exec(load.replace(right, wrong) + check, {})


def test_the_readme_says_how_much_wrong_pixels_change(exports):
    expected = read_json(exports / "litert" / "expected.json")
    assert {way for row in expected.values() for way in row["changes"]} == {
        *("stretched", "antialiased", "without EXIF orientation or transparency")
    }
    assert min(change for row in expected.values() for change in row["changes"].values()) > 0.02
    text = (exports / "litert" / "README.md").read_text(encoding="utf-8")
    for name, row in expected.items():
        assert all(f"| `{name}` | {way} | {change:.3f} |" in text for way, change in row["changes"].items())
    assert "| change |" not in (exports / "onnx-resize" / "README.md").read_text(encoding="utf-8")


def test_files_name_their_input_output_classes_and_range(exports):
    onnx, tf = pytest.importorskip("onnx"), pytest.importorskip("tensorflow")
    names = Run(exports.parent).class_names
    model = onnx.load(exports / "onnx" / "model.onnx")
    [image], [probabilities] = model.graph.input, model.graph.output
    axes = [tensor.type.tensor_type.shape.dim[0].dim_param for tensor in (image, probabilities)]
    assert (image.name, probabilities.name, axes) == ("image", "probabilities", ["batch", "batch"])
    props = {item.key: item.value for item in model.metadata_props}
    assert json.loads(props["class_names"]) == [*names] and "0 to 255" in props["image"]
    assert json.loads(props["preprocessing"])["image"] == asdict(Run(exports.parent).spec)
    saved = tf.saved_model.load(exports / "savedmodel" / "model")
    signature = saved.signatures["serving_default"]
    assert [*signature.structured_input_signature[1]] == ["image"]
    assert [*signature.structured_outputs] == ["probabilities"]
    assert [name.decode() for name in saved.signatures["describe"]()["class_names"].numpy()] == [*names]
    weights = exports.parent / "model.keras"
    variables = exports / "savedmodel" / "model" / "variables" / "variables.data-00000-of-00001"
    stored = sum(weight.nbytes for weight in keras.saving.load_model(weights).get_weights())
    assert stored <= variables.stat().st_size < 1.5 * stored + 1000  # each weight once


CLIENT = """
exec("\\n".join(__import__("json").load(open("code.json"))))
import json
answers = [predict(load(path)).tolist() for path in json.load(open("paths.json"))]
json.dump(answers, open("answers.json", "w"))
"""
MEDIAPIPE = """
import json, sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
exec(json.load(open("code.json"))[0])
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path="model.tflite"))
labels, answers = open("labels.txt", encoding="utf-8").read().splitlines(), []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for path in json.load(open("paths.json")):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=load(path)[0].astype("uint8"))
        found = {row.category_name: row.score for row in classifier.classify(image).classifications[0].categories}
        answers.append([found[label] for label in labels])
json.dump(answers, open("answers.json", "w"))
"""
NODE = """
const ort = require(process.argv[1]), fs = require("fs");
(async () => {
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync("model.onnx")));
  const [rows, ...dims] = JSON.parse(fs.readFileSync("shape.json")), answers = [];
  const pixels = Float32Array.from(fs.readFileSync("pixels.bin")), size = dims[0] * dims[1] * 3;
  for (let row = 0; row < rows; row++) {
    const image = new ort.Tensor("float32", pixels.slice(row * size, (row + 1) * size), [1, ...dims]);
    answers.push(Array.from((await session.run({ image })).probabilities.data));
  }
  fs.writeFileSync("answers.json", JSON.stringify(answers));
})();
"""


@pytest.fixture(scope="module")
def photo_exports(tmp_path_factory):
    """Exports of a run on real photographs, and what the Keras model gives for 40 of these. Only to be read."""
    for package in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    folder, root = tmp_path_factory.mktemp("photos"), real_data_root()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(root / "keras_home"))
        patch.setenv("MARINECV_HOME", str(folder / "home"))
        settings = {"epochs": 4, "limit": 60, "size": 160, "log": None}
        run = mcv.train(root / "animals10_small", "animals_mobilenet", folder=folder / "run", **settings)
    paths = run.catalog.query("split == 'validation'")["path"].head(40).tolist()
    pixels, problems = mcv.read_pixels(paths, run.spec)
    expected = run.model.predict(pixels.astype(np.float32), verbose=0)
    assert len(paths) == 40 and not problems and len({*expected.argmax(axis=1)}) >= 4  # not one answer for all
    original = measure_original(run)
    for name in ("litert", "onnx", "onnx-resize"):
        format, *options = FORMATS[name]
        export_model(run, format, *options[:1], resize=len(options) > 1, margin=1, original=original)
        (run.path("exports", name) / "paths.json").write_text(json.dumps(paths))
        (run.path("exports", name) / "code.json").write_text(json.dumps(code_of(run.path("exports", name))))
    return run.path("exports"), expected


def assert_same(command, folder, expected, tolerance=0.005):
    """Run a client in the folder of an export: the same class on 40 of 40 photographs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads((folder / "answers.json").read_text()))
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all() and found.shape == expected.shape
    assert abs(found - expected).max() < tolerance


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.network
@pytest.mark.parametrize("name", ["litert", "onnx", "onnx-resize"])
def test_python_without_tensorflow_gives_the_same_class_on_40_of_40_photographs(name, photo_exports, producer):
    folder, expected = photo_exports
    python = producer("numpy", "pillow", "onnxruntime", "ai-edge-litert")
    assert_same([python, "-c", CLIENT], folder / name, expected)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.network
def test_mediapipe_gives_the_same_class_on_40_of_40_photographs(photo_exports, producer):
    folder, expected = photo_exports
    python = producer("mediapipe")
    imported = subprocess.run([python, "-c", "import mediapipe.tasks.python.vision"], capture_output=True, text=True)
    if imported.returncode:
        pytest.skip(f"MediaPipe does not run here: {imported.stderr[-200:]}")
    assert_same([python, "-c", MEDIAPIPE], folder / "litert", expected)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.network
@pytest.mark.parametrize("package", ["onnxruntime-node", "onnxruntime-web"])
def test_node_gives_the_same_class_on_40_of_40_photographs(package, photo_exports, tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node is not installed")
    words, skip_cuda = ["npm", "install", "--prefix", tmp_path, package], {"ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"}
    installed = subprocess.run(words, env=os.environ | skip_cuda, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm cannot install {package}: {installed.stderr[-200:]}")
    folder, expected = photo_exports
    names = {}
    exec(code_of(folder / "onnx")[0], names)
    pixels = np.concatenate([names["load"](path) for path in json.loads((folder / "onnx" / "paths.json").read_text())])
    (folder / "onnx" / "shape.json").write_text(json.dumps(pixels.shape))
    (folder / "onnx" / "pixels.bin").write_bytes(pixels.astype(np.uint8).tobytes())
    assert_same(["node", "-e", NODE, tmp_path / "node_modules" / package], folder / "onnx", expected)
