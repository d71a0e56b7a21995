"""A study: a folder of runs that are told apart by name, with one table. A grid, seeds and a replay are studies."""

from pathlib import Path

import pandas as pd
from msgspec import Struct

from marinecv.atomic import write_json
from marinecv.choices import SCORED_SPLITS
from marinecv.data.names import leads_out
from marinecv.runs import Run
from marinecv.schema import names, one_of, read
from marinecv.tables import check_columns, numbers, read_table, write_table

COSTS = ("epochs", "best_epoch", "train_seconds", "latency_ms_per_image", "parameters", "trainable_parameters")
CURVE, REPRODUCTION = "curve.json", "reproduction.json"
"""What a study has beside `study.json` that is a learning curve, or the reproduction of a report."""
FLATTERED = "chosen on test, which flatters it: no figure of test stands for new images any more"


class About(Struct, frozen=True, kw_only=True):
    """`study.json`: a study, and the folder of each of its cells."""

    title: str
    demonstration: bool
    select_on: str = "validation"
    cells: dict[str, str]

    def __post_init__(self):
        one_of(SCORED_SPLITS, select_on=self.select_on)
        names(list(self.cells), "The cells")
        names(list(self.cells.values()), "The folders of the cells")
        for cell, place in self.cells.items():
            if leads_out(place) or not Path(place).parts or "\0" in place:
                raise ValueError(f"Cell {cell!r} lies in {place!r}. Expected a folder below the study's own.")


class Study:
    """A study folder: `study.json`, `table.csv`, `report.html` and a folder a cell; ValueError where it is none."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not is_study(folder):
            raise ValueError(f"{folder} is no study: it has no study.json. Expected a folder that --grid made.")
        try:
            about = read(self.folder / "study.json", About)
        except ValueError as error:
            raise ValueError(
                f"{error} Bring it back from a copy, or open the runs below {self.folder} one by one."
            ) from error
        self.title, self.demonstration, self.select_on = about.title, about.demonstration, about.select_on
        self.cells = about.cells

    @classmethod
    def create(
        cls,
        folder: str | Path,
        name: str,
        title: str,
        cells: list[str],
        demonstration: bool = False,
        select_on: str = "validation",
    ) -> "Study":
        """Make a folder with a run of the name of each cell a study, whose best row the split `select_on` chooses."""
        about = {"name": name, "title": title, "demonstration": demonstration, "select_on": select_on}
        write_json(Path(folder) / "study.json", {**about, "cells": {cell: cell for cell in cells}})
        return cls(folder)

    def cell_folder(self, cell: str) -> Path:
        """Where the run of a cell lies."""
        return self.folder / self.cells[cell]

    @property
    def table(self) -> pd.DataFrame:
        """What `write_table` wrote last, numbers as numbers; ValueError where there is none yet, or a broken one."""
        path = self.folder / "table.csv"
        if not path.is_file():
            raise ValueError(f"{self.folder} has no table.csv: no run is finished. Go on with --resume {self.folder}.")
        try:
            return self._read_table(path)
        except ValueError as error:
            raise ValueError(f"{error} Write it again: `marinecv report {self.folder}`.") from error

    @property
    def finished_runs(self) -> dict[str, Run]:
        """The runs that are trained and evaluated, by cell."""
        runs = {cell: Run(self.cell_folder(cell)) for cell in self.cells}
        return {cell: run for cell, run in runs.items() if run.finished}

    def write_table(self) -> pd.DataFrame:
        """Write `table.csv`: a row a finished run, the best marked: on validation, unless the study selects on test.

        Ties on accuracy go to the lower log loss of that split. Of folds none is the best, for each is judged on other
        images, and none of autoencoders, whose errors are in ranges of their own. ValueError without a finished run.
        """
        runs = self.finished_runs
        if not runs:
            raise ValueError(f"No run of {self.folder} is finished. Go on with --resume {self.folder}.")
        table = pd.DataFrame([{"name": cell, **run_row(run)} for cell, run in runs.items()])
        table["best"] = False
        if not any(run.fold or run.restores for run in runs.values()):
            judged = {cell: run.metrics[self.select_on] for cell, run in runs.items() if self.select_on in run.metrics}
            worth = {cell: (-part["accuracy"]["value"], part["log_loss"]["value"]) for cell, part in judged.items()}
            table["best"] = table["name"] == min(worth, key=worth.get, default="")
        write_table(self.folder / "table.csv", table)
        return table

    def _read_table(self, path: Path) -> pd.DataFrame:
        table = read_table(path)
        check_columns(table, ("name", "best"), path)
        known = names(table["name"].tolist(), f"The names of {path}")
        if strangers := [name for name in known if name not in self.cells]:
            raise ValueError(f"{path} names {strangers[0]!r}, which is no cell of the study.")
        if not table["best"].isin(["True", "False"]).all() or (table["best"] == "True").sum() > 1:
            raise ValueError(
                f"{path} has {table['best'].tolist()!r:.80} for best. Expected True once at most, else False."
            )
        columns = [column for column in table if column not in ("name", "best")]
        whole = [column for column in columns if table[column].str.fullmatch("[0-9]{1,15}").all()]
        table = numbers(table, columns, path).astype(dict.fromkeys(whole, int))
        return table.assign(best=table["best"] == "True")


def run_row(run: Run) -> dict:
    """What runs are compared on: accuracy a split with its interval and n, log loss, and what it cost.

    Of an autoencoder the mean squared error.
    """
    metrics, timing, restores = run.metrics, run.timing, run.restores
    row, name = {}, "mse" if restores else "accuracy"
    for split in (*SCORED_SPLITS, "train"):
        if split not in metrics:
            continue
        figure = metrics[split][name]
        row[f"{split}_{name}"] = figure["value"]
        if split != "train":
            row |= {f"{split}_{bound}": figure[bound] for bound in ("low", "high", "n")}
        if split == "validation" and not restores:
            row["validation_loss"] = metrics[split]["log_loss"]["value"]
    return row | {name: getattr(timing, name) for name in COSTS}


def is_study(folder: str | Path) -> bool:
    """Whether a folder is a study, finished or not."""
    return (Path(folder) / "study.json").is_file()


def resumable(folder: str | Path) -> "Run | Study":
    """Open what `--resume` names: a study or a run, or raise ValueError where it is neither."""
    return Study(folder) if is_study(folder) else Run(folder)
