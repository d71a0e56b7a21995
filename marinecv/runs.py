"""A run: one folder that keeps what happened, from the recipe to the report."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from marinecv.atomic import write_json
from marinecv.choices import SPLITS
from marinecv.data.catalog import CATALOG_COLUMNS
from marinecv.data.user_tables import as_catalog
from marinecv.environment import environment
from marinecv.hashes import sha256
from marinecv.hold import LOCK
from marinecv.inputs.spec import ImageSpec
from marinecv.run_records import Calibration, Contract, Environment, Timing, check_figures, read_contract
from marinecv.schema import names, read, read_json
from marinecv.tables import check_columns, numbers, read_table, write_table

if TYPE_CHECKING:
    import keras

OWN = "own"
"""The kind of the model of a run that was not trained here, and the name of its recipe and data."""
RESUMABLE = "Resume it with --resume {folder}, or name another folder with --output-dir."
LOST = "Bring it back from a copy, or train again into another folder with --output-dir."
SCORED = ("predictions.csv", "restorations.npz", "timing.json", "calibration.json", "honest.csv", "codes.npz")
MEND = {  # what a broken file of a run asks for; the others cannot be computed again
    "model.keras": f"Delete it and metrics.json. {RESUMABLE}",
    "metrics.json": f"Delete it. {RESUMABLE}",
    **dict.fromkeys(SCORED, f"Delete metrics.json, and it too if it is there. {RESUMABLE}"),
}


class Run:
    """A run folder. It is finished when its `metrics.json` stands, which is written last of what is computed.

    Args:
        folder: of an existing run.
    Raises:
        ValueError: the folder is no run.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self.path("recipe.json").is_file():
            raise ValueError(
                f"{self.folder} is no run: it has no recipe.json. Expected a folder that pretrain or finetune made; "
                "`marinecv runs` lists them."
            )

    @classmethod
    def create(cls, folder: str | Path, recipe: dict, contract: dict, catalog: pd.DataFrame) -> "Run":
        """Make a folder a run; an existing run is never overwritten.

        What a caller has put into the folder before, synthetic images say, becomes part of the run. `recipe` is
        `Recipe.to_dict()`, `contract` what the model cannot hold, to which the folders of the images are added as
        `data_dirs`; `catalog` has every image, the unusable ones with their reason.
        """
        folder = Path(folder)
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run already and is never overwritten. {RESUMABLE.format(folder=folder)}")
        catalog = as_catalog(catalog)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "contract.json", contract | {"data_dirs": _data_dirs(catalog)})
        write_json(folder / "environment.json", environment())
        write_table(folder / "catalog.csv", catalog)
        write_json(folder / "recipe.json", recipe)  # last: without it the folder is no run
        return cls(folder)

    def path(self, *parts: str) -> Path:
        """Return a path in the run folder."""
        return self.folder.joinpath(*parts)

    def read(self, name: str) -> dict:
        """Read one of its JSON files; ValueError where it is missing or broken."""
        with self.mending(name):
            return read_json(self.path(name))

    @property
    def finished(self) -> bool:
        """Whether it was trained and evaluated to the end."""
        return self.path("metrics.json").is_file()

    @property
    def trained(self) -> bool:
        """Whether it was trained to the end."""
        return self.path("timing.json").is_file() and self.path("model.keras").is_file()

    @property
    def restores(self) -> bool:
        """Whether its model is an autoencoder, which gives back the image; else it names the animal."""
        return self.read("contract.json").get("restores") is True

    @property
    def own(self) -> bool:
        """Whether its model was trained elsewhere: see `run_of_model`."""
        with suppress(ValueError):
            model = read_json(self.path("recipe.json")).get("model")
            return isinstance(model, dict) and model.get("kind") == OWN
        return False

    @property
    def fold(self) -> str:
        """Which fold of how many its validation images are, as in "2/5"; empty where the data was split once."""
        data = self.read("recipe.json").get("data")  # of another version, perhaps: only the fold is asked for
        return str(data.get("fold") or "") if isinstance(data, dict) else ""

    @property
    def catalog(self) -> pd.DataFrame:
        """The catalog it was trained on, whose images all lie below the folders that the run recorded; a broken one is
        a ValueError, as everywhere below."""
        folders = self.contract.data_dirs
        with self.mending("catalog.csv"):
            catalog = _read_catalog(self.path("catalog.csv"))
            _refuse_outside(catalog, folders, self.path("catalog.csv"))
            return catalog

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch, as Keras counted it."""
        with self.mending("history.csv"):
            return read_history(self.path("history.csv"))

    @property
    def metrics(self) -> dict[str, dict]:
        """The figures of each split, validation among them: each its value, bounds and n."""
        with self.mending("metrics.json"):
            metrics = read(self.path("metrics.json"), dict[str, dict[str, Any]])
            check_figures(metrics, self.path("metrics.json"))
            return metrics

    @property
    def attributes(self) -> pd.DataFrame:
        """What a multimodal model was told of each image: one row an image, by `image_id`, numbers from 0 to 1."""
        with self.mending("attributes.csv"):
            table = read_table(self.path("attributes.csv"))
            check_columns(table, ["image_id"], self.path("attributes.csv"))
            names(table["image_id"].tolist(), f"The images of {self.path('attributes.csv')}")
            columns = [column for column in table if column != "image_id"]
            values = numbers(table, columns, self.path("attributes.csv")).set_index("image_id")
            if not values.apply(lambda column: column.between(0, 1)).all(axis=None):
                raise ValueError(f"{self.path('attributes.csv')} holds a value that is not from 0 to 1.")
            return values

    @property
    def timing(self) -> Timing:
        """What the training cost."""
        with self.mending("timing.json"):
            return read(self.path("timing.json"), Timing)

    @property
    def environment(self) -> Environment:
        """The command that made it, and the commit of marinecv."""
        with self.mending("environment.json"):
            return read(self.path("environment.json"), Environment)

    @property
    def calibration(self) -> Calibration:
        """What its probabilities mean, as it was measured after the training; of this very model and contract."""
        path = self.path("calibration.json")
        with self.mending("calibration.json"):
            found = read(path, Calibration)
            for name, known in (("contract.json", found.contract_sha256), ("model.keras", found.model_sha256)):
                if known != sha256(self.path(name)):
                    raise ValueError(f"{path} was measured with another {name} than the one that lies beside it now.")
            return found

    @property
    def contract(self) -> Contract:
        """What its model cannot hold: class names, image spec, demonstration or not."""
        with self.mending("contract.json"):
            return read_contract(self.path("contract.json"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the model's outputs."""
        return self.contract.class_names

    @property
    def spec(self) -> ImageSpec:
        """How an image becomes what the model takes."""
        return self.contract.image

    @property
    def demonstration(self) -> bool:
        """Whether it learned from drawn pictures, so that its figures say nothing about real animals."""
        return self.contract.demonstration

    @contextmanager
    def mending(self, name: str) -> Iterator[None]:
        """Say of an error with one of its files, as the block raises it, how to mend it."""
        try:
            yield
        except (OSError, ValueError) as error:
            mend = "Make the run again with run_of_model." if self.own else MEND.get(name, LOST)
            raise ValueError(f"{error} {mend.format(folder=self.folder)}") from error

    def load_model(self) -> "keras.Model":
        """Load the trained model, in Keras' safe mode, for prediction; ValueError without a whole one."""
        if not self.path("model.keras").is_file():
            raise ValueError(
                f"{self.folder} has no model.keras: it was not trained to the end. "
                + RESUMABLE.format(folder=self.folder)
            )
        from marinecv.models.load import load_model

        with self.mending("model.keras"):
            return load_model(self.path("model.keras"))

    def note(self, text: str) -> None:
        """Append a line with the time to `log.txt`."""
        with open(self.path("log.txt"), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def is_begun(folder: Path) -> bool:
    """Whether a folder is a run or a study, finished or not, so that it can be resumed."""
    return any((folder / name).is_file() for name in ("recipe.json", "study.json"))


def fresh_folder(folder: str | Path) -> Path:
    """Make a folder, or raise ValueError where something lies in it already."""
    check_fresh(folder)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def check_fresh(folder: str | Path) -> None:
    """Raise ValueError where a file or a folder with something in it lies."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(path.name != LOCK for path in folder.iterdir())):
        if is_begun(folder):
            raise ValueError(f"{folder} exists and is never overwritten. {RESUMABLE.format(folder=folder)}")
        raise ValueError(f"{folder} exists and is not empty. Expected a new or an empty folder: name another one.")


def next_folder(parent: str | Path, name: str) -> Path:
    """Make and return `parent/name-1`, or the first number that is free, which no other process can take then."""
    number = 1
    while True:
        folder = Path(parent) / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def list_runs(parent: str | Path) -> list[Run]:
    """Every run below a folder, in the order of their paths; of a search the best alone."""
    folders = [path.parent for path in sorted(Path(parent).rglob("recipe.json")) if path.is_file()]
    return [Run(folder) for folder in folders if folder.name == "best" or not _is_of_a_search(folder)]


def _is_of_a_search(folder: Path) -> bool:
    """Whether a run is what the trials of a search share, or one of them: the search takes care of it."""
    return any((above / "search.json").is_file() for above in list(folder.parents)[:2])


def read_history(path: str | Path) -> pd.DataFrame:
    """Read a `history.csv` to the last digit; ValueError where its epochs do not count up from 1."""
    table = read_table(path)
    table = numbers(table, ["epoch", "loss", *table], path)
    if table["epoch"].tolist() != list(range(1, len(table) + 1)):
        raise ValueError(f"{path} has the epochs {table['epoch'].tolist()!r:.80}. Expected 1, 2, 3 and so on.")
    if "learning_rate" in table and not table["learning_rate"].between(0, 1e38).all():
        raise ValueError(f"{path} has a learning rate that is no number from 0 on.")
    return table.astype({"epoch": int})


def _read_catalog(path: Path) -> pd.DataFrame:
    table = read_table(path)
    check_columns(table, CATALOG_COLUMNS, path)
    table = numbers(table, ("width", "height", "share"), path)
    sizes, share = table[["width", "height"]], table["share"].fillna(0)
    doubts = {
        "repeats an image": table["image_id"].duplicated(),
        "has no image_id": table["image_id"] == "",
        "has a size that is no whole number of pixels": ~((sizes >= 0) & (sizes < 2**31) & (sizes % 1 == 0)).all(
            axis=1
        ),
        "has a share that is not from 0 to 1": ~share.between(0, 1),
        "has an unknown split": ~table["split"].isin((*SPLITS, "")),
    }
    for doubt, rows in doubts.items():
        if rows.any():
            first = table[rows].iloc[0]
            raise ValueError(f"Row {rows.argmax() + 1} of {path}, {first['image_id']!r} ({first['split']}), {doubt}.")
    return table.astype({"width": int, "height": int})


def _data_dirs(catalog: pd.DataFrame) -> list[str]:
    """The folders that the usable images lie below, those that their ids are relative to where they are."""
    columns, folders = (catalog.get(key, ()) for key in ("path", "image_id", "problem")), set()
    for name, image_id, problem in zip(*columns, strict=False):
        if not problem:
            is_below = name.replace(os.sep, "/").endswith(f"/{image_id}")
            folders.add(name[: -len(image_id) - 1] if is_below else os.path.dirname(name))
    return sorted(map(os.path.abspath, folders))


def _refuse_outside(catalog: pd.DataFrame, folders: tuple[str, ...], path: Path) -> None:
    """Refuse images that lie elsewhere, as written and with links followed: a catalog from somebody else must not open
    any file of this machine, and TensorFlow takes what is no absolute path for an address."""
    known = [folder for folder in folders if os.path.isabs(folder)]
    written, real = (tuple(os.path.join(of(folder), "") for folder in known) for of in (str, os.path.realpath))
    for number, row in enumerate(zip(catalog["path"], catalog["problem"], catalog["image_id"], strict=True), start=1):
        name, problem, image_id = row
        if problem or (name.startswith(written) and ".." not in name):
            continue
        if not (os.path.isabs(name) and os.path.realpath(name).startswith(real)):
            raise ValueError(
                f"Row {number} of {path}, {image_id!r}, names {name!r:.120}, which is no path below the folder of the "
                f"data that this run recorded ({', '.join(folders) or 'none'}). Expected images there, and no address."
            )
