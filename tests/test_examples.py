"""The example in the docstring of each public name runs as it stands, in an empty folder, and gives what it says."""

import doctest
import importlib

import pytest

import marinecv as mcv
from marinecv.data.demo import dataset as reef

TRAINED = "autoencode compare evaluate Experiment explain export grid latent learning_curve LearningCurve predict"
TRAINED = (TRAINED + " reproduce resume Run search Search train write_report").split()


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
