"""Write class folders of links, for tools that want a folder a class; the originals stay where they are."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from marinecv.data.cache_dir import building
from marinecv.data.shards.records import is_record, read_bytes
from marinecv.data.user_tables import usable

MAX_NAME_BYTES = 200  # bytes of a folder's name; file systems take 255


def materialize(catalog: pd.DataFrame, folder: str | Path) -> Path:
    """Link every usable image as split/class/file: a hard link, else a symbolic one, else a copy, as always of a pack.

    They appear when all are made, in a new or empty folder. Classes whose folders macOS and Windows would merge, such
    as Eel and eel, become Eel and eel_2.
    """
    folder, rows = Path(folder).absolute(), usable(catalog)
    _refuse_filled(folder)
    with building(folder) as workplace:
        links = workplace / "links"
        links.mkdir()
        classes, splits = (folder_names(rows[column].unique()) for column in ("class_name", "split"))
        for row in rows.itertuples():
            _link(row.path, links / splits[row.split] / classes[row.class_name], PurePosixPath(row.image_id).name)
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
    folders, taken = {}, set()
    for name in sorted(names):
        plain = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", name)
        plain = plain.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ") or "_"
        number, folder = 2, plain
        while folder.casefold() in taken:
            number, folder = number + 1, f"{plain}_{number}"
        taken.add(folder.casefold())
        folders[name] = folder
    return folders


def _link(original: str, folder: Path, name: str) -> None:
    """Link or copy a file into a folder, under a name that is free there."""
    folder.mkdir(parents=True, exist_ok=True)
    number, link = 2, folder / name
    while link.exists():
        number, link = number + 1, link.with_stem(f"{Path(name).stem}_{number}")
    if is_record(original):
        link.write_bytes(read_bytes(original))
        return
    for way in (os.link, os.symlink, shutil.copy2):
        try:
            way(Path(original).resolve(), link)
            return
        except OSError:  # another file system, or a system without links
            if way is shutil.copy2:
                raise
