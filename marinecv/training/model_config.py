"""Settings of each kind of network and the function that builds it. Nothing here imports TensorFlow."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from msgspec import Meta

from marinecv.choices import BackbonePooling, Fusion, InputRange, Normalization, Pooling
from marinecv.schema import Count, Fraction, Rate, Size, checked_dataclass

if TYPE_CHECKING:
    import keras


class ModelConfig:
    """Settings of a network. A new kind derives from this and is listed in `ModelConfigs`.

    Other modules ask for these attributes, never for the class or kind.
    """

    kind = ""  # its name in recipe.json
    builder = ""  # module:function of `marinecv.models`, not imported before `build`: `--help` needs no TensorFlow
    is_autoencoder = False  # returns the image instead of probabilities
    is_cnn = False  # `filters`, `kernels` and `pools` have a value for each convolution
    has_backbone = False  # of `marinecv.models.backbones`, below a head that may be trained first
    has_encoder = False  # of an autoencoder, below a head
    takes_attributes = False  # beside the image

    @property
    def is_pretrained(self) -> bool:
        """Whether it starts from weights that were trained elsewhere."""
        return getattr(self, "weights", "none") != "none"

    @property
    def has_linear_head(self) -> bool:
        """Whether one dense layer on pooled features of a backbone gives the probabilities."""
        return self.has_backbone and not self.takes_attributes and not self.hidden

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
        """Build the network, not compiled: pixels in [0, 255] (and attributes) to probabilities."""
        arguments = vars(self) | ({"weights": None} if getattr(self, "weights", "") == "none" else {})
        return resolve_name(f"marinecv.models.{self.builder}")(image_shape, num_classes, **arguments)


@checked_dataclass
class ScratchModel(ModelConfig):
    """A convolutional network trained from scratch: the arguments of `marinecv.models.cnn.cnn`.

    >>> import marinecv as mcv
    >>> mcv.ScratchModel(filters=(8, 16), kernels=(3, 3), pools=(2, 2)).dropout
    0.5
    """

    kind, builder, is_cnn = "cnn", "cnn:cnn", True
    filters: tuple[Size, ...] = (32, 64, 128, 128)
    kernels: tuple[Size, ...] = (3, 3, 3, 3)
    pools: tuple[Size, ...] = (2, 2, 2, 2)
    dense: Size = 128
    dropout: Fraction = 0.5
    batch_norm: bool = False
    pooling: Pooling = "flatten"
    normalization: Normalization = "standardize"
    padding: Annotated[int, Meta(ge=0, le=64)] | None = None


@checked_dataclass
class BackboneModel(ModelConfig):
    """A pretrained network and a head: the arguments of `marinecv.models.backbones.backbone_classifier`.

        >>> import marinecv as mcv
        >>> mcv.BackboneModel(backbone="mobilenet", alpha=0.25).trainable_layers
        20

    `backbone` is a name of `backbones_table`, or a Keras file or preset of KerasHub, which bring their own weights; one
    that does not scale pixels itself needs `input_range`. `weights` is `"imagenet"`, `"none"` or the path of a weights
    file; `trainable_layers=None` trains them all.
    """

    kind, builder, has_backbone = "backbone", "backbones:backbone_classifier", True
    backbone: str = "mobilenetv3large"
    weights: str = "imagenet"
    trainable_layers: Count | None = 20
    trainable_blocks: tuple[str, ...] = ()
    alpha: Annotated[float, Meta(ge=0.01, le=10)] = 1.0
    normalization: Literal["backbone", Normalization] = "backbone"
    pooling: BackbonePooling = "avg"
    also_pooled: tuple[str, ...] = ()
    hidden: tuple[Size, ...] = ()
    dropout: Fraction = 0.2
    freeze_batch_norm: bool = True
    input_range: InputRange = ""
    backbone_sha256: str = ""


@checked_dataclass
class MultimodalModel(BackboneModel):
    """A pretrained network beside attributes: the arguments of `marinecv.models.backbones.multimodal_classifier`."""

    kind, builder, takes_attributes = "multimodal", "backbones:multimodal_classifier", True
    attributes: Size = 312
    attribute_units: Size = 256
    fusion: Fusion = "concatenate"
    hidden: tuple[Size, ...] = (512,)
    dropout: Fraction = 0.5


@checked_dataclass
class Autoencoder(ModelConfig):
    """A network that reconstructs the image from an embedding.

    `salt` and `pepper` are the fractions of input pixels that are set to white and black.
    """

    is_autoencoder = True
    output_range = "[0, 1], gray"
    salt: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    pepper: Annotated[float, Meta(ge=0, le=0.5)] = 0.0

    def build(self, image_shape: tuple[int, int, int], num_classes: int) -> "keras.Model":
        """Build the network, not compiled: pixels in [0, 255] to the image in `output_range`."""
        of_network = {name: value for name, value in vars(self).items() if name not in ("salt", "pepper", "beta")}
        return resolve_name(f"marinecv.models.{self.builder}")(image_shape, **of_network)


@checked_dataclass
class UNet(Autoencoder):
    """A U-Net: the arguments of `marinecv.models.autoencoders.unet`."""

    kind, builder, output_range = "unet", "autoencoders:unet", "[-1, 1]"
    filters: tuple[Size, ...] = (32, 64, 128, 256)
    bottleneck: Size = 256
    convolutions: Annotated[int, Meta(ge=1, le=16)] = 2
    skips: bool = True
    batch_norm: bool = False


@checked_dataclass
class EncoderModel(ModelConfig):
    """A classifier on the encoder of a U-Net: the arguments of `marinecv.models.autoencoders.encoder_classifier`.

    `weights` is `"none"`, the recipe of an autoencoder to train first, or the path of an encoder.
    """

    kind, builder, has_encoder = "encoder", "autoencoders:encoder_classifier", True
    filters: tuple[Size, ...] = (32, 64, 128, 256)
    bottleneck: Size = 256
    convolutions: Annotated[int, Meta(ge=1, le=16)] = 2
    batch_norm: bool = False
    weights: str = "none"
    frozen: bool = False
    pooling: Pooling = "avg"
    hidden: tuple[Size, ...] = ()
    dropout: Fraction = 0.2


@checked_dataclass
class DenseAutoencoder(Autoencoder):
    """Dense layers on the gray image: the arguments of `marinecv.models.autoencoders.dense_autoencoder`.

    `beta` weighs the Kullback-Leibler divergence of a variational embedding.
    """

    kind, builder = "dense_autoencoder", "autoencoders:dense_autoencoder"
    units: tuple[Size, ...] = (128, 64, 32)
    variational: bool = False
    beta: Rate = 1.0


ModelConfigs = ScratchModel | BackboneModel | MultimodalModel | EncoderModel | UNet | DenseAutoencoder
MODELS = {model.kind: model for model in get_args(ModelConfigs)}
