"""The image sets of `default_gate.py`: real ones, and harder ones that are cut from them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

import marinecv as mcv
from marinecv.data.manifests import manifest_of_folder
from marinecv.data.user_tables import usable

IMAGES = 1200  # of a real set at most, so that the gate ends within 90 minutes


def catalog_of(name: str, data: Path, folder: Path, images: int = IMAGES) -> pd.DataFrame:
    """Return the usable images of a set as an unsplit catalog; a made set is written into `folder` first."""
    if name in MADE:
        source, make = MADE[name]
        if not (folder / name).is_dir():
            write(make, catalog_of(source, data, folder, 10**6), folder / name)
        return usable(mcv.read_catalog(mcv.find_data(data_dir=folder / name, class_level="first")))
    manifest = mcv.find_data(name, data / name) if name == "cub_x20" else manifest_of_folder(data / name)
    rows = usable(mcv.read_catalog(manifest))
    return rows.sample(min(images, len(rows)), random_state=0).reset_index(drop=True)


def write(make: Callable, rows: pd.DataFrame, folder: Path) -> None:
    """Write the images that `make` yields, by class, to a folder that appears whole."""
    part = folder.with_name(f".{folder.name}")
    for number, (image, place) in enumerate(make(rows)):
        file = part / place / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=90)
    part.rename(folder)


def opened(rows: pd.DataFrame) -> Iterator[tuple[Image.Image, str]]:
    """Yield each image and its class."""
    for row in rows.itertuples():
        yield ImageOps.exif_transpose(Image.open(row.path)).convert("RGB"), row.class_name


def small(rows: pd.DataFrame) -> Iterator:
    """Shrink images to 48 pixels."""
    for image, name in opened(rows):
        yield ImageOps.fit(image, (48, 48)), name


def wide(rows: pd.DataFrame) -> Iterator:
    """Cut images to 16:9."""
    for image, name in opened(rows):
        yield ImageOps.fit(image, (480, 270)), name


def long_tail(rows: pd.DataFrame) -> Iterator:
    """Keep of each class fewer than of the one before, down to a 200th."""
    sizes = np.geomspace(200, 1, rows["class_name"].nunique())
    for (name, of_class), size in zip(rows.groupby("class_name"), sizes, strict=True):
        for image, _ in opened(of_class.head(max(2, round(size)))):
            yield image, name


def mostly_empty(rows: pd.DataFrame) -> Iterator:
    """Keep 120 images of four classes, and four times as many frames without an animal: a blurred corner of others."""
    kept = rows[rows["class_name"].isin(sorted(rows["class_name"].unique())[:4])].groupby("class_name").head(30)
    yield from opened(kept)
    for image, _ in opened(rows.drop(kept.index).head(4 * len(kept))):
        width, height = image.size
        yield image.crop((0, 0, width // 3, height // 3)).resize((width, height)), "empty"


def one_camera(rows: pd.DataFrame) -> Iterator:
    """Put each class into one camera folder, with a tint of its own."""
    for image, name in opened(rows):
        tint = 0.8 + 0.4 * (sum(map(ord, name)) % 10) / 10
        yield ImageEnhance.Brightness(image).enhance(tint), f"{name}/camera_{name}"


REAL = ("animals10_small", "butterflies20", "aquarium", "cub_x20")
MADE = {
    "small_images": ("animals10_small", small),
    "wide_images": ("animals10_small", wide),
    "long_tail": ("butterflies20", long_tail),
    "mostly_empty": ("animals10_small", mostly_empty),
    "one_camera_a_class": ("animals10_small", one_camera),
}
