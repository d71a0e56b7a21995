"""A search: a folder of trials, which can be resumed after a kill at any time."""

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pandas as pd
from msgspec import Meta, Struct, to_builtins
from msgspec.structs import asdict

from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import write_table
from marinecv.files.lock import lock_folder
from marinecv.runs import Run
from marinecv.schema import Count, Positive, Seed, check_choice, read
from marinecv.search.engines import check_engine
from marinecv.search.space import Parameter
from marinecv.training.recipe import Recipe

T = TypeVar("T")
RESTORE_HINT = "Restore it from a copy, or start another search."
STATUSES = ("running", "done", "pruned", "failed")
MAX_TRIALS = 9999
WEIGHTS = ("model.keras", "checkpoint.npz")
COLUMNS = ("number", "status", "value", "loss", "best_epoch", "epochs", "seconds")


class Trial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training with some values of the hyperparameters and its result; trials and epochs count from 1.

    A `"running"` trial may have been left by a killed process. `value` is the best validation accuracy of an epoch,
    `loss` the validation loss of that `best_epoch`, `reported` the epochs and their values. `reason` says why it was
    pruned or failed, or which trial has the same values; `tries` counts processes since its last epoch.
    """

    number: Positive
    values: dict[str, Any]
    status: str = "running"
    value: float | None = None
    loss: float | None = None
    best_epoch: Count | None = None
    epochs: Count = 0
    seconds: float = 0.0
    reason: str = ""
    tries: Count = 0
    reported: tuple[tuple[int, float], ...] = ()

    def __post_init__(self):
        check_choice(STATUSES, status=self.status)
        if self.status == "done" and (self.value is None or self.loss is None):
            raise ValueError("Expected value and loss of a trial that is done: an epoch with finite ones.")

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self.status != "running"


class SearchSettings(Struct, frozen=True, kw_only=True):
    """`search.json`: the maximum number of trials, and where their values come from."""

    engine: str
    algorithm: str
    trials: Annotated[int, Meta(ge=1, le=MAX_TRIALS)]
    seed: Seed
    space: Annotated[tuple[Parameter, ...], Meta(min_length=1)]


class Search:
    """A search folder: `search.json`, `base` that trials start from, `trials/0001`, `trials.csv` and `best`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        path = self.folder / "search.json"
        if not path.is_file():
            raise ValueError(f"{folder} is no search: it has no search.json. Expected a folder that `search` made.")
        about = _read(path, SearchSettings)
        self.engine, self.algorithm, self.space = about.engine, about.algorithm, about.space
        self.count, self.seed = about.trials, about.seed
        check_engine(self.engine, self.algorithm)

    @classmethod
    def create(cls, folder: str | Path, engine: str, algorithm: str, trials: int, seed: int, space: tuple) -> "Search":
        """Make a folder with its `base` a search of at most `trials` trials over a space of `Parameter`."""
        about = SearchSettings(engine=engine, algorithm=algorithm, trials=trials, seed=seed, space=space)
        write_json(Path(folder) / "search.json", to_builtins(about))
        return cls(folder)

    @property
    def base(self) -> Run:
        """The run that trials start from: recipe, preprocessing and catalog."""
        return Run(self.folder / "base")

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number; ValueError if a `trial.json` is broken, or missing before another."""
        found = (self.folder / "trials").glob("[0-9]*/trial.json")
        return [self.trial(number) for number, _ in enumerate(found, start=1)]

    def trial(self, number: int) -> Trial:
        """Read a trial; ValueError if its file is broken or missing."""
        path = self.trial_folder(number) / "trial.json"
        trial = _read(path, Trial)
        if trial.number != number:
            raise ValueError(f"{path} holds trial {trial.number}. Expected trial {number}. {RESTORE_HINT}")
        return trial

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value, then the lowest loss, then the first; None before any is done."""
        done = [trial for trial in self.trials if trial.status == "done"]
        return max(done, key=lambda trial: (trial.value, -trial.loss), default=None)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the search for a moment, after waiting for another process."""
        return lock_folder(self.folder, waiting=lambda: None)

    def trial_folder(self, number: int) -> Path:
        """Return the folder of a trial's run."""
        return self.folder / "trials" / f"{number:04d}"

    def run_of(self, folder: Path, recipe: Recipe) -> Run:
        """Open the run in a folder of this search, or make it of the recipe and of `base`."""
        if not (folder / "recipe.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for attributes_file in self.base.folder.glob("attributes.csv"):  # of a multimodal model
                shutil.copy(attributes_file, folder)
            Run.create(folder, recipe.to_dict(), self.base.read("preprocessing.json"), self.base.catalog)
        return Run(folder)

    def write_trial(self, trial: Trial) -> None:
        """Save a trial, and delete the weights of one that is over."""
        folder = self.trial_folder(trial.number)
        write_json(folder / "trial.json", asdict(trial))
        for name in WEIGHTS if trial.over else ():
            (folder / name).unlink(missing_ok=True)

    def table(self) -> pd.DataFrame:
        """Return a row a trial: `COLUMNS`, a column a parameter, and `reason`; None where a trial has no value."""
        names = [parameter.name for parameter in self.space]
        rows = [{**asdict(trial), **dict.fromkeys(names), **trial.values} for trial in self.trials]
        return pd.DataFrame(rows, columns=[*COLUMNS, *names, "reason"], dtype=object)

    def write_table(self) -> None:
        """Write `trials.csv`, which is never read back."""
        write_table(self.folder / "trials.csv", self.table())


def _read(path: Path, kind: type[T]) -> T:
    try:
        return read(path, kind)
    except ValueError as error:
        raise ValueError(f"{error} {RESTORE_HINT}") from error
