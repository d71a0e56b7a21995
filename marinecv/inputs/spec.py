"""The settings of the input: the geometry of an image, and the bounds of its augmentation."""

from typing import Annotated, Literal

from msgspec import Meta

from marinecv.choices import Fit
from marinecv.schema import Fraction, Rate, checked_dataclass

MAX_SIDE = 4096
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]
Reach = Annotated[float, Meta(ge=0, lt=1)]
COPIES = {"none": 1, "simple": 2, "quadruple": 4}


@checked_dataclass
class ImageSpec:
    """How an image of any size becomes `(height, width, 3)` pixels in [0, 255].

        >>> import marinecv as mcv
        >>> mcv.ImageSpec(height=64, width=96).shape
        (64, 96, 3)

    Args:
        height, width: of the tensor.
        fit: `"pad"` centers the image on a black square (letterbox) and resizes that; `"stretch"` resizes the image.
        letterbox_px: side of the letterbox in pixels, for `fit="pad"`; None takes the longer side of each image. A
            larger image is shrunk, never cropped.
        antialias: average over the pixels that one output pixel covers, instead of sampling two of them.
        white: the value of white in images of more than 8 bits a gray pixel, see `find_white`; None takes the smallest
            of 255, 1023, 4095, 16383 and 65535 that holds each image. A value above it makes an image unusable.
    """

    height: Side = 224
    width: Side = 224
    fit: Fit = "pad"
    letterbox_px: Annotated[int, Meta(ge=1, le=16384)] | None = None
    antialias: bool = False
    white: Annotated[int, Meta(ge=1, le=65535)] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, 3)`."""
        return (self.height, self.width, 3)


@checked_dataclass
class Augmentation:
    """Bounds of random augmentation. With all of them 0 an image stays as it is.

        >>> import marinecv as mcv
        >>> mcv.Augmentation(rotation_deg=10, zoom=0.1, variants="quadruple").copies
        4

    Args:
        flip, vertical_flip: probability of a horizontal and of a vertical flip.
        rotation_deg: largest rotation either way, in degrees.
        zoom: largest zoom in or out, as a fraction: with 0.2 an image shows 0.8 to 1.2 of its sides, as in Keras'
            RandomZoom, and a variant is 0.8 to 1.2 times as large, as in torchvision's RandomAffine.
        crop: largest fraction of each side that a random crop cuts away.
        brightness: largest shift of all pixels either way, as a fraction of 255, as in Keras' RandomBrightness.
        contrast: largest change of the distance to each channel's mean, as a fraction, as in Keras' RandomContrast.
        saturation: largest change of the saturation (HSV) either way, as a fraction of it.
        erasing: probability of a black rectangle of 2 to 33% of the area (random erasing, Zhong et al. 2020).
        mixup: alpha of the Beta(alpha, alpha) by which each image and its label are blended with another of the
            batch, such as 0.2 (Zhang et al. 2018); 0: none.
        cutmix: alpha of the same for the area of a rectangle pasted from another image of the batch, such as 1 (Yun
            et al. 2019); 0: none. With both, each image draws one of the two with equal chance.
        variants: `"none"` applies all of the above to each image. The others keep each image and add copies:
            `"simple"` one, changed by one of flip, rotation and zoom at random; `"quadruple"` three, one by each.
    """

    flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    rotation_deg: Annotated[float, Meta(ge=0, le=360)] = 0.0
    zoom: Reach = 0.0
    crop: Reach = 0.0
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    erasing: Fraction = 0.0
    mixup: Rate = 0.0
    cutmix: Rate = 0.0
    variants: Literal["none", "simple", "quadruple"] = "none"

    def __post_init__(self):
        others = self.vertical_flip or self.crop or self.has_color or self.erasing or self.mixes
        one_of = self.flip and self.rotation_deg and self.zoom and not others
        if self.copies > 1 and not one_of:
            raise ValueError(
                f"variants={self.variants!r} changes a copy by one of flip, rotation and zoom. Expected bounds above 0 "
                f"of these and of no other. Received: {self}."
            )

    @property
    def copies(self) -> int:
        """Number of images an epoch for each image: itself and its variants."""
        return COPIES[self.variants]

    @property
    def has_color(self) -> bool:
        """Whether brightness, contrast or saturation change."""
        return bool(self.brightness or self.contrast or self.saturation)

    @property
    def mixes(self) -> bool:
        """Whether an image and its label are mixed with another one of the batch."""
        return bool(self.mixup or self.cutmix)


NONE = Augmentation(flip=0.0)  # images as they are
