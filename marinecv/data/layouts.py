"""How image files lie in a folder: find the layout, the split folders and the images."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from marinecv.data.splits import SPLIT_NAMES

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
UNSUPPORTED_SUFFIXES = (".heic", ".heif", ".avif", ".cr2", ".nef", ".arw", ".dng", ".raw")
HIDDEN = (".", "__MACOSX")
ANNOTATIONS = "_annotations.csv"
LABELS = "labels.csv"
CUB_TABLES = ("images.txt", "classes.txt", "image_class_labels.txt")
ATTRIBUTES = "attributes.txt"  # of CUB
PACK, PACKING = "pack.json", "packing.json"  # of a pack, and of one that is not complete yet
NAMES_KEY = re.compile(rb"""^(\xef\xbb\xbf)?({|{.*, *)?["']?names["']?\s*:""", re.MULTILINE)  # of data.yaml
NOT_UTF8 = "its name is not UTF-8; rename it"


def find_layout(folder: Path) -> tuple[Path, str]:
    """Say which layout a folder has, going down where there is nothing but one folder.

    Archives are often packed that way. A lone class folder with sub-folders reads the same: its sub-folders are taken
    for the classes.

    Returns:
        The folder the layout begins in, and its layout: `packed`, `roboflow`, `yolo`, `cub`, `labels_csv` or
        `folders`.
    Raises:
        ValueError: nothing fits; the message says what was looked for and what was found.
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
        f"No known layout in {folder}. Looked for {ANNOTATIONS} (here or in train/, valid/, test/), images/ with "
        f"labels/ (YOLO), {', '.join(CUB_TABLES)} (CUB), {LABELS} with columns file,class, {PACK} (of `data pack`), "
        f"and folders of images named after their class. Found {shown or 'nothing'}. Give the folder that holds one of "
        "these."
    )


def split_folders(root: Path) -> dict[str, Path]:
    """Folders of `root` named after a split: {"train": root/"train", "validation": root/"valid", ...}.

    Raises:
        ValueError: two folders stand for one split.
    """
    found: dict[str, Path] = {}
    for folder in sub_folders(root):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split in found:
            raise ValueError(
                f"Both {found[split].name}/ and {folder.name}/ of {root} stand for the {split} split. "
                "Expected one; rename or remove the other."
            )
        if split:
            found[split] = folder
    return found


def folder_named(place: Path, name: str) -> Path | None:
    """Return the folder of this name directly below a place, in any case; the exact one where there are several."""
    found = [folder for folder in sub_folders(place) if folder.name.lower() == name]
    return max(found, key=lambda folder: folder.name == name, default=None)


def find_data_yaml(root: Path) -> Path | None:
    """Return the YAML file with `names:` of a YOLO data set: data.yaml, else the only one.

    Raises:
        ValueError: several have it.
    """
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
    found = [path for path in found if not path.name.startswith(HIDDEN) and NAMES_KEY.search(path.read_bytes())]
    if named := [path for path in found if path.stem.lower() == "data"]:
        return named[0]
    if len(found) > 1:
        raise ValueError(
            f"{', '.join(path.name for path in found)} of {root} all name classes. Expected one; call it data.yaml."
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
    images = (path for path in found if _is_image(path) or _leads_back(path) or (deep and _is_folder_link(path)))
    return sorted({*images, *closed})


def paths_below(folder: Path, closed: list[Path] | None = None) -> Iterator[Path]:
    """Yield every visible file and folder at any depth; a link to a folder is named and not followed, so loops end.

    Args:
        folder: where to begin.
        closed: takes the folders that cannot be read; without it one is an error.
    Raises:
        ValueError: a folder below cannot be read.
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


def unsupported(path: Path) -> str:
    """Return "", or why an image of this name is not read, even where Pillow would find a thumbnail in it."""
    if printable(path) != str(path):
        return NOT_UTF8
    suffix = path.suffix.lower()
    return f"unsupported format {suffix}; convert it to JPEG or PNG" if suffix in UNSUPPORTED_SUFFIXES else ""


def printable(path: Path | str) -> str:
    """Return a path as text that can be written anywhere: bytes that are not UTF-8 become such as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_hidden(path: Path, below: Path) -> bool:
    """Whether a file, or a folder between it and `below`, is hidden: droppings of macOS and of notebooks."""
    return any(part.startswith(HIDDEN) for part in path.relative_to(below).parts)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES + UNSUPPORTED_SUFFIXES and not os.path.isdir(path)


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
    if any(image_files(class_folder, deep=True) for place in splits or (root,) for class_folder in sub_folders(place)):
        return "folders"
    return ""


def _only_folder(root: Path) -> Path | None:
    """The folder an archive was packed in: the only one here, no split, with folders or a table in it."""
    folders = sub_folders(root)
    if len(folders) != 1 or folders[0].name.lower() in SPLIT_NAMES or _has_table(root) or image_files(root):
        return None
    return folders[0] if sub_folders(folders[0]) or _has_table(folders[0]) else None


def _has_table(folder: Path) -> bool:
    tables = any((folder / name).is_file() for name in (ANNOTATIONS, LABELS, PACK, PACKING))
    return tables or _is_cub(folder) or find_data_yaml(folder) is not None


def _is_cub(folder: Path) -> bool:
    return all((folder / table).is_file() for table in CUB_TABLES)
