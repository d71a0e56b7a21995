"""List what was trained."""

import argparse
from pathlib import Path

HELP = "List the runs and studies below a folder, with their state and validation accuracy."
EXAMPLE = "runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), metavar="FOLDER", help="(default: runs)")


def run(args: argparse.Namespace) -> int:
    """Print a line a study and a line a run."""
    from marinecv.runs import list_runs
    from marinecv.studies import Study

    for path in sorted(args.folder.rglob("study.json")):
        study = Study(path.parent)
        print(f"{study.folder}  study, {len(study.finished_runs)} of {len(study.cells)} runs finished")
    found = list_runs(args.folder)
    if not found:
        print(f"no run below {args.folder}")
    for run in found:
        print(f"{run.folder}  {state(run)}")
    return 0


def state(run) -> str:
    """Finished with its score, or how far it came and how to go on."""
    if run.finished:
        accuracy = run.read("metrics.json")["validation"]["accuracy"]
        return f"validation accuracy {accuracy['value']:.3f} (n={accuracy['n']})"
    epochs = len(run.history) if run.path("history.csv").is_file() else 0
    return f"stopped after {epochs} epochs; go on with --resume {run.folder}"
