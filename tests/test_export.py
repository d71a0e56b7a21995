"""An export gives what its model gives, passes its parity check, and is written whole or not at all."""

import json
import os
import re
import shutil
from unittest.mock import Mock

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import COLORS
from keras import layers, ops
from pages import assert_self_contained

import marinecv as mcv
from marinecv.evaluation.predictions import make_table
from marinecv.export import convert, formats, table
from marinecv.export import model as exporting
from marinecv.export import parity as parity_module
from marinecv.export.engines import load_exported
from marinecv.export.formats import FILES
from marinecv.export.model import export_model, measure_original, time_exports
from marinecv.export.parity import EXPECTED, PARITY_FILE, agreement, calibration_of, check_export
from marinecv.export.table import read_exports, write_exports
from marinecv.files.atomic import replaced_folder, write_json
from marinecv.files.hashes import sha256
from marinecv.runs import Run
from marinecv.schema import read_json
from marinecv.workflows.export import check_exports
from marinecv.workflows.folders import list_work
from pipelines.cli import main

COPIES = 300  # small weights are not quantized
KINDS = [("litert", kind) for kind in formats.QUANTIZATIONS] + [("savedmodel", "none"), ("onnx", "none")]
NAMES = [format if kind == "none" else f"{format}-{kind}" for format, kind in KINDS]
RESIZING = ["savedmodel-resize", "onnx-resize"]


