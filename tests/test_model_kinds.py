"""What a network is, is asked of its settings: a new kind of model touches `model_choice.py` and its builder."""

import ast
from pathlib import Path

import pytest

import marinecv
from marinecv.training import model_choice
from marinecv.training.model_choice import MODELS, ModelConfig

PACKAGE = Path(marinecv.__file__).parent
OWN = PACKAGE / "training" / "model_choice.py"
FILES = sorted({*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "pipelines").rglob("*.py")} - {OWN})
CLASSES = {
    name for name, value in vars(model_choice).items() if getattr(value, "__module__", "") == model_choice.__name__
}


def offences(source: str, *, is_builder: bool = False) -> list[str]:
    """Where a source asks for the class or the kind of a model; a builder may know an option by the same word."""

    def names(node):
        parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
        return {getattr(part, "attr", getattr(part, "id", None)) for part in parts} & CLASSES

    def words(node):
        parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
        return {part.value for part in parts if isinstance(part, ast.Constant)} & set(MODELS)

    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            is_asked = getattr(node.func, "id", "") in ("isinstance", "issubclass") and any(map(names, node.args[1:]))
            if is_asked or ast.unparse(node.func) in ("MODELS.items", "MODELS.values"):
                found.append(f"{node.lineno}: call")
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(names, sides)) or not is_builder and any(map(words, sides)):
                found.append(f"{node.lineno}: comparison")
        if isinstance(node, ast.Dict) and any(names(key) for key in node.keys if key):
            found.append(f"{node.lineno}: dict")
        if isinstance(node, ast.match_case):
            patterns = [*ast.walk(node.pattern)]
            classes = [each.cls for each in patterns if isinstance(each, ast.MatchClass)]
            values = [each.value for each in patterns if isinstance(each, ast.MatchValue)]
            if any(map(names, classes)) or any(map(words, values)):
                found.append(f"{node.pattern.lineno}: match")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE.parent).as_posix())
def test_no_other_file_asks_for_a_class_or_a_kind(path):
    is_builder = path.parent.name == "models"
    assert not offences(path.read_text(encoding="utf-8"), is_builder=is_builder)


@pytest.mark.parametrize(
    "line",
    [
        "if isinstance(recipe.model, BackboneModel): pass",
        "if isinstance(recipe.model, (mcv.UNet, int)): pass",
        "if issubclass(type(model), Autoencoder): pass",
        "if type(recipe.model) is model_choice.UNet: pass",
        "builders = {MultimodalModel: multimodal_classifier}",
        "if recipe.model.kind == 'unet': pass",
        "if recipe.model.kind in ('unet', 'dense_autoencoder'): pass",
        "kind = next(kind for kind, model in MODELS.items() if type(part) is model)",
        "match model:\n    case BackboneModel(): pass",
        "match model.kind:\n    case 'cnn' | 'unet': pass",
    ],
)
def test_a_file_that_asks_is_seen(line):
    assert offences(line)


def test_other_questions_are_no_offence():
    assert not offences("if isinstance(model, keras.Model) and normalisation == 'unit' and recipe.model.is_cnn: pass")
    assert not offences("model = BackboneModel(backbone='mobilenet')\nmodels = {'own': UNet()}")


def test_every_class_is_a_kind_or_the_base_of_one():
    assert {name for name in CLASSES if vars(model_choice)[name] not in MODELS.values()} == {
        "ModelConfig",
        "Autoencoder",
    }
    assert all(issubclass(model, ModelConfig) for model in MODELS.values())
