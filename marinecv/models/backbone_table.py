"""The networks of `keras.applications`: input ranges, sizes, claimed accuracies and weights files. Without Keras."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from marinecv.schema import unknown_name

WEIGHTS_URL = "https://storage.googleapis.com"
RANGES = {
    "raw": "0 to 255",
    "signed_unit": "-1 to 1",
    "imagenet": "ImageNet mean and deviation",
    "bgr_centered": "BGR less ImageNet mean",
}
"""Function of `marinecv.models.normalize` -> what it makes of [0, 255]."""


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications` and the file of its ImageNet weights without top in `KERAS_HOME/models`.

    `normalize` names the function of `marinecv.models.normalize` that maps [0, 255] to the range it was trained on; a
    network that `rescales_inside` takes no other range. `px` is the side it was trained at, `parameters` the millions
    without top, `top1` the percentage of ImageNet that Keras' documentation states, `license` that of the weights.
    `alphas` has top-1 by width, by the authors; `{alpha}` and `{digits}` of `weights_file` stand for a width.
    """

    factory: str
    normalize: str
    weights_file: str
    px: int = 224
    parameters: float = 0.0
    top1: float | None = None
    license: str = ""
    alphas: Mapping[float, float] = field(default_factory=dict)
    options: Mapping[str, bool] = field(default_factory=dict)
    rescales_inside: bool = False

    @property
    def has_alpha(self) -> bool:
        """Whether there are several widths."""
        return bool(self.alphas)


def _mobilenet(factory: str, file: str, parameters: float, alphas: dict[float, float], **options: bool) -> Backbone:
    return Backbone(factory, "signed_unit", file, 224, parameters, alphas[1.0], "Apache-2.0", alphas, options)


def _inside(factory: str, file: str, px: int, parameters: float, top1: float, license: str = "Apache-2.0") -> Backbone:
    return Backbone(factory, "raw", f"{file}_notop.h5", px, parameters, top1, license, rescales_inside=True)


