"""Experiments: folders of named runs with one table, such as a grid, several seeds, folds or a reproduction."""

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
"""Files beside `study.json` of a learning curve, and of the reproduction of a report."""
FLATTERED = "chosen on test, so its test score is optimistic for new images"


class About(Struct, frozen=True, kw_only=True):
    """`study.json`: `cells` has the folder of each run by its name."""

    title: str
    demonstration: bool
    select_on: str = "validation"
    cells: dict[str, str]

    def __post_init__(self):
        one_of(SCORED_SPLITS, select_on=self.select_on)
        names(list(self.cells), "The runs")
        names(list(self.cells.values()), "The folders of the runs")
        for cell, folder in self.cells.items():
            if leads_out(folder) or not Path(folder).parts or "\0" in folder:
                raise ValueError(f"Run {cell!r} has the folder {folder!r}. Expected one below that of the experiment.")


class Study:
    """An experiment: `study.json`, `table.csv`, `report.html` and the folders of its runs.

    Raises ValueError where the folder is none.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not is_study(folder):
            raise ValueError(
                f"{folder} is no experiment: it has no study.json. Expected a folder of several runs, as grid makes it."
            )
        try:
            about = read(self.folder / "study.json", About)
        except ValueError as error:
            raise ValueError(f"{error} Restore it from a copy, or open the runs below {self.folder}.") from error
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
        """Make a folder with the runs `cells` an experiment, whose best run the split `select_on` selects."""
        about = {"name": name, "title": title, "demonstration": demonstration, "select_on": select_on}
        write_json(Path(folder) / "study.json", {**about, "cells": {cell: cell for cell in cells}})
        return cls(folder)

    def cell_folder(self, cell: str) -> Path:
        """Return the folder of a run."""
        return self.folder / self.cells[cell]

    @property
    def table(self) -> pd.DataFrame:
        """Read `table.csv`, numbers as numbers; ValueError where there is none yet, or a broken one."""
        path = self.folder / "table.csv"
        if not path.is_file():
            raise ValueError(f'{self.folder} has no table.csv: no run is finished. Go on with resume("{self.folder}").')
        try:
            return self._read_table(path)
        except ValueError as error:
            raise ValueError(f"{error} Write it again: `marinecv report {self.folder}`.") from error

    @property
    def finished_runs(self) -> dict[str, Run]:
        """Return the runs that are trained and evaluated, by name."""
        runs = {cell: Run(self.cell_folder(cell)) for cell in self.cells}
        return {cell: run for cell, run in runs.items() if run.finished}

    def write_table(self) -> pd.DataFrame:
        """Write and return `table.csv`: a row a finished run, `best` where its accuracy on `select_on` is highest.

        Ties go to the lower log loss. No fold is the best, as each is scored on other images, and no autoencoder, as
        their errors differ in range. Raises ValueError without a finished run.
        """
        runs = self.finished_runs
        if not runs:
            raise ValueError(f'No run of {self.folder} is finished. Go on with resume("{self.folder}").')
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
        if unknown := set(names(table["name"].tolist(), f"The names of {path}")) - set(self.cells):
            raise ValueError(f"{path} names {min(unknown)!r}, which is no run of the experiment.")
        if not table["best"].isin(["True", "False"]).all() or (table["best"] == "True").sum() > 1:
            raise ValueError(
                f"{path} has {table['best'].tolist()!r:.80} for best. Expected True at most once, or False."
            )
        columns = [column for column in table if column not in ("name", "best")]
        whole = [column for column in columns if table[column].str.fullmatch("[0-9]{1,15}").all()]
        table = numbers(table, columns, path).astype(dict.fromkeys(whole, int))
        return table.assign(best=table["best"] == "True")


def run_row(run: Run) -> dict:
    """Return accuracies by split with interval and n, validation log loss and costs; of an autoencoder the MSE."""
    metrics, timing, restores = run.metrics, run.timing, run.restores
    row, name = {}, "mse" if restores else "accuracy"
    for split in (*SCORED_SPLITS, "train"):
        if split not in metrics:
            continue
        metric = metrics[split][name]
        row[f"{split}_{name}"] = metric["value"]
        if split != "train":
            row |= {f"{split}_{bound}": metric[bound] for bound in ("low", "high", "n")}
        if split == "validation" and not restores:
            row["validation_loss"] = metrics[split]["log_loss"]["value"]
    return row | {name: getattr(timing, name) for name in COSTS}


def is_study(folder: str | Path) -> bool:
    """Return whether a folder is an experiment, finished or not."""
    return (Path(folder) / "study.json").is_file()


def resumable(folder: str | Path) -> "Run | Study":
    """Open an experiment or a run; ValueError where the folder is neither."""
    return Study(folder) if is_study(folder) else Run(folder)
