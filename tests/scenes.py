"""Data for tests: drawn scenes and changed copies of them, catalogs, pairs of images, a small CUB folder."""

import csv
import io
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from scipy.ndimage import gaussian_filter

from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.groups import PAIR_COLUMNS
from marinecv.inputs.spec import ImageSpec

SIZE_WH = (160, 120)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what begins a cell that a spreadsheet runs
GUIDE_SPEC = ImageSpec(height=32, width=32)
CUB = {
    "images": "1 001.Zebra_Finch/a.jpg\n2 001.Zebra_Finch/b c.jpg\n3 002.Auk/a.jpg\n4 003.Owl/a.jpg\n5 003.Owl/b.jpg\n",
    "classes": "1 001.Zebra_Finch\n2 002.Auk\n3 003.Owl\n",
    "image_class_labels": "1 1\n2 1\n3 2\n4 3\n5 3\n",
    "train_test_split": "5 1\n4 1\n3 1\n2 0\n1 1\n",
    "bounding_boxes": "1 4.0 6.0 30.0 20.0\n2 0 0 10 10\n3 40.0 1.0 60.0 5.0\n4 0 0 1 1\n5 0 0 1 1\n",
}
CUB_SIZES_WH = {"001.Zebra_Finch/a.jpg": (64, 48), "001.Zebra_Finch/b c.jpg": (50, 60), "002.Auk/a.jpg": (70, 30)}
ATTRIBUTE_NAMES = ["has_bill_shape::hooked", "has_wing_color::blue", "has_size::small_(5_-_9_in)"]
ATTRIBUTES_PRESENT = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]])  # image, attribute
_CERTAINTIES = np.array([[4, 1, 2], [3, 3, 3], [1, 4, 4], [1, 1, 1], [2, 3, 4]])


def draw_cub(root: Path, **tables: str | None) -> Path:
    """Write a folder in CUB's layout: three classes, the third without an image; `tables` replace those of `CUB`."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in (CUB | tables).items():
        if text is not None:
            (root / f"{name}.txt").write_text(text, encoding="utf-8")
    for name, size in CUB_SIZES_WH.items():
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 60)).save(root / "images" / name)
    return root


def attribute_answers() -> list[str]:
    """Return the lines of CUB's answers: image, attribute, present, certainty and seconds."""
    return [
        f"{image + 1} {attribute + 1} {ATTRIBUTES_PRESENT[image, attribute]} {_CERTAINTIES[image, attribute]} 1.5"
        for image, attribute in np.ndindex(ATTRIBUTES_PRESENT.shape)
    ]


def draw_attributes(root: Path, lines: list[str] | None = None, percent: str = "70.5 0 10\n50 100 51\n0 0 0\n") -> Path:
    """Write `draw_cub` with attributes: answers of images, percentages of classes."""
    folder = draw_cub(root) / "attributes"
    folder.mkdir()
    names = "".join(f"{number} {name}\n" for number, name in enumerate(ATTRIBUTE_NAMES, start=1))
    (folder / "attributes.txt").write_text(names)
    lines = attribute_answers() if lines is None else lines
    (folder / "image_attribute_labels.txt").write_text("\n".join(lines) + "\n")
    (folder / "class_attribute_labels_continuous.txt").write_text(percent)
    return root


def catalog_of_classes(groups: int | None = None, split: str = "", **classes: int) -> pd.DataFrame:
    """Return a catalog of so many images a class, 000.jpg and on, in so many cameras."""
    names = [name for name, count in classes.items() for _ in range(count)]
    ids = [f"{number:03}.jpg" for number in range(len(names))]
    group = [f"camera {number % groups}" for number in range(len(names))] if groups else ""
    return pd.DataFrame({"image_id": ids, "class_name": names, "split": split, "group": group, "problem": ""})


def catalog_of_splits(splits: dict, groups: dict | None = None, problems: dict | None = None) -> pd.DataFrame:
    """Return a catalog of images of one class, by their splits, groups and problems."""
    rows = [
        (name, f"{name}.jpg", split, "ray", (groups or {}).get(name, ""), 9, 9, 1.0, (problems or {}).get(name, ""))
        for name, split in splits.items()
    ]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


