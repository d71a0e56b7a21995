"""Find the layout of a folder of images, its split folders and its image files."""

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from marinecv.data.formats import IMAGE_SUFFIXES, TEXT_SUFFIXES, is_image
from marinecv.data.readers import Reader, all_readers

HIDDEN_PREFIXES = (".", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information")  # names begin so
HIDDEN_PREFIXES += ("Thumbs.db", "thumbs.db", "ehthumbs", "Desktop.ini", "desktop.ini")
# Names of folders that are never a class.
IMAGE_FOLDERS = re.compile(r"images?|imgs?|jpegimages", re.IGNORECASE)
ANNOTATION_FOLDERS = re.compile(r"labels?|annotations?|masks?|segmentation\w*|ground_?truth", re.IGNORECASE)
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NAME_OF_SPLIT = re.compile(  # of a folder, in lower case and with blanks between its words
    rf"(?:\d+ )?(?:(?P<prefix>.*[^\d ].*) )?(?P<word>{'|'.join(SPLIT_NAMES)})"
    r"(?: ?(?:set|split|data|dataset|images?|imgs?))* ?\d*"
)


def find_layout(folder: Path, by_columns: bool = False) -> tuple[Path, str]:
    """Return the folder in which a layout begins, and the layout, one of `layout_names()`.

    A folder that holds nothing but one folder is gone through, as archives are often packed that way; so are the
    sub-folders of a lone class folder taken for classes. With `by_columns`, which a manifest names, only a table
    will do. Raises ValueError where no layout fits.
    """
    root = folder
    while (only := _only_folder(root, by_columns)) is not None:
        root = only
    readers = all_readers()
    layout = next((layout for layout, reader in readers.items() if _detects(reader, root, by_columns)), "")
    if not (layout and readers[layout].has_table) and (packed := _packed_annotations(root, folder)):
        raise ValueError(
            f"{packed} holds annotations, which are not read from a zip file beside images. Unzip it there, or move it "
            "away."
        )
    if layout:
        return root, layout
    if by_columns:
        raise ValueError(
            f"There is no .csv, .tsv or .xlsx in {folder} whose columns could be named. Leave out columns=."
        )
    if not image_files(folder, deep=True):
        raise ValueError(f"There is no image file in {folder}. Expected some that end in {', '.join(IMAGE_SUFFIXES)}.")
    entries = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    shown = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    *first, last = [reader.holds for reader in readers.values()]
    raise ValueError(
        f"No known layout in {folder}. Looked for {', '.join(first)}, and {last}. Found {shown or 'nothing'}. Give the "
        "folder that holds one of these."
    )


def folder_splits(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name of a folder, among folders beside each other, that stands for one.

    Names are those of `SPLIT_NAMES`, perhaps followed by `set` or a year. One with a prefix (`seg_train`) counts only
    where another split has the prefix too: `steam_train` is none. `eval` is validation; beside a validation folder it
    is test, unless there is a test folder too.
    """
    plain = {name: re.sub(r"[\W_]+", " ", name).strip().lower() for name in names}
    matches = {name: match for name, text in plain.items() if (match := _NAME_OF_SPLIT.fullmatch(text))}
    of_prefix: dict[str | None, set[str]] = {}
    for match in matches.values():
        of_prefix.setdefault(match["prefix"], set()).add(SPLIT_NAMES[match["word"]])
    lone = [name for name, match in matches.items() if match["prefix"] and len(of_prefix[match["prefix"]]) == 1]
    splits = {name: SPLIT_NAMES[match["word"]] for name, match in matches.items() if name not in lone}
    evals = [name for name in splits if matches[name]["word"].startswith("eval")]
    if "test" not in splits.values() and list(splits.values()).count("validation") > len(evals):
        splits |= dict.fromkeys(evals, "test")
    return splits


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split below `root`, {"validation": root/"valid"}; ValueError if two stand for one."""
    folders: dict[str, Path] = {}
    for name, split in folder_splits(folder.name for folder in sub_folders(root)).items():
        if split in folders:
            both = f"Both {folders[split].name}/ and {name}/ of {root} stand for the {split} split."
            raise ValueError(f"{both} Expected one; rename or remove the other.")
        folders[split] = root / name
    return folders


def folder_named(parent: Path, name: str) -> Path | None:
    """Return the folder of this name, in any case, directly below another; the exact match where there are several."""
    matches = [folder for folder in sub_folders(parent) if folder.name.lower() == name]
    return max(matches, key=lambda folder: folder.name == name, default=None)


def sub_folders(folder: Path) -> list[Path]:
    """Return visible folders directly below, sorted; linked ones too, unless the link leads to a folder above it."""
    visible = (path for path in _entries(folder, []) if not path.name.startswith(HIDDEN_PREFIXES))
    return sorted(path for path in visible if os.path.isdir(path) and not _leads_back(path))


def image_files(folder: Path, deep: bool = False) -> list[Path]:
    """Return visible image files directly below a folder, or at any depth, sorted; of unsupported formats too.

    Links that are not followed count as image files, so that `read_header` reports them: dead links named like an
    image, links to a folder above, and at any depth links to folders. So do folders that cannot be read.
    """
    closed: list[Path] = []
    paths = paths_below(folder, closed) if deep else _entries(folder, closed)
    visible = [path for path in paths if not path.name.startswith(HIDDEN_PREFIXES)]
    images = (path for path in visible if is_image(path) or _leads_back(path) or (deep and _is_folder_link(path)))
    return sorted({*images, *closed})


def paths_below(folder: Path, closed: list[Path] | None = None) -> Iterator[Path]:
    """Yield every visible file and folder at any depth; links to folders are not followed.

    Folders that cannot be read go into `closed`; without it they raise ValueError.
    """

    def refuse(error: OSError):
        if closed is not None:
            return closed.append(Path(error.filename))
        raise ValueError(
            f"The folder {error.filename} cannot be read: {error.strerror}. Expected one that this user may open. "
            "Correct its rights or its path, or move it out of the data."
        ) from error

    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN_PREFIXES)]
        yield from (Path(here, name) for name in (*folders, *files))


