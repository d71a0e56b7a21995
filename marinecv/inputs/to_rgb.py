"""Convert an opened picture to RGB, the same way for the model, the audit and the pages."""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from marinecv.data.images import box_problem, open_image
from marinecv.data.photos import photos_of
from marinecv.data.shards.records import Box, photo_and_box
from marinecv.data.user_tables import usable

WHITES = (1, 255, 1023, 4095, 16383, 65535)  # the largest values of 1 to 16 bits; 1 for floating-point images only
MAX_SAMPLED_IMAGES = 500  # images in which the value of white is searched
EIGHT_BITS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def find_white(catalog: pd.DataFrame) -> int | None:
    """Return the value of white in all images of a data set with more than 8 bits a gray pixel; None without any.

    It is the smallest of `WHITES` that no pixel of 500 such images, spread over the data set, exceeds.
    """
    rows, highest = usable(photos_of(catalog), ("image_id", "path")).sort_values("image_id"), []
    is_plain = rows["image_id"].str.lower().str.endswith(EIGHT_BITS).astype(bool)  # unless the suffix is wrong
    for path in (*_spread(rows["path"][~is_plain]), *_spread(rows["path"][is_plain])):
        with suppress(Exception), open_image(path) as image:  # a broken image is a row with a reason elsewhere
            if _is_deep(image) and np.asarray(image).min() >= 0:
                highest.append(_white(np.asarray(image), image.mode))
    return max(highest, default=None)


def _spread(paths: pd.Series) -> pd.Series:
    """Return at most `MAX_SAMPLED_IMAGES` paths in even steps."""
    indices = np.linspace(0, max(len(paths) - 1, 0), min(MAX_SAMPLED_IMAGES, len(paths))).astype(int)
    return paths.iloc[np.unique(indices)]


def open_rgb(file: str | Path | BinaryIO, white: int | None = None, side: int | None = None) -> Image.Image:
    """Open and decode an image, converted by `as_rgb`; ValueError if it is none, cut short or above `MAX_PIXELS`.

    A whole JPEG may come at a half, quarter or eighth where its shorter side is at least `side` pixels then.
    """
    box = photo_and_box(file)[1] if isinstance(file, str | Path) else None
    try:
        with open_image(file) as image:
            if side and not box:
                image.draft(None, (side, side))
            return cut(as_rgb(image, white), box)
    except Image.UnidentifiedImageError as error:
        raise ValueError("cannot be decoded: it is no image that Pillow can read") from error
    except Exception as error:  # Pillow raises many kinds for hostile bytes; each is one unreadable image
        raise ValueError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def cut(picture: Image.Image, box: Box | None) -> Image.Image:
    """Return the crop of an RGB picture, or the whole one; ValueError where the box is not inside."""
    if box and (problem := box_problem(box, *picture.size)):
        raise ValueError(problem)
    return picture.crop(box) if box else picture


def as_rgb(image: Image.Image, white: int | None = None) -> Image.Image:
    """Return an RGB copy of a picture of any mode, decoded to its last pixel.

    Applies EXIF orientation, lays alpha over black and takes the first frame. A gray image of more than 8 bits is
    scaled from 0 to `white`, from `find_white`; None takes it from this image alone; a value outside is a ValueError.
    Color profiles are not applied; CMYK becomes RGB by the plain formula.
    """
    image = ImageOps.exif_transpose(image)
    if _is_deep(image):  # convert("RGB") would clip 16 bits at 255
        values = np.asarray(image, dtype=np.float64)
        low, high, white = values.min(), values.max(), white or _white(values, image.mode)
        if not (low >= 0 and high <= white):  # so that NaN fails too
            raise ValueError(f"its pixels run from {low:g} to {high:g}; expected 0 to {white}, which is white here")
        return Image.fromarray((values * (255 / white)).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("RGB")


def shrink(picture: Image.Image, side: int) -> tuple[Image.Image, float]:
    """Return a copy whose longer side is at most `side` pixels, and its scale."""
    scale = min(1.0, side / max(picture.size))
    size = [max(1, round(length * scale)) for length in picture.size]
    return picture.resize(size, Image.Resampling.LANCZOS), scale


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _white(values: np.ndarray, mode: str) -> int:
    """Return the smallest of `WHITES` that holds all values, or the largest of them where none does."""
    return next((white for white in WHITES[mode != "F" :] if values.max() <= white), WHITES[-1])
