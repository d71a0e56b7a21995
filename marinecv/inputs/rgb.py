"""One way from an opened picture to RGB, for the model, the audit and the pages alike."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from marinecv.data.images import open_image


def open_rgb(file: str | Path | BinaryIO) -> Image.Image:
    """Decode an image whole, as `as_rgb` shows it.

    Raises:
        ValueError: it is no image, it is cut short, or it holds more than `MAX_PIXELS` pixels.
    """
    try:
        with open_image(file) as image:
            return as_rgb(image)
    except Image.UnidentifiedImageError as error:
        raise ValueError("cannot be decoded: it is no image that Pillow can read") from error
    except Exception as error:  # Pillow raises many kinds for hostile bytes; each is one unreadable image
        raise ValueError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a picture as a person sees it, decoded to its last pixel.

    EXIF orientation is applied, an alpha channel is laid over black, and of an animation the first frame is taken. One
    number a pixel, be it of 16 bits, 32 or floating, is a grey level: numbers up to 255 are taken as they are, beyond
    that as out of 65535, and floating ones that are all in [0, 1] as out of 1. Colour profiles are not applied; CMYK
    becomes RGB by the plain formula, with one or without.

    Args:
        image: of any mode; not changed.
    Returns:
        An RGB image.
    Raises:
        ValueError: numbers that are no grey levels: negative, above 65535, or none at all.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # convert("RGB") would clip 16 bits at 255
        values = np.asarray(image, dtype=np.float64)
        return Image.fromarray((values * (255 / _white(values, image.mode))).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")


def _white(values: np.ndarray, mode: str) -> float:
    """The number that stands for white."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # so that NaN fails too
        raise ValueError(f"its pixels run from {low:g} to {high:g}; expected 0 to 1, 255 or 65535")
    if high > 255:
        return 65535.0
    return 1.0 if mode == "F" and high <= 1 else 255.0