def pairs_of(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return pairs of related images (first, second, kind)."""
    return pd.DataFrame([(*row, 0.9, "hash") for row in rows], columns=PAIR_COLUMNS)


def as_a_spreadsheet_reads(text: str) -> list[list[str]]:
    """Return the cells of a CSV; rows end at a carriage return, a line feed or both, outside of quotes."""
    return list(csv.reader(io.StringIO(text, newline="")))


@cache
def _noise(seed: int, size_wh: tuple[int, int], blur: float, channels: int) -> np.ndarray:
    """Smooth noise of deviation 1."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(size_wh[1], size_wh[0], channels)), (blur, blur, 0), mode="wrap")
    return (noise - noise.mean()) / noise.std()


def draw_scene(place: int, details: int, size_wh: tuple[int, int] = SIZE_WH) -> Image.Image:
    """Draw a scene: `place` is the seed of its light and colors, `details` that of what swims in it."""
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
    """Cut off 15% of each side, mostly on the left and above."""
    w, h = picture.size
    return picture.crop((round(0.1 * w), round(0.1 * h), round(0.95 * w), round(0.95 * h)))


def re_encoded(picture: Image.Image) -> Image.Image:
    """Encode as JPEG of quality 20."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=20)
    return Image.open(file)


def resized(picture: Image.Image) -> Image.Image:
    """Resize to 60% of each side."""
    return picture.resize([round(0.6 * side) for side in picture.size], Image.Resampling.BILINEAR)


def mirrored(picture: Image.Image) -> Image.Image:
    """Flip left and right."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def brightened(picture: Image.Image) -> Image.Image:
    """Brighten by 30%."""
    return ImageEnhance.Brightness(picture).enhance(1.3)


def shifted(picture: Image.Image) -> Image.Image:
    """Shift by 5% to the side and down, as in the next frame of a hand-held camera."""
    w, h = picture.size
    wider = Image.fromarray(np.pad(np.asarray(picture), ((h, h), (w, w), (0, 0)), mode="reflect"))
    left, upper = w + round(0.05 * w), h + round(0.05 * h)
    return wider.crop((left, upper, left + w, upper + h))


def padded(picture: Image.Image) -> Image.Image:
    """Pad to a square by two bars."""
    return ImageOps.pad(picture, [max(picture.size)] * 2, color="black")


def quarter_turned(picture: Image.Image) -> Image.Image:
    """Turn by 90 degrees."""
    return picture.transpose(Image.Transpose.ROTATE_90)


def rotated(picture: Image.Image) -> Image.Image:
    """Rotate by 12 degrees; the corners are black."""
    return picture.rotate(12, Image.Resampling.BICUBIC)


_ALL = (cropped, re_encoded, resized, mirrored, brightened, shifted, padded, quarter_turned, rotated)
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {change.__name__: change for change in _ALL}


def barred(picture: Image.Image, text: str) -> Image.Image:
    """Add the information bar of a camera trap below."""
    w, h = picture.size
    wider = Image.new("RGB", (w, h + h // 8), "black")
    wider.paste(picture)
    ImageDraw.Draw(wider).text((w // 20, h + h // 40), text, "white", ImageFont.load_default(h // 14))
    return wider


def saved(picture: Image.Image, format: str, **options) -> bytes:
    """Return the bytes of a picture in a file format."""
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def table_of_files(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return a catalog of 48x64 images, its rows numbered from 100: rows must not be found by their number."""
    rows = [(Path(path).name, str(path), 64, 48, "") for path in paths]
    names = ["image_id", "path", "width", "height", "problem"]
    return pd.DataFrame(rows, columns=names, index=range(100, 100 + len(rows)))


def save(picture: Image.Image, path: Path) -> Path:
    """Write a picture as a JPEG of quality 92, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "JPEG", quality=92)
    return path


def catalog_of_files(paths: list[Path]) -> pd.DataFrame:
    """A catalog of images of one class, all train, whose ids are their names."""
    rows = [(path.name, str(path), "train", "ray", "", 64, 48, 1.0, "") for path in paths]
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS)


def diving(dives: int = 20, frames: int = 3, splits: tuple[str, ...] = ("train", "train", "test")):
    """Dives of three similar frames each, two of them train; the class is that of the dive and cannot be seen."""
    rows = [
        (f"{dive}_{frame}", "x.jpg", splits[frame], ("eel", "ray")[dive % 2], f"dive {dive}", 9, 9, 1.0, "")
        for dive in range(dives)
        for frame in range(frames)
    ]
    places = np.repeat(100 * np.random.default_rng(0).normal(size=(dives, 8)), frames, axis=0)
    return pd.DataFrame(rows, columns=CATALOG_COLUMNS), places + np.random.default_rng(1).normal(size=places.shape)


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
