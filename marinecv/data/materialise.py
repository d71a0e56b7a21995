"""Write class folders of links, for tools that want a folder a class; the originals stay where they are."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from marinecv.data.catalog import usable


def materialise(catalog: pd.DataFrame, folder: str | Path) -> Path:
    """Link every usable image as split/class/file: a hard link, else a symbolic one, else a copy.

    Classes whose folders macOS and Windows would merge, such as Eel and eel, become Eel and eel_2.

    Args:
        catalog: columns `CATALOG_COLUMNS`; rows with a problem are left out.
        folder: new or empty.
    Returns:
        The folder.
    Raises:
        ValueError: the folder holds something.
    """
    folder, rows = Path(folder), usable(catalog)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty. Expected a new or an empty folder: nothing is overwritten. Name another."
        )
    homes = _folder_names(rows["class_name"].unique())
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows.itertuples():
        home = folder / row.split / homes[row.class_name]
        home.mkdir(parents=True, exist_ok=True)
        _link(Path(row.path).resolve(), _free_name(home / Path(row.path).name))
    return folder


def _folder_names(class_names: Iterable[str]) -> dict[str, str]:
    homes, taken = {}, set()
    for class_name in sorted(class_names):
        plain = re.sub(r'[\\/:*?"<>|]', "_", class_name).strip(". ") or "_"
        number, home = 2, plain
        while home.casefold() in taken:
            number, home = number + 1, f"{plain}_{number}"
        taken.add(home.casefold())
        homes[class_name] = home
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
