"""The networks of `keras.applications`: input ranges, sizes, claimed accuracies and weights files. Without Keras."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from marinecv.schema import unknown_name

WEIGHTS_URL = "https://storage.googleapis.com"


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications` and the file of its ImageNet weights without top in `KERAS_HOME/models`.

    `input_range` is what it was trained on, a word of `choices.INPUT_RANGES`; a network that `rescales_inside` takes no
    other. `px` is the side it was trained at, `parameters` the millions without top, `top1` the percentage of ImageNet
    that Keras' documentation states, `license` that of the weights. `alphas` has top-1 by width, by the authors;
    `{alpha}` and `{digits}` of `weights_file` stand for a width.
    """

    factory: str
    input_range: str
    weights_file: str
    px: int = 224
    parameters: float = 0.0
    top1: float | None = None
    license: str = ""
    alphas: Mapping[float, float] = field(default_factory=dict)
    options: Mapping[str, bool] = field(default_factory=dict)
    rescales_inside: bool = False


def _family(factory: str, input_range: str, file: str, license: str, variants: str) -> list[Backbone]:
    """Return networks that differ by `variants`: name, px, parameters and top-1 of each."""
    rows = [(name, int(px), *map(float, numbers)) for name, px, *numbers in map(str.split, variants.split(", "))]
    inside = {"rescales_inside": input_range == "0..255"}
    return [Backbone(factory + n, input_range, file.format(n.lower()), *row, license, **inside) for n, *row in rows]


_TF, _APACHE, _OFF = "weights_tf_dim_ordering_tf_kernels", "Apache-2.0", {"include_preprocessing": False}
_NOTOP, _V3 = f"{{}}_{_TF}_notop.h5", "weights_mobilenet_v3_{}_224_{{alpha}}_float_no_top_v2.h5"
_V1 = {0.25: 50.6, 0.5: 63.7, 0.75: 68.4, 1.0: 70.4}
_V2 = {0.35: 60.3, 0.5: 65.4, 0.75: 69.8, 1.0: 71.3, 1.3: 74.4, 1.4: 75.0}
_B = "0 224 4.05 77.1, 1 240 6.58 79.1, 2 260 7.77 80.1, 3 300 10.78 81.6, 4 380 17.67 82.9, 5 456 28.51 83.6, "
_V2B = "B0 224 5.92 78.7, B1 240 6.93 79.8, B2 260 8.77 80.5, B3 300 12.93 82, S 384 20.33 83.9, M 480 53.15 85.3, "
_NEXT = "Tiny 224 27.82 81.3, Small 224 49.45 82.3, Base 224 87.57 85.3, Large 224 196.23 86.3, XLarge 224 348.15 86.7"
_RESNETS = "50 224 23.59 74.9, 101 224 42.66 76.4, 152 224 58.37 76.6"
_RESNETS_V2 = "50V2 224 23.56 76, 101V2 224 42.63 77.2, 152V2 224 58.33 78"
_DENSENETS = "121 224 7.04 75, 169 224 12.64 76.2, 201 224 18.32 77.3"
_ROWS = (
    Backbone("MobileNet", "signed", "mobilenet_{digits}_224_tf_no_top.h5", 224, 3.23, 70.4, _APACHE, _V1),
    Backbone("MobileNetV2", "signed", f"mobilenet_v2_{_TF}_{{alpha}}_224_no_top.h5", 224, 2.26, 71.3, _APACHE, _V2),
    Backbone(
        "MobileNetV3Small", "signed", _V3.format("small"), 224, 0.94, 68.1, _APACHE, {0.75: 65.4, 1.0: 68.1}, _OFF
    ),
    Backbone("MobileNetV3Large", "signed", _V3.format("large"), 224, 3.0, 75.6, _APACHE, {0.75: 73.3, 1.0: 75.6}, _OFF),
    Backbone("InceptionV3", "signed", _NOTOP.format("inception_v3"), 299, 21.8, 77.9, _APACHE),
    Backbone("InceptionResNetV2", "signed", _NOTOP.format("inception_resnet_v2"), 299, 54.34, 80.3, _APACHE),
    Backbone("Xception", "signed", _NOTOP.format("xception"), 299, 20.86, 79.0, "MIT"),
    *_family("NASNet", "signed", "nasnet_{}_no_top.h5", _APACHE, "Mobile 224 4.27 74.4, Large 331 84.92 82.5"),
    *_family("VGG", "bgr", f"vgg{_NOTOP}", "CC-BY-4.0", "16 224 14.71 71.3, 19 224 20.02 71.3"),
    *_family("ResNet", "bgr", f"resnet{_NOTOP}", "MIT", _RESNETS),
    *_family("ResNet", "signed", f"resnet{_NOTOP}", "BSD-3-Clause", _RESNETS_V2),
    *_family("DenseNet", "imagenet", f"densenet{_NOTOP}", "BSD-3-Clause", _DENSENETS),
    *_family("EfficientNetB", "0..255", "efficientnetb{}_notop.h5", _APACHE, f"{_B}6 528 40.96 84, 7 600 64.1 84.3"),
    *_family("EfficientNetV2", "0..255", "efficientnetv2-{}_notop.h5", _APACHE, f"{_V2B}L 480 117.75 85.7"),
    *_family("ConvNeXt", "0..255", "convnext_{}_notop.h5", "MIT", _NEXT),
)
BACKBONES = {row.factory.lower(): row for row in _ROWS}


