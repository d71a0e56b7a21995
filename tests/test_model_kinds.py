"""What a network is, is asked of its settings: a new kind of model touches `model_choice.py` and its builder."""

import ast
from pathlib import Path

import pytest

import marinecv
from marinecv.training import model_choice
from marinecv.training.model_choice import MODELS

PACKAGE = Path(marinecv.__file__).parent
OWN = PACKAGE / "training" / "model_choice.py"
FILES = sorted({*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "pipelines").rglob("*.py")} - {OWN})
CLASSES = {
    name for name, value in vars(model_choice).items() if getattr(value, "__module__", "") == model_choice.__name__
}


def offences(source: str, *, is_builder: bool = False) -> list[str]:
    """Return where a source asks for the class or kind of a model; a builder may have an option of the same word."""

    def parts(node):
        return node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]

    def is_model(node):
        if isinstance(node, ast.Constant):
            return not is_builder and node.value in MODELS
        return getattr(node, "attr", getattr(node, "id", None)) in CLASSES

    found = []
    for node in ast.walk(ast.parse(source)):
        asked = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            asked = node.args[1:]
        elif isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            asked = [key for key in node.keys if isinstance(key, ast.Name | ast.Attribute)]
        elif isinstance(node, ast.match_case):
            asked = [getattr(each, "cls", getattr(each, "value", None)) for each in ast.walk(node.pattern)]
        is_asked = any(is_model(part) for each in asked for part in parts(each))
        if is_asked or isinstance(node, ast.Call) and ast.unparse(node.func) in ("MODELS.items", "MODELS.values"):
            found.append(f"{getattr(node, 'lineno', 0)}: {type(node).__name__}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE.parent).as_posix())
def test_no_other_file_asks_for_a_class_or_a_kind(path):
    is_builder = path.parent.name == "models"
    assert not offences(path.read_text(encoding="utf-8"), is_builder=is_builder)


@pytest.mark.parametrize(
    "line",
    [
        "if isinstance(recipe.model, (mcv.UNet, int)): pass",
        "if type(recipe.model) is model_choice.UNet: pass",
        "builders = {MultimodalModel: multimodal_classifier}",
        "if recipe.model.kind in ('unet', 'dense_autoencoder'): pass",
        "kind = next(kind for kind, model in MODELS.items() if type(part) is model)",
        "match model:\n    case BackboneModel(): pass",
        "match model.kind:\n    case 'cnn' | 'unet': pass",
    ],
)
def test_a_file_that_asks_is_seen(line):
    assert offences(line)
    assert not offences("if isinstance(model, keras.Model) and normalisation == 'unit' and recipe.model.is_cnn: pass")
    assert not offences("model = BackboneModel(backbone='mobilenet')\nmodels = {'own': UNet()}")
