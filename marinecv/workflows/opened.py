"""What a workflow is handed to look at: a run, and files of images."""

import os
from collections.abc import Sequence
from pathlib import Path

from marinecv.data.layouts import IMAGE_SUFFIXES, image_files
from marinecv.runs import Run


def open_run(run: str | os.PathLike | Run) -> Run:
    """Open a run by its folder, or raise ValueError where that is none; one that is open is given back."""
    return run if isinstance(run, Run) else Run(run)


def open_classifier(run: str | os.PathLike | Run) -> Run:
    """Open the run of a classifier."""
    run = open_run(run)
    if run.restores:
        raise ValueError(
            f"{run.folder} is the run of an autoencoder, which names no animal. Expected a run of pretrain or finetune."
        )
    return run


def find_images(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """Return every file named, and every visible image file below a folder named, sorted."""
    paths = [Path(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    found = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"There is no {path}. Expected an image file or a folder.")
        found += image_files(path, deep=True) if path.is_dir() else [path]
    if not found:
        raise ValueError(
            f"No image in {', '.join(map(str, paths))}. Expected files ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    return found
