"""Read class folders: every image lies below a folder named after its class, perhaps inside split folders."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import pandas as pd

from marinecv.data.boxes import BOX_COLUMNS
from marinecv.data.formats import printable
from marinecv.data.images import image_table
from marinecv.data.layouts import ANNOTATION_FOLDERS, IMAGE_FOLDERS, image_files, split_folders, sub_folders
from marinecv.data.manifests import Manifest
from marinecv.data.names import normalize_name
from marinecv.data.readers import Reader
from marinecv.language import tr

NO_FOLDER = "lies in no class folder"
_YEAR, _MONTH, _DAY = r"(19|20)\d\d", r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
_CAMERA, _NUMBER = (
    "site|cam|camera|station|plot|transect|loc|location|deployment|trap|ct",
    r"[ _-]?\d+([ _-]\d+)*[a-z]?",
)
CAMERA_NAME = re.compile(rf"(?i:({_CAMERA}){_NUMBER})")
PLACE_NAME = re.compile(  # names of cameras, sites, memory cards (DCIM, 100MEDIA) and days, never of classes
    rf"(?i:({_CAMERA}|day|night|session|video|clip|seq|card){_NUMBER}|dcim)"
    r"|\d{3}(?=.*[A-Z_])[0-9A-Z_]{5}"
    rf"|{_YEAR}(?P<a>[-_. ]?){_MONTH}(?P=a){_DAY}|{_DAY}(?P<b>[-_. ]){_MONTH}(?P=b){_YEAR}"
)
GROUP_NAME = re.compile(  # these, and other names of groups within a class: 2021, b, C03, S1_R2
    rf"{PLACE_NAME.pattern}|(?i:\d+|[a-z]|[a-z]{{0,3}}[ _-]?\d{{1,6}}([ _-][a-z]{{0,3}}\d{{1,6}})*)"
)
Folders = tuple[str, ...]  # names of the folders that an image lies in, from the class folder down


def read_folders(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images (`IMAGE_COLUMNS`) and an empty boxes table.

    The class is the first folder or the leaf of a taxonomy, see `choose_level`. Folders below it (a camera, a day) are
    the `group`, "cam1/2021-05-03"; images directly in a class folder that has some form the group ".". Images beside
    class or split folders are rows with a problem; folders beside split folders, of labels and masks are not read.
    """
    root, chosen = manifest.root, manifest.folder_classes
    level = manifest.class_level or ("first" if chosen else "")
    roots, images_found, folder_names = class_roots(root, level), [], set()
    for split, place in roots.items():
        for folder in class_folders(place):
            folder_names.add(normalize_name(folder.name))
            if chosen and level == "first" and normalize_name(folder.name) not in chosen:
                continue
            for path in image_files(folder, deep=True):
                parent = str(folder) if path == folder else os.path.dirname(path)  # a closed one stands for its images
                if (folders := _folders_of(parent, folder)) is not None:
                    images_found.append((path, split, folders))
    level = level or choose_level(Counter(folders for *_, folders in images_found), root)
    classes = classes_at(level, {folders for *_, folders in images_found})
    rows = [(path, split, *classes[folders]) for path, split, folders in images_found]
    if chosen:
        folder_names |= {name for name, _ in classes.values()}
        rows = [(path, split, chosen[name], group) for path, split, name, group in rows if name in chosen]
    if missing := chosen.keys() - folder_names:
        raise ValueError(
            f'{root} lacks the class folder {", ".join(sorted(missing))}, which the manifest "{manifest.name}" names. '
            f"Expected {', '.join(chosen)}; found {printable(', '.join(sorted(folder_names)))}. Name the right folder, "
            "or read all folders under their own names with data_dir alone."
        )
    loose = _images_in_no_class(root, roots)
    images = image_table(root, [*loose.items(), *rows], dict.fromkeys(loose, NO_FOLDER))
    if images["group"].isin(["", "."]).all():
        images["group"] = ""
    return images, pd.DataFrame(columns=BOX_COLUMNS)


