"""Arguments of workflows: images by a path, data set name, manifest or catalog; runs; files to predict."""

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from marinecv.choices import WEIGHTS
from marinecv.console import Log
from marinecv.data.boxes import as_boxes
from marinecv.data.catalog import CATALOG_COLUMNS, check_trainable, read_catalog_and_boxes
from marinecv.data.find_data import find_data
from marinecv.data.layouts import IMAGE_SUFFIXES, image_files
from marinecv.data.manifests import Manifest, list_manifests
from marinecv.data.user_catalog import OTHER_NAMES, catalog_of
from marinecv.data.user_tables import as_catalog, as_table, rename_aliases
from marinecv.runs import Run
from marinecv.schema import did_you_mean
from marinecv.training.recipe import DataConfig

CATALOG = "catalog"
"""Data set name of a DataFrame."""


@dataclass(frozen=True)
class Source:
    """A data set that was found, with what was read of it, by label rule and rule for images without boxes."""

    manifest: Manifest
    catalog: pd.DataFrame | None = None
    boxes: pd.DataFrame | None = None
    rules: tuple[str, str] | None = None

    def read(self, choice: DataConfig, log: Log) -> pd.DataFrame:
        """Return the catalog, labeled as the data part of a recipe says."""
        return self.read_with_boxes(choice, log)[0]

    def read_with_boxes(self, choice: DataConfig, log: Log) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the catalog as `read` does, and all boxes; of a DataFrame none."""
        rules = choice.label_rule, choice.images_without_boxes
        if self.catalog is not None and self.rules in (None, rules):
            return self.catalog, self.boxes
        return read_catalog_and_boxes(self.manifest, *rules, log=log)


Paths = str | os.PathLike | Sequence[str | os.PathLike]
Data = str | os.PathLike | Manifest | pd.DataFrame | Source | None


def source_of(data: Data, choice: DataConfig, log: Log) -> Source:
    """Find images, to be read as the data part of a recipe says; None: the recipe's own; ValueError without any."""
    if isinstance(data, Source):
        return data
    if isinstance(data, pd.DataFrame):
        if "image_id" not in data:
            as_table(rename_aliases(data, OTHER_NAMES), ("path", "class_name"), table_name="DataFrame of images")
        catalog = as_catalog(data) if {*CATALOG_COLUMNS} <= {*data} else catalog_of(data)
        return Source(Manifest(name=CATALOG, layout="folders"), catalog, as_boxes(pd.DataFrame()))
    if isinstance(data, Manifest):
        return Source(data)
    reading = {"log": log, **choice.reading}
    if data is None:
        return Source(find_data(default=choice.name, **reading))
    is_there = os.path.exists(os.path.expanduser(data))
    if names_data_set(data):
        if is_there and not data.endswith(".toml"):
            raise ValueError(f"{data!r} names a data set and a folder. Expected './{data}' or load_manifest({data!r}).")
        return Source(find_data(data, **reading))
    hint = did_you_mean(str(data), [manifest.name for manifest in list_manifests()])
    if hint and not is_there and len(Path(data).parts) == 1:
        raise ValueError(f"There is no folder and no data set {str(data)!r}.{hint}")
    return Source(find_data(data_dir=data, **reading))


def with_columns(choice: DataConfig, changes: Mapping | None, settings: Mapping | None = None) -> DataConfig:
    """Return the data part of a recipe with the columns that changes or settings name: files are found by them."""
    given = {**(changes or {}), **(settings or {})}
    columns = given.get("columns") or given.get("data.columns")
    return replace(choice, columns=columns) if columns else choice


def names_data_set(data: str | os.PathLike) -> bool:
    """Return whether text is the name of a known data set or of a manifest file, and no folder."""
    is_known = isinstance(data, str) and data in (manifest.name for manifest in list_manifests())
    return is_known or str(data).endswith(".toml")


def read_catalog_early(manifest: Manifest, choice: DataConfig, log: Log) -> Source:
    """Read the catalog of a data set before TensorFlow is imported; ValueError where nothing can be trained on it."""
    rules = choice.label_rule, choice.images_without_boxes
    catalog, boxes = read_catalog_and_boxes(manifest, *rules, log=log)
    check_trainable(catalog.assign(split="train"))
    return Source(manifest, catalog, boxes, rules)


def check_weights_file(weights: str) -> None:
    """Raise ValueError unless weights of a pretrained network are `imagenet`, `none` or an existing file."""
    if weights not in WEIGHTS and not Path(weights).is_file():
        raise ValueError(f"There is no weights file {weights}. Expected imagenet, none, or a file without top (.h5).")


def open_run(run: str | os.PathLike | Run) -> Run:
    """Return a run by its folder, or as it is; ValueError where the folder is no run."""
    return run if isinstance(run, Run) else Run(run)


def open_classifier(run: str | os.PathLike | Run) -> Run:
    """Return the run of a classifier; ValueError where it is an autoencoder's."""
    run = open_run(run)
    if run.is_autoencoder:
        raise ValueError(f"{run.folder} is the run of an autoencoder, without classes. Expected that of a classifier.")
    return run


def as_paths(paths: Paths) -> list[Path]:
    """Return one or several paths as a list."""
    return [Path(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]


def find_images(paths: Paths, limit: int | None = None, seed: int = 0) -> list[Path]:
    """Return each file, and every visible image below folders once, sorted; with `limit` a random sample of them."""
    paths, files = as_paths(paths), []
    for path in paths:
        if not path.exists():
            raise ValueError(f"There is no {path}. Expected an image file or a folder.")
        files += image_files(path, deep=True) if path.is_dir() else [path]
    if any(path.is_dir() for path in paths):
        is_again = pd.Series([os.path.abspath(file) for file in files]).duplicated()
        files = [file for file, again in zip(files, is_again, strict=True) if not again]
    if not files:
        expected = f"Expected files ending in {', '.join(IMAGE_SUFFIXES)}."
        raise ValueError(f"No image in {', '.join(map(str, paths))}. {expected}")
    return sorted(random.Random(seed).sample(files, limit)) if limit and limit < len(files) else files
