"""docs/api.md lists the public names by task, with arguments and attributes that are there."""

import inspect
import re
from pathlib import Path

import marinecv as mcv
from marinecv.workflows.audit import Audit
from marinecv.workflows.compare import Comparison
from marinecv.workflows.evaluate import Evaluation
from marinecv.workflows.explain import Explanation
from marinecv.workflows.latent import LatentSpace

PAGE = (Path(mcv.__file__).resolve().parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^- `(\w+)\((.*?)\)(?: -> [^`]*)?`: (.*)$", PAGE, re.MULTILINE)
FOLDERS = (mcv.Run, mcv.Experiment, mcv.Search, mcv.LearningCurve)
RETURNED = {kind.__name__: kind for kind in (Evaluation, Comparison, Explanation, LatentSpace, Audit)}


def test_the_page_lists_exactly_the_public_names_once_each():
    assert len(ENTRIES) == len(re.findall("^- ", PAGE, re.MULTILINE))
    assert sorted(name for name, *_ in ENTRIES) == mcv.__all__


def test_the_arguments_and_defaults_on_the_page_are_those_of_the_functions():
    for name, arguments, _ in ENTRIES:
        parameters = inspect.signature(getattr(mcv, name)).parameters
        for word in re.split(r", (?![^(]*\))", arguments):
            word, equals, default = word.partition("=")
            if word != "..." and word.strip("*"):
                assert word.strip("*") in parameters or "backbone" in parameters, (name, word)
            if equals and default and default != "...":
                assert parameters[word].default == eval(default), (name, word)


def attributes_of(kind):
    """Of the class and, as its source sets them, of its instances."""
    source = "".join(inspect.getsource(each) for each in kind.__mro__ if each.__module__.startswith("marinecv"))
    return {
        *dir(kind),
        *kind.__annotations__,
        *re.findall(r"self\.(\w+)(?:, self\.\w+)* =", source),
        *re.findall(r", self\.(\w+)", source),
    }


def test_the_attributes_on_the_page_are_there():
    objects = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert objects.keys() == RETURNED.keys()
    kinds = RETURNED | {kind.__name__: kind for kind in FOLDERS}
    for name, words in [*objects.items(), *((name, words) for name, _, words in ENTRIES if name in kinds)]:
        for word in re.findall(r"`(\w+)(?:\([^`]*\))?`", words):
            assert word in attributes_of(kinds[name]), (name, word)


def test_the_arguments_of_methods_on_the_page_are_theirs():
    for name, _, words in ENTRIES:
        for method, arguments in re.findall(r"`(\w+)\(([^`]+)\)`", words) if getattr(mcv, name) in FOLDERS else ():
            assert set(arguments.split(", ")) <= {
                *inspect.signature(getattr(getattr(mcv, name), method)).parameters,
                "name",
            }
