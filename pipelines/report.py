"""Write the page of a run or a study again."""

import argparse
from pathlib import Path

HELP = "Write the report page of a run or a study again, from what its folder holds."
EXAMPLE = "report runs/aquarium_four_conv-1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run or a study."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run or of a study")


def run(args: argparse.Namespace) -> int:
    """Write it and say where it lies."""
    from marinecv.report.page import write_run_report, write_study_report
    from marinecv.studies import Study, resumable

    found = resumable(args.run)
    if isinstance(found, Study):
        found.write_table()
        print(write_study_report(found.folder))
    else:
        print(write_run_report(found.folder))
    return 0
