"""The choices of the input, as data: the geometry of an image, and how far augmentation may move it."""

from dataclasses import dataclass
from numbers import Real

from marinecv.checked import among, spelled, whole
from marinecv.choices import FITS, LARGER

MAX_SIDE = 4096
MAX_CANVAS_PX = 16384
COPIES = {"none": 1, "simple": 2, "quadruple": 4}


@spelled
@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """How an image of any size becomes `(height, width, 3)` pixels in [0, 255].

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

    height: int = 224
    width: int = 224
    fit: str = "pad"
    canvas_px: int | None = None
    larger: str = "shrink"
    antialias: bool = False
    reduced_decoding: bool = False
    white: int | None = None

    def __post_init__(self):
        for name in ("height", "width", "canvas_px", "white"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole(value, name))
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise ValueError(
                f"Expected an image size of at least 1x1 and at most {MAX_SIDE}x{MAX_SIDE}. Received: "
                f"{self.height}x{self.width}."
            )
        among(self, fit=FITS, larger=LARGER)
        if self.canvas_px is not None and not 1 <= self.canvas_px <= MAX_CANVAS_PX:
            raise ValueError(
                f"Expected canvas_px of 1 to {MAX_CANVAS_PX}, or None. Received: canvas_px={self.canvas_px}."
            )
        if self.white is not None and not 1 <= self.white <= 65535:
            raise ValueError(f"Expected white of 1 to 65535, or None. Received: white={self.white}.")
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


@spelled
@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far an image may be moved. Everything at 0 leaves it alone.

    Args:
        flip: probability of a horizontal flip.
        vertical_flip: probability of a vertical flip.
        rotation_deg: largest rotation either way, in degrees.
        zoom: largest zoom in or out, as a fraction of the size.
        crop: largest fraction of each side that a random crop cuts away.
        variants: `"none"` moves each image itself, by all of the above together. The others leave it and add copies:
            `"simple"` one, moved by exactly one of flip, rotation and zoom; `"quadruple"` three, one by each.
    """

    flip: float = 0.5
    vertical_flip: float = 0.0
    rotation_deg: float = 0.0
    zoom: float = 0.0
    crop: float = 0.0
    variants: str = "none"

    def __post_init__(self):
        for name in ("flip", "vertical_flip", "rotation_deg", "zoom", "crop"):
            value, most = getattr(self, name), 360 if name == "rotation_deg" else 1
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 <= value <= most or (name in ("zoom", "crop") and value == 1):
                kind = "an angle between 0 and 360" if most > 1 else "a fraction between 0 and 1"
                raise ValueError(f"Expected {kind}. Received: {name}={value!r}.")
        among(self, variants=tuple(COPIES))
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
