"""How image files lie in a folder: find the layout, the split folders and the images."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from marinecv.data.formats import IMAGE_SUFFIXES, is_image, printable
from marinecv.data.splits import folder_splits

HIDDEN = (".", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information")  # names begin so
HIDDEN += ("Thumbs.db", "thumbs.db", "ehthumbs", "Desktop.ini", "desktop.ini")
ANNOTATIONS = "_annotations.csv"
LABELS = "labels.csv"
CUB_TABLES = ("images.txt", "classes.txt", "image_class_labels.txt")
ATTRIBUTES = "attributes.txt"  # of CUB
PACK, PACKING = "pack.json", "packing.json"  # of a pack, and of one that is not complete yet
IMAGES = re.compile(r"images?|imgs?|jpegimages", re.IGNORECASE)  # a folder with others in it, never a class
BESIDE = re.compile(r"labels?|annotations?|masks?|segmentation\w*|ground_?truth", re.IGNORECASE)  # of images, no class
_YEAR, _MONTH, _DAY = r"(19|20)\d\d", r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
PLACE = re.compile(  # what cameras, sites, memory cards (DCIM, 100MEDIA) and days are called, and no class
    r"(?i:(site|cam|camera|station|plot|transect|loc|location|deployment|trap|ct|day|night|session|video|clip|seq|card)"
    r"[ _-]?\d+([ _-]\d+)*[a-z]?|dcim)|\d{3}(?=.*[A-Z_])[0-9A-Z_]{5}"
    rf"|{_YEAR}(?P<a>[-_. ]?){_MONTH}(?P=a){_DAY}|{_DAY}(?P<b>[-_. ]){_MONTH}(?P=b){_YEAR}"
)
GROUP = re.compile(  # what groups within a class are called beside those: 2021, b, C03, S1_R2
    rf"{PLACE.pattern}|(?i:\d+|[a-z]|[a-z]{{0,3}}[ _-]?\d{{1,6}}([ _-][a-z]{{0,3}}\d{{1,6}})*)"
)
NAMES_KEY = re.compile(rb"""^(\xef\xbb\xbf)?({|{.*, *)?["']?names["']?\s*:""", re.MULTILINE)  # of data.yaml


def find_layout(folder: Path) -> tuple[Path, str]:
    """Say which layout a folder has, going down where there is nothing but one folder.

    Archives are often packed that way. A lone class folder with sub-folders reads the same: its sub-folders are taken
    for the classes. Returned are the folder the layout begins in, and its layout: `packed`, `roboflow`, `yolo`, `cub`,
    `labels_csv` or `folders`. Raise ValueError where nothing fits; it says what was looked for and what was found.
    """
    root = folder
    while (only := _only_folder(root)) is not None:
        root = only
    if layout := _layout_of(root):
        return root, layout
    if not image_files(folder, deep=True):
        raise ValueError(f"There is no image file in {folder}. Expected some that end in {', '.join(IMAGE_SUFFIXES)}.")
    found = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    shown = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    raise ValueError(
        f"No known layout in {folder}{_foreign(root)}. Looked for {ANNOTATIONS} (here or in train/, valid/, test/), "
        f"images/ with labels/ (YOLO), {', '.join(CUB_TABLES)} (CUB), {LABELS} with columns file,class, {PACK} (of "
        "`data pack`), and folders of images named after their class, which images/, labels/ and train/ are not. Found "
        f"{shown or 'nothing'}. Give the folder that holds one of these."
    )


def class_places(root: Path, class_level: str = "") -> dict[str, Path]:
    """Return the folders whose sub-folders are classes, by split; without splits `root` alone, by "".

    A folder called `images`, or like the one folder it lies in (`seg_train/seg_train/`), is gone through. A single
    folder named after a split is a class among others: where it holds images itself, or sub-folders that look like
    cameras, dates or numbers, as other folders beside it do. Where the manifest's `class_level` is "first", a folder
    that could be a split or a class is a class; without a level it is a ValueError. Others are those of
    `split_folders`.
    """
    splits = split_folders(root)
    if not splits and (top := _through(root)) != root:
        return class_places(top, class_level)
    if len(splits) == 1 and _is_class(*splits.values(), class_level):
        splits = {}
    return {split: _through(place) for split, place in (splits or {"": root}).items()}


def class_folders(place: Path) -> list[Path]:
    """Return the folders below a place that may be classes; those of labels and masks, and `images`, are none."""
    return [path for path in sub_folders(place) if not (IMAGES.fullmatch(path.name) or BESIDE.fullmatch(path.name))]


def split_folders(root: Path) -> dict[str, Path]:
    """Folders of `root` named after a split, see `folder_splits`: {"train": root/"train", "validation": root/"valid"}.

    Raise ValueError where two folders stand for one split.
    """
    found: dict[str, Path] = {}
    for name, split in folder_splits(folder.name for folder in sub_folders(root)).items():
        if split in found:
            raise ValueError(
                f"Both {found[split].name}/ and {name}/ of {root} stand for the {split} split. "
                "Expected one; rename or remove the other."
            )
        found[split] = root / name
    return found


def folder_named(place: Path, name: str) -> Path | None:
    """Return the folder of this name directly below a place, in any case; the exact one where there are several."""
    found = [folder for folder in sub_folders(place) if folder.name.lower() == name]
    return max(found, key=lambda folder: folder.name == name, default=None)


def find_data_yaml(root: Path) -> Path | None:
    """Return the YAML file with `names:` of a YOLO data set: data.yaml, else the only one; of several ValueError."""
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
    found = [path for path in found if not path.name.startswith(HIDDEN) and NAMES_KEY.search(path.read_bytes())]
    found = [path for path in found if path.stem.lower() == "data"] or found
    if len(found) > 1:
        raise ValueError(
            f"{', '.join(path.name for path in found)} of {root} all name classes. Expected one, called data.yaml."
        )
    return found[0] if found else None


def sub_folders(folder: Path) -> list[Path]:
    """Visible folders directly below, sorted; linked ones too, unless the link leads back to a folder above it."""
    visible = (path for path in _entries(folder, []) if os.path.isdir(path) and not path.name.startswith(HIDDEN))
    return sorted(path for path in visible if not _leads_back(path))


def image_files(folder: Path, deep: bool = False) -> list[Path]:
    """Visible image files directly below a folder, or at any depth, sorted; those of unsupported formats too.

    A link to an image file is one. Links behind which images may hide count too, and `read_header` says what is wrong
    with them: one named like an image that leads to no file, one that leads back to a folder above it, and at any depth
    one to any folder, for these are not followed. So does a folder that cannot be read, in place of its images.
    """
    closed: list[Path] = []
    paths = paths_below(folder, closed) if deep else _entries(folder, closed)
    found = [path for path in paths if not is_hidden(path, folder)]
    images = (path for path in found if is_image(path) or _leads_back(path) or (deep and _is_folder_link(path)))
    return sorted({*images, *closed})


def paths_below(folder: Path, closed: list[Path] | None = None) -> Iterator[Path]:
    """Yield every visible file and folder at any depth; a link to a folder is named and not followed, so loops end.

    Folders that cannot be read go into `closed`; without it one is a ValueError.
    """

    def refuse(error: OSError):
        if closed is not None:
            return closed.append(Path(error.filename))
        raise ValueError(
            f"The folder {error.filename} cannot be read: {error.strerror}. Expected one that this user may open, with "
            "a shorter path than that. Mend it, or move it out of the data."
        ) from error

    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        yield from (Path(here, name) for name in (*folders, *files))


def _entries(folder: Path, closed: list[Path]) -> list[Path]:
    try:
        return list(folder.iterdir())
    except PermissionError:
        closed.append(folder)
        return []


def is_hidden(path: Path, below: Path) -> bool:
    """Whether a file, or a folder between it and `below`, is one of systems and programs: `.DS_Store`, `@eaDir`."""
    return any(part.startswith(HIDDEN) for part in path.relative_to(below).parts)


def _is_folder_link(path: Path) -> bool:
    return os.path.islink(path) and os.path.isdir(path)  # Path's own raise where a path is too long


def _leads_back(path: Path) -> bool:
    return _is_folder_link(path) and path.parent.resolve().is_relative_to(path.resolve())


def _layout_of(root: Path) -> str:
    if (root / PACK).is_file() or (root / PACKING).is_file():
        return "packed"
    splits = split_folders(root).values()
    if any((folder / ANNOTATIONS).is_file() for folder in (root, *splits)):
        return "roboflow"
    pairs = ((folder_named(folder, "images"), folder_named(folder, "labels")) for folder in (root, *splits))
    if any(map(all, pairs)) or find_data_yaml(root):
        return "yolo"
    if _is_cub(root):
        return "cub"
    if (root / LABELS).is_file():
        return "labels_csv"
    voc = root / "JPEGImages"  # of Pascal VOC, whose folders of masks are no classes
    if voc.is_dir() and not sub_folders(voc):
        return ""
    places = class_places(root, "first").values()
    return "folders" if any(image_files(each, deep=True) for place in places for each in class_folders(place)) else ""


def _through(place: Path) -> Path:
    folders = sub_folders(place)
    for path in folders:
        if (IMAGES.fullmatch(path.name) and sub_folders(path)) or (len(folders) == 1 and path.name == place.name):
            return _through(path)
    return place


def _is_class(folder: Path, class_level: str) -> bool:
    """Whether a folder named after a split is a class among the folders beside it."""
    others = [path for path in class_folders(folder.parent) if path != folder and image_files(path, deep=True)]
    names, flat = [path.name for path in class_folders(folder)], bool(image_files(folder))
    if not others or not (flat or any(map(class_folders, others))) or not image_files(folder, deep=True):
        return False
    if class_level:
        return class_level == "first" or not names
    if len(others) > 1 and all(map(GROUP.fullmatch, names)):
        return True
    raise ValueError(
        f"{printable(folder)} could be a split, or a class like {printable(others[0].name)}/ beside it. Take it for a "
        "class with --class-level first. If it is a split, move the folders beside it away, or name them after splits."
    )


def _foreign(root: Path) -> str:
    """Name a format of boxes that is not read, by its files; "" where there is none."""
    kinds = {".json": "COCO", ".xml": "Pascal VOC"}
    for path in islice((path for path in paths_below(root) if path.suffix.lower() in kinds and path.is_file()), 100):
        with open(path, "rb") as file:
            head = file.read(4096)
        of_splits = BESIDE.fullmatch(path.parent.name) and folder_splits(
            each.name for each in path.parent.parent.iterdir()
        )
        if b"<annotation" in head or re.search(rb'"(images|annotations|categories)"', head) or of_splits:
            name = f"{kinds[path.suffix.lower()]} ({printable(path.relative_to(root))})"
            return f": this looks like {name}, which is not read yet. Convert it to YOLO, or make a {LABELS}"
    return ""


def _only_folder(root: Path) -> Path | None:
    """The folder an archive was packed in: the only one here, no split, with folders or a table in it."""
    folders = sub_folders(root)
    if len(folders) != 1 or folder_splits([folders[0].name]) or _has_table(root) or image_files(root):
        return None
    return folders[0] if sub_folders(folders[0]) or _has_table(folders[0]) else None


def _has_table(folder: Path) -> bool:
    tables = any((folder / name).is_file() for name in (ANNOTATIONS, LABELS, PACK, PACKING))
    return tables or _is_cub(folder) or find_data_yaml(folder) is not None


def _is_cub(folder: Path) -> bool:
    return all((folder / table).is_file() for table in CUB_TABLES)
