"""List what was trained."""

import argparse
from pathlib import Path

HELP = "List the runs, studies and searches below a folder, with their state and validation accuracy."
EXAMPLE = "runs"
DEFAULT = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look."""
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT, metavar="FOLDER", help="(default: runs)")


def run(args: argparse.Namespace) -> int:
    """Print a line a study, a search and a run."""
    from marinecv.runs import list_runs

    if not args.folder.is_dir() and args.folder != DEFAULT:
        raise ValueError(f"There is no folder {args.folder}. Expected one that holds runs, studies or searches.")
    for name, of in (("study.json", study_state), ("search.json", search_state)):
        for path in sorted(args.folder.rglob(name)):
            print(f"{path.parent}  {said(of, path.parent)}")
    found = list_runs(args.folder)
    if not found:
        print(f"no run below {args.folder}")
    for run in found:
        print(f"{run.folder}  {said(state, run)}")
    return 0


def said(of, what) -> str:
    """What a function says of a run or a study; a broken one is said too, and hides no other."""
    try:
        return of(what)
    except ValueError as error:
        return f"broken: {error}"


def study_state(folder: Path) -> str:
    """How many of its runs are finished."""
    from marinecv.studies import Study

    study = Study(folder)
    return f"study, {len(study.finished_runs)} of {len(study.cells)} runs finished"


def search_state(folder: Path) -> str:
    """How many of its trials are over."""
    from marinecv.search.folder import Search

    search = Search(folder)
    return f"search, {sum(trial.over for trial in search.trials)} of {search.count} trials over"


def state(run) -> str:
    """Finished with its score, or how far it came and how to go on."""
    if run.finished:
        metrics = run.metrics["validation"]
        if run.restores:
            return f"validation mean squared error {metrics['mse']['value']:.4f} (n={metrics['mse']['n']})"
        return f"validation accuracy {metrics['accuracy']['value']:.3f} (n={metrics['accuracy']['n']})"
    epochs = len(run.history) if run.path("history.csv").is_file() else 0
    return f"stopped after {epochs} epochs; go on with --resume {run.folder}"
