"""A study: a folder of runs that are told apart by name, with one table. A grid, seeds and a replay are studies."""

import json
from pathlib import Path

import pandas as pd

from marinecv.atomic import write_json
from marinecv.runs import Run
from marinecv.tables import read_table, write_table


class Study:
    """A study folder: `study.json`, `table.csv`, `report.html` and a folder a cell.

    Args:
        folder: of an existing study.
    Raises:
        ValueError: the folder is no study.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not is_study(folder):
            raise ValueError(f"{folder} is no study: it has no study.json. Expected a folder that --grid made.")
        about = json.loads((self.folder / "study.json").read_text(encoding="utf-8"))
        self.title: str = about["title"]
        self.cells: dict[str, str] = about["cells"]
        self.demonstration: bool = about["demonstration"]

    @classmethod
    def create(
        cls, folder: str | Path, name: str, title: str, cells: list[str], demonstration: bool = False
    ) -> "Study":
        """Make a folder of runs a study; written last, so that a study always has all its runs.

        Args:
            folder: where a run folder of the name of each cell lies.
            name: of the study.
            title: one line.
            cells: names of its runs.
            demonstration: its images are drawn.
        """
        about = {"name": name, "title": title, "demonstration": demonstration, "cells": {cell: cell for cell in cells}}
        write_json(Path(folder) / "study.json", about)
        return cls(folder)

    def cell_folder(self, cell: str) -> Path:
        """Where the run of a cell lies."""
        return self.folder / self.cells[cell]

    @property
    def table(self) -> pd.DataFrame:
        """What `write_table` wrote last, numbers as numbers.

        Raises:
            ValueError: there is no table yet, or a broken one.
        """
        path = self.folder / "table.csv"
        if not path.is_file():
            raise ValueError(f"{self.folder} has no table.csv: no run is finished. Go on with --resume {self.folder}.")
        table = read_table(path)
        numbers = table.drop(columns=["name", "best"]).apply(pd.to_numeric)
        return table.assign(**numbers, best=table["best"] == "True")

    @property
    def finished_runs(self) -> dict[str, Run]:
        """The runs that are trained and evaluated, by cell."""
        runs = {cell: Run(self.cell_folder(cell)) for cell in self.cells}
        return {cell: run for cell, run in runs.items() if run.finished}

    def write_table(self) -> pd.DataFrame:
        """Write `table.csv`: a row a finished run, the best on validation marked.

        Ties on accuracy go to the lower validation loss.

        Raises:
            ValueError: no run is finished.
        """
        if not self.finished_runs:
            raise ValueError(f"No run of {self.folder} is finished. Go on with --resume {self.folder}.")
        table = pd.DataFrame([{"name": cell, **run_row(run)} for cell, run in self.finished_runs.items()])
        order = table.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True], kind="stable")
        table["best"] = table.index == order.index[0]
        write_table(self.folder / "table.csv", table)
        return table


def run_row(run: Run) -> dict:
    """What runs are compared on: accuracy a split with its interval and n, log loss, and what it cost."""
    metrics, timing = run.read("metrics.json"), run.read("timing.json")
    row = {}
    for split in ("validation", "test", "train"):
        if split not in metrics:
            continue
        accuracy = metrics[split]["accuracy"]
        row[f"{split}_accuracy"] = accuracy["value"]
        if split != "train":
            row |= {f"{split}_{bound}": accuracy[bound] for bound in ("low", "high", "n")}
        if split == "validation":
            row["validation_loss"] = metrics[split]["log_loss"]["value"]
    costs = ("epochs", "best_epoch", "train_seconds", "latency_ms_per_image", "parameters", "trainable_parameters")
    return row | {name: timing[name] for name in costs}


def is_study(folder: str | Path) -> bool:
    """Whether a folder is a study, finished or not."""
    return (Path(folder) / "study.json").is_file()


def resumable(folder: str | Path) -> "Run | Study":
    """Open what `--resume` names: a study or a run.

    Raises:
        ValueError: it is neither.
    """
    if is_study(folder):
        return Study(folder)
    if not Path(folder).is_dir():
        raise ValueError(f"There is no folder {folder} to resume. `marinecv runs` lists runs and studies.")
    return Run(folder)
