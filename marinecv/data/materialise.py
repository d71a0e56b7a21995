"""Write class folders of links, for tools that want a folder a class; the originals stay where they are."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from marinecv.data.records import is_record, read_bytes
from marinecv.data.store import making
from marinecv.data.user_tables import usable

LONGEST = 200  # bytes of a folder's name; file systems take 255


def materialise(catalog: pd.DataFrame, folder: str | Path) -> Path:
    """Link every usable image as split/class/file: a hard link, else a symbolic one, else a copy, as always of a pack.

    They appear when all are made, in a new or empty folder. Classes whose folders macOS and Windows would merge, such
    as Eel and eel, become Eel and eel_2.
    """
    folder, rows = Path(folder).absolute(), usable(catalog)
    _refuse_filled(folder)
    with making(folder) as workplace:
        _link_all(rows, workplace / "links")
        _refuse_filled(folder)  # another process may have been faster
        folder.mkdir(exist_ok=True)
        for split in sorted((workplace / "links").iterdir()):
            os.replace(split, folder / split.name)
    return folder


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty. Expected a new or an empty folder: nothing is overwritten.")


def _link_all(rows: pd.DataFrame, folder: Path) -> None:
    homes, splits = (_folder_names(rows[column].unique()) for column in ("class_name", "split"))
    folder.mkdir()
    for row in rows.itertuples():
        home = folder / splits[row.split] / homes[row.class_name]
        home.mkdir(parents=True, exist_ok=True)
        place = _free_name(home / PurePosixPath(row.image_id).name)
        if is_record(row.path):
            place.write_bytes(read_bytes(row.path))
        else:
            _link(Path(row.path).resolve(), place)


def _folder_names(names: Iterable[str]) -> dict[str, str]:
    homes, taken = {}, set()
    for name in sorted(names):
        plain = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", name)
        plain = plain.encode()[:LONGEST].decode(errors="ignore").strip(". ") or "_"
        number, home = 2, plain
        while home.casefold() in taken:
            number, home = number + 1, f"{plain}_{number}"
        taken.add(home.casefold())
        homes[name] = home
    return homes


def _free_name(path: Path) -> Path:
    number, free = 2, path
    while free.exists():
        number, free = number + 1, path.with_stem(f"{path.stem}_{number}")
    return free


def _link(original: Path, link: Path) -> None:
    for way in (os.link, os.symlink, shutil.copy2):
        try:
            way(original, link)
            return
        except OSError:  # other file system, or a system without links: try the next way
            if way is shutil.copy2:
                raise
