"""Write class folders of links, for tools that want a folder a class; the originals stay where they are."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from marinecv.data.cache_dir import building
from marinecv.data.shards.records import is_record, read_bytes
from marinecv.data.user_tables import usable

MAX_NAME_BYTES = 200  # bytes of a folder's name; file systems take 255


def materialize(catalog: pd.DataFrame, folder: str | Path) -> Path:
    """Link every usable image as split/class/file: a hard link, else a symbolic one, else a copy, as always of a pack.

    All appear at once, in a new or empty folder. Classes that macOS and Windows would merge become Eel and eel_2.
    """
    folder, rows = Path(folder).absolute(), usable(catalog)
    _refuse_filled(folder)
    with building(folder) as workplace:
        links = workplace / "links"
        links.mkdir()
        classes, splits = (folder_names(rows[column].unique()) for column in ("class_name", "split"))
        names = rows["image_id"].str.rpartition("/")[2]
        places = rows["split"].map(splits) + "/" + rows["class_name"].map(classes) + "/" + names
        for path, link in zip(rows["path"], numbered(places), strict=True):
            made = links / link
            made.parent.mkdir(parents=True, exist_ok=True)
            if is_record(path):
                made.write_bytes(read_bytes(path))
            else:
                link_or_copy(Path(path).resolve(), made, or_symbolic=True)
        _refuse_filled(folder)  # another process may have been faster
        folder.mkdir(exist_ok=True)
        for split in sorted(links.iterdir()):
            os.replace(split, folder / split.name)
    return folder


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty. Expected a new or an empty folder: nothing is overwritten.")


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name for the folder of each class or split that any system takes; no two differ only in case."""
    names = sorted(names)
    plain = (re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", name).encode()[:MAX_NAME_BYTES] for name in names)
    folders = (name.decode(errors="ignore").strip(". ") or "_" for name in plain)
    return dict(zip(names, numbered(folders), strict=True))


def numbered(paths: Iterable[str]) -> Iterator[str]:
    """Yield each path; one that was there before, in any case, gets a number before its suffix: fox/a_2.jpg."""
    taken = set()
    for path in paths:
        number, (stem, suffix) = 2, os.path.splitext(path)
        while path.casefold() in taken:
            number, path = number + 1, f"{stem}_{number}{suffix}"
        taken.add(path.casefold())
        yield path


def link_or_copy(source: Path, made: Path, or_symbolic: bool = False) -> bool:
    """Make a hard link, else perhaps a symbolic one, else a copy; return whether it is a copy."""
    for way in (os.link, os.symlink)[: 1 + or_symbolic]:
        try:
            way(source, made)
            return False
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without links
            pass
    part = made.with_name(f"{made.name}.part")
    shutil.copy2(source, part)
    os.replace(part, made)
    return True