@lru_cache(maxsize=2**12)
def _folders_of(parent: str, folder: Path) -> Folders | None:
    """Return the names from a class folder down to one in it, but for folders of images; None below annotations."""
    names = [*map(normalize_name, (folder.name, *Path(parent).relative_to(folder).parts))]
    is_annotation = any(map(ANNOTATION_FOLDERS.fullmatch, names[1:]))
    return None if is_annotation else tuple(name for name in names if not IMAGE_FOLDERS.fullmatch(name))


def class_roots(root: Path, class_level: str = "") -> dict[str, Path]:
    """Return the folders whose sub-folders are classes, by split; without splits `root` alone, by "".

    A folder called `images`, or like the one folder it lies in, is gone through. Raises ValueError where a single
    folder named after a split could be a class among others, unless `class_level` decides.
    """
    splits = split_folders(root)
    if not splits and (top := _skip_image_folders(root)) != root:
        return class_roots(top, class_level)
    if len(splits) == 1 and _is_class(*splits.values(), class_level):
        splits = {}
    return {split: _skip_image_folders(place) for split, place in (splits or {"": root}).items()}


def class_folders(place: Path) -> list[Path]:
    """Return the sub-folders that may be classes: all but those of images, labels and masks."""
    others = (IMAGE_FOLDERS, ANNOTATION_FOLDERS)
    return [path for path in sub_folders(place) if not any(names.fullmatch(path.name) for names in others)]


def choose_level(folders: Mapping[Folders, int], root: Path) -> str:
    """Return which folders are the classes: the "first" ones, or each "leaf" of a taxonomy.

    Folders below a class folder are groups if they are numbers, letters, dates, cameras or sites, or lie below such, or
    if half of their names occur in several folders. If no name does, every image lies in a leaf, and there are more
    leaves than first folders, the tree is a taxonomy, as Felidae/Felis catus. Raises ValueError for other trees.
    """
    levels = {"first": Counter(), "leaf": Counter()}
    for level, counts in levels.items():
        for names, (class_name, _) in classes_at(level, folders).items():
            counts[class_name] += folders[names]
    ways = " or ".join(f'class_level="{level}" ({_counts_text(counts)})' for level, counts in levels.items())
    if places := sorted(name for name in levels["first"] if PLACE_NAME.fullmatch(name)):
        raise ValueError(
            f"{printable(places[0])}/ of {printable(root)} looks like a camera, a site or a date, not like a class. "
            f"Expected a folder a class, or a labels.csv with the columns file,class. If it is one, choose {ways}."
        )
    words = {names[: _leaf_end(names)] for names in folders}
    parents = defaultdict(set)
    for names in words:
        if len(names) > 1 and not GROUP_NAME.fullmatch(names[-1]):
            parents[names[-1]].add(names[:-1])
    repeated = sum(len(above) > 1 for above in parents.values())
    if 2 * repeated >= len(parents):
        return "first"
    inner = {names[:end] for names in words for end in range(1, len(names))}
    is_taxonomy = not repeated and not words & inner and min(map(len, words)) > 1
    if is_taxonomy and len(words) > len(levels["first"]):
        return "leaf"
    example = printable("/".join(max(words, key=len)))
    raise ValueError(
        f"The folders in class folders of {printable(root)}, such as {example}, could be groups of images, or classes. "
        f"Choose {ways}."
    )


