"""Which network a recipe trains: the settings of each kind. Nothing here imports TensorFlow."""

from typing import Annotated, Literal

from msgspec import Meta

from marinecv.schema import Count, Rate, Share, Size, checked_dataclass


@checked_dataclass
class ScratchModel:
    """A convolutional network trained from scratch: the arguments of `marinecv.models.cnn.cnn`."""

    filters: tuple[Size, ...] = (32, 64, 128, 128)
    kernels: tuple[Size, ...] = (3, 3, 3, 3)
    pools: tuple[Size, ...] = (2, 2, 2, 2)
    dense: Size = 128
    dropout: Share = 0.5
    batch_norm: bool = False
    pooling: Literal["flatten", "avg"] = "flatten"
    normalisation: Literal["standardise", "unit", "imagenet"] = "standardise"
    padding: Annotated[int, Meta(ge=0, le=64)] | None = None


@checked_dataclass
class BackboneModel:
    """A pretrained network and a head: the arguments of `marinecv.models.backbones.backbone_classifier`.

    `weights` is `"imagenet"`, `"none"` or the path of a weights file; `trainable_layers=None` trains them all.
    """

    backbone: str = "mobilenetv3large"
    weights: str = "imagenet"
    trainable_layers: Count | None = 20
    trainable_blocks: tuple[str, ...] = ()
    alpha: Annotated[float, Meta(ge=0.01, le=10)] = 1.0
    normalisation: Literal["backbone", "standardise", "unit", "imagenet"] = "backbone"
    pooling: Literal["avg", "max", "avg_max"] = "avg"
    also_pooled: tuple[str, ...] = ()
    hidden: tuple[Size, ...] = ()
    dropout: Share = 0.2
    freeze_batch_norm: bool = True


@checked_dataclass
class MultimodalModel(BackboneModel):
    """A pretrained network beside attributes: the arguments of `marinecv.models.multimodal.multimodal_classifier`."""

    attributes: Size = 312
    attribute_units: Size = 256
    fusion: Literal["concatenate", "gated"] = "concatenate"
    hidden: tuple[Size, ...] = (512,)
    dropout: Share = 0.5


@checked_dataclass
class Autoencoder:
    """What gives back the image that it is shown through a code.

    `salt` and `pepper` are the shares of pixels that become white and black before it sees them.
    """

    salt: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    pepper: Annotated[float, Meta(ge=0, le=0.5)] = 0.0


@checked_dataclass
class UNet(Autoencoder):
    """Convolutions down to the code and up again: the arguments of `marinecv.models.autoencoders.unet`."""

    filters: tuple[Size, ...] = (32, 64, 128, 256)
    bottleneck: Size = 256
    convolutions: Annotated[int, Meta(ge=1, le=16)] = 2
    skips: bool = True
    batch_norm: bool = False


@checked_dataclass
class EncoderModel:
    """A classifier on the way down of a U-Net: the arguments of `marinecv.models.encoders.encoder_classifier`.

    `weights` is `"none"`, the recipe of an autoencoder whose encoder is still to be trained, or the path of an encoder.
    """

    filters: tuple[Size, ...] = (32, 64, 128, 256)
    bottleneck: Size = 256
    convolutions: Annotated[int, Meta(ge=1, le=16)] = 2
    batch_norm: bool = False
    weights: str = "none"
    frozen: bool = False
    pooling: Literal["avg", "flatten"] = "avg"
    hidden: tuple[Size, ...] = ()
    dropout: Share = 0.2


@checked_dataclass
class DenseAutoencoder(Autoencoder):
    """Dense layers on the grey image: the arguments of `marinecv.models.autoencoders.dense_autoencoder`.

    `beta` weighs how far a variational code may be from a standard normal distribution.
    """

    units: tuple[Size, ...] = (128, 64, 32)
    variational: bool = False
    beta: Rate = 1.0


MODELS = {
    "cnn": ScratchModel,
    "backbone": BackboneModel,
    "multimodal": MultimodalModel,
    "encoder": EncoderModel,
    "unet": UNet,
    "dense_autoencoder": DenseAutoencoder,
}
ModelChoice = ScratchModel | BackboneModel | MultimodalModel | EncoderModel | UNet | DenseAutoencoder
# TEMPORARY
for _k, _m in MODELS.items():
    _m.kind = _k
    _m.is_autoencoder = issubclass(_m, Autoencoder)
    _m.takes_attributes = issubclass(_m, MultimodalModel)
    _m.has_backbone = issubclass(_m, BackboneModel)
    _m.is_pretrained = property(
        lambda self: getattr(self, "weights", "none") != "none" and not isinstance(self, ScratchModel)
    )