_V1 = {0.25: 50.6, 0.5: 63.7, 0.75: 68.4, 1.0: 70.4}
_V2 = {0.35: 60.3, 0.5: 65.4, 0.75: 69.8, 1.0: 71.3, 1.3: 74.4, 1.4: 75.0}
_V3, _SMALL, _LARGE = "weights_mobilenet_v3_", {0.75: 65.4, 1.0: 68.1}, {0.75: 73.3, 1.0: 75.6}
_TF = "weights_tf_dim_ordering_tf_kernels"
_ROWS = (
    _mobilenet("MobileNet", "mobilenet_{digits}_224_tf_no_top.h5", 3.23, _V1),
    _mobilenet("MobileNetV2", f"mobilenet_v2_{_TF}_{{alpha}}_224_no_top.h5", 2.26, _V2),
    _mobilenet(
        "MobileNetV3Small", f"{_V3}small_224_{{alpha}}_float_no_top_v2.h5", 0.94, _SMALL, include_preprocessing=False
    ),
    _mobilenet(
        "MobileNetV3Large", f"{_V3}large_224_{{alpha}}_float_no_top_v2.h5", 3.0, _LARGE, include_preprocessing=False
    ),
    Backbone("NASNetMobile", "signed_unit", "nasnet_mobile_no_top.h5", 224, 4.27, 74.4, "Apache-2.0"),
    Backbone("NASNetLarge", "signed_unit", "nasnet_large_no_top.h5", 331, 84.92, 82.5, "Apache-2.0"),
    Backbone("InceptionV3", "signed_unit", f"inception_v3_{_TF}_notop.h5", 299, 21.8, 77.9, "Apache-2.0"),
    Backbone("InceptionResNetV2", "signed_unit", f"inception_resnet_v2_{_TF}_notop.h5", 299, 54.34, 80.3, "Apache-2.0"),
    Backbone("Xception", "signed_unit", f"xception_{_TF}_notop.h5", 299, 20.86, 79.0, "MIT"),
    Backbone("VGG16", "bgr_centered", f"vgg16_{_TF}_notop.h5", 224, 14.71, 71.3, "CC-BY-4.0"),
    Backbone("VGG19", "bgr_centered", f"vgg19_{_TF}_notop.h5", 224, 20.02, 71.3, "CC-BY-4.0"),
    Backbone("ResNet50", "bgr_centered", f"resnet50_{_TF}_notop.h5", 224, 23.59, 74.9, "MIT"),
    Backbone("ResNet101", "bgr_centered", f"resnet101_{_TF}_notop.h5", 224, 42.66, 76.4, "MIT"),
    Backbone("ResNet152", "bgr_centered", f"resnet152_{_TF}_notop.h5", 224, 58.37, 76.6, "MIT"),
    Backbone("ResNet50V2", "signed_unit", f"resnet50v2_{_TF}_notop.h5", 224, 23.56, 76.0, "BSD-3-Clause"),
    Backbone("ResNet101V2", "signed_unit", f"resnet101v2_{_TF}_notop.h5", 224, 42.63, 77.2, "BSD-3-Clause"),
    Backbone("ResNet152V2", "signed_unit", f"resnet152v2_{_TF}_notop.h5", 224, 58.33, 78.0, "BSD-3-Clause"),
    Backbone("DenseNet121", "imagenet", f"densenet121_{_TF}_notop.h5", 224, 7.04, 75.0, "BSD-3-Clause"),
    Backbone("DenseNet169", "imagenet", f"densenet169_{_TF}_notop.h5", 224, 12.64, 76.2, "BSD-3-Clause"),
    Backbone("DenseNet201", "imagenet", f"densenet201_{_TF}_notop.h5", 224, 18.32, 77.3, "BSD-3-Clause"),
    _inside("EfficientNetB0", "efficientnetb0", 224, 4.05, 77.1),
    _inside("EfficientNetB1", "efficientnetb1", 240, 6.58, 79.1),
    _inside("EfficientNetB2", "efficientnetb2", 260, 7.77, 80.1),
    _inside("EfficientNetB3", "efficientnetb3", 300, 10.78, 81.6),
    _inside("EfficientNetB4", "efficientnetb4", 380, 17.67, 82.9),
    _inside("EfficientNetB5", "efficientnetb5", 456, 28.51, 83.6),
    _inside("EfficientNetB6", "efficientnetb6", 528, 40.96, 84.0),
    _inside("EfficientNetB7", "efficientnetb7", 600, 64.1, 84.3),
    _inside("EfficientNetV2B0", "efficientnetv2-b0", 224, 5.92, 78.7),
    _inside("EfficientNetV2B1", "efficientnetv2-b1", 240, 6.93, 79.8),
    _inside("EfficientNetV2B2", "efficientnetv2-b2", 260, 8.77, 80.5),
    _inside("EfficientNetV2B3", "efficientnetv2-b3", 300, 12.93, 82.0),
    _inside("EfficientNetV2S", "efficientnetv2-s", 384, 20.33, 83.9),
    _inside("EfficientNetV2M", "efficientnetv2-m", 480, 53.15, 85.3),
    _inside("EfficientNetV2L", "efficientnetv2-l", 480, 117.75, 85.7),
    _inside("ConvNeXtTiny", "convnext_tiny", 224, 27.82, 81.3, "MIT"),
    _inside("ConvNeXtSmall", "convnext_small", 224, 49.45, 82.3, "MIT"),
    _inside("ConvNeXtBase", "convnext_base", 224, 87.57, 85.3, "MIT"),
    _inside("ConvNeXtLarge", "convnext_large", 224, 196.23, 86.3, "MIT"),
    _inside("ConvNeXtXLarge", "convnext_xlarge", 224, 348.15, 86.7, "MIT"),
)
BACKBONES = {row.factory.lower(): row for row in _ROWS}


def backbone_entry(backbone: str) -> Backbone:
    """Return a row of the table by its name."""
    if backbone not in BACKBONES:
        raise ValueError(unknown_name("backbone", backbone, BACKBONES))
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
        ['-1 to 1', 'Apache-2.0']

    Returns:
        DataFrame by name: `px`, the side it was trained at; `parameters`, millions without top; `top1`, percent of
        ImageNet as Keras' documentation states it; `input_range` that pixels are scaled to; `license` of the ImageNet
        weights; `weights_here`, whether those of a width are in `KERAS_HOME`.
    """
    here = {name for name, _ in backbones_here()}
    rows = {
        name: (row.px, row.parameters, row.top1, RANGES[row.normalize], row.license, name in here)
        for name, row in BACKBONES.items()
    }
    columns = ["px", "parameters", "top1", "input_range", "license", "weights_here"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("name")
