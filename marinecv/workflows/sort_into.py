"""Sort images into class folders of links or copies beside the originals, and undo that exactly."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from marinecv.console import Log, silent
from marinecv.data.materialize import folder_names, link_or_copy, numbered
from marinecv.data.names import leaves_folder
from marinecv.files.csv_tables import read_number_table, table_text, write_table

UNDO = "undo.csv"
COLUMNS = ["file", "source", "size", "mtime_ns"]
MAX_SECONDS = 2  # between the times of a file and its copy: the coarsest clock of a file system
HARD_LINKS = "hard links: each is the same file as its original, so that editing one edits both"


def check_sortable(folder: Path, images: Sequence[Path]) -> None:
    """Raise ValueError unless a folder is new, or what a stopped `sort_into` made, and not below folders of images."""
    if above := [path for path in images if path.is_dir() and folder.resolve().is_relative_to(path.resolve())]:
        raise ValueError(
            f"{folder} is below {above[0]}, where its links would be taken for images. Name another with sort_into=."
        )
    if folder.exists() and not (folder / UNDO).is_file():
        raise ValueError(f"{folder} exists. Expected a new folder: nothing is overwritten. Name one with sort_into=.")


def sort_into(folder: Path, table: pd.DataFrame, log: Log) -> None:
    """Make a hard link to each predicted file, else a copy, in the folder of its class; write `undo.csv` before.

    Names stay; a name that a class has already gets a number: a_2.jpg. A stopped call is gone on with; ValueError where
    the folder holds something else.
    """
    table = table[table["predicted_class"] != ""]
    paths, folders, planned = [*map(Path, table["path"])], folder_names(table["predicted_class"].unique()), []
    names = (f"{folders[name]}/{path.name}" for path, name in zip(paths, table["predicted_class"], strict=True))
    for path, file in zip(paths, numbered(names), strict=True):
        state = path.stat()
        planned.append([file, str(path.absolute()), state.st_size, state.st_mtime_ns])
    plan = pd.DataFrame(planned, columns=COLUMNS)
    check_sortable(folder, ())
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / UNDO).exists():
        write_table(folder / UNDO, plan)
    if (folder / UNDO).read_text(encoding="utf-8") != table_text(plan):
        raise ValueError(f"{folder} holds other images sorted before. Undo them, or name another folder.")
    copies = 0
    for row in plan.itertuples():
        made = folder / row.file
        made.parent.mkdir(exist_ok=True)
        if not _is_unchanged(made, row):
            copies += link_or_copy(Path(row.source).resolve(), made)
    ways = [HARD_LINKS] * (copies < len(plan)) + [f"{copies} copies, where the file system has no links"] * (copies > 0)
    log(f"{folder}: {len(plan)} images by class ({'; '.join(ways)})")
    log(f"  `marinecv data undo-sort {folder / UNDO}` removes them again")


def undo_sort(file: str | os.PathLike, *, log: Log | None = print) -> None:
    """Remove the links and copies that `predict(..., sort_into=folder)` made, by the `undo.csv` in their folder.

        >>> import marinecv as mcv
        >>> run = mcv.train(mcv.demo_images(), "aquarium_four_conv", epochs=1, limit=24, size=32, log=None)
        >>> how = {"demonstration": True, "log": None}
        >>> _ = mcv.predict(run, run.catalog["path"].tolist()[:2], sort_into="by_class", **how)
        >>> mcv.undo_sort("by_class/undo.csv", log=None)

    Files that were added or changed since stay, with a line of `log`, and so do the originals.

    Raises:
        ValueError: it is no such file.
    """
    file, kept, removed = Path(file), [], 0
    table = read_number_table(file, COLUMNS, COLUMNS[2:])
    if table["file"].map(leaves_folder).any():
        raise ValueError(f"{file} names files outside its folder. Expected the undo.csv that sort_into= wrote.")
    for row in table.itertuples():
        made = file.parent / row.file
        if _is_unchanged(made, row):
            made.unlink()
            removed += 1
        elif made.exists():
            kept.append(row.file)
    folders = [file.parent / name for name in dict.fromkeys(name.split("/")[0] for name in table["file"])]
    file.unlink()
    for folder in (*folders, file.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    others = f"; {len(kept)} that were changed stay, such as {kept[0]}" if kept else ""
    (log or silent)(f"{removed} links and copies removed from {file.parent}{others}; the originals stay where they are")


def _is_unchanged(made: Path, row) -> bool:
    """Return whether a file is still what was made: a link to its original, or of its size and time."""
    if not made.is_file():
        return False
    if os.path.exists(row.source) and os.path.samefile(made, row.source):
        return True
    state = made.stat()
    return state.st_size == row.size and abs(state.st_mtime_ns - row.mtime_ns) < MAX_SECONDS * 10**9
