"""Experiments: folders of named runs with one table, such as a grid, several seeds, folds or a reproduction."""

from pathlib import Path

import pandas as pd
from msgspec import Struct

from marinecv.choices import SCORED_SPLITS
from marinecv.data.names import leaves_folder
from marinecv.files.atomic import write_json
from marinecv.files.csv_tables import check_columns, parse_numbers, read_table, write_table
from marinecv.runs import Run
from marinecv.schema import check_choice, names, read

COSTS = ("epochs", "best_epoch", "train_seconds", "latency_ms_per_image", "parameters", "trainable_parameters")
CURVE, REPRODUCTION = "curve.json", "reproduction.json"
"""Files beside `experiment.json` of a learning curve, and of the reproduction of a report."""
CHOSEN_ON_TEST = "chosen on test, so its test score is optimistic for new images"


class About(Struct, frozen=True, kw_only=True):
    """`experiment.json`: `cells` has the folder of each run by its name."""

    title: str
    demonstration: bool
    select_on: str = "validation"
    cells: dict[str, str]

    def __post_init__(self):
        check_choice(SCORED_SPLITS, select_on=self.select_on)
        names(list(self.cells), "The runs")
        names(list(self.cells.values()), "The folders of the runs")
        for cell, folder in self.cells.items():
            if leaves_folder(folder) or not Path(folder).parts or "\0" in folder:
                raise ValueError(f"Run {cell!r} has the folder {folder!r}. Expected one below that of the experiment.")


class Experiment:
    """An experiment: `experiment.json`, `table.csv`, `report.html` and the folders of its runs.

    Raises ValueError where the folder is none.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not is_experiment(folder):
            expected = "Expected a folder of several runs, as grid makes it."
            raise ValueError(f"{folder} is no experiment: it has no experiment.json. {expected}")
        try:
            about = read(self.folder / "experiment.json", About)
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
    ) -> "Experiment":
        """Make a folder with the runs `cells` an experiment, whose best run the split `select_on` selects."""
        about = {"name": name, "title": title, "demonstration": demonstration, "select_on": select_on}
        write_json(Path(folder) / "experiment.json", {**about, "cells": {cell: cell for cell in cells}})
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
        if not any(run.fold or run.is_autoencoder for run in runs.values()):
            scored = {cell: run.metrics.get(self.select_on) for cell, run in runs.items()}
            sort_keys = {cell: (-m["accuracy"]["value"], m["log_loss"]["value"]) for cell, m in scored.items() if m}
            table["best"] = table["name"] == min(sort_keys, key=sort_keys.get, default="")
        write_table(self.folder / "table.csv", table)
        return table

    def _read_table(self, path: Path) -> pd.DataFrame:
        table = read_table(path)
        check_columns(table, ("name", "best"), path)
        if unknown := set(names(table["name"].tolist(), f"The names of {path}")) - set(self.cells):
            raise ValueError(f"{path} names {min(unknown)!r}, which is no run of the experiment.")
        if not table["best"].isin(["True", "False"]).all() or (table["best"] == "True").sum() > 1:
            received = f"{table['best'].tolist()!r:.80}"
            raise ValueError(f"{path} has {received} for best. Expected True at most once, or False.")
        columns = [column for column in table if column not in ("name", "best")]
        whole = [column for column in columns if table[column].str.fullmatch("[0-9]{1,15}").all()]
        table = parse_numbers(table, columns, path).astype(dict.fromkeys(whole, int))
        return table.assign(best=table["best"] == "True")


def run_row(run: Run) -> dict:
    """Return accuracies by split with interval and n, validation log loss and costs; of an autoencoder the MSE."""
    metrics, timing, is_autoencoder = run.metrics, run.timing, run.is_autoencoder
    row, name = {}, "mse" if is_autoencoder else "accuracy"
    for split in filter(metrics.get, (*SCORED_SPLITS, "train")):
        metric = metrics[split][name]
        row[f"{split}_{name}"] = metric["value"]
        if split != "train":
            row |= {f"{split}_{bound}": metric[bound] for bound in ("low", "high", "n")}
        if split == "validation" and not is_autoencoder:
            row["validation_loss"] = metrics[split]["log_loss"]["value"]
    return row | {name: getattr(timing, name) for name in COSTS}


def is_experiment(folder: str | Path) -> bool:
    """Return whether a folder is an experiment, finished or not."""
    return (Path(folder) / "experiment.json").is_file()


def resumable(folder: str | Path) -> "Run | Experiment":
    """Open an experiment or a run; ValueError where the folder is neither."""
    return Experiment(folder) if is_experiment(folder) else Run(folder)
