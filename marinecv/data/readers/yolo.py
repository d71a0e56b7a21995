"""Read the YOLO layout: `data.yaml`, and for every image a text file of normalized boxes in `labels/` or beside it."""

from collections.abc import Iterable, Iterator
from math import isfinite, nan
from pathlib import Path

import numpy as np
import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS, CORNERS, bad_row, refuse_mostly_bad
from marinecv.data.data_yaml import find_data_yaml, published_split, read_names, read_yaml
from marinecv.data.formats import printable, unsupported_reason
from marinecv.data.images import image_table
from marinecv.data.labeled_images import FRACTION_RANGE, UNKNOWN_SIZE
from marinecv.data.layouts import HIDDEN_PREFIXES, folder_named, image_files, paths_below, split_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_path, refuse_unmatched
from marinecv.data.readers import Reader
from marinecv.data.user_tables import is_usable

CLASSES = "classes.txt"
OUTSIDE = "lies outside images/"


def read_yolo(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and boxes (`BOX_COLUMNS`, corners in pixels).

    Label files are found as by Ultralytics: the last `images` of the path becomes `labels`, else beside the image. Read
    are what data.yaml names, `train/images`, `images/train` and `train`, and images beside `images/train` as of no
    split. A line is a box, perhaps with a confidence, or a polygon; see `_parse_box`. Corners are rounded half up and
    clipped to the image, as in Roboflow's CSV.
    """
    root, path, lines = manifest.root, find_data_yaml(manifest.root), []
    names = read_names(path) if path else manifest.class_names
    if not names:
        raise ValueError(f"{root} has no data.yaml, which names classes. Expected one with a line names: [...].")
    pose = path is not None and "kpt_shape" in read_yaml(path)
    split_of, labels, _ = _images_and_label_files(root)
    for label_file, image in sorted((label_file, image) for image, label_file in labels.items()):
        lines += [(printable(image.absolute()), *line) for line in _read_lines(label_file, root, names, pose)]
    outside = {
        path: split
        for split, place in {"": root, **split_folders(root)}.items()
        for path in image_files(place, deep=bool(split))
        if path not in split_of and path.name.lower() not in ("images", "labels")  # links
    }
    images = image_table(root, [*split_of.items(), *outside.items()], dict.fromkeys(outside, OUTSIDE))
    return images, _to_pixels(lines, images)


def annotation_files(manifest: Manifest) -> list[Path]:
    """Return every label file, list of images and YAML file that `read_yolo` uses, sorted."""
    _, labels, lists = _images_and_label_files(manifest.root)
    path = find_data_yaml(manifest.root)
    return sorted({*labels.values(), *lists, *([path] if path else [])})


def _images_and_label_files(root: Path) -> tuple[dict[Path, str], dict[Path, Path], list[Path]]:
    """Return the split of each image, the label file of each image that has one, and data.yaml's lists of images."""
    published, named, lists, _ = published_split(root)
    split_of: dict[Path, str] = {}
    for split, folder in _image_folders(root):
        split_of = dict.fromkeys(image_files(folder, deep=True), split) | split_of
        named.append(folder)
    labels = _label_of(root, split_of | published, named)
    labeled = {folder for image in labels for folder in image.parents}
    for folder in sorted({*named} - labeled):
        images, expected = _images_and_labels(folder, root) or (folder, folder / "labels")
        expected /= folder.relative_to(images)
        if images.name.lower() != "images" or not expected.is_dir():
            raise ValueError(
                f"{folder} has no labels folder. Expected images/ and labels/ in {images.parent}, or a .txt file "
                "beside each image. Export it again, or move it away."
            )
    refuse_unmatched("labels/", labels.values(), labels, split_of | published)
    for image in sorted(labels.keys() - split_of):
        split_of[image] = next((split for split, folder in _image_folders(root) if folder in image.parents), "")
    return split_of | published, labels, lists


def _image_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, folder of images); a folder comes after its sub-folders."""
    splits = split_folders(root)
    if images := folder_named(root, "images"):
        yield from {**split_folders(images), "": images}.items()
    elif not splits:
        yield "", root
    else:
        yield from ((split, folder_named(folder, "images") or folder) for split, folder in splits.items())


def _images_and_labels(folder: Path, root: Path) -> tuple[Path, Path] | None:
    """Return the last folder called `images` of a path, and the folder of its labels."""
    below = [folder, *folder.parents][: len(folder.relative_to(root).parts)]
    images = next((each for each in below if each.name.lower() == "images"), None)
    return images and (images, folder_named(images.parent, "labels") or images.parent / "labels")


def _label_of(root: Path, images: Iterable[Path], folders: Iterable[Path]) -> dict[Path, Path]:
    """Return the label file of each image that has one, and of the images that label files without an image are for."""
    of_stem: dict[str, Path] = {}
    for path in sorted(images, key=unsupported_reason):  # a photo before the raw file beside it
        other = of_stem.setdefault(_stem(path), path)
        if other is not path and not unsupported_reason(path):
            raise ValueError(
                f"{other.name} and {path.name} of {path.parent} share one label file. Expected one image a stem; "
                "rename or remove one of them."
            )
    parents, labels = {path.parent for path in of_stem.values()}, {}
    for pair in {_images_and_labels(folder, root) for folder in {*folders, *parents}} - {None}:
        for label_file in _label_files(pair[1], deep=True) if pair[1].is_dir() else ():
            place = pair[0] / label_file.relative_to(pair[1])
            image = of_stem.setdefault(_stem(place), place.with_suffix(".jpg"))
            if (other := labels.setdefault(image, label_file)) is not label_file:
                raise ValueError(f"{other} and {label_file} are of one image. Expected one. Remove the other.")
    for label_file in (each for folder in parents for each in _label_files(folder, deep=False)):
        if image := of_stem.get(_stem(label_file)):
            labels.setdefault(image, label_file)
    return labels


def _stem(path: Path) -> str:
    return normalize_path(str(path.with_suffix("")))


def _label_files(folder: Path, deep: bool) -> list[Path]:
    paths = paths_below(folder) if deep else folder.iterdir()
    visible = [path for path in paths if not path.name.startswith(HIDDEN_PREFIXES)]
    if deep and (linked := [path for path in visible if path.is_symlink() and path.is_dir()]):
        raise ValueError(f"{min(linked)} is a link to a folder, which is not followed. Put the folder itself there.")
    return sorted(path for path in visible if path.suffix.lower() == ".txt" and path.name.lower() != CLASSES)


def _read_lines(label_file: Path, root: Path, names: tuple[str, ...], pose: bool) -> Iterator[tuple]:
    """Yield (class name, center and size in fractions, source, problem) for every line that is not blank."""
    try:
        text = label_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The label file {label_file} cannot be read: {error}. Expected text in UTF-8, one box a line. Export it "
            "again, or move it away."
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            source = f"{printable(label_file.relative_to(root).as_posix())}:{number}"
            try:
                index, box = _parse_box(line, pose, len(names))
                yield names[index], *box, source, ""
            except ValueError as error:
                yield "", *[np.nan] * 4, source, bad_row(line, str(error))


def _parse_box(line: str, pose: bool, classes: int) -> tuple[int, list[float]]:
    """Return the index of the class, and center, width and height in fractions of the image; ValueError for no box."""
    try:
        index, *numbers = map(float, line.split())
    except ValueError:
        index, numbers = nan, []
    numbers = numbers[:4] if pose or (len(numbers) == 5 and 0 <= numbers[4] <= 1) else numbers
    if len(numbers) % 2 or len(numbers) < 4 or not all(map(isfinite, numbers)):
        raise ValueError('expected five numbers, "class x y width height", or a polygon "class x y x y x y"')
    if not (index.is_integer() and 0 <= index < classes):
        raise ValueError(f"expected a class from 0 to {classes - 1}, as data.yaml names them")
    if not FRACTION_RANGE[0] <= min(numbers) <= max(numbers) <= FRACTION_RANGE[1]:
        raise ValueError(
            "expected fractions of the image (0 to 1); if these are pixels, divide x and width by its width, y and "
            "height by its height"
        )
    if len(numbers) > 4:
        ends = [(min(numbers[axis::2]), max(numbers[axis::2])) for axis in (0, 1)]
        numbers = [(low + high) / 2 for low, high in ends] + [high - low for low, high in ends]
    return int(index), numbers


def _to_pixels(lines: list[tuple], images: pd.DataFrame) -> pd.DataFrame:
    boxes = pd.DataFrame(lines, columns=["path", "class_name", "x", "y", "w", "h", "source", "problem"])
    refuse_mostly_bad(boxes)
    of_path = images.set_index("path").reindex(boxes.pop("path"))
    for axis, extent, size in (("x", "w", of_path["width"].to_numpy()), ("y", "h", of_path["height"].to_numpy())):
        for corner, side in (("min", -0.5), ("max", 0.5)):
            pixels = boxes[axis].astype(float) * size + side * boxes[extent].astype(float) * size
            # Fractions are stored short of a half pixel by a rounding error: 348.4999999 means 348.5.
            boxes[f"{axis}{corner}"] = np.floor(pixels + 0.5 + 1e-6).clip(0, size)
    unknown = (of_path["width"].to_numpy() == 0) & is_usable(boxes)
    boxes.loc[unknown, CORNERS] = np.nan
    boxes["problem"] = boxes["problem"].mask(unknown, UNKNOWN_SIZE)
    return boxes.assign(image_id=of_path["image_id"].to_numpy())[BOX_COLUMNS]


def _is_yolo(root: Path) -> bool:
    places = (root, *split_folders(root).values())
    pairs = ((folder_named(folder, "images"), folder_named(folder, "labels")) for folder in places)
    return any(map(all, pairs)) or find_data_yaml(root) is not None


READER = Reader(
    rank=2,
    detects=_is_yolo,
    read=read_yolo,
    holds="images/ with labels/ (YOLO)",
    tables=annotation_files,
    notes=lambda manifest: published_split(manifest.root)[3],
)
