"""A search: one folder that keeps its trials, so that it can be killed at any instant and go on."""

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from msgspec import Meta, Struct, to_builtins
from msgspec.structs import asdict

from marinecv.atomic import write_json
from marinecv.hold import hold
from marinecv.runs import Run
from marinecv.schema import Count, Positive, Seed, one_of, read
from marinecv.search.engines import check_engine
from marinecv.search.space import Parameter, check_values
from marinecv.tables import write_table
from marinecv.training.recipe import Recipe

STATUSES = ("running", "done", "pruned", "failed")
MOST_TRIALS = 9999
WEIGHTS = ("model.keras", "checkpoint.npz")


class Trial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training with some values, and what came of it; numbers of trials and epochs count from 1.

    `values` are of every hyper-parameter that plays a part. One that is `"running"` may have been left by a killed
    process. `value` is the best validation accuracy of an epoch, `loss` the validation loss of that `best_epoch`.
    `reason` says why it was pruned or failed, or whose figures these are; `tries` counts processes since its last
    epoch.
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

    def __post_init__(self):
        one_of(STATUSES, status=self.status)
        if self.status == "done" and (self.value is None or self.loss is None):
            raise ValueError("A trial that is done has a value and a loss: an epoch with finite ones.")

    @property
    def over(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.status != "running"


class About(Struct, frozen=True, kw_only=True):
    """`search.json`: how many trials there are at most, and where their values come from."""

    engine: str
    algorithm: str
    trials: Annotated[int, Meta(ge=1, le=MOST_TRIALS)]
    seed: Seed
    space: Annotated[tuple[Parameter, ...], Meta(min_length=1)]


class Search:
    """A search folder: `search.json`, `base` with what all trials share, `trials/0001` and on, `trials.csv`, `best`."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        path = self.folder / "search.json"
        if not path.is_file():
            raise ValueError(f"{folder} is no search: it has no search.json. Expected a folder that `search` made.")
        try:
            about = read(path, About)
        except ValueError as error:
            raise ValueError(f"{error} Bring it back from a copy, or start another search.") from error
        self.engine, self.algorithm, self.space = about.engine, about.algorithm, about.space
        self.count, self.seed = about.trials, about.seed
        check_engine(self.engine, self.algorithm)

    @classmethod
    def create(
        cls, folder: str | Path, engine: str, algorithm: str, trials: int, seed: int, space: tuple[Parameter, ...]
    ) -> "Search":
        """Make a folder with its `base` a search, of so many trials at most."""
        about = About(engine=engine, algorithm=algorithm, trials=trials, seed=seed, space=space)
        write_json(Path(folder) / "search.json", to_builtins(about))
        return cls(folder)

    @property
    def base(self) -> Run:
        """What all trials share: the recipe as it stands, the contract, the catalog."""
        return Run(self.folder / "base")

    @property
    def trials(self) -> list[Trial]:
        """Every trial, by number; ValueError where a `trial.json` is broken, or one is missing before another."""
        found = (self.folder / "trials").glob("[0-9]*/trial.json")
        return [self.trial(number) for number, _ in enumerate(found, start=1)]

    def trial(self, number: int) -> Trial:
        """One trial, as its file says now; ValueError where that is broken or missing."""
        path = self.trial_folder(number) / "trial.json"
        try:
            trial = read(path, Trial)
            check_values(self.space, trial.values, path)
            if trial.number != number:
                raise ValueError(f"{path} holds trial {trial.number}. Expected trial {number}.")
        except ValueError as error:
            raise ValueError(f"{error} Bring it back from a copy, or start another search.") from error
        return trial

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value, of equals that with the lowest loss, then the first; None before any."""
        done = [trial for trial in self.trials if trial.status == "done"]
        return max(done, key=lambda trial: (trial.value, -trial.loss), default=None)

    def held(self) -> AbstractContextManager[None]:
        """Hold the search for a moment; another process that holds it is waited for."""
        return hold(self.folder, waiting=lambda: None)

    def trial_folder(self, number: int) -> Path:
        """Where the run of a trial lies."""
        return self.folder / "trials" / f"{number:04d}"

    def run_of(self, folder: Path, recipe: Recipe) -> Run:
        """Open the run in a folder of this search; where there is none yet, make it of the recipe and of `base`."""
        if not (folder / "recipe.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for told in self.base.folder.glob("attributes.csv"):  # of a multimodal model
                shutil.copy(told, folder)
            Run.create(folder, recipe.to_dict(), self.base.read("contract.json"), self.base.catalog)
        return Run(folder)

    def write_trial(self, trial: Trial) -> None:
        """Keep a trial; one that is over keeps no weights."""
        folder = self.trial_folder(trial.number)
        write_json(folder / "trial.json", asdict(trial))
        for name in WEIGHTS if trial.over else ():
            (folder / name).unlink(missing_ok=True)

    def table(self) -> pd.DataFrame:
        """A row a trial: `number, status, value, loss, best_epoch, epochs, seconds`, a column a parameter, `reason`.

        What a trial does not have is None.
        """
        names = [parameter.name for parameter in self.space]
        rows = []
        for trial in self.trials:
            row = asdict(trial)
            values, reason, _ = row.pop("values"), row.pop("reason"), row.pop("tries")
            rows.append({**row, **{name: values.get(name) for name in names}, "reason": reason})
        return pd.DataFrame(rows, dtype=object)

    def write_table(self) -> None:
        """Write `trials.csv`, for people: it is never read back."""
        write_table(self.folder / "trials.csv", self.table())
