"""Keras, TensorFlow and Keras Tuner are used by their public names alone."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("marinecv", "pipelines", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
INNER = ("keras.src", "keras.engine", "keras_tuner.src", "keras_tuner.engine", "tensorflow.python")
BEHIND = r"vars\(.*\)\.update|.*\.__dict__"  # an attribute set as if there were no setter
PRIVATE = re.compile(r"_(?!.*__$)(?!asdict$|SubParsersAction$|options$)")  # of tuples; of argparse, the only names
OWN = ("self", "cls")
BY_NAME = ("getattr", "setattr", "hasattr", "delattr", "resolve_name", "import_module")


def offences(source: str) -> list[str]:
    """Return where a source uses a private name of another module or object, or an inner module."""
    tree = ast.parse(source)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found = []
    for node in ast.walk(tree):
        used, private = [], []
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            private = [alias.name for alias in node.names]
            used = [f"{node.module}.{name}" for name in private]
        elif isinstance(node, ast.Attribute):
            used = [ast.unparse(node)]
            private = [node.attr] if ast.unparse(node.value) not in {*OWN, *defined} else []
        elif isinstance(node, ast.Call):
            words = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            used = private = words if getattr(node.func, "id", getattr(node.func, "attr", "")) in BY_NAME else []
        inner = [name for name in used if name.startswith(INNER) or re.fullmatch(BEHIND, name)]
        found += [f"{node.lineno}: {name}" for name in inner + [name for name in private if PRIVATE.match(name)]]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_public_names_are_used(path):
    assert not offences(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "from keras_tuner.engine.base_tuner import BaseTuner",
        "import tensorflow.python.eager",
        "from marinecv.training.fit import _timing",
        "keras.src.backend.get_uid('x')",
        "peer._monitor = 3",
        "getattr(optimizer, '_built')",
        "vars(clock).update(epoch=epoch)",
    ],
)
def test_a_private_name_is_seen(line):
    assert offences(line)
    assert not offences("class A:\n    def f(self):\n        self._x = A._y")