def level_sentence(manifest: Manifest, images: pd.DataFrame) -> str:
    """Return a sentence on how nested class folders were read by their names alone, or ""."""
    if manifest.class_level or manifest.folder_classes:
        return ""
    folders = [folder for place in class_roots(manifest.root).values() for folder in class_folders(place)]
    first = {printable(normalize_name(folder.name)) for folder in folders}
    classes, groups = set(images["class_name"]) - {""}, set(images["group"]) - {"", "."}
    if not classes <= first:
        sentence = 'The classes are the last folders of a taxonomy, such as {name} (else: class_level="first").'
        return tr(sentence, name=min(classes))
    if all(GROUP_NAME.fullmatch(name) for group in groups for name in group.split("/")):
        return ""
    sentence = 'Folders below class folders are groups of images, such as {name} (else: class_level="leaf").'
    return tr(sentence, name=min(groups))


def classes_at(level: str, folders: Iterable[Folders]) -> dict[Folders, tuple[str, str]]:
    """Return class and group of folders; a leaf is the last folder before a number, letter, place or date."""
    ends = {names: 1 if level == "first" else _leaf_end(names) for names in folders}
    return {
        names: (names[end - 1], "/".join((*filter(PLACE_NAME.fullmatch, names[: end - 1]), *names[end:])) or ".")
        for names, end in ends.items()
    }


def _leaf_end(names: Folders) -> int:
    """Return the number of folders down to the leaf of a taxonomy, groups above it included (SITE01/Felis catus)."""
    is_group = [bool(GROUP_NAME.fullmatch(name)) for name in names]
    start = is_group.index(False) if False in is_group else len(names) - 1
    return is_group.index(True, start + 1) if True in is_group[start + 1 :] else len(names)


def _counts_text(counts: Mapping[str, int]) -> str:
    most = sorted(counts)[:5]
    more = f" and {len(counts) - len(most)} more" if len(counts) > len(most) else ""
    return ", ".join(f"{printable(name)}: {counts[name]}" for name in most) + more


def _images_in_no_class(root: Path, places: Mapping[str, Path]) -> dict[Path, str]:
    """Return the split of images beside class or split folders, and in an `images` folder without class folders."""
    loose: dict[Path, str] = {}
    for split, place in places.items():
        for folder in (place, *place.parents):
            if folder.is_relative_to(root):
                loose |= {path: split if folder != root else "" for path in image_files(folder) if path not in loose}
        for folder in sub_folders(place):
            if IMAGE_FOLDERS.fullmatch(folder.name) and folder not in places.values():
                loose |= dict.fromkeys(image_files(folder, deep=True), split)
    return loose


def _skip_image_folders(place: Path) -> Path:
    folders = sub_folders(place)
    for path in folders:
        is_nested = len(folders) == 1 and path.name == place.name
        if is_nested or (IMAGE_FOLDERS.fullmatch(path.name) and sub_folders(path)):
            return _skip_image_folders(path)
    return place


def _is_class(folder: Path, class_level: str) -> bool:
    """Return whether a folder named after a split is a class among the folders beside it."""
    others = [path for path in class_folders(folder.parent) if path != folder and image_files(path, deep=True)]
    names, flat = [path.name for path in class_folders(folder)], bool(image_files(folder))
    if not others or not (flat or any(map(class_folders, others))) or not image_files(folder, deep=True):
        return False
    if class_level:
        return class_level == "first" or not names
    if len(others) > 1 and all(map(GROUP_NAME.fullmatch, names)):
        return True
    raise ValueError(
        f"{printable(folder)} could be a split, or a class like {printable(others[0].name)}/ beside it. If it is a "
        'class, choose class_level="first"; if it is a split, move the folders beside it away.'
    )


def _is_folders(root: Path) -> bool:
    voc = root / "JPEGImages"  # of Pascal VOC, whose folders of masks are no classes
    if voc.is_dir() and not sub_folders(voc):
        return False
    places = class_roots(root, "first").values()
    return any(image_files(each, deep=True) for place in places for each in class_folders(place))


READER = Reader(
    rank=9,
    detects=_is_folders,
    read=read_folders,
    class_from_boxes=False,
    holds="folders of images named after their class, which images/, labels/ and train/ are not",
    has_table=False,
    sentence=level_sentence,
)
