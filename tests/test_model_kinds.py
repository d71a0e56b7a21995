"""What a network is, is asked of its settings: a new kind of model touches `model_choice.py` and its builder."""

import re
from pathlib import Path

import pytest

import marinecv
from marinecv.training import model_config
from marinecv.training.model_config import MODELS

PACKAGE = Path(marinecv.__file__).parent
OWN = PACKAGE / "training" / "model_choice.py"
FILES = sorted({*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "pipelines").rglob("*.py")} - {OWN})
CLASSES = "|".join(
    name for name, value in vars(model_config).items() if getattr(value, "__module__", "") == model_config.__name__
)
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE.parent).as_posix())
def test_no_other_file_asks_for_a_class_or_a_kind(path):
    assert not ASKED.search(path.read_text(encoding="utf-8"))


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
    assert not ASKED.search(
        "if isinstance(model, keras.Model) and normalization == 'unit' and recipe.model.is_cnn: pass"
    )
