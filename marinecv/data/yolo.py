"""Read the YOLO layout: `data.yaml`, and for every image a text file of normalised boxes in `labels/`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, CORNERS
from marinecv.data.data_yaml import read_names
from marinecv.data.images import image_table
from marinecv.data.layouts import HIDDEN, image_files, paths_below, printable, split_folders, unsupported
from marinecv.data.manifests import Manifest

CLASSES = "classes.txt"
OUTSIDE = "lies outside images/"


def read_yolo(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels).

    A line `class x y width height` holds fractions of the image; a corner is rounded half up to a whole pixel and
    clipped to the image, as Roboflow does for its CSV. Both `train/images` and `images/train` are read, with their
    sub-folders, and images beside `images/train` as of no split. An image without a label file has no boxes; a label
    file without an image is a row with a problem, and so are images in a split folder, or beside the split folders,
    that are not below `images`. LabelImg's `classes.txt` is no label file.

    Raises:
        ValueError: no class names, an images folder without labels, two images of one stem, a label file that cannot be
            read, or a line that is not five such numbers.
    """
    names, paths, lines, seen = _class_names(manifest), [], [], set()
    for split, images, labels in _places(manifest.root):
        if not labels.is_dir():
            raise ValueError(f"{images} has no labels folder. Expected {labels}. Export it again, or move it away.")
        found = [path for path in image_files(images, deep=True) if path not in seen]
        of_stem: dict[Path, Path] = {}  # stem: the place below images/, without the suffix
        for path in sorted(found, key=unsupported):  # a photo before the raw file beside it
            other = of_stem.setdefault(path.relative_to(images).with_suffix(""), path)
            if other is not path and not unsupported(path):
                raise ValueError(
                    f"{other.name} and {path.name} of {images} share one label file. Expected one image a stem; rename "
                    "or remove one of them."
                )
        label_files = _label_files(labels, seen)
        for label_file in sorted(label_files):
            stem = label_file.relative_to(labels).with_suffix("")
            path = of_stem.setdefault(stem, images / f"{stem}.jpg")
            lines += [(printable(path), *line) for line in _read_lines(label_file, manifest.root, names)]
        paths += [(path, split) for path in sorted({*found, *of_stem.values()})]
        seen |= {*found, *label_files, images, labels}
    outside = [(path, split) for path, split in _split_images(manifest.root) if path not in seen]
    images = image_table(manifest.root, paths + outside, {path: OUTSIDE for path, _ in outside})
    return images, _to_pixels(lines, images)


def annotation_files(manifest: Manifest) -> list[Path]:
    """Return the files that `read_yolo` reads beside the images: label files and data.yaml."""
    found: set[Path] = set()
    for _, _, labels in _places(manifest.root):
        found |= _label_files(labels, set())
    return sorted(found) + [manifest.root / "data.yaml", manifest.root / "data.yml"]


def _class_names(manifest: Manifest) -> tuple[str, ...]:
    for name in ("data.yaml", "data.yml"):
        if (manifest.root / name).is_file():
            return read_names(manifest.root / name)
    if manifest.class_names:
        return manifest.class_names
    raise ValueError(
        f"{manifest.root} has no data.yaml, which names the classes. Expected one with a line names: [...]."
    )


def _places(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield (split, folder of images, folder of labels); a folder that holds others comes after them."""
    if not (root / "images").is_dir():
        for split, folder in split_folders(root).items():
            yield split, folder / "images", folder / "labels"
        return
    for split, folder in {**split_folders(root / "images"), "": root / "images"}.items():
        yield split, folder, root / "labels" / folder.relative_to(root / "images")


def _split_images(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every image in a split folder with its split, and those beside the split folders."""
    for split, folder in {"": root, **split_folders(root)}.items():
        yield from ((path, split) for path in image_files(folder, deep=bool(split)))


def _label_files(labels: Path, seen: set[Path]) -> set[Path]:
    visible = {path for path in paths_below(labels) if not path.name.startswith(HIDDEN)} - seen
    if linked := [path for path in visible if path.is_symlink() and path.is_dir()]:
        raise ValueError(f"{min(linked)} is a link to a folder, which is not followed. Put the folder itself there.")
    return {path for path in visible if path.suffix == ".txt" and path.name != CLASSES}


def _read_lines(label_file: Path, root: Path, names: tuple[str, ...]) -> Iterator[tuple]:
    """Yield (class name, four fractions, source) for every line that is not blank."""
    try:
        text = label_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The label file {label_file} cannot be read: {error}. Expected text in UTF-8, one box a line. Export it "
            "again, or move it away."
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        source = f"{printable(label_file.relative_to(root).as_posix())}:{number}"
        try:
            index, x, y, width, height = line.split()
            box = [float(value) for value in (x, y, width, height)]
            name = names[int(index)] if int(index) >= 0 else None
        except (ValueError, IndexError):
            name = None
        if name is None or not np.isfinite(box).all():
            raise ValueError(
                f'Row {source} is "{line[:60]}". Expected "class x y width height": a class from 0 to {len(names) - 1} '
                f"and four fractions of the image. Fix the line, or the names in data.yaml."
            )
        yield name, *box, source


def _to_pixels(lines: list[tuple], images: pd.DataFrame) -> pd.DataFrame:
    boxes = pd.DataFrame(lines, columns=["path", "class_name", "x", "y", "w", "h", "source"])
    of_path = images.set_index("path").reindex(boxes.pop("path"))
    for axis, extent, size in (("x", "w", of_path["width"].to_numpy()), ("y", "h", of_path["height"].to_numpy())):
        for corner, side in (("min", -0.5), ("max", 0.5)):
            pixels = boxes[axis].astype(float) * size + side * boxes[extent].astype(float) * size
            # Fractions are stored short of a half pixel by a rounding error: 348.4999999 means 348.5.
            boxes[f"{axis}{corner}"] = np.floor(pixels + 0.5 + 1e-6).clip(0, size)
    unknown = of_path["width"].to_numpy() == 0
    boxes.loc[unknown, CORNERS] = np.nan
    return boxes.assign(
        image_id=of_path["image_id"].to_numpy(), problem=np.where(unknown, "the size of its image is unknown", "")
    )[BOX_COLUMNS]
