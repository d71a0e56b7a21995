"""Which network a recipe trains: the settings of each kind, and what builds it. Nothing here imports TensorFlow."""

from dataclasses import dataclass
from math import inf
from pkgutil import resolve_name
from typing import TYPE_CHECKING, get_args

from marinecv.checked import among, spelled, typed, within
from marinecv.choices import BACKBONE_POOLINGS, FUSIONS, NORMALISATIONS, POOLINGS

if TYPE_CHECKING:
    import keras


class ModelConfig:
    """Settings of a network, and how it is built. A new kind derives from this and is listed in `ModelChoice`.

    Other modules ask what a network is by these attributes, never by its class or kind.
    """

    kind = ""  # the word in recipe.json
    builder = ""  # module:function of `marinecv.models`, not imported before `build`: `--help` needs no TensorFlow
    is_autoencoder = False  # gives back the image instead of probabilities
    is_cnn = False  # `filters`, `kernels` and `pools` are settings of each convolution
    has_backbone = False  # a network of `marinecv.models.backbones` below a head that may be trained first
    has_encoder = False  # the encoder of an autoencoder below a head
    takes_attributes = False  # beside the image

    @property
    def is_pretrained(self) -> bool:
        """Whether it begins with weights that were trained elsewhere."""
        return getattr(self, "weights", "none") != "none"

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
        """Build the network: pixels in [0, 255] (and attributes) in, probabilities out; not compiled."""
        arguments = vars(self) | ({"weights": None} if getattr(self, "weights", "") == "none" else {})
        return resolve_name(f"marinecv.models.{self.builder}")(image_shape, num_classes, **arguments)


@spelled
@dataclass(frozen=True, kw_only=True)
class ScratchModel(ModelConfig):
    """A convolutional network trained from scratch: the arguments of `marinecv.models.cnn.cnn`."""

    kind, builder, is_cnn = "cnn", "cnn:cnn", True
    filters: tuple[int, ...] = (32, 64, 128, 128)
    kernels: tuple[int, ...] = (3, 3, 3, 3)
    pools: tuple[int, ...] = (2, 2, 2, 2)
    dense: int = 128
    dropout: float = 0.5
    batch_norm: bool = False
    pooling: str = "flatten"
    normalisation: str = "standardise"
    padding: int | None = None

    def __post_init__(self):
        typed(self)
        sizes = dict.fromkeys(("filters", "kernels", "pools", "dense"), (1, 65536))
        within(self, **sizes, dropout=(0, 1), padding=(0, 64))
        among(self, pooling=POOLINGS, normalisation=NORMALISATIONS)


@spelled
@dataclass(frozen=True, kw_only=True)
class BackboneModel(ModelConfig):
    """A pretrained network and a head: the arguments of `marinecv.models.backbones.backbone_classifier`.

    `weights` is `"imagenet"`, `"none"` or the path of a weights file; `trainable_layers=None` trains them all.
    """

    kind, builder, has_backbone = "backbone", "backbones:backbone_classifier", True
    backbone: str = "mobilenetv3large"
    weights: str = "imagenet"
    trainable_layers: int | None = 20
    trainable_blocks: tuple[str, ...] = ()
    alpha: float = 1.0
    normalisation: str = "backbone"
    pooling: str = "avg"
    also_pooled: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.2
    freeze_batch_norm: bool = True

    def __post_init__(self):
        typed(self)
        within(self, trainable_layers=(0, inf), alpha=(0.01, 10), hidden=(1, 65536), dropout=(0, 1))
        among(self, pooling=BACKBONE_POOLINGS, normalisation=("backbone", *NORMALISATIONS))


@spelled
@dataclass(frozen=True, kw_only=True)
class MultimodalModel(BackboneModel):
    """A pretrained network beside attributes: the arguments of `marinecv.models.multimodal.multimodal_classifier`."""

    kind, builder, takes_attributes = "multimodal", "multimodal:multimodal_classifier", True
    attributes: int = 312
    attribute_units: int = 256
    fusion: str = "concatenate"
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        within(self, attributes=(1, 65536), attribute_units=(1, 65536))
        among(self, fusion=FUSIONS)


@spelled
@dataclass(frozen=True, kw_only=True)
class Autoencoder(ModelConfig):
    """What gives back the image that it is shown through a code.

    `salt` and `pepper` are the shares of pixels that become white and black before it sees them.
    """

    is_autoencoder = True
    output_range = "[0, 1], grey"
    salt: float = 0.0
    pepper: float = 0.0

    def __post_init__(self):
        typed(self)
        within(self, salt=(0, 0.5), pepper=(0, 0.5))

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
        """Build the network: pixels in [0, 255] in, the image in `output_range` out; not compiled."""
        of_network = {name: value for name, value in vars(self).items() if name not in ("salt", "pepper", "beta")}
        return resolve_name(f"marinecv.models.{self.builder}")(image_shape, **of_network)


@spelled
@dataclass(frozen=True, kw_only=True)
class UNet(Autoencoder):
    """Convolutions down to the code and up again: the arguments of `marinecv.models.autoencoders.unet`."""

    kind, builder, output_range = "unet", "autoencoders:unet", "[-1, 1]"
    filters: tuple[int, ...] = (32, 64, 128, 256)
    bottleneck: int = 256
    convolutions: int = 2
    skips: bool = True
    batch_norm: bool = False

    def __post_init__(self):
        super().__post_init__()
        within(self, filters=(1, 65536), bottleneck=(1, 65536), convolutions=(1, 16))


@spelled
@dataclass(frozen=True, kw_only=True)
class EncoderModel(ModelConfig):
    """A classifier on the way down of a U-Net: the arguments of `marinecv.models.encoders.encoder_classifier`.

    `weights` is `"none"`, the recipe of an autoencoder whose encoder is still to be trained, or the path of an encoder.
    """

    kind, builder, has_encoder = "encoder", "encoders:encoder_classifier", True
    filters: tuple[int, ...] = (32, 64, 128, 256)
    bottleneck: int = 256
    convolutions: int = 2
    batch_norm: bool = False
    weights: str = "none"
    frozen: bool = False
    pooling: str = "avg"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.2

    def __post_init__(self):
        typed(self)
        within(self, filters=(1, 65536), bottleneck=(1, 65536), convolutions=(1, 16))
        within(self, hidden=(1, 65536), dropout=(0, 1))
        among(self, pooling=POOLINGS)


@spelled
@dataclass(frozen=True, kw_only=True)
class DenseAutoencoder(Autoencoder):
    """Dense layers on the grey image: the arguments of `marinecv.models.autoencoders.dense_autoencoder`.

    `beta` weighs how far a variational code may be from a standard normal distribution.
    """

    kind, builder = "dense_autoencoder", "autoencoders:dense_autoencoder"
    units: tuple[int, ...] = (128, 64, 32)
    variational: bool = False
    beta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        within(self, units=(1, 65536), beta=(0, inf))


ModelChoice = ScratchModel | BackboneModel | MultimodalModel | EncoderModel | UNet | DenseAutoencoder
MODELS = {model.kind: model for model in get_args(ModelChoice)}
