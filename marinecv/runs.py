"""A run: a folder with everything about one training, from the recipe to the report."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from marinecv.choices import SPLITS
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.photos import photos_of
from marinecv.data.shards.records import file_state
from marinecv.data.stamps import IMAGES, read_stamps, stamp_images
from marinecv.data.user_tables import as_catalog
from marinecv.environment import environment
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import check_columns, parse_numbers, read_number_table, read_table, write_table
from marinecv.files.hashes import sha256
from marinecv.files.lock import LOCK
from marinecv.inputs.spec import ImageSpec
from marinecv.run_records import Calibration, Environment, Preprocessing, Timing, read_metrics, read_preprocessing
from marinecv.schema import names, read, read_json

if TYPE_CHECKING:
    import keras

EXTERNAL = "own"
"""The model kind, recipe name and data name of a run whose model was trained elsewhere."""
RESUME_HINT = 'Go on with resume("{folder}"), or name another folder with folder=.'
RESTORE_HINT = "Restore it from a copy, or train again into another folder with folder=."
ACCEPTED = "Changed images accepted: "
CORRECTIONS = "corrections.json"
RESUMED = "resumed training"
NUMBERS = ("width", "height", "dominance")  # columns of a catalog; all others are text
RECOMPUTED = ("predictions.csv", "restorations.npz", "timing.json", "calibration.json", "leakage.csv", "embeddings.npz")
FIX_HINTS = {  # how to fix a broken file of a run; the others cannot be computed again
    "model.keras": f"Delete it and metrics.json. {RESUME_HINT}",
    "metrics.json": f"Delete it. {RESUME_HINT}",
    **dict.fromkeys(RECOMPUTED, f"Delete metrics.json, and this file if it exists. {RESUME_HINT}"),
}


class Run:
    """A run folder; it is finished when it has `metrics.json`, the last file that is computed.

    Properties read its files; a missing or broken file is a ValueError that says how to fix it.

    Args:
        folder: of an existing run.
    Raises:
        ValueError: the folder is no run.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._catalog = (None, pd.DataFrame())  # the state of catalog.csv when it was read, and the table
        if not self.path("recipe.json").is_file():
            raise ValueError(
                f"{self.folder} is no run: it has no recipe.json. Expected a folder that pretrain or finetune made; "
                "`marinecv runs` lists them."
            )

    @classmethod
    def create(cls, folder: str | Path, recipe: dict, preprocessing: dict, catalog: pd.DataFrame) -> "Run":
        """Make a folder, with any files already in it, a run; ValueError where it is one already.

        `recipe` is `Recipe.to_dict()`, `preprocessing` what the model file cannot hold, to which the image folders are
        added as `data_dirs`; `catalog` has every image, unusable ones with their problem.
        """
        folder = Path(folder)
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run already and is never overwritten. {RESUME_HINT.format(folder=folder)}")
        catalog = as_catalog(catalog)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "preprocessing.json", preprocessing | {"data_dirs": _data_dirs(catalog)})
        write_json(folder / "environment.json", environment())
        write_table(folder / "catalog.csv", catalog)
        write_table(folder / IMAGES, stamp_images(catalog))
        write_json(folder / "recipe.json", recipe)  # last: without it the folder is no run
        self = cls(folder)
        text = catalog.drop(columns=[*NUMBERS], errors="ignore")
        if (text.dtypes == "str").all() and {*CATALOG_COLUMNS} <= {*catalog}:  # then the file would give the same
            state = self.preprocessing.data_dirs, file_state(folder / "catalog.csv")
            self._catalog = state, catalog.fillna(dict.fromkeys(text, "")).reset_index(drop=True)
        return self

    def path(self, *parts: str) -> Path:
        """Return a path in the run folder."""
        return self.folder.joinpath(*parts)

    def read(self, name: str) -> dict:
        """Read a JSON file of the run."""
        return self._load(name, read_json)

    @property
    def finished(self) -> bool:
        """Whether it is trained and evaluated."""
        return self.path("metrics.json").is_file()

    @property
    def trained(self) -> bool:
        """Whether it is trained to the end."""
        return self.path("timing.json").is_file() and self.path("model.keras").is_file()

    @property
    def is_autoencoder(self) -> bool:
        """Whether its model is an autoencoder, not a classifier."""
        return self.read("preprocessing.json").get("is_autoencoder") is True

    @property
    def is_external(self) -> bool:
        """Whether its model was trained elsewhere, see `run_of_model`."""
        with suppress(ValueError):
            model = read_json(self.path("recipe.json")).get("model")
            return isinstance(model, dict) and model.get("kind") == EXTERNAL
        return False

    @property
    def fold(self) -> str:
        """Its fold, as in "2/5"; empty where the data was split once."""
        data = self.read("recipe.json").get("data")  # perhaps of another version: only the fold is read
        return str(data.get("fold") or "") if isinstance(data, dict) else ""

    @property
    def catalog(self) -> pd.DataFrame:
        """The catalog it was trained on; ValueError for an image outside the folders that the run recorded."""
        folders, path = self.preprocessing.data_dirs, self.path("catalog.csv")
        with self.with_hint("catalog.csv"):
            state = folders, file_state(path)
            if self._catalog[0] != state:
                catalog = _read_catalog(path)
                _check_paths(catalog, folders, path)
                self._catalog = state, catalog
            return self._catalog[1].copy()

    @property
    def stamps(self) -> pd.DataFrame:
        """Size, time and hash of its images at the start of the training, see `stamp_images`."""
        return self._load(IMAGES, read_stamps)

    @property
    def accepted_changes(self) -> list[str]:
        """Sentences on changed images that were used all the same, from `log.txt`."""
        log = self.path("log.txt")
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        return list(dict.fromkeys(re.findall(f"{ACCEPTED}.*", text)))

    @property
    def correction_sentences(self) -> list[str]:
        """What the corrected labels of a review changed, see `train`; empty of a run without any."""
        return self.read(CORRECTIONS).get("sentences", []) if self.path(CORRECTIONS).is_file() else []

    @property
    def history(self) -> pd.DataFrame:
        """The training history, a row an epoch."""
        return self._load("history.csv", read_history)

    @property
    def metrics(self) -> dict[str, dict]:
        """The metrics of each split, each with value, bounds and n."""
        return self._load("metrics.json", read_metrics)

    @property
    def attributes(self) -> pd.DataFrame:
        """The attributes of the images of a multimodal model: a row an image, by `image_id`, 0 to 1."""
        path = self.path("attributes.csv")
        with self.with_hint("attributes.csv"):
            table = read_table(path)
            check_columns(table, ["image_id"], path)
            names(table["image_id"].tolist(), f"The images of {path}")
            values = parse_numbers(table, table.columns.drop("image_id"), path).set_index("image_id")
            if not values.apply(lambda column: column.between(0, 1)).all(axis=None):
                raise ValueError(f"{path} holds a value that is not from 0 to 1.")
            return values

    @property
    def timing(self) -> Timing:
        """The cost of the training."""
        return self._load("timing.json", read, Timing)

    @property
    def environment(self) -> Environment:
        """The command that made it, and the commit of marinecv."""
        return self._load("environment.json", read, Environment)

    @property
    def calibration(self) -> Calibration:
        """The calibration; ValueError where it belongs to another model or preprocessing than those of the folder."""
        path = self.path("calibration.json")
        with self.with_hint("calibration.json"):
            found = read(path, Calibration)
            hashes = {"preprocessing.json": found.preprocessing_sha256, "model.keras": found.model_sha256}
            for name, expected_hash in hashes.items():
                if expected_hash != sha256(self.path(name)):
                    raise ValueError(f"{path} was measured with another {name} than the one in the folder.")
            return found

    @property
    def preprocessing(self) -> Preprocessing:
        """What the model file cannot hold: class names, image spec, demonstration or not."""
        return self._load("preprocessing.json", read_preprocessing)

    @property
    def shared_preprocessing(self) -> dict:
        """The content of `preprocessing.json` for others: without the folders of the images."""
        return {name: value for name, value in self.read("preprocessing.json").items() if name != "data_dirs"}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the model's outputs."""
        return self.preprocessing.class_names

    @property
    def spec(self) -> ImageSpec:
        """How images are decoded and resized for the model."""
        return self.preprocessing.image

    @property
    def demonstration(self) -> bool:
        """Whether it was trained on generated images, so that its metrics do not apply to real animals."""
        return self.preprocessing.demonstration

    @contextmanager
    def with_hint(self, name: str) -> Iterator[None]:
        """Add to an error of the block, about the file `name`, how to fix it; raises ValueError."""
        try:
            yield
        except (OSError, ValueError) as error:
            if not self.folder.is_dir():
                raise ValueError(f"{self.folder} is not in {Path.cwd()}. Open it again by its full path.") from error
            fix = "Make the run again with run_of_model." if self.is_external else FIX_HINTS.get(name, RESTORE_HINT)
            raise ValueError(f"{error} {fix.format(folder=self.folder)}") from error

    def _load(self, name: str, load: Callable, *more: object):
        with self.with_hint(name):
            return load(self.path(name), *more)

    def load_model(self) -> "keras.Model":
        """Load the trained model, in Keras' safe mode, for prediction; ValueError where it is missing or damaged."""
        if not self.path("model.keras").is_file():
            fix = RESUME_HINT.format(folder=self.folder)
            raise ValueError(f"{self.folder} has no model.keras: it was not trained to the end. {fix}")
        from marinecv.models.safe_load import load_model

        return self._load("model.keras", load_model)

    def note(self, text: str) -> None:
        """Append a line with the time to `log.txt`."""
        with open(self.path("log.txt"), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def is_begun(folder: Path) -> bool:
    """Return whether a folder is a run or an experiment, finished or not."""
    return any((folder / name).is_file() for name in ("recipe.json", "experiment.json"))


def fresh_folder(folder: str | Path) -> Path:
    """Make a folder; ValueError where there is something in it already."""
    check_fresh(folder)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def check_fresh(folder: str | Path) -> None:
    """Raise ValueError for a file, or a folder that is not empty."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(path.name != LOCK for path in folder.iterdir())):
        if is_begun(folder):
            raise ValueError(f"{folder} exists and is never overwritten. {RESUME_HINT.format(folder=folder)}")
        raise ValueError(f"{folder} exists and is not empty. Expected a new or an empty folder: name another one.")


def next_folder(parent: str | Path, name: str) -> Path:
    """Make and return `parent/name-1`, or with the first free number, which no other process can take."""
    number = 1
    while True:
        folder = Path(parent) / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def list_runs(parent: str | Path) -> list[Run]:
    """Return every run below a folder, sorted by path; of a search only the best."""
    folders = [path.parent for path in sorted(Path(parent).rglob("recipe.json")) if path.is_file()]
    trials = {folder for folder in folders if any((above / "search.json").is_file() for above in folder.parents[:2])}
    return [Run(folder) for folder in folders if folder.name == "best" or folder not in trials]


def read_history(path: str | Path) -> pd.DataFrame:
    """Read a `history.csv` exactly; ValueError where its epochs are not 1, 2, 3 and so on."""
    table = read_table(path)
    table = parse_numbers(table, ["epoch", "loss", *table], path)
    if table["epoch"].tolist() != list(range(1, len(table) + 1)):
        raise ValueError(f"{path} has the epochs {table['epoch'].tolist()!r:.80}. Expected 1, 2, 3 and so on.")
    if "learning_rate" in table and not table["learning_rate"].between(0, 1e38).all():
        raise ValueError(f"{path} has a learning rate below 0, or none.")
    return table.astype({"epoch": int})


def _read_catalog(path: Path) -> pd.DataFrame:
    table = read_number_table(path, CATALOG_COLUMNS, NUMBERS)
    sizes = table[["width", "height"]]
    whole = ((sizes >= 0) & (sizes < 2**31) & (sizes % 1 == 0)).all(axis=1)
    problems = {
        "repeats an image": table["image_id"].duplicated(),
        "has no image_id": table["image_id"] == "",
        "has a size that is no whole number of pixels": ~whole,
        "has a dominance that is not from 0 to 1": ~table["dominance"].fillna(0).between(0, 1),
        "has an unknown split": ~table["split"].isin((*SPLITS, "")),
    }
    for problem, rows in problems.items():
        if rows.any():
            raise ValueError(f"Row {rows.argmax() + 1} of {path}, {table['image_id'][rows.argmax()]!r}, {problem}.")
    return table.astype({"width": int, "height": int})


def _data_dirs(catalog: pd.DataFrame) -> list[str]:
    """Return the folders of the usable images: those that their ids are relative to, if they are."""
    photos = photos_of(catalog)
    columns = (np.asarray(photos.get(key, ()), object) for key in ("path", "image_id", "problem"))
    folders: set[str] = set()
    for name, image_id, problem in zip(*columns, strict=False):
        if not problem:
            name = name.replace(os.sep, "/")
            is_below = name.endswith(f"/{image_id}")
            folders.add(name.removesuffix(image_id) if is_below else name[: name.rfind("/") + 1])
    return sorted(map(os.path.abspath, folders))


def _check_paths(catalog: pd.DataFrame, folders: tuple[str, ...], path: Path) -> None:
    """Raise ValueError for images outside the folders, as written or with links followed.

    So a catalog from someone else cannot open any file of this machine, or a URL: TensorFlow opens `gs://` paths.
    """
    known = [folder for folder in folders if os.path.isabs(folder)]
    written, real = (tuple(os.path.join(of(folder), "") for folder in known) for of in (str, os.path.realpath))
    paths = catalog.loc[catalog["problem"] == "", "path"]
    for index, name in zip(paths.index, paths.tolist(), strict=True):
        if name.startswith(written) and ".." not in name:
            continue
        if not (os.path.isabs(name) and os.path.realpath(name).startswith(real)):
            raise ValueError(
                f"Row {index + 1} of {path} names {name!r:.120}, which is no path below the data folders of the run "
                f"({', '.join(folders) or 'none'}). Expected images there, and no URL."
            )
