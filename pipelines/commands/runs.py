"""List the runs, experiments and searches below a folder, with their state and validation accuracy."""

import argparse
from pathlib import Path

from .. import options

EXAMPLE = "runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), metavar="FOLDER", help="(default: runs)")


def run(args: argparse.Namespace) -> int:
    from marinecv.workflows.folders import list_work

    work = list_work(args.folder)
    for row in work.itertuples():
        kind = f"{row.kind}, " if row.kind != "run" and not row.state.startswith("broken") else ""
        options.print_line(f"{row.folder}  {kind}{row.state}")
    if not (work["kind"] == "run").any():
        print(f"no run below {args.folder}")
    return 0
