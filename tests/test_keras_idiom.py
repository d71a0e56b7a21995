"""Keras is used by its public names, and what a network is, is asked of its settings: `model_choice.py`."""

import ast
import re
from pathlib import Path

import pytest

from marinecv.training import model_config
from marinecv.training.model_config import MODELS

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("marinecv", "pipelines", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
ASKING = [path for path in FILES if path.name != "model_choice.py" and path.parts[len(ROOT.parts)] != "benchmarks"]
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


def test_only_public_names_are_used():
    found = {path: offences(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {path: names for path, names in found.items() if names}


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


OF_CONFIG = {name: getattr(value, "__module__", "") for name, value in vars(model_config).items()}
CLASSES = "|".join(name for name, module in OF_CONFIG.items() if module == model_config.__name__)
KINDS = "|".join(MODELS)
ASKED = re.compile(
    "|".join(
        [
            rf"(isinstance|issubclass)\(.*\b({CLASSES})\b",
            rf"(\bis|==|!=|\bin|case) [(\[{{]?(\w+\.)?({CLASSES})\b",
            rf"[{{,] ?({CLASSES}):",  # a key
            rf"""kind\b.* (==|!=|in) .*["']({KINDS})["']""",
            rf"""case ["']({KINDS})["']""",
            r"MODELS\.(items|values)",
        ]
    )
)


def test_no_other_file_asks_for_a_class_or_a_kind():
    assert not [path for path in ASKING if ASKED.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "line",
    [
        "if isinstance(recipe.model, (mcv.UNet, int)): pass",
        "if type(recipe.model) is model_config.UNet: pass",
        "builders = {MultimodalModel: multimodal_classifier}",
        "if recipe.model.kind in ('unet', 'dense_autoencoder'): pass",
        "kind = next(kind for kind, model in MODELS.items() if type(part) is model)",
        "    case BackboneModel(): pass",
        "    case 'cnn' | 'unet': pass",
    ],
)
def test_a_file_that_asks_is_seen(line):
    assert ASKED.search(line)
    assert not ASKED.search("if isinstance(model, keras.Model) and normalization == 'unit' and model.is_cnn: pass")
