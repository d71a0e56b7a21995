"""Folders of work: what a folder holds, how far it came, and one process at a time in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from marinecv.choices import WORK_FILES
from marinecv.experiments import Experiment
from marinecv.files.lock import lock_folder
from marinecv.runs import Run, is_begun, list_runs
from marinecv.search.folder import Search

COLUMNS = ["folder", "kind", "state"]
DEFAULT_FOLDER = Path("runs")  # absent before the first training


def kind_of(folder: str | os.PathLike) -> str:
    """Return what a folder holds: `"search"`, `"curve"`, `"reproduction"`, `"experiment"`, `"run"`, or empty text."""
    return next((kind for name, kind in WORK_FILES.items() if (Path(folder) / name).is_file()), "")


def list_work(folder: str | os.PathLike = DEFAULT_FOLDER) -> pd.DataFrame:
    """List the experiments, searches and runs below a folder, one row each, with progress, score or error."""
    folder = Path(folder)
    if not folder.is_dir() and folder != DEFAULT_FOLDER:
        raise ValueError(f"There is no folder {folder}. Expected one that holds runs, experiments or searches.")
    found = []
    for kind in ("experiment", "search"):
        found += [(path.parent, kind) for path in sorted(folder.rglob(f"{kind}.json"))]
    found += [(run.folder, "run") for run in list_runs(folder)]
    return pd.DataFrame([(*each, progress_text(*each)) for each in found], columns=COLUMNS)


def progress_text(folder: Path, kind: str) -> str:
    """Return progress and how to resume, or the score; for a broken folder the error."""
    try:
        if kind == "experiment":
            experiment = Experiment(folder)
            return f"{len(experiment.finished_runs)} of {len(experiment.cells)} runs finished"
        if kind == "search":
            search = Search(folder)
            return f"{sum(trial.over for trial in search.trials)} of {search.count} trials over"
        run = Run(folder)
        if not run.finished:
            epochs = len(run.history) if run.path("history.csv").is_file() else 0
            return f'stopped after {epochs} epochs; go on with resume("{folder}")'
        name, label, digits = ("mse", "mean squared error", 4) if run.is_autoencoder else ("accuracy", "accuracy", 3)
        metric = run.metrics["validation"][name]
        return f"validation {label} {metric['value']:.{digits}f} (n={metric['n']})"
    except ValueError as error:
        return f"broken: {error}"


@contextmanager
def resumable(folder: Path, go_on: str = "") -> Iterator[None]:
    """Lock a folder; add a note on how to resume (`go_on`, else `resume("FOLDER")`) to an interruption or OSError."""
    with with_resume_note(folder, go_on), lock_folder(folder):
        yield


@contextmanager
def with_resume_note(folder: Path, go_on: str = "") -> Iterator[None]:
    """Add the note of `resumable` without a lock, for a folder that several processes may work in."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as stopped:
        advice = "What is done is kept; go on with " + (go_on or f'resume("{folder}")')
        stopped.add_note(advice if go_on or is_begun(folder) else f"Nothing was begun in {folder}; start again.")
        raise