def _entries(folder: Path, closed: list[Path]) -> list[Path]:
    try:
        return list(folder.iterdir())
    except PermissionError:
        closed.append(folder)
        return []


def is_hidden(path: Path, below: Path) -> bool:
    """Return whether a file, or a folder between it and `below`, belongs to a system: `.DS_Store`, `@eaDir`."""
    return any(part.startswith(HIDDEN_PREFIXES) for part in path.relative_to(below).parts)


def _is_folder_link(path: Path) -> bool:
    return os.path.islink(path) and os.path.isdir(path)  # Path's own raise where a path is too long


def _leads_back(path: Path) -> bool:
    return _is_folder_link(path) and path.parent.resolve().is_relative_to(path.resolve())


def _packed_annotations(root: Path, top: Path) -> Path | None:
    """Return a zip file of nothing but text in the root, in folders above it up to `top`, or in one of annotations."""
    places = [folder for folder in (root, *root.parents) if folder.is_relative_to(top)]
    places += [folder for folder in sub_folders(root) if ANNOTATION_FOLDERS.fullmatch(folder.name)]
    for path in sorted(path for place in places for path in place.glob("*.[zZ][iI][pP]")):
        with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/")]
            if files and all(name.lower().endswith(TEXT_SUFFIXES) for name in files):
                return path
    return None


def _only_folder(root: Path, by_columns: bool) -> Path | None:
    """Return the only folder here, if it is no split and holds folders or a table; an archive was packed in it."""
    folders = sub_folders(root)
    if len(folders) != 1 or folder_splits([folders[0].name]) or _has_table(root, by_columns) or image_files(root):
        return None
    return folders[0] if sub_folders(folders[0]) or _has_table(folders[0], by_columns) else None


def _has_table(folder: Path, by_columns: bool) -> bool:
    """Return whether a file in a folder says what its images are."""
    return any(_detects(reader, folder, by_columns) for reader in all_readers().values() if reader.has_table)


def _detects(reader: Reader, folder: Path, by_columns: bool) -> bool:
    return bool(reader.takes_columns and reader.takes_columns(folder)) if by_columns else reader.detects(folder)
