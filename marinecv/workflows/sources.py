"""What a workflow is handed: images by a path, the name of a data set, a manifest or a catalog; and a run."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from marinecv.console import Log
from marinecv.data.catalog import check_trainable, read_catalog
from marinecv.data.layouts import IMAGE_SUFFIXES, image_files
from marinecv.data.locate import locate
from marinecv.data.manifests import Manifest, list_manifests
from marinecv.data.user_tables import as_catalog, usable
from marinecv.runs import Run
from marinecv.schema import did_you_mean
from marinecv.training.recipe import DataChoice

CATALOG = "catalog"
"""The name of the data of a DataFrame."""


@dataclass(frozen=True)
class Source:
    """A data set that was found, with its catalog where that was read already."""

    manifest: Manifest
    catalog: pd.DataFrame | None = None
    rules: tuple[str, str] | None = None

    def read(self, choice: DataChoice, log: Log) -> pd.DataFrame:
        """Return the catalog, labeled as the data part of a recipe says."""
        if self.catalog is not None and self.rules in (None, rules_of(choice)):
            return self.catalog
        return read_catalog(self.manifest, choice.label_rule, choice.no_box, log=log)


Paths = str | os.PathLike | Sequence[str | os.PathLike]
Data = str | os.PathLike | Manifest | pd.DataFrame | Source | None


def source_of(data: Data, choice: DataChoice, log: Log) -> Source:
    """Find the images that are asked for, read as the data part of a recipe says; None asks for the recipe's own."""
    if isinstance(data, Source):
        return data
    if isinstance(data, pd.DataFrame):
        return Source(Manifest(name=CATALOG, layout="folders"), as_catalog(data))
    if isinstance(data, Manifest):
        return Source(data)
    reading = {"say": log, "class_level": choice.class_level or None, "merge_case": choice.merge_case}
    if data is None:
        return Source(locate(default=choice.name, **reading))
    known = [manifest.name for manifest in list_manifests()]
    is_there = os.path.exists(os.path.expanduser(data))
    if str(data) in known and is_there and isinstance(data, str):
        raise ValueError(
            f"{data!r} is the name of a data set and of a folder here. Expected {os.path.join('.', data)!r} for the "
            f"folder, or mcv.load_manifest({data!r}) for the data set."
        )
    if str(data) in known and isinstance(data, str) or str(data).endswith(".toml"):
        return Source(locate(str(data), **reading))
    if not is_there and len(Path(data).parts) == 1 and (hint := did_you_mean(str(data), known)):
        raise ValueError(f"There is no folder and no data set {str(data)!r}.{hint}")
    return Source(locate(data_dir=data, **reading))


def read_early(manifest: Manifest, choice: DataChoice, log: Log) -> Source:
    """Read the catalog of a data set, before anything heavy is imported."""
    catalog = read_catalog(manifest, choice.label_rule, choice.no_box, log=log)
    if usable(catalog).empty:
        reasons = catalog.groupby("problem", sort=False)["image_id"].agg(["size", "first"]).itertuples()
        said = ", ".join(f"{row.size} {row.Index} (the first: {row.first})" for row in reasons)
        raise ValueError(f"None of the {len(catalog)} images in {manifest.root} can be used: {said}.")
    check_trainable(catalog.assign(split="train"))
    return Source(manifest, catalog, rules_of(choice))


def rules_of(choice: DataChoice) -> tuple[str, str]:
    """How boxes become classes."""
    return choice.label_rule, choice.no_box


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


def find_images(paths: Paths, limit: int | None = None, seed: int = 0) -> list[Path]:
    """Return every file named and every visible image file below a folder named, sorted, or so many of them, drawn."""
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
    return sorted(random.Random(seed).sample(found, limit)) if limit and limit < len(found) else found