def tiles(seed=0, count=4):
    """Images of 8 x 8 colored tiles, 32 x 32 pixels in [0, 255]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype(np.float32)


def color_reader(takes=(0, 1, 2)):
    """A model that recognizes the main color of an image, red, green or blue, and predicts color i as `takes[i]`."""
    pixels = keras.Input((32, 32, 3), name="pixels")
    x = layers.Conv2D(3, 1, use_bias=False, name="channels")(layers.Rescaling(1 / 255)(pixels))
    x = layers.Dense(3 * COPIES, activation="relu", name="copies")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", name="probabilities")(x))
    head = np.tile(8 / COPIES * np.eye(3)[list(takes)], (COPIES, 1))
    model.set_weights([np.eye(3)[None, None], np.tile(np.eye(3), COPIES), np.zeros(3 * COPIES), head, np.zeros(3)])
    return model


@pytest.fixture(scope="module", autouse=True)
def engines():
    for package in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)


def run_with(model, finished_run, folder) -> Run:
    """A copy with another model, and with images that fill what it sees."""
    shutil.copytree(finished_run, folder)
    preprocessing = read_json(folder / "preprocessing.json")
    preprocessing["image"] |= {"fit": "stretch", "letterbox_px": None}
    write_json(folder / "preprocessing.json", preprocessing)
    model.save(folder / "model.keras")
    (folder / "calibration.json").unlink()  # it is of another model
    return Run(folder)


@pytest.fixture
def run(finished_run, tmp_path):
    """A run that a test may change, with a model that classifies every image of the tank correctly."""
    return run_with(color_reader(), finished_run, tmp_path / "run")


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """A run with every export. Only to be read."""
    run = run_with(color_reader(), finished_run, tmp_path_factory.mktemp("exported") / "run")
    original = measure_original(run)
    for format, kind in KINDS:
        export_model(run, format, kind, original=original)
    for format in ("savedmodel", "onnx"):
        export_model(run, format, resize=True, original=original)
    write_exports(run, original.figures, time_exports(run, original))
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_export_gives_what_its_model_gives_with_labels_in_the_order_of_its_outputs(exported, name):
    images = tiles(count=40)  # more than one batch
    expected = exported.load_model().predict(images, verbose=0)
    assert np.ptp(expected, axis=0).min() > 0.1  # so that one answer for all would not do
    folder = exported.path("exports", name)
    found = load_exported(folder)(images.astype(np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.03 if "-" in name else 1e-5)
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    pictures = np.stack([np.full((32, 32, 3), color) for color in COLORS.values()])
    assert [labels[index] for index in load_exported(folder)(pictures).argmax(axis=1)] == list(COLORS)
    preprocessing = exported.read("preprocessing.json")
    assert preprocessing.pop("data_dirs")  # paths of this machine
    assert read_json(folder / "preprocessing.json") == preprocessing and check_export(folder) == ""


def test_quantized_files_are_smaller_and_take_and_give_single_precision(exported):
    from ai_edge_litert.interpreter import Interpreter

    files = {name: exported.path("exports", name, "model.tflite") for name in NAMES[:4]}
    none, *quantized = (file.stat().st_size for file in files.values())
    assert none > 1.15 * max(quantized)
    for file in files.values():
        interpreter = Interpreter(str(file))
        [into], [out] = interpreter.get_input_details(), interpreter.get_output_details()
        assert into["shape"].tolist() == [1, 32, 32, 3] and into["dtype"] == out["dtype"] == np.float32
    tensors = Interpreter(str(files["litert-int8-full"])).get_tensor_details()
    assert sum(tensor["dtype"] == np.float32 for tensor in tensors) == 2  # pixels and probabilities


def test_the_certificate_has_what_was_measured(exported):
    folder = exported.path("exports", "litert-int8-full")
    found = json.loads((folder / PARITY_FILE).read_text())
    assert found["bytes"] == (folder / "model.tflite").stat().st_size
    files = [path for path in folder.iterdir() if path.name != PARITY_FILE]
    assert found["sha256"] == {path.name: sha256(path) for path in files} and len(files) == 8
    accuracy = found["accuracy"]
    assert (accuracy["value"], accuracy["n"], found["split"]) == (1, 3, "validation") and accuracy["low"] > 0.4
    assert found["original"]["accuracy"] == accuracy and found["agreement"]["n"] == 3
    assert 0 < found["largest_difference"] < 0.03 and found["threads"] >= 1 and found["calibration_images"] == 6
    assert (found["temperature"], found["calibration_sha256"]) == (None, None)
    assert str(exported.folder.parent) not in json.dumps(found)  # it travels: no folder of one's own


def test_a_calibration_of_too_few_images_has_no_temperature_and_one_of_another_model_is_refused(run, finished_run):
    expected = {"temperature": None, "calibration_sha256": sha256(finished_run / "calibration.json")}
    assert calibration_of(Run(finished_run)) == expected
    shutil.copyfile(finished_run / "calibration.json", run.path("calibration.json"))
    with pytest.raises(ValueError, match="another preprocessing.json"):
        export_model(run, "litert")
    assert not run.path("exports").exists()


def test_agreement_counts_images_with_the_same_class():
    rows = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], [[0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]
    keys = list("1234"), ["validation"] * 4, ["a"] * 4
    result = agreement(*(make_table(*keys, np.array(probabilities), ("a", "b")) for probabilities in rows))
    assert result["agreement"]["value"] == 0.75 and result["agreement"]["low"] < 0.75 < result["agreement"]["high"]
    assert result["largest_difference"] == pytest.approx(0.2)


def test_full_integers_are_calibrated_on_images_of_train_alone(run, monkeypatch):
    seen, given = [], []
    load, write = exporting.load_pixels, exporting.write_model
    monkeypatch.setattr(exporting, "load_pixels", lambda rows, spec: seen.append({*rows["split"]}) or load(rows, spec))
    monkeypatch.setattr(exporting, "write_model", lambda *words: given.append(words[4]) or write(*words))
    monkeypatch.setattr(exporting, "CALIBRATION_IMAGES", 4)
    export_model(run, "litert", "int8-full")
    assert seen == [{"validation"}, {"train"}] and given[0].shape == (4, 32, 32, 3)
    catalog = run.catalog
    train = {image.tobytes() for image in mcv.load_pixels(catalog[catalog["split"] == "train"], run.spec)[0]}
    assert len({image.tobytes() for image in given[0]} & train) == 4


def one_wrong(monkeypatch):
    """Let every conversion write a model that takes rays for eels: 2 of 3 right."""
    worse = color_reader(takes=(0, 1, 1))
    write = exporting.write_model
    monkeypatch.setattr(exporting, "write_model", lambda model, *args: write(worse, *args))


@pytest.mark.slow
def test_an_export_that_loses_more_than_the_margin_is_refused_and_leaves_nothing(run, monkeypatch, capsys):
    one_wrong(monkeypatch)
    with pytest.raises(ValueError, match=r"savedmodel is not written: .* 0.6667 .* 1.0000 \(n=3\)\. .* 0.02 less"):
        export_model(run, "savedmodel")
    printed = shell(capsys, run.folder, "--format", "savedmodel", "--margin", "0.3", code=1)
    assert "at most 0.3 less: allow more with --margin, or take another --quantize" in printed.err
    assert sorted(os.listdir(run.path("exports"))) == [".lock", "exports.csv"]
    assert "savedmodel (refused)" in printed.out and "savedmodel (refused)" in run.path("report.html").read_text(
        "utf-8"
    )
    assert export_model(run, "savedmodel", margin=1 - 2 / 3)["agreement"]["value"] == pytest.approx(2 / 3)


def test_probabilities_of_8_bits_that_miss_a_sum_of_1_are_scored_all_the_same(run, monkeypatch):
    load = exporting.load_exported
    monkeypatch.setattr(exporting, "load_exported", lambda folder: lambda pixels: 0.9 * load(folder)(pixels))
    found = export_model(run, "savedmodel")
    assert found["agreement"]["value"] == 1 and found["largest_difference"] < 1e-5


def state(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_an_interrupted_or_refused_export_leaves_the_older_one(run, monkeypatch):
    export_model(run, "savedmodel")
    before = state(run.path("exports"))
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="is not written"):
        one_wrong(patch)
        export_model(run, "savedmodel")
    monkeypatch.setattr(exporting, "write_json", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export_model(run, "savedmodel")
    assert state(run.path("exports")) == before


def test_a_folder_is_replaced_or_stays_wherever_it_is_stopped(tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    (place / "older").touch()
    replace, said = os.replace, []

    def stopped(source, target):
        if source.name == ".place.new":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), replaced_folder(place):
        patch.setattr(os, "replace", stopped)
    assert os.listdir(tmp_path) == ["place"] and os.listdir(place) == ["older"]
    place.rename(tmp_path / ".place.old")  # as a killed process leaves it
    with replaced_folder(place, said.append) as folder:
        assert (place / "older").is_file()
        (folder / "newer").touch()
    assert os.listdir(tmp_path) == ["place"] and os.listdir(place) == ["newer"]
    assert said == [f"The older {place} is replaced."]


@pytest.fixture
def litert(exported, tmp_path):
    """An export that a test may change."""
    return shutil.copytree(exported.path("exports", "litert"), tmp_path / "litert")


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "preprocessing.json"])
def test_the_check_notices_a_changed_file_and_does_not_load_it(litert, name, monkeypatch):
    monkeypatch.setattr(parity_module, "load_exported", Mock(side_effect=KeyboardInterrupt))
    (litert / name).write_bytes((litert / name).read_bytes()[:-1] + b"~")
    assert check_export(litert) == f"{name} has changed since the parity check. Export it again."


def test_the_check_notices_files_too_few_or_too_many_and_other_probabilities(litert):
    (litert / "a.txt").touch()
    assert "a.txt has changed" in check_export(litert)
    (litert / "a.txt").unlink()
    labels = (litert / "labels.txt").rename(litert.parent / "labels.txt")
    assert "labels.txt has changed" in check_export(litert)
    labels.rename(litert / "labels.txt")
    expected, parity = read_json(litert / EXPECTED), read_json(litert / PARITY_FILE)
    expected["sideways.jpg"]["probabilities"][1] += 0.25
    write_json(litert / EXPECTED, expected)
    parity["sha256"][EXPECTED] = sha256(litert / EXPECTED)
    write_json(litert / PARITY_FILE, parity)
    assert "three pictures differ from expected.json by up to 0.250" in check_export(litert)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parity: parity.pop("sha256"), "missing required field `sha256`"),
        (lambda parity: parity.pop("resize"), "missing required field `resize`"),
        (lambda parity: parity.update(sha256=[1]), "'sha256' of .* is"),
    ],
)
def test_the_check_names_what_is_wrong_with_a_broken_or_absent_certificate(litert, change, message):
    parity = json.loads((litert / PARITY_FILE).read_text())
    change(parity)
    (litert / PARITY_FILE).write_text(json.dumps(parity))
    assert re.search(message, check_export(litert))
    (litert / PARITY_FILE).unlink()
    assert "parity.json cannot be read" in check_export(litert)


def test_the_table_has_the_keras_model_first_and_a_row_an_export(exported):
    found = read_exports(exported)
    assert (
        found["export"].tolist() == [table.ORIGINAL, *sorted([*NAMES, *RESIZING])]
        and found.columns.tolist() == table.COLUMNS
    )
    first, others = found.iloc[0], found.iloc[1:]
    assert first["bytes"] == exported.path("model.keras").stat().st_size and np.isnan(first["agreement_value"])
    assert (found["accuracy_value"] == 1).all() and (others["agreement_value"] == 1).all()
    saved = exported.path("exports", "savedmodel", "model")
    size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
    assert found.set_index("export").loc["savedmodel", "bytes"] == size
    assert (found["latency_ms"] > 0).all() and (found["problem"] == "").all()


def test_a_run_without_exports_has_no_table_and_a_broken_one_is_named(run):
    assert read_exports(run) is None
    run.path("exports").mkdir()
    good = pd.DataFrame([{"export": "keras", **dict.fromkeys(table.COLUMNS[1:], 1)}])
    for broken in (good.assign(accuracy_value=2), good.drop(columns="export"), good.drop(columns="bytes")):
        broken.to_csv(run.path("exports", "exports.csv"), index=False)
        with pytest.raises(ValueError, match="Delete it; `export` writes it again"):
            read_exports(run)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("tflite",), {}, "format to be one of .*'savedmodel'.*Received: format='tflite'"),
        (("litert", "int4"), {}, "quantize to be one of .*Received: quantize='int4'"),
        (("onnx", "float16"), {}, "quantize=float16 is for litert alone"),
        (("litert",), {"resize": True}, "Expected resize for savedmodel or onnx"),
        (("litert",), {"margin": -0.01}, "margin from 0 to 1"),
        (("litert",), {"margin": float("nan")}, "margin from 0 to 1"),
    ],
)
def test_wrong_arguments_are_refused(run, words, options, message):
    with pytest.raises(ValueError, match=message):
        export_model(run, *words, **options)
    assert not run.path("exports").exists()


@pytest.mark.parametrize(("format", "package"), [("litert", "ai_edge_litert"), ("onnx", "tf2onnx")])
def test_a_missing_package_is_named_with_what_brings_it(run, format, package, monkeypatch):
    found = formats.importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(ValueError, match=rf"{package} is not installed.*pip install 'marinecv\[{format}\]'"):
        export_model(run, format)


def test_resizing_with_antialiasing_is_refused_for_onnx(run):
    preprocessing = run.read("preprocessing.json")
    preprocessing["image"]["antialias"] = True
    write_json(run.path("preprocessing.json"), preprocessing)
    with pytest.raises(ValueError, match="ONNX has no resizing with antialiasing.* Leave out resize"):
        export_model(Run(run.folder), "onnx", resize=True)


def test_a_class_with_a_line_break_and_a_model_that_takes_attributes_are_refused(run):
    preprocessing = run.read("preprocessing.json")
    write_json(run.path("preprocessing.json"), {**preprocessing, "class_names": ["crab", "e\nel", "ray"]})
    with pytest.raises(ValueError, match="line break"):
        export_model(Run(run.folder), "litert")
    write_json(run.path("preprocessing.json"), preprocessing)
    pixels, attributes = keras.Input((32, 32, 3)), keras.Input((2,))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(pixels), attributes])
    keras.Model([pixels, attributes], layers.Dense(3, activation="softmax")(x)).save(run.path("model.keras"))
    with pytest.raises(ValueError, match="takes attributes beside the image"):
        export_model(run, "litert")


def test_missing_images_are_logged_and_without_any_nothing_is_measured(run, capsys):
    catalog, said = run.catalog, []
    gone = f"{run.read('preprocessing.json')['data_dirs'][0]}/gone.jpg"
    validation = catalog.index[catalog["split"] == "validation"]
    catalog.loc[validation[0], "path"] = gone
    catalog.to_csv(run.path("catalog.csv"), index=False)
    assert measure_original(run, log=said.append).figures["accuracy"]["n"] == 2
    assert "1 of 3 validation images left out; the first, valid/crab" in said[0] and not capsys.readouterr().out
    catalog.assign(path=gone).to_csv(run.path("catalog.csv"), index=False)
    with pytest.raises(ValueError, match="No validation image .*gone.jpg"):
        measure_original(run)


def test_a_folder_without_a_model_and_a_damaged_file_are_named(litert):
    (litert / "model.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match="model.tflite is damaged"):
        load_exported(litert)
    (litert / "model.tflite").unlink()
    with pytest.raises(ValueError, match="holds no exported model"):
        load_exported(litert)


def test_a_model_that_needs_more_than_litert_knows_is_refused(tmp_path):
    pixels = keras.Input((8, 8, 3))
    x = ops.erfinv(layers.GlobalAveragePooling2D()(pixels) / 256)
    model = keras.Model(pixels, layers.Softmax()(x))
    with pytest.raises(ValueError, match="cannot be written as litert"):
        convert.write_model(model, tmp_path / FILES["litert"], "litert")


def test_half_precision_becomes_single_and_constants_go_into_the_graph(tmp_path):
    pixels = keras.Input((32, 32, 3), name="pixels")
    half = {"dtype": "mixed_bfloat16"}
    x = layers.Normalization(mean=(100, 110, 120), variance=(900, 800, 700), **half)(ops.flip(pixels, -1))
    x = layers.GlobalAveragePooling2D(**half)(layers.Conv2D(4, 3, **half)(x))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", dtype="float32")(x))
    plain = convert.in_float32(model)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    images = tiles()
    expected = plain.predict(images, verbose=0)
    np.testing.assert_allclose(expected, model.predict(images, verbose=0), atol=0.02)
    for format in FILES:
        folder = tmp_path / format
        folder.mkdir()
        convert.write_model(model, folder / FILES[format], format)
        np.testing.assert_allclose(load_exported(folder)(images), expected, atol=1e-5)


def shell(capsys, *words, code=0):
    assert main(["export", *(str(word) for word in words)]) == code
    return capsys.readouterr()


def test_files_a_table_a_section_of_the_page_and_a_check_from_python_and_the_shell(run, capsys):
    folder = run.folder
    with pytest.raises(ValueError, match='no exports. Make one with format="litert"'):
        check_exports(run)
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    (folder / "preprocessing.json").write_text(json.dumps({**preprocessing, "demonstration": True}))
    assert mcv.export(folder, "savedmodel", log=None)["export"].tolist() == ["keras", "savedmodel"]
    assert capsys.readouterr() == ("", "") and check_exports(folder) == {"savedmodel": ""}
    printed = shell(capsys, folder, "--format", "litert", "--quantize", "float16", "none", "float16")
    assert printed.err == "" and printed.out.count("written to") == 2 and "n=3 validation images" in printed.out
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert_self_contained(html)
    section = html.partition('<h2 id="exports">')[2].partition("<h2")[0]
    assert '<a href="#exports">' in html and section.count("<tr>") == 5 and ">litert-float16<" in section
    assert "validation evaluation: export to litert" in (folder / "log.txt").read_text()
    assert json.loads((folder / "exports" / "litert" / "preprocessing.json").read_text())["demonstration"] is True
    assert shell(capsys, folder, "--check").out.count("passed") == 3
    (folder / "exports" / "litert" / "labels.txt").write_text("ray\neel\ncrab\n")
    printed = shell(capsys, folder, "--check", code=1).out
    assert "  litert               labels.txt has changed" in printed and printed.count("passed") == 2


@pytest.mark.slow
def test_the_others_are_written_where_one_is_refused(run, capsys, monkeypatch):
    write, worse = exporting.write_model, color_reader(takes=(1, 2, 0))

    def spoiled(model, path, format, quantize, *others):
        write(worse if quantize == "float16" else model, path, format, quantize, *others)

    monkeypatch.setattr(exporting, "write_model", spoiled)
    run.path("report.html").unlink()  # without one none is written
    printed = shell(capsys, run.folder, "--format", "litert", "--quantize", "float16", "none", code=1)
    assert printed.err.startswith("error: litert-float16 is not written") and printed.err.count("\n") == 1
    found = read_exports(run).set_index("export")
    assert found.index.tolist() == ["keras", "litert", "litert-float16"] and not run.path("report.html").exists()
    refused = found.loc["litert-float16"]
    assert "validation accuracy is 0.0000" in refused["problem"] and refused["accuracy_value"] == 0
    assert refused["bytes"] > 0 and np.isnan(refused["latency_ms"]) and "litert-float16 (refused)" in printed.out
    shell(capsys, run.folder, "--format", "savedmodel")
    assert read_exports(run)["problem"].tolist() == ["", "", "", refused["problem"]]  # it stays
    monkeypatch.setattr(exporting, "write_model", write)
    shell(capsys, run.folder, "--format", "litert", "--quantize", "float16")
    found = read_exports(run)
    assert found["export"].tolist() == ["keras", "litert", "litert-float16", "savedmodel"] and not any(found["problem"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected --format, one of litert, savedmodel, onnx, or --check."),
        (["--check", "--format", "onnx", "--margin", "0"], "--check cannot be combined with --format, --margin"),
        (["--check"], "has no exports. Make one with --format litert."),
        (["--format", "savedmodel", "--quantize", "none", "int8-full"], "int8-full is for litert alone"),
    ],
)
def test_a_wrong_command_is_one_line_and_writes_nothing(run, capsys, words, message):
    error = shell(capsys, run.folder, *words, code=1).err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(run.folder.glob("exports/[!.]*"))


def test_a_report_is_written_again_and_runs_are_listed(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list_work().empty and list(list_work()) == ["folder", "kind", "state"]
    run = shutil.copytree(finished_run, tmp_path / "runs" / "tank-1")
    (run / "report.html").unlink()
    assert mcv.write_report(str(run)) == run / "report.html" and (run / "report.html").is_file()
    (tmp_path / "runs" / "grid-1").mkdir()
    (tmp_path / "runs" / "grid-1" / "experiment.json").write_text("{")
    experiment, listed = list_work().itertuples(index=False)
    assert (experiment.kind, experiment.state[:7]) == ("experiment", "broken:")
    assert (str(listed.folder), listed.kind) == ("runs/tank-1", "run") and "validation accuracy" in listed.state
    (run / "metrics.json").unlink()
    assert 'resume("runs/tank-1")' in list_work()["state"].iloc[1]
    with pytest.raises(ValueError, match="There is no folder nowhere"):
        list_work("nowhere")
    with pytest.raises(ValueError, match="is no run"):
        mcv.write_report(tmp_path)
