"""The choices of the input, as data: the geometry of an image, and how far augmentation may move it."""

from typing import Annotated, Literal

from msgspec import Meta

from marinecv.choices import Fit, Larger
from marinecv.schema import Share, checked_dataclass

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
        height: rows of the tensor.
        width: columns of the tensor.
        fit: `"pad"` centres the image on a black square canvas and resizes that, so that shapes keep their proportions;
            `"stretch"` resizes the image itself.
        canvas_px: side of the canvas in pixels; None, the default, takes the longer side of each image, which then
            fills the input. Only for `fit="pad"`.
        larger: what becomes of an image larger than the canvas: `"shrink"` fits it, `"refuse"` makes it unusable, with
            its reason. It is never cropped.
        reduced_decoding: decode a JPEG at a half, a quarter or an eighth of its size where the canvas still has more
            pixels than the tensor. Faster, and antialiased by the way; only for `fit="pad"` with a `canvas_px`.
        antialias: average over the pixels that one output pixel covers, instead of sampling two of them.
        white: the number that stands for white in all images of more than 8 bits a gray pixel, see `find_white`; a
            number above it makes an image unusable. None takes the smallest of 255, 1023, 4095, 16383 and 65535 that
            holds each image.
    """

    height: Side = 224
    width: Side = 224
    fit: Fit = "pad"
    canvas_px: Annotated[int, Meta(ge=1, le=16384)] | None = None
    larger: Larger = "shrink"
    antialias: bool = False
    reduced_decoding: bool = False
    white: Annotated[int, Meta(ge=1, le=65535)] | None = None

    def __post_init__(self):
        if self.reduced_decoding and (self.fit != "pad" or self.canvas_px is None):
            raise ValueError('Expected fit="pad" and a canvas_px beside reduced_decoding: they say how far to reduce.')

    @property
    def decode_ratio(self) -> int:
        """1, 2, 4 or 8: each side of the decoded image, and of the canvas, is divided by it."""
        if not self.reduced_decoding:
            return 1
        fits = (r for r in (8, 4, 2) if self.canvas_px % r == 0 and self.canvas_px // r >= max(self.height, self.width))
        return next(fits, 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, 3)`."""
        return (self.height, self.width, 3)


def check_spec(spec: ImageSpec) -> None:
    """Raise ValueError where something else stands for the geometry."""
    if not isinstance(spec, ImageSpec):
        raise ValueError(f"Expected spec to be an ImageSpec(height=..., width=...). Received: {spec!r:.100}.")


@checked_dataclass
class Augmentation:
    """How far an image may be moved. Everything at 0 leaves it alone.

        >>> import marinecv as mcv
        >>> mcv.Augmentation(rotation_deg=10, zoom=0.1, variants="quadruple").copies
        4

    Args:
        flip: probability of a horizontal flip.
        vertical_flip: probability of a vertical flip.
        rotation_deg: largest rotation either way, in degrees.
        zoom: largest zoom in or out, as a fraction of the size.
        crop: largest fraction of each side that a random crop cuts away.
        variants: `"none"` moves each image itself, by all of the above together. The others leave it and add copies:
            `"simple"` one, moved by exactly one of flip, rotation and zoom; `"quadruple"` three, one by each.
    """

    flip: Share = 0.5
    vertical_flip: Share = 0.0
    rotation_deg: Annotated[float, Meta(ge=0, le=360)] = 0.0
    zoom: Reach = 0.0
    crop: Reach = 0.0
    variants: Literal["none", "simple", "quadruple"] = "none"

    def __post_init__(self):
        one_of = self.flip and self.rotation_deg and self.zoom and not (self.vertical_flip or self.crop)
        if self.copies > 1 and not one_of:
            raise ValueError(
                f"Variants {self.variants!r} move a copy by one of flip, rotation and zoom. Expected bounds above 0 of "
                f"these and of no other. Received: {self}."
            )

    @property
    def copies(self) -> int:
        """How often each image is seen an epoch: itself, and its variants."""
        return COPIES[self.variants]


NONE = Augmentation(flip=0.0)  # images as they are
