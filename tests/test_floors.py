"""A room imports only rooms above it in the list of docs/architecture.md."""

import ast
from pathlib import Path

import pytest

import marinecv
from marinecv import choices
from marinecv.explain.heatmaps import METHODS
from marinecv.models.normalise import NORMALISATIONS
from marinecv.training.distribution import BACKENDS
from marinecv.training.trackers import LOGS

HOUSE = Path(marinecv.__file__).parent
FLOORS = {
    "atomic": 0,
    "checked": 0,
    "choices": 0,
    "environment": 0,
    "console": 0,
    "hashes": 0,
    "hold": 0,
    "mapped": 0,
    "progress": 0,
    "tables": 0,
    "data": 1,
    "inputs": 2,
    "models": 3,
    "features": 4,
    "audit": 5,
    "looks": 6,
    "runs": 6,
    "studies": 6,
    "training": 7,
    "recipes": 7.5,
    "evaluation": 8,
    "search": 9,
    "explain": 10,
    "export": 11,
    "report": 12,
    "workflows": 13,
}
MODULES = sorted(path for path in HOUSE.rglob("*.py") if path != HOUSE / "__init__.py")


def imported(source: str, package: tuple[str, ...]) -> set[str]:
    """Every module that a source imports, anywhere in it, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def offences(source: str, module: tuple[str, ...]) -> list[str]:
    """What a module of the house must not import: lower rooms, pipelines and the command line."""
    own = FLOORS[module[1]]
    wrong = []
    for name in sorted(imported(source, module[:-1])):
        top, *rest = name.split(".")
        below = top == "marinecv" and rest and FLOORS.get(rest[0], 0) > own
        if below or top in ("pipelines", "run") or name.startswith("marinecv.pipelines"):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_a_room_imports_only_rooms_above_it(path):
    module = ("marinecv", *path.relative_to(HOUSE).with_suffix("").parts)
    wrong = offences(path.read_text(encoding="utf-8"), module)
    assert not wrong, f"{'.'.join(module)} (floor {FLOORS[module[1]]}) imports {', '.join(wrong)}"


@pytest.mark.parametrize(
    "line",
    [
        "from marinecv.training.fit import fit_recipe",
        "import marinecv.report.page",
        "from marinecv import runs",
        "from ..training import recipe",
        "def late():\n    from marinecv.evaluation import metrics",
        "from pipelines import train",
        "import run",
        "from marinecv.pipelines import train",
    ],
)
def test_a_wrong_import_is_seen(line):
    assert offences(line, ("marinecv", "inputs", "pipeline"))


def test_a_right_import_is_no_offence():
    lines = ["import numpy", "from marinecv.data.catalog import usable", "from . import spec", "import marinecv.atomic"]
    assert not offences("\n".join(lines), ("marinecv", "inputs", "pipeline"))


@pytest.mark.parametrize("name", marinecv.__all__)
def test_every_name_of_the_library_imports(name):
    assert getattr(marinecv, name) is not None
    assert name in dir(marinecv)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'marinecv' has no attribute 'marlin'"):
        marinecv.marlin  # noqa: B018


def test_words_of_choices_are_those_that_are_known():
    assert tuple(METHODS) == choices.HEAT_METHODS
    assert tuple(LOGS) == choices.TRACKERS
    assert tuple(NORMALISATIONS) == choices.NORMALISATIONS
    assert tuple(BACKENDS) == choices.DISTRIBUTED


def test_lists_of_words_stand_in_choices_alone():
    known = {frozenset(words): name for name, words in vars(choices).items() if isinstance(words, tuple)}
    copies = []
    for path in {*MODULES, *(HOUSE.parent / "pipelines").rglob("*.py")} - {HOUSE / "choices.py"}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = getattr(node, "elts", []) if isinstance(node, ast.Tuple | ast.List | ast.Set) else []
            if name := known.get(frozenset(getattr(word, "value", None) for word in words)):
                copies.append(f"{path}:{node.lineno} writes out {name}")
    assert not copies
