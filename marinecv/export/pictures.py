"""Pictures of photograph size by which a program notices that it makes pixels in another way than the training."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import ExifTags, Image, ImageOps

from marinecv.data.demo.scenes import SPECIES, draw_scene
from marinecv.inputs.decode import decode, fit_to_bytes
from marinecv.inputs.spec import ImageSpec

NAMES = ("landscape.jpg", "sideways.jpg", "transparent.png")
SIDES, COLORS, SEED = (640, 480), 16, 0
CANDIDATES = 6  # scenes drawn for each picture, of which the most sensitive one is kept


@cache
def _draw(number: int, candidate: int) -> bytes:
    """Return the bytes of the file of a picture: a photograph, one that is stored lying on its side, a drawing."""
    rng, name = np.random.default_rng([SEED, number, candidate]), NAMES[number]
    scene, _ = draw_scene(rng, [*SPECIES][candidate % len(SPECIES)])
    file, exif = io.BytesIO(), Image.Exif()
    if name == "transparent.png":
        ImageOps.fit(scene, SIDES).quantize(COLORS).save(file, "PNG", transparency=0)  # its most frequent color
        return file.getvalue()
    picture = ImageOps.fit(scene, SIDES)
    if name == "sideways.jpg":
        exif[ExifTags.Base.Orientation] = 6  # it is to be turned clockwise
        picture = ImageOps.fit(scene, SIDES[::-1]).transpose(Image.Transpose.ROTATE_90)
    picture.save(file, "JPEG", quality=85, exif=exif)
    return file.getvalue()


def fitted(data: bytes, spec: ImageSpec) -> np.ndarray:
    """Decode and fit the bytes of a picture: uint8 `(height, width, 3)`."""
    return fit_to_bytes(decode(data), spec).numpy()


def draw_pictures(spec: ImageSpec, predict: Callable[[np.ndarray], np.ndarray]) -> dict[str, tuple[bytes, dict]]:
    """Draw a picture of each of `NAMES` and measure what wrong pixels change, as a client would make them.

    Of some scenes the one is taken for which the smallest change is largest. `predict` is from pixels to probabilities.

    Returns:
        By file name the bytes, and by the way in which pixels are wrong the largest change of a probability.
    """
    drawn = {}
    for number, name in enumerate(NAMES):
        found = []
        for candidate in range(CANDIDATES):
            data = _draw(number, candidate)
            ways = _wrong_ways(data, spec)
            right, *wrong = predict(np.stack([fitted(data, spec), *ways.values()]).astype(np.float32))
            changes = [float(abs(row - right).max()) for row in wrong]
            found.append((min(changes, default=0), data, dict(zip(ways, changes, strict=True))))
        drawn[name] = max(found, key=lambda item: item[0])[1:]
    return drawn


def _wrong_ways(data: bytes, spec: ImageSpec) -> dict[str, np.ndarray]:
    """Return the pixels of a picture made wrong in each way that makes a difference."""
    fit = replace(spec, fit="stretch" if spec.fit == "pad" else "pad", letterbox_px=None)
    resizing = replace(spec, antialias=not spec.antialias)
    right, plain = fitted(data, spec), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    wrong = {
        "stretched" if spec.fit == "pad" else "letterboxed": fitted(data, fit),
        "interpolated" if spec.antialias else "antialiased": fitted(data, resizing),
        "without EXIF orientation or transparency": fit_to_bytes(plain, spec).numpy(),
    }
    return {name: pixels for name, pixels in wrong.items() if (pixels != right).any()}
