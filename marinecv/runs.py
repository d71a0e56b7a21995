"""A run: one folder that keeps what happened, from the recipe to the report."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from marinecv.atomic import write_json
from marinecv.hold import LOCK
from marinecv.inputs.spec import ImageSpec
from marinecv.tables import read_table, write_table

if TYPE_CHECKING:
    import keras

RESUMABLE = "Resume it with --resume {folder}, or name another folder with --output-dir."


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

        Args:
            folder: to be made; what a caller has put there before, synthetic images say, becomes part of the run.
            recipe: `Recipe.to_dict()`.
            contract: what the model cannot hold: class names, image spec, demonstration or not.
            catalog: every image, the unusable ones with their reason.
        Raises:
            ValueError: the folder is a run already.
        """
        folder = Path(folder)
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run already and is never overwritten. {RESUMABLE.format(folder=folder)}")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "contract.json", contract)
        write_json(folder / "environment.json", environment())
        write_table(folder / "catalog.csv", catalog)
        write_json(folder / "recipe.json", recipe)  # last: without it the folder is no run
        return cls(folder)

    def path(self, *parts: str) -> Path:
        """Return a path in the run folder."""
        return self.folder.joinpath(*parts)

    def read(self, name: str) -> dict:
        """Read one of its JSON files.

        Raises:
            ValueError: the file is missing or broken.
        """
        try:
            return json.loads(self.path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.path(name)} cannot be read: {error}. {self._mend()}") from error

    @property
    def finished(self) -> bool:
        """Whether it was trained and evaluated to the end."""
        return self.path("metrics.json").is_file()

    @property
    def catalog(self) -> pd.DataFrame:
        """The catalog it was trained on."""
        table = read_table(self.path("catalog.csv"))
        numbers = [column for column in ("width", "height", "share") if column in table]
        return table.assign(**table[numbers].apply(pd.to_numeric))

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch, as Keras counted it."""
        return read_history(self.path("history.csv"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the model's outputs."""
        return tuple(self.read("contract.json")["class_names"])

    @property
    def spec(self) -> ImageSpec:
        """How an image becomes what the model takes."""
        return ImageSpec(**self.read("contract.json")["image"])

    @property
    def demonstration(self) -> bool:
        """Whether it learned from drawn pictures, so that its figures say nothing about real animals."""
        return bool(self.read("contract.json").get("demonstration", False))

    def load_model(self) -> "keras.Model":
        """Load the trained model, in Keras' safe mode.

        Raises:
            ValueError: there is no model yet.
        """
        if not self.path("model.keras").is_file():
            raise ValueError(f"{self.folder} has no model.keras: it was not trained to the end. {self._mend()}")
        import keras

        return keras.saving.load_model(self.path("model.keras"))

    def note(self, text: str) -> None:
        """Append a line with the time to `log.txt`."""
        with open(self.path("log.txt"), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def _mend(self) -> str:
        return RESUMABLE.format(folder=self.folder)


def fresh_folder(folder: str | Path) -> Path:
    """Make a folder that nothing lies in.

    Raises:
        ValueError: something lies there already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(path.name != LOCK for path in folder.iterdir())):
        if any((folder / name).is_file() for name in ("recipe.json", "study.json")):
            raise ValueError(f"{folder} exists and is never overwritten. {RESUMABLE.format(folder=folder)}")
        raise ValueError(f"{folder} exists and is not empty. Expected a new or an empty folder: name another one.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
    """Every run below a folder, in the order of their paths."""
    return [Run(path.parent) for path in sorted(Path(parent).rglob("recipe.json"))]


def read_history(path: str | Path) -> pd.DataFrame:
    """Read a `history.csv` to the last digit, which the number parser of pandas 2 loses."""
    table = read_table(path)
    return table.astype({column: int if column == "epoch" else float for column in table})


def environment() -> dict:
    """What the run ran on, and the command line that started it."""
    packages = ("marinecv", "tensorflow", "keras", "numpy", "pandas", "scikit-learn", "pillow")
    return {
        "command": command_line(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "keras_backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **{name: _version(name) for name in packages},
    }


def command_line() -> str:
    """The command as typed, with the program's folder left out."""
    program = Path(sys.argv[0]).name
    return shlex.join((["python"] if program.endswith(".py") else []) + [program, *sys.argv[1:]])


def commit() -> str:
    """The commit of the marinecv that runs, where it lies in a git clone; `+` marks uncommitted changes."""
    clone = Path(__file__).parents[1]
    if not (clone / ".git").exists():
        return ""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=clone,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