def is_preset(backbone: str | Path) -> bool:
    """Return whether a backbone is a preset of KerasHub: a folder, or an address `hf://...` or `kaggle://...`."""
    folder = backbone not in ("", *BACKBONES) and (Path(backbone) / "config.json").is_file()
    return folder or str(backbone).startswith(("hf://", "kaggle://"))


def backbone_path(backbone: str) -> Path | str | None:
    """Return the Keras file or KerasHub preset that a backbone names, a file of Teachable Machine by its folder too."""
    path = Path(backbone)
    if backbone not in ("", *BACKBONES) and (path / "keras_model.h5").is_file():
        path = path / "keras_model.h5"
    elif is_preset(backbone):
        if not importlib.util.find_spec("keras_hub"):
            raise ValueError(f"{backbone} is a preset of KerasHub, which is missing: pip install 'marinecv[hub]'")
        return path.resolve() if path.is_dir() else backbone
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        return None
    if not path.is_file():
        raise ValueError(f"There is no Keras file {path}. Expected a model saved as .keras or .h5.")
    return path.resolve()


def backbone_entry(backbone: str) -> Backbone:
    """Return a row of the table by its name."""
    if backbone not in BACKBONES:
        raise ValueError(unknown_name("backbone", backbone, BACKBONES) + " Or name a Keras file or KerasHub preset.")
    return BACKBONES[backbone]


def weights_file(backbone: str, alpha: float = 1.0) -> Path:
    """Return the path where Keras looks for the ImageNet weights of a backbone at 224 pixels, without its top."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    digits = "_".join(f"{alpha * 100:.0f}"[:2])  # 1.0 is 1_0, 0.75 is 7_5
    name = backbone_entry(backbone).weights_file.format(alpha=float(alpha), digits=digits)
    return home / "models" / name


def backbones_here() -> list[tuple[str, float]]:
    """Return name and width of the backbones whose ImageNet weights are in `KERAS_HOME`, best claimed top-1 first."""
    claims = {(name, a): top1 for name, row in BACKBONES.items() for a, top1 in (row.alphas or {1.0: row.top1}).items()}
    here = [each for each in claims if weights_file(*each).is_file()]
    return sorted(here, key=lambda each: -(claims[each] or 0.0))


def backbones_table() -> pd.DataFrame:
    """List the networks of `keras.applications` that `BackboneModel(backbone=...)` takes.

        >>> import marinecv as mcv
        >>> mcv.backbones_table().loc["mobilenetv2", ["input_range", "license"]].tolist()
        ['signed', 'Apache-2.0']

    Returns:
        DataFrame by name: `px`, the side it was trained at; `parameters`, millions without top; `top1`, percent of
        ImageNet as Keras' documentation states it; `input_range` that pixels are scaled to (`"signed"` is -1 to 1);
        `license` of the ImageNet weights; `weights_here`, whether those of a width are in `KERAS_HOME`.
    """
    columns = ["px", "parameters", "top1", "input_range", "license", "weights_here"]
    table = pd.DataFrame([vars(row) for row in BACKBONES.values()], index=pd.Index(BACKBONES, name="name"))
    return table.assign(weights_here=table.index.isin([name for name, _ in backbones_here()]))[columns]
