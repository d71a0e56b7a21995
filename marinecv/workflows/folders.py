"""List what was trained, and how far it came."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from marinecv.runs import Run, list_runs
from marinecv.search.folder import Search
from marinecv.studies import Study

COLUMNS = ["folder", "kind", "state"]
DEFAULT = Path("runs")  # not there before something was trained


def list_work(folder: str | os.PathLike = DEFAULT) -> pd.DataFrame:
    """List the experiments, searches and runs below a folder.

        mcv.list_work()

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
    studies, searches = ([path.parent for path in sorted(folder.rglob(f"{kind}.json"))] for kind in ("study", "search"))
    rows = [(study, "study", said(study_state, study)) for study in studies]
    rows += [(search, "search", said(search_state, search)) for search in searches]
    rows += [(run.folder, "run", said(run_state, run)) for run in list_runs(folder)]
    return pd.DataFrame(rows, columns=COLUMNS)


def said(state_of: Callable[[Any], str], what: Any) -> str:
    """What a function says of a folder; a broken one is said too, and hides no other."""
    try:
        return state_of(what)
    except ValueError as error:
        return f"broken: {error}"


def study_state(folder: Path) -> str:
    """How many of its runs are finished."""
    study = Study(folder)
    return f"{len(study.finished_runs)} of {len(study.cells)} runs finished"


def search_state(folder: Path) -> str:
    """How many of its trials are over."""
    search = Search(folder)
    return f"{sum(trial.over for trial in search.trials)} of {search.count} trials over"


def run_state(run: Run) -> str:
    """Its score, or how far it came and how to go on."""
    if run.finished:
        metrics = run.metrics["validation"]
        if run.restores:
            return f"validation mean squared error {metrics['mse']['value']:.4f} (n={metrics['mse']['n']})"
        return f"validation accuracy {metrics['accuracy']['value']:.3f} (n={metrics['accuracy']['n']})"
    epochs = len(run.history) if run.path("history.csv").is_file() else 0
    return f'stopped after {epochs} epochs; go on with resume("{run.folder}")'
