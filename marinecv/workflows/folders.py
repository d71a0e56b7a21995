"""List what was trained, and how far it came."""

import os
from pathlib import Path

import pandas as pd

from marinecv.runs import Run, list_runs
from marinecv.search.folder import Search
from marinecv.studies import Study

COLUMNS = ["folder", "kind", "state"]
DEFAULT = Path("runs")  # not there before something was trained


def list_work(folder: str | os.PathLike = DEFAULT) -> pd.DataFrame:
    """List the experiments, searches and runs below a folder.

    Args:
        folder: where to look.
    Returns:
        DataFrame, a row each: `folder`, `kind` (`study`, `search` or `run`) and `state`: its score on validation, how
        far it came, or why it is broken.
    Raises:
        ValueError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir() and folder != DEFAULT:
        raise ValueError(f"There is no folder {folder}. Expected one that holds runs, studies or searches.")
    found = [(path.parent, kind) for kind in ("study", "search") for path in sorted(folder.rglob(f"{kind}.json"))]
    found += [(run.folder, "run") for run in list_runs(folder)]
    return pd.DataFrame([(*each, state(*each)) for each in found], columns=COLUMNS)


def state(folder: Path, kind: str) -> str:
    """How far it came and how to go on, or its score; a broken one is said too, and hides no other."""
    try:
        if kind == "study":
            study = Study(folder)
            return f"{len(study.finished_runs)} of {len(study.cells)} runs finished"
        if kind == "search":
            search = Search(folder)
            return f"{sum(trial.over for trial in search.trials)} of {search.count} trials over"
        run = Run(folder)
        if not run.finished:
            epochs = len(run.history) if run.path("history.csv").is_file() else 0
            return f'stopped after {epochs} epochs; go on with resume("{folder}")'
        name, digits = ("mse", 4) if run.restores else ("accuracy", 3)
        figure = run.metrics["validation"][name]
        words = "mean squared error" if run.restores else name
        return f"validation {words} {figure['value']:.{digits}f} (n={figure['n']})"
    except ValueError as error:
        return f"broken: {error}"
