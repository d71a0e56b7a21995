"""Drawn scenes with texture enough to be told apart, and what people do to a picture that is a copy all the same."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance
from scipy.ndimage import gaussian_filter

from marinecv.inputs.spec import ImageSpec

SIZE_WH = (160, 120)
GUIDE_SPEC = ImageSpec(height=32, width=32)


@cache
def _noise(seed: int, size_wh: tuple[int, int], blur: float, channels: int) -> np.ndarray:
    """Smooth noise of deviation 1."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(size_wh[1], size_wh[0], channels)), (blur, blur, 0), mode="wrap")
    return (noise - noise.mean()) / noise.std()


def draw_scene(place: int, details: int, size_wh: tuple[int, int] = SIZE_WH) -> Image.Image:
    """Draw water, sand or reef: the place says its light and colours, the details what swims in it just then."""
    rng = np.random.default_rng((place, 7))
    pixels = rng.uniform(80, 170, 3) + rng.uniform(20, 35) * _noise(place, size_wh, 14, 3)
    pixels = pixels + 14 * _noise(1000 + details, size_wh, 2.5, 1) + 8 * _noise(2000 + details, size_wh, 1, 1)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    rng, pen = np.random.default_rng((details, 9)), ImageDraw.Draw(picture)
    for _ in range(5):
        x, y = rng.uniform(0, size_wh[0]), rng.uniform(0, size_wh[1])
        w, h = rng.uniform(6, 18, 2)
        pen.ellipse([x - w, y - h, x + w, y + h], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


def cropped(picture: Image.Image) -> Image.Image:
    """15% of each side is cut off, mostly on the left and above."""
    w, h = picture.size
    return picture.crop((round(0.1 * w), round(0.1 * h), round(0.95 * w), round(0.95 * h)))


def re_encoded(picture: Image.Image) -> Image.Image:
    """JPEG of quality 20."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=20)
    return Image.open(file)


def resized(picture: Image.Image) -> Image.Image:
    """Each side is 60% of what it was."""
    return picture.resize([round(0.6 * side) for side in picture.size], Image.Resampling.BILINEAR)


def mirrored(picture: Image.Image) -> Image.Image:
    """Left is right."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def brightened(picture: Image.Image) -> Image.Image:
    """30% brighter."""
    return ImageEnhance.Brightness(picture).enhance(1.3)


def shifted(picture: Image.Image) -> Image.Image:
    """5% to the side and down, as the next frame of a hand-held camera; new ground comes in at the edges."""
    w, h = picture.size
    wider = Image.fromarray(np.pad(np.asarray(picture), ((h, h), (w, w), (0, 0)), mode="reflect"))
    left, upper = w + round(0.05 * w), h + round(0.05 * h)
    return wider.crop((left, upper, left + w, upper + h))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    change.__name__: change for change in (cropped, re_encoded, resized, mirrored, brightened, shifted)
}


def save(picture: Image.Image, path: Path) -> Path:
    """Write a picture as a JPEG of quality 92, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "JPEG", quality=92)
    return path


def guide_model(*last):
    """A backbone in a model that gives logits, as in the guide on transfer learning."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    parts = [layers.Rescaling(1 / 255), layers.Conv2D(8, 3, name="inner_conv"), layers.ReLU()]
    backbone = keras.Sequential([keras.Input(GUIDE_SPEC.shape), *parts], name="backbone")
    inputs = keras.Input(GUIDE_SPEC.shape)
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomZoom(0.1)])(inputs)
    x = layers.GlobalAveragePooling2D()(backbone(x, training=False))
    x = layers.Dense(3)(x)
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x, name="guide")
