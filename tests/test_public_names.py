"""What `import marinecv as mcv` offers: names, types, suggestions for misspelled ones, and examples that run."""

import ast
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import marinecv as mcv
from marinecv.audit.pairs import find_pairs
from marinecv.data.demo import dataset as reef
from marinecv.data.manifests import load_manifest
from marinecv.training.model_config import MultimodalModel

ROOT = Path(mcv.__file__).resolve().parents[1]
STUB = ast.parse((ROOT / "marinecv" / "__init__.pyi").read_text(encoding="utf-8"))

RIGHT = """
from pathlib import Path

import numpy as np

import marinecv as mcv

catalog = mcv.split_catalog(mcv.read_catalog(mcv.find_data(data_dir=Path("my_photos"))), "stratified")
names, spec = ("crab", "eel"), mcv.ImageSpec(height=64, width=64)
train = mcv.make_dataset(catalog, spec, names, training=True, augmentation=mcv.Augmentation(flip=0.5))
model = mcv.cnn((64, 64, 3), len(names), filters=[8, 16], kernels=[3, 3], pools=[2, 2])
mcv.compile_model(model, mcv.Training(epochs=2, learning_rate=1e-3))
history = model.fit(train, epochs=2, callbacks=mcv.callbacks(mcv.Training(epochs=2), "out"))
print(mcv.classification_metrics(mcv.predict_table(model, catalog, spec, list(names)), seed=1)["accuracy"])
for figure in (mcv.curves(history), mcv.curves(history.history), mcv.confusion_figure(np.eye(2), class_names=names)):
    figure.savefig("figure.png")
    mcv.save_png(figure, Path("figure.png"))
run = mcv.train("my_photos", epochs=5, changes={"training.lr_patience": 3}, log=None)
print(run.evaluate("test").metrics["accuracy"], run.predict("new_photos")["predicted_class"], run.model.count_params())
print(mcv.compare(run, Path("runs/other-1")).table, mcv.audit("my_photos", limit=9).findings)
"""
WRONG = """
import marinecv as mcv

catalog = mcv.read_catalog(mcv.find_data("aquarium"))
spec = mcv.ImageSpec(hieght=64)
train = mcv.make_dataset(catalog, spec, ("crab", "eel"), trainning=True)
training = mcv.Training(epochs="ten")
"""


def test_the_stub_holds_every_public_name_once_and_each_is_there():
    names = [alias.name for node in STUB.body[1:-1] for alias in node.names]
    assert sorted(names) == mcv.__all__ == sorted(set(names)) and set(names) < set(dir(mcv))
    for alias in [alias for node in STUB.body[1:-1] for alias in node.names]:
        assert alias.asname == alias.name  # `from module import name as name`: only so is it public to a type checker
        assert getattr(mcv, alias.name) is not None


def test_a_name_that_is_not_there_ends_in_the_nearest_one():
    with pytest.raises(AttributeError, match="no attribute 'find_dat'. Did you mean \"find_data\"?"):
        mcv.find_dat  # noqa: B018


@pytest.mark.slow
def test_mypy_finds_three_mistakes_in_a_user_s_script_and_none_in_a_right_one(tmp_path, request):
    (tmp_path / "right.py").write_text(RIGHT, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    words = ["-m", "mypy", "--cache-dir", str(request.config.cache.mkdir("mypy")), "right.py", "wrong.py"]
    # On PYTHONPATH the package is an installed one to mypy, read only where `py.typed` says that it has types.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = sorted(line for line in run.stdout.splitlines() if ": error: " in line)
    assert [line.split(": ")[0] for line in errors] == ["wrong.py:5", "wrong.py:6", "wrong.py:7"], run.stdout
    for error, words in zip(errors, ('"hieght"', '"trainning"', 'type "str"; expected "int"'), strict=True):
        assert words in error


@pytest.mark.parametrize(
    ("error", "call", "meant"),
    [
        (TypeError, lambda: mcv.ImageSpec(hieght=64), "height"),
        (TypeError, lambda: MultimodalModel(fusoin="gated"), "fusion"),
        (TypeError, lambda: replace(mcv.ImageSpec(), widht=3), "width"),
        (ValueError, lambda: mcv.ImageSpec(fit="padd"), "pad"),
        (ValueError, lambda: mcv.cnn((64, 64, 3), 2, pooling="flaten"), "flatten"),
        (ValueError, lambda: mcv.backbone_classifier((64, 64, 3), 2, backbone="mobilnetv2"), "mobilenetv2"),
        (ValueError, lambda: find_pairs(None, "numbers"), "number"),
        (ValueError, lambda: load_manifest("aquarum"), "aquarium"),
    ],
)
def test_an_unknown_argument_or_value_suggests_the_nearest_one(error, call, meant):
    with pytest.raises(error, match=f'Did you mean "{meant}"'):
        call()


PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
PRINT = print  # before Ray replaces it
ENTRIES = re.findall(r"^- `(\w+)\((.*?)\)(?: -> [^`]*)?`: ", PAGE, re.MULTILINE)


def test_the_api_page_lists_the_public_names_with_their_arguments_and_defaults():
    assert sorted(name for name, _ in ENTRIES) == mcv.__all__
    for name, arguments in ENTRIES:
        parameters = inspect.signature(getattr(mcv, name)).parameters
        for argument in re.split(r", (?![^(]*\))", arguments):
            argument, equals, default = argument.partition("=")
            if argument != "..." and argument.strip("*"):
                assert argument.strip("*") in parameters or "backbone" in parameters, (name, argument)
            if equals and default and default != "...":
                assert parameters[argument].default == eval(default, {"print": PRINT}), (name, argument)


TRAINED = "autoencode compare evaluate Experiment explain export grid latent learning_curve LearningCurve predict"
TRAINED = (TRAINED + " ensemble estimate label_errors reproduce resume review Run search Search train").split()
TRAINED += ["ReviewFolder", "write_report"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all examples, with fewer demo images, drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        few = {split: {name: min(count, 8) for name, count in counts.items()} for split, counts in reef.COUNTS.items()}
        patch.setattr(reef, "COUNTS", few)
        yield tmp_path_factory.mktemp("marinecv_home")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in TRAINED else name for name in mcv.__all__]
)
def test_the_example_of(name, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MARINECV_HOME", str(store))
    monkeypatch.chdir(tmp_path)
    public = getattr(mcv, name)
    module = importlib.import_module(public.__module__)
    found = doctest.DocTestFinder(recurse=False).find(public, name, module, globs={})
    assert found and found[0].examples[0].source.startswith("import marinecv as mcv"), f"{name} has no whole example"
    said = []
    assert doctest.DocTestRunner().run(found[0], out=said.append).failed == 0, "".join(said)
    assert capsys.readouterr().out == ""  # a workflow with log=None is silent
