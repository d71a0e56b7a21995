"""Sentences in other languages: catalogs have what the code asks for, and numbers look as the language writes them."""

import ast
import importlib
import json
import re
import string
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest
from jinja2 import nodes

import marinecv
from marinecv.audit.findings import WHY_AND_TODO
from marinecv.choices import LANGUAGES
from marinecv.inputs.spec import Augmentation, ImageSpec
from marinecv.language import RECORDED_PARTS, language, language_name, local_number, recorded_text, tr
from marinecv.report.html import _environment
from marinecv.training.model_config import MODELS
from marinecv.training.recipe import DataConfig, Recipe, Training

LIBRARY = Path(marinecv.__file__).parent
TEMPLATES = sorted((LIBRARY / "report" / "templates").glob("*.html"))
CONFIGS = (Recipe, DataConfig, Training, ImageSpec, Augmentation, *MODELS.values())
SETTINGS = {field.name.replace("_", " ") for config in CONFIGS for field in fields(config)}
"""Names of settings, as a page shows them."""
MODULES = [path for path in sorted(LIBRARY.rglob("*.py")) if path.name != "language.py"]


def strings_below(node):
    """The strings of a piece of code; of an f-string as `recorded_text` asks for it, `{}` for each value."""
    parts = [*ast.walk(node)]
    filled = [
        "".join(getattr(value, "value", "") if isinstance(value, ast.Constant) else "{}" for value in part.values)
        for part in parts
        if isinstance(part, ast.JoinedStr)
    ]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)} | {*filled}


def asked_of_code(path):
    """The sentences that a module gives to `tr`: literals, and those of a variable of the function or the module."""
    asked, module = set(), None
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if getattr(call.func, "id", "") != "tr":
                continue
            text, is_item = call.args[0], isinstance(call.args[0], ast.Subscript)
            text = text.value if is_item else text
            if isinstance(text, ast.Constant):
                asked.add(text.value)
            elif isinstance(text, ast.IfExp):
                asked |= strings_below(text.body) | strings_below(text.orelse)
            elif isinstance(text, ast.Name) and text.id.isupper():
                module = importlib.import_module(".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts))
                value = getattr(module, text.id)
                asked |= {value} if isinstance(value, str) else set(value.values())
            elif isinstance(text, ast.Name) and not is_item:
                same = [node.value for node in assigned if text.id in {getattr(to, "id", "") for to in node.targets}]
                asked |= set().union(*map(strings_below, same))
    return asked


def asked_of_template(path):
    calls = _environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call)
    calls = [call for call in calls if isinstance(call.node, nodes.Name) and call.node.name == "tr"]
    return {call.args[0].value for call in calls if isinstance(call.args[0], nodes.Const)}


def fields_of(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name != "en"])
def test_a_catalog_has_every_sentence_with_its_fields_and_no_other(name):
    catalog = json.loads((LIBRARY / "translations" / f"{name}.json").read_text(encoding="utf-8"))
    asked = set().union(*map(asked_of_code, MODULES), *map(asked_of_template, TEMPLATES)) | SETTINGS
    asked |= {*WHY_AND_TODO, *chain(*WHY_AND_TODO.values())}
    assert len(asked) > 100 and "best: epoch {best}" in asked and "Balanced accuracy" in asked
    assert sorted(asked - set(catalog)) == []
    written = set().union(*(strings_below(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES))
    written |= set(re.findall('"([^"]+)"', "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)))
    written |= {text.replace("_", " ") for text in written} | {"train accuracy"}  # columns of an experiment's table
    written |= {f"{text} loss" for text in written}  # of a model with several outputs
    written |= {text.capitalize() for text in written}
    written |= {f"{text}." for text in written} | {part for text in written for part in RECORDED_PARTS.split(text)}
    assert sorted(set(catalog) - asked - written) == []
    assert [text for text, translated in catalog.items() if fields_of(text) != fields_of(translated)] == []
    assert list(catalog) == sorted(catalog) and all(catalog.values())


def test_numbers_are_written_as_the_language_does():
    text = "{value:.1%} of {n:,} images"
    assert tr(text, value=0.512, n=12345) == "51.2% of 12,345 images" and language_name() == "en"
    with language("es"):
        assert local_number("12,345.6%") == "12\u202f345,6\u00a0%" and language_name() == "es"
        assert tr("epochs") == "épocas" and tr("{low:.3f}", low=0.5) == "0,500"
        assert tr("{name} is not in the catalog, {ok}", name="v1.5", ok=True) == "v1.5 is not in the catalog, True"
    with language("pseudo"):
        assert tr("epochs") == "⟦epochs⟧" and tr("{n:,} of", n=1000) == "⟦⟧1,000⟦ of⟧"
    with pytest.raises(ValueError, match=r"(?s)lang.*'fr'"), language("fr"):
        raise AssertionError("never entered")
    assert language_name() == "en" and tr("epochs") == "epochs"


def test_what_a_file_records_is_translated_but_for_what_it_quotes():
    reason = "no usable box: no area (a{b}.csv:3.5)"
    assert recorded_text(reason) == reason and recorded_text("") == ""
    with language("es"):
        assert recorded_text(reason) == "sin caja utilizable: sin área (a{b}.csv:3.5)"
        assert recorded_text("32 of 64 pixels, 2 of 2,000 epochs") == "32 de 64 píxeles, 2 de 2\u202f000 épocas"
        assert recorded_text("bad row '}5,1.5,{}': unknown") == "fila errónea '}5,1.5,{}': unknown"
